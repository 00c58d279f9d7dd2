import keras
import numpy as np
import pytest
from backend_tools import same, to_numpy
from keras import ops

from keras_transformer.layers import PositionalEncoding, masks

WIDTH = 14


def expected(positions, width=WIDTH, wavelength=10_000):
    """The equation, in float64."""
    positions = np.asarray(positions, "float64")
    table = np.zeros((len(positions), width))
    for i in range(0, width, 2):
        table[:, i] = np.sin(positions / wavelength ** (i / width))
        table[:, i + 1] = np.cos(positions / wavelength ** (i / width))
    return table


def encodings(layer, length, start=0, width=WIDTH):
    return to_numpy(layer.encodings(length, width, start))


@pytest.mark.parametrize("width, wavelength", [(2, 10_000), (14, 10_000), (14, 500)])
def test_the_equation(width, wavelength):
    layer = PositionalEncoding(wavelength)
    found = to_numpy(layer(np.zeros((3, 11, width), "float32")))
    for row in found:
        np.testing.assert_allclose(row, expected(range(11), width, wavelength), atol=1e-6)


@pytest.mark.parametrize("start", [0, 505, 5_000, 65_530, 99_990, 262_133])
def test_positions_are_exact_however_large(start):
    found = encodings(PositionalEncoding(), 11, start)
    np.testing.assert_allclose(found, expected(range(start, start + 11)), rtol=0, atol=1e-6)


def test_a_long_table_is_exact():
    found = encodings(PositionalEncoding(), 3_001, width=128)
    np.testing.assert_allclose(found, expected(range(3_001), 128), rtol=0, atol=1e-6)


@pytest.mark.parametrize("k", [1, 7, 1_000])
def test_an_offset_is_a_linear_function(k):
    layer = PositionalEncoding()
    found = encodings(layer, 503).astype("float64")
    angle = k / 10_000 ** (np.arange(0, WIDTH, 2) / WIDTH)
    sine, cosine = found[:, ::2], found[:, 1::2]
    moved = np.empty_like(found)
    moved[:, ::2] = np.cos(angle) * sine + np.sin(angle) * cosine
    moved[:, 1::2] = np.cos(angle) * cosine - np.sin(angle) * sine
    np.testing.assert_allclose(moved, encodings(layer, 503, k), rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "bfloat16", "float16"])
def test_the_table_is_float32_under_every_policy(dtype):
    layer = PositionalEncoding(dtype=dtype)
    for start in (0, 99_990):
        table = layer.encodings(11, WIDTH, start)
        assert keras.backend.standardize_dtype(table.dtype) == "float32"
        np.testing.assert_array_equal(
            to_numpy(table), encodings(PositionalEncoding(dtype="float32"), 11, start)
        )
        y = layer(np.zeros((1, 11, WIDTH), "float32"), start_index=start)
        assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
        rounding = 2.0**-8 if "bfloat16" in dtype else 2.0**-11
        np.testing.assert_allclose(
            to_numpy(y)[0], expected(range(start, start + 11)), rtol=rounding, atol=1e-5
        )


@pytest.mark.parametrize("start", [0, 3, 9])
def test_a_start_is_a_slice(start):
    layer, x = PositionalEncoding(), np.random.default_rng(3).normal(size=(2, 11, WIDTH))
    whole = to_numpy(layer(x))[:, start:]
    same(layer(x[:, start:], start_index=start), whole, 1e-6)
    tensor = ops.convert_to_tensor(start, "int32")
    same(layer(x[:, start:], start_index=tensor), whole, 1e-6)


def test_padding_changes_nothing():
    layer, x = PositionalEncoding(), np.random.default_rng(3).normal(size=(1, 5, WIDTH))
    padded = np.concatenate([x[:, :2], x, x[:, :3]], axis=1)
    mask = (np.arange(10) >= 2) & (np.arange(10) < 7)
    found = layer(padded, padding_mask=mask[None])
    same(found[:, 2:7], layer(x), 1e-6)
    np.testing.assert_array_equal(to_numpy(masks.implicit_mask(found)), mask[None])
    found = layer(padded, padding_mask=mask[None], start_index=3)
    same(found[:, 2:7], layer(x, start_index=3), 1e-6)
    same(layer(x, padding_mask=np.ones((1, 5), bool)), layer(x), 1e-6)


def test_an_implicit_mask_equals_an_explicit_one_and_goes_on():
    tokens = np.array([[3, 1, 0], [0, 3, 1], [0, 0, 0]])
    embedded = keras.layers.Embedding(11, WIDTH, mask_zero=True)(tokens)
    layer = PositionalEncoding()
    after = layer(embedded)
    np.testing.assert_array_equal(to_numpy(masks.implicit_mask(after)), tokens != 0)
    same(after, layer(to_numpy(embedded), padding_mask=tokens != 0), 1e-6)
    same(after[1, 1:], after[0, :2], 1e-6)


def test_the_empty_sequence_passes():
    assert PositionalEncoding()(np.zeros((2, 0, WIDTH))).shape == (2, 0, WIDTH)


def test_errors_name_what_came():
    with pytest.raises(ValueError, match="even width; received width 13"):
        PositionalEncoding()(np.zeros((1, 3, 13)))
    with pytest.raises(ValueError, match="max_wavelength must be greater than 1; received 0"):
        PositionalEncoding(0)
    with pytest.raises(
        ValueError, match=r"\[0, 262144\); received start_index=262140 and length 5"
    ):
        PositionalEncoding()(np.zeros((1, 5, 2)), start_index=262_140)
    with pytest.raises(ValueError, match=r"padding_mask must have .* received shape \(1, 5, 1\)"):
        PositionalEncoding()(np.zeros((1, 5, 2)), padding_mask=np.ones((1, 5, 1), bool))
    with pytest.raises(ValueError, match="start_index=-1"):
        PositionalEncoding()(np.zeros((1, 5, 2)), start_index=-1)
