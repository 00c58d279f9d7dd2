"""Tiny published models of `transformers` on torch: made, run, and run again on what we wrote."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import copy
import zlib

import numpy as np


def weight(name, shape):
    """A tensor's values, from its name alone, so that no golden file needs to hold them."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    values = rng.normal(0.0, 0.25, shape)
    is_scale = name.endswith("weight") and len(shape) == 1
    return (values + is_scale).astype("float32")


def make(case):
    """The peer's model of a case, with the weights of `weight`."""
    import torch
    import transformers

    fields = copy.deepcopy(case.fields)  # transformers adds to dictionaries that it is given
    config = transformers.AutoConfig.for_model(fields.pop("model_type"), **fields)
    model = getattr(transformers, case.architecture)._from_config(
        config, attn_implementation="eager"
    )
    if case.untied:
        untie(model)
    with torch.no_grad():
        for name, tensor in learned(model).items():
            tensor.copy_(torch.from_numpy(weight(name, tuple(tensor.shape))))
    return model.eval()


def learned(model):
    """The peer's parameters, and what its files hold besides: no tables of sines, no masks."""
    kept, buffers = model.state_dict(), dict(model.named_buffers())
    parameters = {name: x for name, x in model.named_parameters() if x.requires_grad}
    floats = {name: x for name, x in buffers.items() if name in kept and x.is_floating_point()}
    return {**parameters, **floats}


def untie(model):
    """Gives the peer's output embedding a weight of its own where it shares the input's."""
    import torch

    output, shared = model.get_output_embeddings(), model.get_input_embeddings().weight
    if output is None or output.weight is not shared:
        return
    output.weight = torch.nn.Parameter(torch.empty_like(shared))
    name = next(name for name, module in model.named_modules() if module is output)
    model.all_tied_weights_keys.pop(f"{name}.weight")


def run(model, case):
    """The peer's outputs: {name: array}, `logits` and `hidden/0`, `hidden/1` and so on."""
    import torch

    inputs = {name: torch.from_numpy(np.asarray(x)) for name, x in case.peer_inputs().items()}
    with torch.no_grad():
        found = model(**inputs, output_hidden_states=True, return_dict=True)
    outputs = {}
    for name in ("logits", "start_logits", "end_logits", "last_hidden_state"):
        if getattr(found, name, None) is not None:
            outputs[name] = getattr(found, name).numpy()
    for kind in ("hidden_states", "encoder_hidden_states", "decoder_hidden_states"):
        for i, state in enumerate(getattr(found, kind, None) or ()):
            outputs[f"{kind}/{i}"] = state.numpy()
    return outputs


def train(model, case):
    """The peer's loss, and its gradient by all weights, NaN where it keeps a weight as it is."""
    import torch

    inputs = {**case.peer_inputs(), "labels": case.labels()}
    inputs = {name: torch.from_numpy(np.asarray(x)) for name, x in inputs.items()}
    model.zero_grad()
    loss = model(**inputs, return_dict=True).loss
    loss.backward()
    gradients = {}
    for name, x in learned(model).items():
        kept = np.full(tuple(x.shape), 0.0 if x.requires_grad else np.nan, "float32")
        gradients[name] = kept if x.grad is None else x.grad.numpy()
    return float(loss.detach()), gradients


def open_again(folder, case):
    """The peer's model of a folder that we wrote; nothing may be missing or left over."""
    import transformers

    model, info = getattr(transformers, case.architecture).from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager"
    )
    problems = {
        kind: [name for name in info[kind] if not case.may_lack(name)]
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")
    }
    assert not any(problems.values()), problems
    return model.eval()
