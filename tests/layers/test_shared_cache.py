"""Hypotheses that share their keys see what they would see with keys of their own."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.layers import (
    AlibiBias,
    KeyValueCache,
    MultiHeadSelfAttention,
    RelativePositionBias,
    RotaryEmbedding,
)

B, G, D, L = 2, 3, 16, 4
CHANGES = np.array([[0, 0, 1], [2, 1, 0], [1, 1, 1], [0, 2, 2]], "int32")
SETTINGS = {
    "plain": dict(),
    "grouped": dict(num_kv_heads=2),
    "rotary": dict(rotary=RotaryEmbedding()),
    "alibi": dict(position_bias=AlibiBias(4)),
    "relative": dict(position_bias=RelativePositionBias(4, bidirectional=False)),
    "window": dict(window=3),
}


def as_tensor(x):
    return ops.convert_to_tensor(x)


def caches(layer, prompt, dtype=None):
    """A cache that has read `prompt` (B, P, D) or nothing: shared, and with keys for each."""
    length = 0 if prompt is None else prompt.shape[1]
    cache = KeyValueCache.create(
        1, B, layer.num_kv_heads, length, layer.key_dim, dtype or "float32"
    )
    if length:
        _, read = layer(as_tensor(prompt), cache=cache.layer(0, layer.compute_dtype))
        cache = KeyValueCache.from_layers([read])
    return cache.shared(G, L), cache.extended(L).repeat(G)


def read_tokens(layer, cache, tokens, padding_mask=None, **arguments):
    """Outputs of L steps, hypotheses changing places after each: arrays (B·G, …)."""
    first = np.repeat(np.arange(B, dtype="int32"), G) * G
    found = []
    for step, token in enumerate(tokens):
        *outputs, own = layer(
            as_tensor(token),
            cache=cache.layer(0, layer.compute_dtype),
            padding_mask=padding_mask,
            **arguments,
        )
        found.append([ops.convert_to_numpy(x) for x in outputs])
        rows = first + np.tile(np.roll(CHANGES[step], 1), B)
        cache = KeyValueCache.from_layers([own]).reorder(as_tensor(rows.astype("int32")))
    return found


@pytest.mark.parametrize(
    "settings, prompted",
    [(settings, True) for settings in SETTINGS.values()] + [({}, False)],
    ids=[*SETTINGS, "no_prompt"],
)
def test_nothing_but_the_copies_is_saved(settings, prompted):
    rng = np.random.default_rng(7)
    layer = MultiHeadSelfAttention(4, causal=True, **settings)
    layer.build((None, None, D))
    prompt = rng.normal(size=(B, 5, D)).astype("float32") if prompted else None
    tokens = rng.normal(size=(L, B * G, 1, D)).astype("float32")
    bias = as_tensor(rng.normal(size=(4, 1, L + 5 * prompted)).astype("float32"))
    mask = np.ones((B * G, L + 5 * prompted), bool)
    mask[:G, : 2 * prompted] = False  # padding on the left
    shared, own = (
        read_tokens(
            layer,
            cache,
            tokens,
            as_tensor(mask),
            attention_bias=bias,
            return_attention_scores=True,
        )
        for cache in caches(layer, prompt)
    )
    for (output, scores), (expected, expected_scores) in zip(shared, own, strict=True):
        np.testing.assert_allclose(output, expected, atol=1e-5)
        assert scores.shape == expected_scores.shape
        np.testing.assert_allclose(scores, expected_scores, atol=1e-5)


def test_keys_may_be_stored_in_another_dtype():
    rng = np.random.default_rng(7)
    layer = MultiHeadSelfAttention(4, causal=True)
    layer.build((None, None, D))
    tokens = rng.normal(size=(L, B * G, 1, D)).astype("float32")
    shared, own = caches(layer, None, "float16")
    assert keras.backend.standardize_dtype(shared.keys[0].dtype) == "float16"
    for (output,), (expected,) in zip(
        read_tokens(layer, shared, tokens), read_tokens(layer, own, tokens), strict=True
    ):
        np.testing.assert_allclose(output, expected, atol=1e-5)


def test_what_cannot_be_shared_is_refused():
    layer = MultiHeadSelfAttention(4, causal=True)
    layer.build((None, None, D))
    shared, _ = caches(layer, None)
    one, two = (as_tensor(np.zeros((B * G, n, D), "float32")) for n in (1, 2))
    with pytest.raises(ValueError, match="one token at a time; received 2"):
        layer(two, cache=shared.layer(0))
    for arguments in (
        dict(attention_mask=as_tensor(np.ones((1, L), bool))),
        dict(attention_bias=as_tensor(np.zeros((B * G, 4, 1, L), "float32"))),
    ):
        with pytest.raises(ValueError, match="with a SharedCache"):
            layer(one, cache=shared.layer(0), **arguments)
