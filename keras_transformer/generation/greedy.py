"""Greedy search: the most probable token at every step."""

from collections.abc import Callable
from dataclasses import dataclass

from keras import ops

from keras_transformer.generation.history import check_processors
from keras_transformer.generation.length_penalty import check_length_penalty
from keras_transformer.generation.token_loop import TokenLoop


@dataclass(frozen=True)
class Greedy(TokenLoop):
    """Takes the most probable token at every step, until `eos` or the limit.

    Args:
        length_penalty: the power of the length, or a callable, that the total log-probability is
            divided by in the score. It does not change which tokens are chosen.
        processors: logit processors such as `RepetitionPenalty(1.2)`, in the order in which they
            are applied. They change which token is chosen; the score is of the model's own
            probabilities.

    Example:

    >>> Greedy().n_best
    1
    """

    length_penalty: float | Callable = 1.0
    processors: tuple = ()

    def __post_init__(self):
        object.__setattr__(self, "processors", check_processors(self.processors))
        check_length_penalty(self.length_penalty)

    @property
    def n_best(self):
        return 1

    def choose(self, logits, step, chance):
        return ops.cast(ops.argmax(logits, axis=-1), "int32")
