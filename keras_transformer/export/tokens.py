"""Models as ONNX and LiteRT files: token ids in, logits out. Converters are imported on export.

B batch, T length
"""

import contextlib
import json
import logging
import pathlib
import tempfile

import keras
import numpy as np

import keras_transformer
from keras_transformer.checkpoints.files import replacing
from keras_transformer.export.backend import check_backend
from keras_transformer.generation.decoding import check_positive
from keras_transformer.models import SentenceEmbedder, Seq2SeqLM
from keras_transformer.tasks.task import model_inputs

SUFFIXES = {"onnx": ".onnx", "litert": ".tflite"}
LARGEST = 2**31 - 2**20  # bytes; both formats are one message of less than 2 GiB
OPSET = 17
# A file is run once before it is written, and must agree with the model to this. Kernels differ
# in the order of their sums, which is far below it; wrong conversions are far above.
TOLERANCE = 1e-3


def export_tokens(model, path, format="onnx", *, batch_size=None, length=None):
    """Writes the forward pass of a model, from token ids to logits, as an ONNX or LiteRT file.

    For phones, browsers and servers without TensorFlow: tokenizer and decoding stay outside. The
    inputs are those of the model by their names, `token_ids` (B, T) int32, `padding_mask` (B, T)
    bool, True = real token, and `segment_ids` (B, T) int32 where the model has them; of a
    `Seq2SeqLM` both `encoder_token_ids`, `encoder_padding_mask` (B, S) and `decoder_token_ids`,
    `decoder_padding_mask` (B, T). The one output is `logits`, or `embeddings` (B, D), float32.

    B and T are any number from 1 on, T within the model's `max_length`, unless they are fixed here,
    as accelerators of phones ask for. Nothing inside checks the ids. The file is run once, with
    onnxruntime or the interpreter of LiteRT, and compared with the model before it takes its place.

    Args:
        model: one of `models` with a head, or a task with such a model; its dtype is float32.
        path: the file to write, ending in `.onnx` or `.tflite`. It appears whole or not at all; an
            earlier one is replaced.
        format: "onnx" or "litert".
        batch_size: B, where it shall be fixed.
        length: T, and S, where it shall be fixed.

    Raises:
        TypeError: `model` is none.
        ValueError: an argument is out of its range, the path has another ending, the model is not
            float32 or too large for one file.
        FileExistsError: `path` is a folder.
        ImportError: a package is missing; the message names the extra that has it.
        RuntimeError: Keras runs on another backend than TensorFlow, or the file does not answer as
            the model does, such as one with operations that the format does not have.
        OSError: the disk is full; what was at `path` is untouched.

    Example:

    >>> import tempfile
    >>> from keras_transformer import export, models
    >>> config = models.EncoderConfig(
    ...     vocab_size=30, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> path = tempfile.mkdtemp() + "/tagger.onnx"
    >>> export.export_tokens(models.TokenClassifier(config, 3), path)
    >>> import onnxruntime
    >>> session = onnxruntime.InferenceSession(path)
    >>> inputs = {"token_ids": [[5, 6], [7, 0]], "padding_mask": [[True, True], [True, False]]}
    >>> session.run(["logits"], inputs)[0].shape
    (2, 2, 3)
    """
    task = None if isinstance(model, keras.Model) else model
    model = getattr(task, "model", model)
    if not isinstance(model, keras.Model) or not hasattr(model, "backbone"):
        raise TypeError(f"model must be one with a head, or a task; got {type(model).__name__}.")
    path = pathlib.Path(path)
    _check_arguments(model, path, format, batch_size, length)
    check_backend(model if task is None else task)
    settings = {
        "keras_transformer": keras_transformer.__version__,
        "model": type(model).__name__,
        "config": json.dumps(model.config.to_dict()),
    }
    if task is not None:
        settings["tokenizer_sha256"] = task.tokenizer.fingerprint
    convert, runner = {"onnx": (_to_onnx, _onnx_runner), "litert": (_to_litert, _litert_runner)}[
        format
    ]
    with _needed_packages(format):
        content = convert(model, _specs(model, batch_size, length), settings)
        _check_answers(model, runner(content), format, batch_size or 2, length or 5)
    with replacing(path) as file:
        file.write(content)


def input_names(model):
    """The names of the inputs that a model takes."""
    if isinstance(model, Seq2SeqLM):
        return tuple(
            f"{side}_{name}"
            for side in ("encoder", "decoder")
            for name in ("token_ids", "padding_mask")
        )
    return model_inputs(model)


def _check_arguments(model, path, format, batch_size, length):
    if format not in SUFFIXES:
        raise ValueError(f"format must be one of {', '.join(SUFFIXES)}; got {format!r}.")
    if path.suffix != SUFFIXES[format]:
        raise ValueError(f"path must end in {SUFFIXES[format]}; got {path}.")
    if path.is_dir():
        raise FileExistsError(f"path must be a file; {path} is a folder.")
    for name, value in (("batch_size", batch_size), ("length", length)):
        if value is not None:
            check_positive(name, value)
    limit = model.config.max_length
    if length is not None and length > limit:
        raise ValueError(f"length must be at most the model's max_length, {limit}; got {length}.")
    if model.dtype_policy.name != "float32":
        raise ValueError(
            f"The model must be float32 for {format}; it is {model.dtype_policy.name}. "
            'from_pretrained(folder, dtype="float32") reads it so.'
        )
    size = 4 * model.count_params()
    if size > LARGEST:
        raise ValueError(f"A file of {format} holds less than 2 GiB; the weights are {size} bytes.")


