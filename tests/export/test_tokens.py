"""ONNX and LiteRT files answer as the model does, in the runtimes that serve them."""

import functools
import sys

import keras
import numpy as np
import pytest
import toy_encoders

from keras_transformer import models
from keras_transformer.export import export_tokens, tokens
from keras_transformer.export.tokens import input_names
from keras_transformer.text import pad_encodings

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

LENGTH = 29
SIZES = dict(num_layers=1, hidden_dim=12, num_heads=2, ffn_dim=14, initializer_range=0.5)
SHAPES = ((3, 7), (1, 1), (5, 29), (2, 11))


def encoder(**settings):
    return models.EncoderConfig(vocab_size=31, max_length=LENGTH, **{**SIZES, **settings})


def decoder(**settings):
    return models.DecoderConfig(vocab_size=31, max_length=LENGTH, **{**SIZES, **settings})


def both(**settings):
    return models.TransformerConfig(
        vocab_size=31, max_length=LENGTH, num_encoder_layers=1, num_decoder_layers=1,
        hidden_dim=12, num_heads=2, ffn_dim=14, **settings,
    )  # fmt: skip


LLAMA = dict(
    positions="rotary", norm="rms", norm_first=True, gated=True, activation="silu",
    num_kv_heads=1, use_bias=False,
)  # fmt: skip
T5 = dict(position_bias="relative", positions="none", norm="rms", norm_first=True)
HEADS = {
    "classifier": lambda: models.SequenceClassifier(encoder(num_segments=2), 3),
    "tagger": lambda: models.TokenClassifier(encoder(), 5),
    "spans": lambda: models.SpanExtractor(encoder(num_segments=2)),
    "embedder": lambda: models.SentenceEmbedder(encoder()),
    "masked": lambda: models.MaskedLM(encoder(num_segments=2)),
    "causal": lambda: models.CausalLM(decoder(activation="gelu_tanh", norm_first=True)),
    "transformer": lambda: models.Seq2SeqLM(both()),
}
OTHERS = {
    "embedder first": lambda: models.SentenceEmbedder(encoder(), pooling="first"),
    "embedder max": lambda: models.SentenceEmbedder(encoder(), pooling="max"),
    "replaced": lambda: models.ReplacedTokenDetector(encoder()),
    "relative": lambda: models.TokenClassifier(encoder(**T5), 5),
    "llama": lambda: models.CausalLM(decoder(**LLAMA)),
    "alibi window": lambda: models.CausalLM(
        decoder(position_bias="alibi", positions="none", window=3)
    ),
    "decoder classifier": lambda: models.DecoderClassifier(decoder(**LLAMA), 3),
    "transformer classifier": lambda: models.Seq2SeqClassifier(both(), 3),
    "transformer spans": lambda: models.Seq2SeqSpanExtractor(both()),
}


@functools.cache
def model_of(name):
    keras.utils.set_random_seed(3)
    model = (HEADS | OTHERS)[name]()
    rng = np.random.default_rng(5)
    for weight in model.weights:  # biases and norms too, which start where they do nothing
        weight.assign(weight + rng.normal(0, 0.2, weight.shape))
    return model


def inputs_of(model, rows, length, seed=0):
    """Random tokens, all rows but the first padded: on the right, or on the left in odd rows."""
    rng = np.random.default_rng([seed, rows, length])
    found = {}
    for name in input_names(model):
        shape = (rows, max(1, length - 2) if name.startswith("decoder") else length)
        if name.endswith("padding_mask"):
            real = np.where(np.arange(rows) == 0, shape[1], rng.integers(1, shape[1] + 1, rows))
            right = np.arange(shape[1]) < real[:, None]
            left = np.arange(shape[1]) >= shape[1] - real[:, None]
            found[name] = np.where((np.arange(rows) % 2)[:, None] == 0, right, left)
        else:
            found[name] = rng.integers(0, 2 if "segment" in name else 31, shape).astype("int32")
    return found


def open_file(path, format):
    """A function from inputs to {name: output}."""
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        names = [output.name for output in session.get_outputs()]
        return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_path=str(path)).get_signature_runner()
    return lambda inputs: run(**inputs)


