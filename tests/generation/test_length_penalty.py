import numpy as np
import pytest

from keras_transformer.generation import (
    BeamSearch,
    ContrastiveSearch,
    GnmtLengthPenalty,
    Greedy,
    LengthPenalty,
    Sampling,
)
from keras_transformer.generation.length_penalty import as_length_penalty

LENGTHS = np.array([1.0, 2.0, 7.0], "float32")


def test_a_number_is_a_power_of_the_length():
    np.testing.assert_allclose(as_length_penalty(0.5)(LENGTHS), np.sqrt(LENGTHS), rtol=1e-6)
    assert as_length_penalty(2) == LengthPenalty(2.0)


def test_a_callable_stays_itself():
    assert as_length_penalty(np.sqrt) is np.sqrt


def test_gnmt_is_one_for_one_token():
    expected = ((5 + LENGTHS) / 6) ** 0.7
    np.testing.assert_allclose(GnmtLengthPenalty(0.7)(LENGTHS), expected, rtol=1e-6)
    assert GnmtLengthPenalty(0.7)(1.0) == 1.0


@pytest.mark.parametrize("penalty", [float("nan"), float("inf"), "1", None, True, [1.0]])
@pytest.mark.parametrize("method", [BeamSearch, Greedy, Sampling, ContrastiveSearch])
def test_what_is_no_finite_number_is_refused_by_name(method, penalty):
    with pytest.raises(ValueError, match="length_penalty must be a finite number or a callable"):
        method(length_penalty=penalty)


@pytest.mark.parametrize("penalty", [0, -1, 1.5, np.float32(0.6), np.log1p])
def test_any_number_or_callable_is_taken(penalty):
    assert BeamSearch(length_penalty=penalty).length_penalty is penalty
