"""Random numbers that depend on a seed, a row and a step alone: not on batch or backend.

Compiled loops carry no generator: the n-th number of a row is a hash of the row's seed and n.
"""

import numpy as np
from keras import ops

MULTIPLIERS = (0x7FEB352D, 0x846CA68B)
GOLDEN = 0x9E3779B9  # 2³² over the golden ratio: neighbouring counters get distant hashes


def row_seeds(seed, rows):
    """A seed for each row of a call: (B,) int32, as NumPy.

    Args:
        seed: an integer, or None for one that NumPy's global generator gives.
        rows: (B,) integers, the numbers of the rows among the call's inputs.
    """
    if seed is None:
        seed = int(np.random.randint(0, 2**31 - 1))
    seed = seed % 2**64
    with np.errstate(over="ignore"):
        low, high = np.uint32(seed % 2**32), np.uint32(seed // 2**32)
        hashed = _mix(np.asarray(rows, "uint32") * np.uint32(GOLDEN) + low)
        return _mix(_mix(hashed ^ high) + np.uint32(1)).view("int32")


def graph_row_seeds(seed, batch):
    """`row_seeds` of an integer and rows 0 to batch - 1, where the batch may be a tensor."""
    low, high = (_signed(part) for part in (seed % 2**32, seed // 2**32 % 2**32))
    x = ops.arange(batch, dtype="int32") * _signed(GOLDEN) + low
    return mix(mix(ops.bitwise_xor(mix(x), high)) + 1)


def seed_alone(seeds):
    """`row_seeds` of each int32 seed and row 0, in a graph."""
    high = ops.where(seeds < 0, -1, 0)  # the upper half of a negative number
    return mix(mix(ops.bitwise_xor(mix(seeds), ops.cast(high, "int32"))) + 1)


def _mix(x):
    """A bijection of uint32 whose output looks random: Ellis, "lowbias32"."""
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(MULTIPLIERS[0])
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(MULTIPLIERS[1])
    return x ^ (x >> np.uint32(16))


def uniform(seeds, counter):
    """The number `counter` of each seed: float32 in (0, 1).

    Args:
        seeds: int32 of any shape.
        counter: int32 that broadcasts to it.
    """
    x = mix(seeds + counter * _signed(GOLDEN))
    x = mix(x + _signed(0x632BE5AB))
    top = ops.bitwise_and(ops.right_shift(x, 9), 2**23 - 1)  # 23 bits, which float32 holds exactly
    return (ops.cast(top, "float32") + 0.5) * 2.0**-23


def mix(x):
    """`_mix` in int32, whose products wrap round on all backends."""
    for shift, multiplier in zip((16, 15), MULTIPLIERS, strict=True):
        x = ops.bitwise_xor(x, shift_right(x, shift)) * _signed(multiplier)
    return ops.bitwise_xor(x, shift_right(x, 16))


def shift_right(x, places):
    """The shift of the bits of an int32 that fills up with zeros."""
    return ops.bitwise_and(ops.right_shift(x, places), 2 ** (32 - places) - 1)


def _signed(number):
    """The int32 of the same bits, as a tensor."""
    return ops.convert_to_tensor(np.uint32(number).view("int32"))