def compare(model, run, shape):
    inputs = inputs_of(model, *shape)
    wanted = keras.ops.convert_to_numpy(model(inputs, training=False))
    output = "embeddings" if isinstance(model, models.SentenceEmbedder) else "logits"
    found = run(inputs)
    assert list(found) == [output] and found[output].dtype == np.float32
    # The runtimes sum in another order than TensorFlow, so that errors grow with the values.
    np.testing.assert_allclose(found[output], wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("format", ["onnx", "litert"])
@pytest.mark.parametrize(
    "name", [*HEADS, *(pytest.param(name, marks=pytest.mark.broad) for name in OTHERS)]
)
def test_a_file_answers_as_the_model(tmp_path, name, format):
    path = tmp_path / ("model" + {"onnx": ".onnx", "litert": ".tflite"}[format])
    export_tokens(model_of(name), path, format)
    run = open_file(path, format)
    for shape in SHAPES:
        compare(model_of(name), run, shape)


def test_sizes_may_be_fixed(tmp_path):
    import onnxruntime

    for format, path in (("onnx", tmp_path / "a.onnx"), ("litert", tmp_path / "a.tflite")):
        export_tokens(model_of("tagger"), path, format, batch_size=2, length=11)
        compare(model_of("tagger"), open_file(path, format), (2, 11))
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    assert [(x.name, x.shape) for x in session.get_inputs()] == [
        ("token_ids", [2, 11]), ("padding_mask", [2, 11])
    ]  # fmt: skip
    assert session.get_modelmeta().custom_metadata_map["model"] == "TokenClassifier"


def test_what_is_wrong_is_named_and_nothing_is_written(tmp_path, monkeypatch):
    model = model_of("tagger")
    half = models.TokenClassifier(encoder(), 5, dtype="mixed_bfloat16")
    (tmp_path / "folder.onnx").mkdir()
    for arguments, options, kind, message in (
        ((model, "a.tflite", "onnx"), {}, ValueError, "path must end in .onnx"),
        ((model, "a.onnx", "tflite"), {}, ValueError, "format must be one of onnx, litert"),
        ((model, "a.onnx"), {"length": 30}, ValueError, "at most the model's max_length, 29"),
        ((model, "a.onnx"), {"batch_size": 0}, ValueError, "batch_size must be"),
        ((half, "a.onnx"), {}, ValueError, "must be float32 for onnx; it is mixed_bfloat16"),
        ((model.backbone, "a.onnx"), {}, TypeError, "one with a head, or a task; got Transf"),
        ((model, "folder.onnx"), {}, FileExistsError, "is a folder"),
    ):
        with pytest.raises(kind, match=message):
            export_tokens(arguments[0], tmp_path / arguments[1], *arguments[2:], **options)
    for name, format, path in (
        ("tf2onnx", "onnx", "a.onnx"), ("ai_edge_litert", "litert", "a.tflite")
    ):  # fmt: skip
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setitem(sys.modules, f"{name}.interpreter", None)
        with pytest.raises(ImportError, match=rf"{name}.*keras-transformer-zoo\[{format}\]"):
            export_tokens(model, tmp_path / path, format)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.onnx"]


def test_a_file_that_answers_otherwise_is_refused(tmp_path, monkeypatch):
    convert = tokens._to_onnx
    other = models.TokenClassifier(encoder(), 5)  # with other random weights
    monkeypatch.setattr(tokens, "_to_onnx", lambda model, *rest: convert(other, *rest))
    with pytest.raises(RuntimeError, match="does not answer as the model does"):
        export_tokens(model_of("tagger"), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_a_task_writes_them_too(tmp_path, format):
    path = tmp_path / ("a" + {"onnx": ".onnx", "litert": ".tflite"}[format])
    task = toy_encoders.embedder()
    task.export(path, format=format)
    batch = pad_encodings(task.tokenizer(toy_encoders.LINES), 0)
    found = open_file(path, format)(batch)["embeddings"]
    np.testing.assert_allclose(found, task(toy_encoders.LINES), rtol=1e-5, atol=1e-5)
    with pytest.raises(TypeError, match="top_k is no option of TextEmbedder as"):
        task.export(path, format=format, top_k=3)
