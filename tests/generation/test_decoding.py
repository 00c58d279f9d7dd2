"""What the methods share."""

import numpy as np
import pytest
from keras import ops

from keras_transformer.generation.decoding import BLOCK, largest


@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize("size", [7, 4 * 5 * BLOCK, 4 * 5 * BLOCK + 31, 32_000])
def test_the_largest_and_of_equals_the_first(size, rows):
    rng = np.random.default_rng(size)
    for x in (
        rng.normal(size=(rows, size)),
        rng.integers(0, 4, (rows, size)),  # ties everywhere
        np.where(np.arange(size) % 97 == 3, rng.normal(size=(rows, size)), -np.inf),
        np.full((rows, size), -np.inf),
    ):
        x = x.astype("float32")
        expected = np.argsort(-x, axis=-1, kind="stable")[:, :5]
        values, tokens = largest(ops.convert_to_tensor(x), 5)
        np.testing.assert_array_equal(ops.convert_to_numpy(tokens), expected)
        np.testing.assert_array_equal(
            ops.convert_to_numpy(values), np.take_along_axis(x, expected, axis=-1)
        )
