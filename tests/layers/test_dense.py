"""Dense layers on rows equal Keras's, and so do their gradients."""

import keras
import numpy as np
import pytest
from backend_tools import same

from keras_transformer.layers.dense import Dense, on_rows

D, F = 5, 7


def normal(*shape):
    return np.random.default_rng(3).normal(size=shape).astype("float32")


@pytest.mark.parametrize("shape", [(4, D), (2, 3, D), (2, 3, 4, D), (0, 3, D)], ids=str)
@pytest.mark.parametrize("options", [{}, {"use_bias": False}, {"activation": "relu"}], ids=str)
def test_it_is_the_dense_layer_of_keras(shape, options):
    ours, theirs = Dense(F, **options), keras.layers.Dense(F, **options)
    for layer in (ours, theirs):
        layer.build(shape)
    ours.set_weights(theirs.get_weights())
    same(ours(normal(*shape)), theirs(normal(*shape)), 1e-6)


def test_training_moves_it_as_that_of_keras():
    inputs, labels = normal(6, 3, D), normal(6, 3, F)
    found = []
    for cls in (Dense, keras.layers.Dense):
        model = keras.Sequential([keras.Input((None, D)), cls(F)])
        model.set_weights([np.ones((D, F)), np.zeros(F)])
        model.compile(keras.optimizers.SGD(0.5), loss="mse", jit_compile=False)
        model.fit(inputs, labels, epochs=2, verbose=0)
        found.append(model.get_weights())
    for ours, theirs in zip(*found, strict=True):
        same(ours, theirs, 1e-6)


def test_low_rank_parts_and_a_policy_apply():
    layer = Dense(F, dtype="mixed_float16")
    layer.build((None, None, D))
    layer.enable_lora(2)
    assert len(layer.trainable_weights) == 3  # two parts and the bias
    assert keras.backend.standardize_dtype(layer(normal(2, 3, D)).dtype) == "float16"


def test_a_matrix_is_passed_as_it_is():
    x = normal(4, D)
    assert on_rows(lambda rows: rows, x) is x
