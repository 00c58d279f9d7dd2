"""What tests need of a backend that Keras does not offer for all of them."""

import keras
import numpy as np


def gradient(function, x):
    """The gradient of a function from a tensor to a scalar, at a NumPy array."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        x = tf.convert_to_tensor(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x).numpy()
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(function)(jax.numpy.asarray(x)))
    x = keras.ops.convert_to_tensor(x).detach().clone().requires_grad_()  # bfloat16 too
    function(x).backward()
    return to_numpy(x.grad)


def to_numpy(x):
    """A tensor as a NumPy array; half precision as float32, which NumPy compares better."""
    x = keras.ops.convert_to_tensor(x)
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
        x = keras.ops.cast(x, "float32")
    return keras.ops.convert_to_numpy(x)


def same(left, right, tolerance=1e-5):
    """Equal up to float32 rounding."""
    np.testing.assert_allclose(to_numpy(left), to_numpy(right), rtol=tolerance, atol=tolerance)


def randomise(layer, scale=0.3, seed=5):
    """Sets all weights to numbers that depend on the seed alone; biases are not 0 any more."""
    rng = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        center = 1.0 if variable.name == "gamma" else 0.0
        variable.assign(center + scale * rng.normal(size=variable.shape))
    return layer
