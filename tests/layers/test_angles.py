import keras
import numpy as np
import pytest
from backend_tools import to_numpy
from keras import ops

from keras_transformer.layers import angles

FREQUENCY = 10_000.0 ** (-np.arange(37) / 37)
POSITIONS = [0, 1, 127, 128, 16_383, 16_384, 99_991, 262_144, 1_048_577, angles.LIMIT - 1]


def test_sine_and_cosine_are_exact_at_every_position():
    positions = np.array(POSITIONS + list(range(99_900, 100_100)), "int32")
    sine, cosine = map(to_numpy, angles.sine_and_cosine(positions, FREQUENCY))
    angle = positions[:, None] * FREQUENCY
    np.testing.assert_allclose(sine, np.sin(angle), rtol=0, atol=4e-7)
    np.testing.assert_allclose(cosine, np.cos(angle), rtol=0, atol=4e-7)


def test_a_float32_product_would_not_be():
    product = np.float32(99_991) * FREQUENCY.astype("float32")
    assert np.abs(np.sin(product) - np.sin(99_991 * FREQUENCY)).max() > 1e-3


def test_positions_have_any_shape_and_integer_type():
    positions = np.arange(30).reshape(2, 3, 5)
    sine, cosine = angles.sine_and_cosine(positions, FREQUENCY)
    assert sine.shape == cosine.shape == (2, 3, 5, 37)
    assert keras.backend.standardize_dtype(sine.dtype) == "float32"
    np.testing.assert_allclose(
        to_numpy(sine), np.sin(positions[..., None] * FREQUENCY), rtol=0, atol=4e-7
    )


def test_frequencies_that_are_a_tensor_serve_too():
    frequency = ops.convert_to_tensor(FREQUENCY.astype("float32"))
    sine, cosine = map(to_numpy, angles.sine_and_cosine(np.arange(101), frequency))
    angle = np.arange(101)[:, None] * FREQUENCY
    np.testing.assert_allclose(sine, np.sin(angle), rtol=0, atol=1e-5)
    np.testing.assert_allclose(cosine, np.cos(angle), rtol=0, atol=1e-5)


def test_errors_name_what_came():
    angles.check_range(angles.LIMIT - 5, 5)
    for start in (-1, angles.LIMIT - 4):
        with pytest.raises(ValueError, match=rf"\[0, 2097152\); received start_index={start} and"):
            angles.check_range(start, 5)
    with pytest.raises(
        ValueError, match=r"positions must have shape .* received shape \(1, 2, 3\)"
    ):
        angles.check_positions(np.zeros((1, 2, 3)))
