"""What `summary` prints."""

import re

import pytest

from keras_transformer import models

SIZES = dict(vocab_size=11, hidden_dim=6, num_heads=3, ffn_dim=13)
ENCODER = models.EncoderConfig(num_layers=2, num_segments=2, embedding_dim=5, **SIZES)
DECODER = models.DecoderConfig(num_layers=2, **SIZES)
MODELS = {
    "classifier": lambda: models.SequenceClassifier(ENCODER, num_classes=7),
    "linear classifier": lambda: models.SequenceClassifier(ENCODER, 7, head_activation=None),
    "tokens": lambda: models.TokenClassifier(ENCODER, num_classes=7),
    "span": lambda: models.SpanExtractor(ENCODER),
    "embedder": lambda: models.SentenceEmbedder(ENCODER),
    "masked": lambda: models.MaskedLM(ENCODER),
    "causal": lambda: models.CausalLM(DECODER),
    "rotary": lambda: models.CausalLM(
        models.DecoderConfig(num_layers=1, positions="rotary", tie_embeddings=False, **SIZES)
    ),
    "alibi": lambda: models.TransformerEncoder(
        models.EncoderConfig(num_layers=1, positions="none", position_bias="alibi", **SIZES)
    ),
    "seq2seq": lambda: models.Seq2SeqLM(
        models.TransformerConfig(
            num_encoder_layers=2,
            num_decoder_layers=2,
            positions="none",
            position_bias="relative",
            share_embeddings="none",
            **SIZES,
        )
    ),
}


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    """No row is broken in two."""
    monkeypatch.setenv("COLUMNS", "160")


def summary(model, **arguments):
    """The lines of a summary: {(name, class): [(shape, number of parameters), ...]}."""
    text = []
    model.summary(line_length=120, print_fn=text.append, **arguments)
    row = re.compile(r"│ *(?:└ )?(\w+) \((\w+)\) *│ *(\S.*?) *│ *([\d,]+) *│")
    found = {}
    for name, kind, shape, parameters in row.findall("\n".join(text)):
        found.setdefault((name, kind), []).append((shape, int(parameters.replace(",", ""))))
    return found


@pytest.mark.parametrize("name", MODELS)
def test_every_part_is_listed_with_the_shape_of_its_output(name):
    model = MODELS[name]()
    rows = summary(model)
    assert rows and not any("?" in shape for parts in rows.values() for shape, _ in parts)
    assert not any(kind in ("Identity", "unbuilt") for _, kind in rows)
    backbone = getattr(model, "backbone", model)
    stacks = [getattr(backbone, side, None) for side in ("encoder", "decoder")]
    for stack in filter(None, stacks if any(stacks) else [backbone]):
        for block in stack.blocks:
            shape = (f"(None, None, {model.config.hidden_dim})", block.count_params())
            assert shape in rows[block.name, type(block).__name__]


@pytest.mark.parametrize("name", ["classifier", "masked", "causal", "rotary"])
def test_the_parts_of_a_model_of_one_stack_add_up_to_it(name):
    model = MODELS[name]()
    backbone = ("backbone", type(model.backbone).__name__)
    rows = summary(model)
    own = sum(weight.shape[0] for weight in model.weights if weight.path.endswith("/output_bias"))
    parts = sum(count for row, parts in rows.items() if row != backbone for _, count in parts)
    assert parts + own == model.count_params()
    assert rows[backbone][0][1] == model.backbone.count_params()
    assert len(summary(model, expand_nested=False)) < len(rows)


def test_shapes_are_those_of_each_layer():
    rows = summary(MODELS["classifier"]())
    assert rows["embedding_dropout", "Dropout"][0][0] == "(None, None, 5)"
    assert rows["embedding_projection", "Dense"][0][0] == "(None, None, 6)"
    assert rows["pooler", "Dense"][0][0] == "(None, 6)"
    assert rows["classes", "Dense"] == [("(None, 7)", 49)]
    rows = summary(MODELS["alibi"]())
    assert rows["position_bias", "AlibiBias"] == [("(3, None, None)", 0)]


def test_a_summary_leaves_no_trace():
    model = MODELS["seq2seq"]()
    before = [layer._build_shapes_dict for layer in model._flatten_layers()]
    first = summary(model)
    assert summary(model) == first
    assert [layer._build_shapes_dict for layer in model._flatten_layers()] == before
    assert not any(hasattr(layer, "output_shape") for layer in model._flatten_layers())
