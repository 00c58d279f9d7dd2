"""Sines and cosines of position · frequency, exact where a float32 product is not.

A float32 holds position · frequency with an error of 4e-3 at position 100,000. So a position is
written in base 128, the sine and cosine of each digit's share of the angle come from a table that
was computed in float64, and the addition theorems put them together.
"""

import functools

import numpy as np
from keras import ops

from keras_transformer.layers import masks

BASE = 128
STEPS = (1, BASE, BASE**2)
LIMIT = BASE ** len(STEPS)


def sine_and_cosine(positions, frequency):
    """Sine and cosine of position · frequency.

    Args:
        positions: integers in [0, LIMIT), of any shape.
        frequency: (N,) in radians: a float64 NumPy array, and the result is exact to float32
            rounding; or a float32 tensor, and the angle is a float32 product.

    Returns:
        `(sine, cosine)`, each float32 of the shape of `positions` with N appended.

    Example:

    >>> import numpy as np
    >>> sine, cosine = sine_and_cosine(np.array([100_000]), np.array([1.0]))
    >>> bool(abs(np.asarray(sine)[0, 0] - np.sin(100_000)) < 3e-7)
    True
    """
    positions = ops.cast(positions, "int32")
    if ops.is_tensor(frequency):
        angle = ops.cast(positions, "float32")[..., None] * frequency
        return ops.sin(angle), ops.cos(angle)
    sine = cosine = None
    for step, table in zip(STEPS, tables(tuple(frequency.tolist())), strict=True):
        digit = positions // step % BASE
        rows = ops.take(ops.convert_to_tensor(table), digit, axis=0)  # (..., 2·N)
        sin, cos = ops.split(rows, 2, axis=-1)
        if sine is None:
            sine, cosine = sin, cos
        else:
            sine, cosine = sine * cos + cosine * sin, cosine * cos - sine * sin
    return sine, cosine


@functools.lru_cache(maxsize=32)
def tables(frequency):
    """For each step, (BASE, 2·N) float32: the sines, then the cosines, of digit · step · frequency.

    Kept between calls, since without compilation they would cost more than all that follows.
    """
    frequency = np.array(frequency)
    angles = [np.arange(BASE)[:, None] * (step * frequency) for step in STEPS]
    return [np.concatenate([np.sin(a), np.cos(a)], axis=-1).astype("float32") for a in angles]


def check_range(start_index, length):
    """Refuses positions beyond the limit where both numbers are known.

    Example:

    >>> check_range(-1, 5)
    Traceback (most recent call last):
    ValueError: positions must be in [0, 2097152); received start_index=-1 and length 5
    """
    if isinstance(length, int) and isinstance(start_index, int):
        if not 0 <= start_index <= LIMIT - length:
            raise ValueError(
                f"positions must be in [0, {LIMIT}); received start_index={start_index} "
                f"and length {length}"
            )


def check_positions(positions, length=None):
    """Refuses positions that are neither (T,) nor (B, T), or of another T than `length`.

    Example:

    >>> check_positions(np.zeros((2, 3, 1), "int32"))
    Traceback (most recent call last):
    ValueError: positions must have shape (length,) or (batch, length); received ...
    """
    shape = tuple(positions.shape)
    if len(shape) not in (1, 2):
        raise ValueError(
            f"positions must have shape (length,) or (batch, length); received shape {shape}"
        )
    if not masks.may_equal(shape[-1], length):
        raise ValueError(
            f"positions must have one entry for each of the {length} vectors; "
            f"received shape {shape}"
        )
