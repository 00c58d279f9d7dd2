"""Our model of a case, from a folder, and its outputs under the peer's names."""

import json

import numpy as np
from keras import ops
from peer import weight

from keras_transformer import models
from keras_transformer.checkpoints import load_weights, save_weights


def write_folder(folder, record, case):
    """A checkpoint as the peer wrote it: `record` has its configuration and tensors' shapes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(record["config"]))
    tensors = {
        name: weight(record["alias"].get(name, name), tuple(shape))
        for name, shape in record["tensors"].items()
    }
    save_weights(folder / "model.safetensors", tensors, {"format": "pt"})


def open_ours(folder, case, **more):
    return getattr(models, case.head).from_pretrained(folder, **{**case.arguments, **more})


def run_ours(model, case):
    """{name: array} as `peer.run`."""
    inputs = case.our_inputs()
    found = ops.convert_to_numpy(model(inputs))
    outputs = {}
    if case.head == "SpanExtractor":
        outputs["start_logits"], outputs["end_logits"] = found[..., 0], found[..., 1]
    elif case.head in ("TransformerEncoder", "TransformerDecoder", "Transformer"):
        outputs["last_hidden_state"] = found
    else:
        outputs["logits"] = found
    states = model.trace(inputs) if case.head == "Transformer" else model.hidden_states(inputs)
    if case.head == "Transformer":
        states = {side: states[f"{side}_hidden_states"] for side in ("encoder", "decoder")}
    if not case.is_seq2seq:
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
