"""Calls without end: memory stays as it is, and programs are as few as there are buckets."""

import pathlib
import sys

import numpy as np
import pytest
from tiny_lm import make_lm

from keras_transformer.generation import BeamSearch, Greedy, num_programs
from keras_transformer.generation.inputs import bucket

WARM = 500
LENGTHS, STEPS, BATCHES = range(1, 21), range(1, 9), (1, 2, 4)


def resident():
    """Bytes of memory that this process holds."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param(2_000, marks=pytest.mark.exhaustive),
        pytest.param(10_000, marks=pytest.mark.exhaustive),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_calls_of_mixed_lengths(calls):
    model = make_lm()
    rng = np.random.default_rng(3)
    methods = (Greedy(), BeamSearch(2))
    buckets = set()
    for call in range(calls):
        size = int(rng.choice(BATCHES))
        lengths = rng.choice(LENGTHS, size=size)
        prompts = [rng.integers(3, 23, size=length).tolist() for length in lengths]
        steps, method = int(rng.choice(STEPS)), methods[call % 2]
        found = model.generate(prompts, steps, method)
        assert found.sequences.shape == (size, 1, steps)
        limit = model.config.max_length
        buckets.add((size, bucket(max(lengths), limit), bucket(steps, limit), method))
        if call == WARM:
            before, programs = resident(), num_programs(model)
    assert num_programs(model) == len(buckets) == programs
    assert resident() <= 1.01 * before
