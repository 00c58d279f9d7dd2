import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.layers import masks

B, H, T, S = 2, 3, 5, 7


def test_a_padding_mask_holds_for_every_head_and_query():
    mask = np.arange(S) < np.array([[4], [7]])
    found = ops.convert_to_numpy(masks.padding_mask(mask))
    assert found.shape == (B, 1, 1, S) and found.dtype == bool
    np.testing.assert_array_equal(found[:, 0, 0], mask)
    numbers = ops.convert_to_numpy(masks.padding_mask(mask.astype("int32")))
    np.testing.assert_array_equal(found, numbers)


@pytest.mark.parametrize("shape", [(T, S), (B, T, S), (B, H, T, S)])
def test_an_attention_mask_broadcasts_to_all_heads(shape):
    mask = np.random.default_rng(3).random(shape) < 0.5
    found = ops.convert_to_numpy(masks.attention_mask(mask))
    expected = mask[:, None] if len(shape) == 3 else mask
    np.testing.assert_array_equal(
        np.broadcast_to(found, (B, H, T, S)), np.broadcast_to(expected, (B, H, T, S))
    )


@pytest.mark.parametrize("offset", [0, 1, 2, 11])
def test_a_query_sees_its_own_position_and_those_before(offset):
    found = ops.convert_to_numpy(masks.causal_mask(T, S, offset))
    expected = [[s <= offset + t for s in range(S)] for t in range(T)]
    np.testing.assert_array_equal(found, expected)
    tensor = masks.causal_mask(T, S, ops.convert_to_tensor(offset, "int32"))
    np.testing.assert_array_equal(ops.convert_to_numpy(tensor), expected)


def test_segments_are_kept_apart():
    query, key = np.array([[1, 1, 2], [3, 4, 4]]), np.array([[1, 2, 2, 1], [4, 4, 4, 3]])
    found = ops.convert_to_numpy(masks.segment_mask(query, key))
    assert found.shape == (2, 1, 3, 4)
    expected = [[[q == k for k in ks] for q in qs] for qs, ks in zip(query, key, strict=True)]
    np.testing.assert_array_equal(found[:, 0], expected)


def test_masks_combine_to_what_all_of_them_allow():
    rng = np.random.default_rng(3)
    left, right = rng.random((B, 1, 1, S)) < 0.5, rng.random((T, S)) < 0.5
    found = ops.convert_to_numpy(masks.combine(None, left, None, right))
    np.testing.assert_array_equal(found, left & right)
    assert masks.combine() is None and masks.combine(None) is None
    assert masks.combine(None, left) is left


def test_an_absent_mask_stays_absent():
    assert masks.padding_mask(None) is None and masks.attention_mask(None) is None


@pytest.mark.parametrize("shape", [(3,), (2, 3, 5), (2, 1, 1, 5)])
def test_a_padding_mask_of_another_rank_is_refused(shape):
    with pytest.raises(
        ValueError, match=r"padding_mask must have shape \(batch, length\)"
    ) as error:
        masks.padding_mask(np.ones(shape, bool))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize("shape", [(3,), (1, 1, 1, 2, 3)])
def test_an_attention_mask_of_another_rank_is_refused(shape):
    with pytest.raises(ValueError, match="attention_mask must have shape") as error:
        masks.attention_mask(np.ones(shape, bool))
    assert str(shape) in str(error.value)


def test_an_attention_mask_of_floats_is_refused():
    """As torch has them, 0 and -inf, it would mean the opposite."""
    with pytest.raises(ValueError, match="attention_mask must be boolean.*attention_bias"):
        masks.attention_mask(np.where(np.eye(3), 0.0, -np.inf).astype("float32"))
    assert masks.attention_mask(np.ones((2, 3), "int32")).shape == (2, 3)


def test_a_propagated_mask_is_the_implicit_one():
    x, mask = ops.ones((B, T, 3)), np.arange(T) < np.array([[2], [5]])
    assert masks.implicit_mask(x) is None
    assert masks.propagate(x, None) is x and masks.implicit_mask(x) is None
    assert masks.propagate(x, mask) is x
    np.testing.assert_array_equal(ops.convert_to_numpy(masks.implicit_mask(x)), mask)
    after = keras.layers.LayerNormalization()(x)  # a layer of Keras sees it, and hands it on
    np.testing.assert_array_equal(ops.convert_to_numpy(masks.implicit_mask(after)), mask)
