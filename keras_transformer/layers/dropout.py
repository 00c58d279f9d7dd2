"""Dropout whose random bits cost a few integer operations."""

import math

import keras
from keras import ops

from keras_transformer.layers.checks import check_rate


@keras.saving.register_keras_serializable(package="keras_transformer")
class Dropout(keras.layers.Dropout):
    """Sets units to 0 at random and scales the others, like `keras.layers.Dropout`.

        y = x · keep / (1 - rate),  keep ~ Bernoulli(1 - rate)

    The bits come from an integer hash of each unit's number and the next seed of the layer's
    `keras.random.SeedGenerator`, not from the backend's generator. XLA fuses that hash into the
    neighbouring loops, where its generator on CPUs is a pass of its own that took half of a
    training step. It also makes the same seed drop the same units on every backend.

    Args:
        rate: the share of units to drop, in [0, 1).
        noise_shape: as in `keras.layers.Dropout`.
        seed: of the SeedGenerator.

    Call:
        inputs: a float tensor of any shape.
        training: whether to drop anything at all.

    Returns:
        A tensor like `inputs`.

    Raises:
        ValueError: `rate` is not in [0, 1).

    Example:

    >>> import numpy as np
    >>> y = np.asarray(Dropout(0.25, seed=1)(np.ones((100, 100), "float32"), training=True))
    >>> sorted(f"{value:.4f}" for value in set(y.ravel())), bool(abs((y == 0).mean() - 0.25) < 0.02)
    (['0.0000', '1.3333'], True)

    Reference:
        Srivastava et al. 2014, "Dropout"; the hash's constants: Wellons 2018, "Prospecting for
        Hash Functions", `lowbias32`.
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        check_rate("rate", rate)
        super().__init__(rate, noise_shape=noise_shape, seed=seed, **kwargs)

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        keep = keep_mask(self.seed_generator.next(), self.mask_shape(inputs), self.rate)
        return ops.where(keep, inputs * (1.0 / (1.0 - self.rate)), ops.zeros_like(inputs))

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """`layer_call` itself: recomputed under `keras.RematScope`, it would drop other units."""
        return layer_call

    def mask_shape(self, inputs):
        """The shape over which units are dropped independently."""
        shape = ops.shape(inputs)
        if self.noise_shape is None:
            return shape
        return tuple(
            size if wanted is None else wanted
            for size, wanted in zip(shape, self.noise_shape, strict=True)
        )


def keep_mask(seed, shape, rate):
    """Boolean tensor of `shape`, True with probability 1 - `rate`, a function of the seed alone.

    Args:
        seed: two integers, as `keras.random.SeedGenerator.next()` gives them.
        shape: a tuple of integers or scalar tensors.
        rate: probability of False, kept to 24 bits.

    Example:

    >>> import numpy as np
    >>> mask = keep_mask(np.array([3, 4], "int32"), (2, 5), 0.5)
    >>> mask.shape == (2, 5)
    True
    """
    seed = ops.cast(seed, "int32")
    key = mix(seed[0] + 0x3C6EF372 * (seed[1] + 1), 0)
    size = (
        math.prod(shape) if all(isinstance(n, int) for n in shape) else ops.prod(ops.stack(shape))
    )
    bits = mix(ops.arange(size, dtype="int32") + key, mix(key + seed[1], 0))
    keep = shift(bits, 8) >= int(rate * 2**24)
    return ops.reshape(keep, shape)


def mix(x, key):
    """A bijection of int32 under which neighbouring numbers become unrelated ones."""
    x = ops.bitwise_xor(x, shift(x, 16)) * 0x7FEB352D
    x = ops.bitwise_xor(x, key)
    x = ops.bitwise_xor(x, shift(x, 15)) * (0x846CA68B - 2**32)
    return ops.bitwise_xor(x, shift(x, 16))


def shift(x, bits):
    """Logical right shift of int32, whose own shift repeats the sign."""
    return ops.bitwise_and(ops.right_shift(x, bits), 2 ** (32 - bits) - 1)
