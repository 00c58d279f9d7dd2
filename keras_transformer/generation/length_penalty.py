"""What a hypothesis' total log-probability is divided by, so that long ones are not at a loss."""

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class LengthPenalty:
    """A power of the length: `score = log p / length ** alpha`.

    Args:
        alpha: 0 compares plain log-probabilities, 1 their mean per token; larger values favour
            long hypotheses.

    Call:
        lengths: float32 array of any shape, tokens generated, `eos` included, at least 1.
    Returns:
        An array of the same shape and dtype.

    Example:

    >>> LengthPenalty(0.5)(16.0)
    4.0
    """

    alpha: float = 1.0

    def __call__(self, lengths):
        return lengths**self.alpha


@dataclass(frozen=True)
class GnmtLengthPenalty:
    """The penalty of GNMT: `score = log p / ((5 + length) / 6) ** alpha`.

    Args:
        alpha: 0 compares plain log-probabilities; 0.6 is the value of the Transformer's paper.

    Call:
        lengths: float32 array of any shape, tokens generated, `eos` included, at least 1.
    Returns:
        An array of the same shape and dtype.

    Example:

    >>> GnmtLengthPenalty(1.0)(7.0)
    2.0

    Reference:
        Wu et al. 2016, "Google's Neural Machine Translation System", equation 14.
    """

    alpha: float = 0.6

    def __call__(self, lengths):
        return ((5.0 + lengths) / 6.0) ** self.alpha


def check_length_penalty(penalty):
    """Refuses what is neither a finite number nor a callable.

    Example:

    >>> check_length_penalty(float("nan"))
    Traceback (most recent call last):
    ValueError: length_penalty must be a finite number or a callable; received nan.
    """
    is_number = isinstance(penalty, numbers.Real) and not isinstance(penalty, bool)
    if not callable(penalty) and not (is_number and math.isfinite(penalty)):
        raise ValueError(
            f"length_penalty must be a finite number or a callable; received {penalty!r}."
        )


def as_length_penalty(penalty: float | Callable) -> Callable:
    """Turns a number into the plain penalty of that power; a callable stays itself."""
    return penalty if callable(penalty) else LengthPenalty(float(penalty))
