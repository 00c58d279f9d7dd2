"""The figures in goldens/layers.npz, and torch's weights put into our layers."""

import functools
import pathlib

import numpy as np

PATH = pathlib.Path(__file__).parent.parent / "goldens" / "layers.npz"


@functools.cache
def read():
    with np.load(PATH) as file:
        return {name: file[name] for name in file.files}


def golden(prefix):
    """The arrays whose names start with `prefix`, without it."""
    return part(read(), f"{prefix}/")


def part(weights, prefix):
    return {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}


def assign_dense(layer, weight, bias):
    layer.kernel.assign(weight.T)
    layer.bias.assign(bias)


def assign_norm(residual, weights):
    (norm,) = [layer for layer in residual if layer.weights]
    norm.gamma.assign(weights["weight"])
    norm.beta.assign(weights["bias"])


def assign_attention(layer, weights):
    if "in_proj_weight" in weights:
        kernels = np.split(weights["in_proj_weight"], 3)
    else:
        kernels = [weights[f"{name}_proj_weight"] for name in "qkv"]
    biases = np.split(weights["in_proj_bias"], 3)
    for sublayer, kernel, bias in zip(
        (layer.query, layer.key, layer.value), kernels, biases, strict=True
    ):
        assign_dense(sublayer, kernel, bias)
    assign_dense(layer.output_dense, weights["out_proj.weight"], weights["out_proj.bias"])


def assign_block(block, weights):
    """torch's encoder or decoder layer; the decoder's norms are one more."""
    assign_attention(block.self_attention, part(weights, "self_attn."))
    residuals = [block.attention_residual, block.feed_forward_residual]
    if getattr(block, "cross_attention", None) is not None:
        assign_attention(block.cross_attention, part(weights, "multihead_attn."))
        residuals.insert(1, block.cross_residual)
    for number, residual in enumerate(residuals, start=1):
        assign_norm(residual, part(weights, f"norm{number}."))
    for name, layer in (
        ("linear1", block.feed_forward.inner),
        ("linear2", block.feed_forward.outer),
    ):
        assign_dense(layer, weights[f"{name}.weight"], weights[f"{name}.bias"])