@contextlib.contextmanager
def _needed_packages(format):
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"Exporting to {format} needs the package {error.name!r}: "
            f'pip install "keras-transformer-zoo[{format}]".'
        ) from error


def _specs(model, batch_size, length):
    """What the inputs look like, in the order of their names."""
    import tensorflow as tf

    return [
        tf.TensorSpec([batch_size, length], tf.bool if "mask" in name else tf.int32, name)
        for name in input_names(model)
    ]


def _forward(model):
    """The model as a function of its inputs' values in order, to its output by name."""
    import tensorflow as tf

    names = input_names(model)
    output = "embeddings" if isinstance(model, SentenceEmbedder) else "logits"

    def forward(*values):
        return {output: model(dict(zip(names, values, strict=True)), training=False)}

    return tf.function(forward, autograph=False)


def _to_onnx(model, specs, settings):
    import onnx
    import tensorflow as tf
    import tf2onnx
    from tf2onnx.optimizer import const_fold_optimizer, identity_optimizer

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    function = _forward(model).get_concrete_function(*specs)
    names = {f"{spec.name}:0": spec.name for spec in specs}
    (out,) = function.outputs
    names[out.name] = next(iter(function.structured_outputs))
    frozen = tf2onnx.tf_loader.from_function(function, list(names)[:-1], [out.name])
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen, name="")
        graph = tf2onnx.tfonnx.process_tf_graph(
            graph,
            opset=OPSET,
            input_names=list(names)[:-1],
            output_names=[out.name],
            custom_op_handlers={"Erfc": (_erfc, [])},
            tensors_to_rename=names,
        )
    # Not all of its optimizers, as `tf2onnx.convert` takes them: of two reshapes in a row it drops
    # the first one also where the second takes sizes from it. onnxruntime has its own anyway.
    graph = tf2onnx.optimizer.optimize_graph(
        graph,
        optimizers={
            "fold_constants": const_fold_optimizer.ConstFoldOptimizer,
            "remove_identity": identity_optimizer.IdentityOptimizer,
        },
    )
    found = graph.make_model(type(model).__name__)
    onnx.helper.set_model_props(found, settings)
    return found.SerializeToString()


def _erfc(context, node, name, _):
    """TensorFlow's erfc, of the exact GELU, as 1 - erf, which ONNX has."""
    (out,) = node.output
    shape, dtype = context.get_shape(out), context.get_dtype(out)
    one = context.make_const(f"{name}/one", np.float32(1).reshape(()))
    erf = context.make_node("Erf", list(node.input), op_name_scope=name)
    context.remove_node(node.name)
    context.make_node(
        "Sub", [one.output[0], erf.output[0]], name=name, outputs=[out], shapes=[shape],
        dtypes=[dtype],
    )  # fmt: skip


def _to_litert(model, specs, _):
    import tensorflow as tf

    module = tf.Module()
    module.model_weights = [variable.value for variable in model.weights]
    signature = _forward(model).get_concrete_function(*specs)
    with tempfile.TemporaryDirectory() as folder:
        # A signature, by which inputs and outputs have names, comes from a SavedModel alone.
        tf.saved_model.save(module, folder, signatures=signature)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        try:
            return converter.convert()
        except Exception as error:  # its class is private
            reason = next((x for x in str(error).splitlines() if "TF Select ops" in x), error)
            raise RuntimeError(f"LiteRT cannot express this model: {reason}") from error


def _onnx_runner(content):
    """A function from inputs by name to the output, by what serves such files."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content)
    return lambda inputs: session.run(None, inputs)[0]


def _litert_runner(content):
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_content=content).get_signature_runner()
    return lambda inputs: next(iter(run(**inputs).values()))


def _check_answers(model, run, format, rows, length):
    """Refuses a file that does not answer as the model does, for two rows of which one is padded.

    Raises:
        RuntimeError: it answers differently, or not at all.
    """
    length = min(length, model.config.max_length)
    ids = np.arange(rows * length, dtype=np.int32).reshape(rows, length) % model.config.vocab_size
    mask = np.arange(length) < np.where(np.arange(rows) % 2, max(length - 2, 1), length)[:, None]
    values = {"padding_mask": mask, "segment_ids": np.zeros_like(ids)}
    inputs = {n: values.get(n.removeprefix("encoder_").removeprefix("decoder_"), ids)
              for n in input_names(model)}  # fmt: skip
    wanted = keras.ops.convert_to_numpy(model(inputs, training=False))
    try:
        found = run(inputs)
    except Exception as error:  # each runtime has its own
        raise RuntimeError(f"The file of {format} does not run: {error}") from error
    real = mask if wanted.ndim == 3 else slice(None)
    difference = np.abs(found - wanted)[real].max() / max(1.0, np.abs(wanted[real]).max())
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f"The file of {format} does not answer as the model does: it differs by "
            f"{difference:.2g} of the largest output."
        )
