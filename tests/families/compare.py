"""Our model of a case, from a folder, and its outputs under the peer's names."""

import inspect
import json

import keras
import numpy as np
from keras import ops
from peer import weight

from keras_transformer import models
from keras_transformer.checkpoints import load_weights, model_weights, save_weights


def write_folder(folder, record, case, values=None):
    """A checkpoint as the peer wrote it: `record` has its configuration and tensors' shapes.

    Given other `values` by the model's names, such as gradients, a checkpoint that holds those.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(record["config"]))
    tensors = {}
    for name, shape in record["tensors"].items():
        source = record["alias"].get(name, name)
        tensors[name] = weight(source, tuple(shape)) if values is None else values[source]
    save_weights(folder / "model.safetensors", tensors, {"format": "pt"})


def open_ours(folder, case, **more):
    return getattr(models, case.head).from_pretrained(folder, **{**case.arguments, **more})


def run_ours(model, case):
    """{name: array} as `peer.run`."""
    inputs = case.our_inputs()
    found = ops.convert_to_numpy(model(inputs))
    outputs = {}
    if case.head.endswith("SpanExtractor"):
        outputs["start_logits"], outputs["end_logits"] = found[..., 0], found[..., 1]
    elif case.head in ("TransformerEncoder", "TransformerDecoder", "Transformer"):
        outputs["last_hidden_state"] = found
    else:
        outputs["logits"] = found
    states = model.hidden_states(inputs)
    if not isinstance(states, dict):
        states = {"": states}
    for side, each in states.items():
        kind = f"{side}_hidden_states".lstrip("_")
        for i, state in enumerate(each):
            outputs[f"{kind}/{i}"] = ops.convert_to_numpy(state)
    return outputs


def check(found, expected, case, tolerance=1e-5):
    """Compares at real positions what both sides have."""
    assert set(found) == set(expected), set(found) ^ set(expected)
    for name, theirs in expected.items():
        ours = found[name]
        assert ours.shape == theirs.shape, (name, ours.shape, theirs.shape)
        real = case.mask(ours.shape[1]) if name.startswith("encoder_") else case.real()
        if ours.ndim > 1 and ours.shape[:2] == real.shape:
            ours, theirs = ours[real], theirs[real]
        scale = max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale, err_msg=name)


def same_tensors(folder, other, case):
    """Whether two checkpoints hold the same tensors, bit for bit, but for what a case may lack."""
    ours, theirs = load_weights(folder / "model.safetensors"), load_weights(other)
    theirs = {name: x for name, x in theirs.items() if name in ours or not case.may_lack(name)}
    assert set(ours) == set(theirs), set(ours) ^ set(theirs)
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


STEP = 1024.0  # so long that what one step adds to a weight is exact, whatever the weight was


def train_ours(model, case):
    """The loss of one training step, and its gradient by all weights: {our name: array}."""
    before = model_weights(model)
    eager = keras.backend.backend() != "jax"  # which compiles each operation of its own there
    model.compile(keras.optimizers.SGD(STEP), weighted_metrics=None, run_eagerly=eager)
    loss = model.train_on_batch(case.our_inputs(), case.our_labels())
    after = model_weights(model)
    return float(loss), {name: (before[name] - after[name]) / STEP for name in before}


STILL = ("dropout", "attention_dropout", "activation_dropout", "output_dropout", "head_dropout")


def without_dropout(case):
    """The arguments of `open_ours` with which training is no game of chance."""
    cls = getattr(models, case.head)
    known = {*cls.config_class.fields(), *inspect.signature(cls.__init__).parameters}
    return {name: 0.0 for name in STILL if name in known}


def check_gradients(found, expected):
    """Whether gradients are equal to 1e-4; those that are 0 but for rounding stay so.

    The peer's are NaN for what it does not train, such as BART's bias of the logits, and we do.
    """
    assert set(found) == set(expected)
    expected = {name: theirs for name, theirs in expected.items() if not np.isnan(theirs).all()}
    largest = max(float(np.abs(theirs).max()) for theirs in expected.values())
    for name, theirs in expected.items():
        tolerance = 1e-4 * float(np.abs(theirs).max()) + 1e-6 * largest
        np.testing.assert_allclose(found[name], theirs, rtol=0, atol=tolerance, err_msg=name)


def check_training(model, gradients, loss, case):
    """Compares one step with the peer's; `gradients` is a model whose weights are the peer's."""
    our_loss, found = train_ours(model, case)
    np.testing.assert_allclose(our_loss, loss, rtol=1e-4)
    check_gradients(found, model_weights(gradients))
