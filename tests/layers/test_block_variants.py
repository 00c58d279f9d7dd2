"""Norms, gates, parallel residuals, groups of heads and packed sequences in blocks."""

import keras
import numpy as np
import pytest
from backend_tools import gradient, randomise, same, to_numpy
from keras import ops

from keras_transformer.layers import (
    AlibiBias,
    FeedForward,
    KeyValueCache,
    RotaryEmbedding,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
    gelu_tanh,
)

B, T, S, D, H, N, K, F = 2, 7, 5, 12, 4, 2, 3, 13


def normal(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def make(cls, context=False, **settings):
    block = cls(H, F, **settings)
    block.build(*[(None, None, D)] * (2 if context else 1))
    return randomise(block)


VARIANTS = {
    "neox": dict(norm_first=True, parallel=True, activation="gelu"),
    "llama": dict(norm="rms", norm_first=True, num_kv_heads=N, activation="silu", gated=True,
                  use_bias=False, head_dim=6, rotary=RotaryEmbedding()),
    "gemma": dict(norm="rms", norm_first=True, num_kv_heads=1, head_dim=5, activation="gelu_tanh",
                  gated=True, soft_cap=3.0, window=3, query_key_norm="rms"),
    "alibi": dict(position_bias=AlibiBias(H), norm_first=True),
    "post": dict(num_kv_heads=N, query_key_norm="layer"),
    "unscaled": dict(norm="rms", norm_first=True, use_bias=False, score="dot_product"),
}  # fmt: skip


# what a variant computes


def test_a_parallel_block_adds_both_sublayers_to_its_input():
    block, x = make(TransformerDecoderBlock, **VARIANTS["neox"]), normal(B, T, D)
    (norm, _, _), (norm2, _, _) = block.attention_residual, block.feed_forward_residual
    expected = x + to_numpy(block.self_attention(norm(x))) + to_numpy(block.feed_forward(norm2(x)))
    same(block(x), expected)


def test_parallel_needs_pre_norm_and_no_context():
    with pytest.raises(ValueError, match="parallel=True needs norm_first=True"):
        TransformerEncoderBlock(H, F, parallel=True)
    block = TransformerDecoderBlock(H, F, norm_first=True, parallel=True)
    with pytest.raises(ValueError, match="parallel=True is for blocks without cross-attention"):
        block(normal(B, T, D), normal(B, S, D))


def erf(x):
    from math import erf

    return np.vectorize(erf)(x)


ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: 0.5 * x * (1 + erf(x / 2**0.5)),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + np.exp(-x)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("use_bias", [True, False])
def test_a_gated_feed_forward_is_its_equation(name, use_bias):
    layer, x = FeedForward(F, activation=name, gated=True, use_bias=use_bias), normal(B, T, D)
    layer.build(x.shape)
    randomise(layer)

    def dense(part, x):
        return x @ to_numpy(part.kernel) + (to_numpy(part.bias) if use_bias else 0.0)

    expected = ACTIVATIONS[name](dense(layer.gate, x)) * dense(layer.inner, x)
    same(layer(x), dense(layer.outer, expected))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_plain_feed_forward_is_its_equation(name):
    layer, x = FeedForward(F, activation=name), normal(B, T, D)
    layer.build(x.shape)
    randomise(layer)
    hidden = x @ to_numpy(layer.inner.kernel) + to_numpy(layer.inner.bias)
    same(layer(x), to_numpy(layer.outer(ACTIVATIONS[name](hidden))))


def test_exact_and_approximate_gelu_are_told_apart():
    x = np.linspace(-4, 4, 101).astype("float32")
    difference = np.abs(to_numpy(gelu_tanh(ops.convert_to_tensor(x))) - ACTIVATIONS["gelu"](x))
    assert 1e-5 < difference.max() < 1e-3


def test_an_unknown_activation_or_norm_is_refused():
    with pytest.raises(ValueError, match="activation must be a name such as .*'swiglu'"):
        FeedForward(F, activation="swiglu")
    with pytest.raises(ValueError, match="norm must be one of 'layer', 'rms'; received 'batch'"):
        TransformerEncoderBlock(H, F, norm="batch")
    with pytest.raises(ValueError, match="received num_kv_heads=3 and num_heads=4"):
        TransformerEncoderBlock(H, F, num_kv_heads=3)
    with pytest.raises(ValueError, match="norm_epsilon must be a positive number; received -1"):
        TransformerEncoderBlock(H, F, norm_epsilon=-1)
    with pytest.raises(ValueError, match="no cross-attention to project a context for"):
        make(TransformerDecoderBlock).project_context(normal(B, S, D))
    with pytest.raises(ValueError, match="window must be a positive integer; received 0"):
        TransformerDecoderBlock(H, F, window=0)


@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_statistics_are_float32_in_half_precision(norm, policy):
    x = 300.0 + 10.0 * normal(B, T, 512)  # whose squares overflow float16
    half, full = (
        TransformerEncoderBlock(H, F, norm=norm, dtype=dtype) for dtype in (policy, "float32")
    )
    norms = []
    for block in (half, full):
        block.build((None, None, 512))
        norms.append(to_numpy(block.attention_residual[2](ops.cast(x, block.compute_dtype))))
    np.testing.assert_allclose(*norms, atol=0.02 if policy == "float16" else 0.15)


# properties that hold for all


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("cls", [TransformerEncoderBlock, TransformerDecoderBlock])
def test_a_variant_is_its_configuration(cls, name):
    block = make(cls, dropout=0.1, **VARIANTS[name])
    config = keras.saving.serialize_keras_object(block)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == block.get_config()
    again.set_weights(block.get_weights())
    x = normal(B, T, D)
    same(again(x), block(x), 1e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_future_does_not_leak(name):
    block, x = make(TransformerDecoderBlock, **VARIANTS[name]), normal(B, T, D)
    reach = VARIANTS[name].get("window", T)
    for t in range(T):
        slope = gradient(lambda x, t=t: ops.sum(ops.square(block(x)[:, t])), x)
        assert (slope[:, t + 1 :] == 0).all() and (slope[:, : max(t + 1 - reach, 0)] == 0).all()
        assert (slope[:, max(t + 1 - reach, 0) : t + 1] != 0).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_cached_equals_uncached(name):
    block, x = make(TransformerDecoderBlock, **VARIANTS[name]), normal(B, T, D)
    expected = to_numpy(block(x))
    attention = block.self_attention
    cache = KeyValueCache.create(1, B, attention.num_kv_heads, T + 2, attention.key_dim).layer(0)
    for start, stop in ((0, 3), (3, 4), (4, T)):
        output, cache = block(x[:, start:stop], cache=cache)
        same(output, expected[:, start:stop])


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("cls", [TransformerEncoderBlock, TransformerDecoderBlock])
def test_padding_and_packing_change_nothing(cls, name):
    block = make(cls, **VARIANTS[name])
    a, b, noise = normal(1, 4, D), normal(1, 3, D, seed=4), 100 * normal(1, 2, D, seed=5)
    packed = block(
        np.concatenate([a, b, noise], axis=1),
        padding_mask=np.array([[True] * 7 + [False] * 2]),
        segment_ids=np.array([[1] * 4 + [2] * 3 + [0] * 2]),
    )
    same(packed[:, :4], block(a))
    same(packed[:, 4:7], block(b))
    left = block(
        np.concatenate([noise, a], axis=1), padding_mask=np.array([[False] * 2 + [True] * 4])
    )
    same(left[:, 2:], block(a))


def test_packed_targets_attend_to_their_own_sources():
    block = make(TransformerDecoderBlock, context=True)
    pairs = [(normal(1, t, D, seed=t), normal(1, s, D, seed=10 + s)) for t, s in ((4, 2), (3, 5))]
    targets, sources = (np.concatenate(parts, axis=1) for parts in zip(*pairs, strict=True))
    packed = block(
        targets,
        sources,
        segment_ids=np.array([[1] * 4 + [2] * 3]),
        context_segment_ids=np.array([[1] * 2 + [2] * 5]),
    )
    same(packed[:, :4], block(*pairs[0]))
    same(packed[:, 4:], block(*pairs[1]))
    with pytest.raises(ValueError, match="context_segment_ids need segment_ids"):
        block(targets, sources, context_segment_ids=np.array([[1] * 2 + [2] * 5]))


def test_scores_are_given_where_asked_for():
    block = make(TransformerDecoderBlock, context=True)
    x, context = normal(B, T, D), normal(B, S, D, seed=4)
    cache = KeyValueCache.create(1, B, H, T, K).layer(0)
    output, own, cross, advanced = block(x, context, cache=cache, return_attention_scores=True)
    assert own.shape == (B, H, T, T) and cross.shape == (B, H, T, S) and int(advanced.index) == T
    same(output, block(x, context))
    output, advanced = block(x, context, cache=cache)
    assert int(advanced.index) == T
