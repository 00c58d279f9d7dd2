import keras
import numpy as np
import pytest
from backend_tools import randomise, same, to_numpy

from keras_transformer.layers import LinformerSelfAttention

B, T, D, H, K, R, L = 2, 7, 15, 3, 5, 4, 11


def normal(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def linformer(**settings):
    layer = LinformerSelfAttention(H, max_length=L, compressed_length=R, **settings)
    layer.build((None, None, D))
    return randomise(layer)


def test_it_is_its_equation():
    layer, x = linformer(), normal(B, T, D)
    found, scores = layer(x, return_attention_scores=True)
    assert scores.shape == (B, H, T, R)
    q, k, v = (
        to_numpy(dense(x)).reshape(B, T, H, K) for dense in (layer.query, layer.key, layer.value)
    )
    k = np.einsum("rt,bthk->brhk", to_numpy(layer.mix_keys)[:, :T], k)
    v = np.einsum("rt,bthk->brhk", to_numpy(layer.mix_values)[:, :T], v)
    weights = np.exp(np.einsum("bthk,brhk->bhtr", q, k) / K**0.5)
    weights /= weights.sum(axis=-1, keepdims=True)
    heads = np.einsum("bhtr,brhk->bthk", weights, v).reshape(B, T, D)
    same(found, to_numpy(layer.output_dense(heads)))


def test_padding_on_the_right_changes_nothing():
    layer, x = linformer(num_kv_heads=1), normal(B, T, D)
    padded = np.concatenate([x, 100 * normal(B, 2, D, seed=4)], axis=1)
    found = layer(padded, padding_mask=np.repeat(np.arange(T + 2)[None] < T, B, axis=0))
    same(found[:, :T], layer(x), 1e-6)


def test_padding_alone_gives_the_output_bias():
    layer = linformer()
    found = layer(normal(B, T, D), padding_mask=np.zeros((B, T), bool))
    same(found, np.broadcast_to(to_numpy(layer.output_dense.bias), (B, T, D)), 1e-6)


def test_it_survives_saving_in_a_functional_model(tmp_path):
    inputs = keras.Input((None, D))
    model = keras.Model(
        inputs, LinformerSelfAttention(H, max_length=L, compressed_length=R)(inputs)
    )
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        to_numpy(again(normal(B, T, D))), to_numpy(model(normal(B, T, D)))
    )


def test_what_needs_single_pairs_is_refused():
    with pytest.raises(ValueError, match="causal=True"):
        LinformerSelfAttention(H, max_length=L, compressed_length=R, causal=True)
    layer, x = linformer(), normal(B, T, D)
    with pytest.raises(ValueError, match="padding_mask only"):
        layer(x, attention_mask=np.ones((T, T), bool))
    with pytest.raises(ValueError, match="padding_mask only"):
        layer(x, segment_ids=np.ones((B, T), "int32"))
    with pytest.raises(ValueError, match="padding_mask only"):
        layer(x, attention_bias=np.ones((T, T), "float32"))


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="12 positions and max_length=11"):
        linformer()(normal(B, L + 1, D))
    with pytest.raises(ValueError, match="compressed_length must be a positive integer"):
        LinformerSelfAttention(H, max_length=L)
