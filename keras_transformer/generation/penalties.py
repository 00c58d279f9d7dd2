"""Logit processors that penalise tokens for having been there: see `processors`.

N rows, W tokens of prompt and generated, V vocabulary
"""

from dataclasses import dataclass

from keras import ops


def counts(tokens, there, vocab_size):
    """How often each token of the vocabulary is in `tokens` (N, W) where `there`: (N, V) int32."""
    rows = ops.shape(tokens)[0]
    first = ops.arange(rows, dtype="int32")[:, None] * vocab_size
    flat = ops.reshape(first + tokens, (-1, 1))
    ones = ops.reshape(ops.cast(there, "int32"), (-1,))
    return ops.reshape(ops.scatter(flat, ones, (rows * vocab_size,)), (rows, vocab_size))


@dataclass(frozen=True)
class RepetitionPenalty:
    """Makes tokens less likely that are in the prompt or were generated.

        s ← s / θ where s > 0, else s · θ

    Args:
        penalty: θ; above 1 discourages repetition, below 1 rewards it.

    Raises:
        ValueError: the penalty is not positive.

    Example:

    >>> RepetitionPenalty(1.2).penalty
    1.2

    Reference:
        Keskar et al. 2019, "CTRL", section 4.1.
    """

    penalty: float

    def __post_init__(self):
        if not self.penalty > 0:
            raise ValueError(f"penalty must be above 0; received {self.penalty!r}.")

    def __call__(self, scores, history):
        seen = counts(history.tokens, history.mask, scores.shape[-1]) > 0
        penalised = ops.where(scores < 0, scores * self.penalty, scores / self.penalty)
        return ops.where(seen, penalised, scores)


@dataclass(frozen=True)
class PresencePenalty:
    """Takes a constant off the scores of tokens that were generated, however often.

        s ← s - penalty

    Args:
        penalty: positive discourages repetition. The prompt does not count.

    Example:

    >>> PresencePenalty(0.5).penalty
    0.5
    """

    penalty: float

    def __call__(self, scores, history):
        seen = counts(history.tokens, history.generated, scores.shape[-1]) > 0
        return ops.where(seen, scores - self.penalty, scores)


@dataclass(frozen=True)
class FrequencyPenalty:
    """Takes off the scores of tokens in proportion to how often they were generated.

        s ← s - penalty · count

    Args:
        penalty: positive discourages repetition. The prompt does not count.

    Example:

    >>> FrequencyPenalty(0.5).penalty
    0.5
    """

    penalty: float

    def __call__(self, scores, history):
        seen = counts(history.tokens, history.generated, scores.shape[-1])
        return scores - self.penalty * ops.cast(seen, scores.dtype)
