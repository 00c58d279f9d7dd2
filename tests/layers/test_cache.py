import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.layers import KeyValueCache, LayerCache

L, B, H, S, K = 2, 3, 5, 7, 11


def filled(seed=3):
    rng = np.random.default_rng(seed)
    draw = lambda: tuple(ops.convert_to_tensor(rng.normal(size=(B, H, S, K))) for _ in range(L))  # noqa: E731
    return KeyValueCache(draw(), draw(), ops.convert_to_tensor(4, "int32"))


def test_a_new_cache_is_empty():
    cache = KeyValueCache.create(L, B, H, S, K, "bfloat16")
    assert len(cache.keys) == len(cache.values) == L and int(cache.index) == 0
    for tensor in (*cache.keys, *cache.values):
        assert tuple(tensor.shape) == (B, H, S, K)
        assert keras.backend.standardize_dtype(tensor.dtype) == "bfloat16"
        assert not ops.convert_to_numpy(ops.any(tensor != 0))


@pytest.mark.parametrize("lengths", [[1, 1, 1], [3, 2], [7]])
def test_an_update_writes_at_the_index_and_nowhere_else(lengths):
    rng = np.random.default_rng(3)
    cache = KeyValueCache.create(1, B, H, S, K).layer(0)
    expected_keys, expected_values = np.zeros((2, B, H, S, K), "float32")
    position = 0
    for length in lengths:
        key, value = rng.normal(size=(2, B, H, length, K)).astype("float32")
        cache = cache.update(ops.convert_to_tensor(key), ops.convert_to_tensor(value))
        expected_keys[:, :, position : position + length] = key
        expected_values[:, :, position : position + length] = value
        position += length
        assert int(cache.index) == position
        np.testing.assert_array_equal(ops.convert_to_numpy(cache.key), expected_keys)
        np.testing.assert_array_equal(ops.convert_to_numpy(cache.value), expected_values)


def test_an_update_keeps_the_dtype():
    cache = KeyValueCache.create(1, B, H, S, K, "float16").layer(0)
    cache = cache.update(ops.ones((B, H, 2, K)), ops.ones((B, H, 2, K)))
    assert keras.backend.standardize_dtype(cache.key.dtype) == "float16"
    assert keras.backend.standardize_dtype(cache.value.dtype) == "float16"


@pytest.mark.parametrize("rows", [[2, 0, 0], [1], [0, 1, 2, 2, 1]])
def test_reorder_gathers_rows(rows):
    before = filled()
    after = before.reorder(ops.convert_to_tensor(np.array(rows, "int32")))
    for old, new in zip((*before.keys, *before.values), (*after.keys, *after.values), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(new), ops.convert_to_numpy(old)[rows])
    assert int(after.index) == int(before.index)


def test_layers_taken_apart_and_put_together_are_the_cache():
    cache = filled()
    layers = [cache.layer(number) for number in range(L)]
    assert all(isinstance(layer, LayerCache) for layer in layers)
    again = KeyValueCache.from_layers(layers)
    assert again.keys == cache.keys and again.values == cache.values
    assert again.index is cache.index


def test_a_cache_is_a_tree_of_tensors():
    cache = filled()
    flat = keras.tree.flatten(cache)
    assert len(flat) == 2 * L + 1
    again = keras.tree.pack_sequence_as(cache, flat)
    assert isinstance(again, KeyValueCache) and again.keys[1] is cache.keys[1]
    _, moved = ops.while_loop(
        lambda i, cache: i < 3,
        lambda i, cache: (i + 1, cache._replace(index=cache.index + 1)),
        (0, cache),
    )
    assert isinstance(moved, KeyValueCache) and int(moved.index) == 7


@pytest.mark.tensorflow
def test_the_batch_and_the_number_of_tokens_may_be_unknown_when_traced():
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, H, None, K))])
    def update(key):
        cache = KeyValueCache.create(1, tf.shape(key)[0], H, S, K).layer(0)
        return cache.update(key, key)

    for batch, length in ((2, 3), (1, 7)):
        cache = update(tf.ones((batch, H, length, K)))
        assert int(cache.index) == length and cache.key.shape == (batch, H, S, K)
        assert float(tf.reduce_sum(cache.key)) == batch * H * length * K
