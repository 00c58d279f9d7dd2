import math

import keras
import numpy as np
import pytest
from backend_tools import randomise, same, to_numpy

from keras_transformer.layers import FeedForward, masks

B, T, D, F = 2, 5, 7, 11


def relu(x):
    return np.maximum(x, 0)


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / 2**0.5)) / 2


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("name, activation", [("relu", relu), ("gelu", gelu)])
def test_the_equation(name, activation, use_bias):
    layer = FeedForward(F, activation=name, use_bias=use_bias)
    layer.build((None, None, D))
    randomise(layer)
    weights = [to_numpy(variable).astype("float64") for variable in layer.weights]
    w1, b1, w2, b2 = weights if use_bias else (weights[0], 0, weights[1], 0)
    x = np.random.default_rng(3).normal(size=(B, T, D))
    same(layer(x), activation(x @ w1 + b1) @ w2 + b2)


def test_the_number_of_parameters():
    layer = FeedForward(F)
    layer.build((None, None, D))
    assert layer.count_params() == 2 * D * F + F + D


def test_every_position_is_alone():
    layer, x = FeedForward(F), np.random.default_rng(3).normal(size=(B, T, D)).astype("float32")
    whole = to_numpy(layer(x))
    for t in range(T):
        same(layer(x[:, t : t + 1]), whole[:, t : t + 1], 1e-6)


def test_dropout_is_on_the_hidden_units():
    layer, x = FeedForward(F, dropout=0.5), np.ones((B, T, D), "float32")
    layer.build(x.shape)
    layer.inner.kernel.assign(np.ones((D, F)))
    layer.outer.kernel.assign(np.ones((F, D)))
    y = to_numpy(layer(x, training=True))
    assert (y == y[:, :, :1]).all()  # what is dropped, every output misses
    np.testing.assert_allclose(y, (2 * D) * np.round(y / (2 * D)), rtol=1e-6)
    assert len(np.unique(y)) > 1
    same(layer(x, training=False), np.full_like(x, D * F))


def test_a_callable_is_an_activation_too():
    x = np.random.default_rng(3).normal(size=(B, T, D)).astype("float32")
    named, called = FeedForward(F, activation="silu"), FeedForward(F, activation=keras.ops.silu)
    named.build(x.shape), called.build(x.shape)
    called.set_weights(named.get_weights())
    same(named(x), called(x))


def test_a_mask_goes_on():
    x = masks.propagate(keras.ops.ones((B, T, D)), np.arange(T) < np.array([[2], [5]]))
    found = to_numpy(masks.implicit_mask(FeedForward(F)(x)))
    np.testing.assert_array_equal(found, np.arange(T) < np.array([[2], [5]]))


def test_errors_name_what_came():
    with pytest.raises(ValueError, match="ffn_dim must be a positive integer; received 0"):
        FeedForward(0)
    with pytest.raises(ValueError, match=r"dropout must be a number in \[0, 1\); received 1.5"):
        FeedForward(F, dropout=1.5)
    with pytest.raises(ValueError, match="rellu"):
        FeedForward(F, activation="rellu")
