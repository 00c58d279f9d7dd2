"""Sampling: each token drawn at random, from the model's distribution or what is kept of it.

N rows, V vocabulary, C candidates
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from keras import ops

from keras_transformer.generation.chance import graph_row_seeds, row_seeds, uniform
from keras_transformer.generation.decoding import check_positive, largest
from keras_transformer.generation.history import check_processors
from keras_transformer.generation.length_penalty import check_length_penalty
from keras_transformer.generation.token_loop import TokenLoop

FORBIDDEN = -float("inf")


@dataclass(frozen=True)
class Sampling(TokenLoop):
    """Draws each token from the model's distribution, cut and sharpened as asked for.

        p(v) ∝ exp(logit(v) / temperature)   over the tokens that every filter keeps

    Filters apply in the order of the arguments, each to what those before it have left, as in
    transformers. A token depends on the seed, on the prompt's number among the inputs and on the
    step: not on the batch it is decoded in. With `top_k` it is quicker than with the others alone,
    which sort the vocabulary at every step.

    Args:
        temperature: above 0; below 1 sharpens.
        top_k: keeps the k most probable tokens; None for all.
        top_p: keeps the fewest most probable tokens whose probabilities sum to at least this.
        min_p: keeps the tokens that are at least this times as probable as the most probable.
        typical_p: keeps the fewest tokens, those first whose surprise is nearest to the entropy,
            whose probabilities sum to at least this.
        num_sequences: R, sequences for each prompt, in the order in which they are drawn.
        processors: logit processors, applied before all else.
        length_penalty: as in `Greedy`: of the scores alone, which are of the model's own
            probabilities.
        seed: an integer: the same gives the same text. None draws one from NumPy's global
            generator, which `keras.utils.set_random_seed` sets.

    Raises:
        ValueError: an argument is out of its range.

    Example:

    >>> Sampling(top_k=50, temperature=0.7, seed=1) == Sampling(top_k=50, temperature=0.7, seed=2)
    True

    Reference:
        Fan et al. 2018, "Hierarchical Neural Story Generation" (top-k); Holtzman et al. 2020, "The
        Curious Case of Neural Text Degeneration" (top-p); Nguyen et al. 2024, "Turning Up the
        Heat" (min-p); Meister et al. 2023, "Locally Typical Sampling".
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    num_sequences: int = 1
    processors: tuple = ()
    length_penalty: float | Callable = 1.0
    seed: int | None = field(default=None, compare=False)  # an input of the program

    call_inputs = ("seeds",)

    def __post_init__(self):
        object.__setattr__(self, "processors", check_processors(self.processors))
        check_length_penalty(self.length_penalty)
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0; received {self.temperature!r}.")
        if self.top_k is not None:
            check_positive("top_k", self.top_k)
        for name in ("top_p", "min_p", "typical_p"):
            share = getattr(self, name)
            if share is not None and not 0 < share <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1; received {share!r}.")
        check_positive("num_sequences", self.num_sequences)
        if self.seed is not None and (isinstance(self.seed, bool) or int(self.seed) != self.seed):
            raise ValueError(f"seed must be an integer or None; received {self.seed!r}.")

    @property
    def n_best(self):
        return self.num_sequences

    @property
    def rows(self):
        return self.num_sequences

    def prepare(self, rows):
        """The call's inputs of a batch: its rows' seeds."""
        return {"seeds": row_seeds(self.seed, rows)}

    def chance(self, seeds, batch):
        if seeds is None:
            seeds = graph_row_seeds(int(self.seed or 0), batch)
        sample = ops.arange(self.num_sequences, dtype="int32")
        # Numbers far apart for the sequences of one prompt, whose steps count on from there.
        return ops.reshape(seeds[:, None] + sample * 0x01000193, (-1,))

    def choose(self, logits, step, chance):
        logits, tokens = self.candidates(logits / self.temperature)
        index = draw(logits, uniform(chance, step))
        if tokens is None:
            return index
        return ops.take_along_axis(tokens, index[:, None], axis=1)[:, 0]

    def candidates(self, logits):
        """What is drawn from: logits (N, C), -inf where filtered out, and tokens (N, C) or None.

        Where no filter needs them sorted, they are the whole vocabulary, and tokens is None.
        """
        tokens = None
        if self.top_k is not None or self.top_p is not None or self.typical_p is not None:
            size = logits.shape[-1]
            logits, tokens = largest(logits, min(self.top_k or size, size))
        if self.top_p is not None:
            logits = keep_top_p(logits, self.top_p)
        if self.min_p is not None:
            logits = keep_min_p(logits, self.min_p)
        if self.typical_p is not None:
            logits = keep_typical(logits, self.typical_p)
        return logits, tokens


def keep_top_p(logits, share):
    """Logits (N, C), sorted, without those that the share is reached before."""
    probabilities = ops.softmax(logits, axis=-1)
    before = ops.cumsum(probabilities, axis=-1) - probabilities
    first = ops.arange(ops.shape(logits)[-1], dtype="int32") == 0
    return ops.where(first | (before < share), logits, FORBIDDEN)


def keep_min_p(logits, share):
    """Logits (N, C) without those of tokens less probable than a share of the most probable."""
    probabilities = ops.softmax(logits, axis=-1)
    least = share * ops.max(probabilities, axis=-1, keepdims=True)
    return ops.where(probabilities < least, FORBIDDEN, logits)


def keep_typical(logits, share):
    """Logits (N, C) of the most typical tokens alone."""
    logs = ops.log_softmax(logits, axis=-1)
    probabilities = ops.exp(logs)
    entropy = -ops.sum(ops.where(probabilities > 0, probabilities * logs, 0.0), -1, keepdims=True)
    distance = ops.abs(-logs - entropy)
    distance = ops.where(probabilities > 0, distance, float("inf"))
    order = ops.argsort(distance, axis=-1)
    ordered = ops.take_along_axis(probabilities, order, axis=-1)
    before = ops.cumsum(ordered, axis=-1) - ordered
    count = ops.sum(ops.cast(before < share, "int32"), axis=-1, keepdims=True)
    rank = ops.argsort(order, axis=-1)
    return ops.where(rank < ops.maximum(count, 1), logits, FORBIDDEN)


def draw(logits, chance):
    """One index for each row, with the probabilities of a softmax: (N, C), (N,) to (N,) int32.

    The inverse of the cumulated distribution, at a number in (0, 1) for each row.
    """
    weights = ops.exp(logits - ops.max(logits, axis=-1, keepdims=True))
    total = ops.cumsum(weights, axis=-1)
    threshold = chance[:, None] * total[:, -1:]
    index = ops.sum(ops.cast(total < threshold, "int32"), axis=-1)
    # Rounding may not lead to a token without probability.
    last = ops.max(
        ops.where(weights > 0, ops.arange(ops.shape(logits)[-1], dtype="int32"), 0), axis=-1
    )
    return ops.minimum(index, last)
