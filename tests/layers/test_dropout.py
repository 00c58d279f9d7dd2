import keras
import numpy as np
import pytest
from backend_tools import gradient, to_numpy
from keras import ops

from keras_transformer.layers import Dropout
from keras_transformer.layers.dropout import keep_mask


def expected_mask(seed, shape, rate):
    """The hash in NumPy's unsigned integers: an oracle for every backend."""

    def mix(x, key):
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
        x = x ^ key
        x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
        return x ^ (x >> np.uint32(16))

    def number(n):
        return np.array(n % 2**32, "uint32")

    with np.errstate(over="ignore"):
        key = mix(number(seed[0] + 0x3C6EF372 * (seed[1] + 1)), np.uint32(0))
        inner = mix(key + number(seed[1]), np.uint32(0))
        bits = mix(np.arange(np.prod(shape, dtype=int), dtype="uint32") + key, inner)
    return ((bits >> np.uint32(8)) >= int(rate * 2**24)).reshape(shape)


def dropped(layer, shape, training=True):
    return to_numpy(layer(np.ones(shape, "float32"), training=training))


@pytest.mark.parametrize("seed", [(0, 0), (1, 0), (999_999_999, 7), (2**31 - 1, 123_457)])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.97])
def test_every_backend_makes_the_same_mask(seed, rate):
    found = keep_mask(np.array(seed, "int32"), (3, 5, 7), rate)
    np.testing.assert_array_equal(to_numpy(found), expected_mask(seed, (3, 5, 7), rate))


def test_successive_calls_take_successive_seeds():
    layer = Dropout(0.5, seed=11)
    for call in range(3):
        expected = 2.0 * expected_mask((11, call), (5, 7), 0.5)
        np.testing.assert_array_equal(dropped(layer, (5, 7)), expected)


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.9])
def test_the_rate_is_met_and_the_mean_is_kept(rate):
    n = 300_000
    y = dropped(Dropout(rate, seed=3), (n // 3, 3))
    deviation = (rate * (1 - rate) / n) ** 0.5
    assert abs((y == 0).mean() - rate) < 4 * deviation
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-6)
    assert abs(y.mean() - 1) < 4 * deviation / (1 - rate)


def test_layers_and_calls_drop_different_units():
    first, second = Dropout(0.5), Dropout(0.5)
    seen = [dropped(layer, (97,)) for layer in (first, first, second, second)]
    for i, left in enumerate(seen):
        for right in seen[:i]:
            assert 0.2 < (left == right).mean() < 0.8


def test_neighbouring_units_are_unrelated():
    n = 200_000
    for seed in ((1, 0), (1, 1), (2, 0), (123_456_789, 3)):
        keep = expected_mask(seed, (n,), 0.3) - 0.7
        for lag in (1, 2, 3, 7, 16, 64, 127, 128, 512, 4096):
            correlation = (keep[lag:] * keep[:-lag]).mean() / 0.21
            assert abs(correlation) < 5 / n**0.5, (seed, lag)


@pytest.mark.parametrize("step", [(0, 1), (1, 0), (1, -1), (2, 1)], ids=str)
def test_neighbouring_seeds_are_unrelated(step):
    seeds, units = 2000, 97
    keep = np.stack(
        [
            expected_mask((5000 + step[0] * i, 5000 + step[1] * i), (units,), 0.3)
            for i in range(seeds)
        ]
    )
    keep = keep - 0.7
    assert np.abs(keep.mean(axis=0)).max() < 5 * (0.21 / seeds) ** 0.5  # every unit has its turn
    between_units = keep.T @ keep / seeds / 0.21 - np.eye(units)
    assert np.abs(between_units - np.diag(np.diag(between_units))).max() < 5 / seeds**0.5
    for lag in (1, 2, 3):
        correlation = (keep[lag:] * keep[:-lag]).mean() / 0.21
        assert abs(correlation) < 5 / (seeds * units) ** 0.5
    for shift in (1, 2, 13):  # nor is a mask the shifted one of the seed before
        correlation = (keep[1:, shift:] * keep[:-1, :-shift]).mean() / 0.21
        assert abs(correlation) < 5 / (seeds * units) ** 0.5


def test_the_gradient_goes_through_the_same_mask():
    layer, x = Dropout(0.4, seed=11), np.full((5, 7), 3.0, "float32")
    found = gradient(lambda x: ops.sum(layer(x, training=True)), x)
    np.testing.assert_allclose(found, expected_mask((11, 0), (5, 7), 0.4) / 0.6, rtol=1e-6)


def test_noise_shape_drops_whole_slices():
    y = dropped(Dropout(0.5, noise_shape=(None, 1, 11), seed=3), (7, 5, 11))
    assert ((y == y[:, :1]).all()) and 0 < (y[:, 0] == 0).mean() < 1
    assert not (y[0] == y[1:]).all()


def test_outside_training_nothing_happens():
    x = ops.convert_to_tensor(np.arange(35.0).reshape(5, 7))
    for layer in (Dropout(0.5), Dropout(0.0)):
        for training in (False, None):
            np.testing.assert_array_equal(to_numpy(layer(x, training=training)), to_numpy(x))
    np.testing.assert_array_equal(to_numpy(Dropout(0.0)(x, training=True)), to_numpy(x))


@pytest.mark.parametrize("shape", [(0, 5), (3, 0, 7), (0,)])
def test_the_empty_tensor_passes(shape):
    assert dropped(Dropout(0.5), shape).shape == shape


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_stays_half_precision(dtype):
    y = Dropout(0.25, dtype=dtype, seed=3)(ops.ones((5, 7), dtype), training=True)
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    assert set(np.unique(to_numpy(y)).tolist()) == {0.0, float(np.unique(to_numpy(y)).max())}
    np.testing.assert_allclose(to_numpy(y).max(), 4 / 3, rtol=2**-8)


def test_an_infinite_or_missing_value_that_is_dropped_is_gone():
    x = np.full((101,), np.nan, "float32")
    y = to_numpy(Dropout(0.5, seed=3)(x, training=True))
    keep = expected_mask((3, 0), (101,), 0.5)
    assert np.isnan(y[keep]).all() and (y[~keep] == 0).all()


@pytest.mark.parametrize("rate", [1.0, -0.1, "0.1", None])
def test_a_rate_outside_its_range_is_refused(rate):
    with pytest.raises(ValueError, match=r"rate must be a number in \[0, 1\); received"):
        Dropout(rate)


@pytest.mark.tensorflow
def test_eager_equals_graph_equals_xla():
    import tensorflow as tf

    expected = 2.0 * expected_mask((11, 0), (5, 7), 0.5)
    signature = [tf.TensorSpec((None, None))]
    for settings in (dict(input_signature=signature), dict(jit_compile=True)):
        layer = Dropout(0.5, seed=11)
        call = tf.function(lambda x, layer=layer: layer(x, training=True), **settings)
        np.testing.assert_array_equal(call(tf.ones((5, 7))).numpy(), expected)
