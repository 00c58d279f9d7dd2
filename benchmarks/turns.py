"""What the benchmarks share: the machine's own speed, and figures of measurements in turns."""

import time

import numpy as np
from keras import ops


def timed(work, *arguments):
    """Seconds that a call takes."""
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def square_matrix(width, dtype="float32"):
    """The matrix whose product with itself is the machine's peak."""
    return ops.cast(np.random.default_rng(0).normal(size=(width, width)).astype("float32"), dtype)


def product_seconds(matrix):
    """Seconds that a matrix times itself takes: the best of three."""
    return min(timed(first_row_of_product, matrix) for _ in range(3))


def first_row_of_product(matrix):
    """Multiplies a matrix with itself, and waits for the result."""
    return ops.convert_to_numpy(ops.matmul(matrix, matrix)[0])


def quartiles(values):
    """Median and the quartiles around it."""
    low, median, high = np.percentile(values, (25, 50, 75))
    return {"median": float(median), "low": float(low), "high": float(high)}


def times_faster(ours, theirs):
    """How many times faster ours is: the ratio of the medians, and the quartiles of the turns'.

    Args:
        ours: seconds of each turn, (turns,).
        theirs: likewise.
    """
    ratio = float(np.median(theirs) / np.median(ours))
    return quartiles(np.divide(theirs, ours)) | {"median": ratio}
