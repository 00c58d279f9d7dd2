"""Logit processors: what changes the scores of the next token before one is chosen.

A processor is called as `processor(scores, history)` with scores (N, V) float32 and a `History`,
and returns scores of the same shape; -inf forbids a token. In greedy search and sampling scores
are the model's logits, in beam search their log-softmax. A processor has a hash, since compiled
programs are kept by their methods: a frozen dataclass of numbers and tuples has one. It may have
`check(config, limits)`, which is called before anything runs.

N rows, W tokens of prompt and generated, V vocabulary
"""

from collections.abc import Callable
from dataclasses import dataclass

from keras import ops

from keras_transformer.generation.decoding import check_positive, end_tokens
from keras_transformer.generation.penalties import counts

FORBIDDEN = -float("inf")


def one_of(tokens, vocab_size):
    """(V,) boolean: whether a token of the vocabulary is one of a few."""
    vocabulary = ops.arange(vocab_size, dtype="int32")[:, None]
    return ops.any(vocabulary == ops.convert_to_tensor(tokens, "int32"), axis=1)


@dataclass(frozen=True)
class MinNewTokens:
    """No end token before `min_new_tokens` tokens were generated.

    Args:
        min_new_tokens: the end token itself not counted.

    Raises:
        ValueError: it is not a positive integer; from `generate`: the limit is below it.

    Example:

    >>> MinNewTokens(5).min_new_tokens
    5
    """

    min_new_tokens: int

    def __post_init__(self):
        check_positive("min_new_tokens", self.min_new_tokens)

    def check(self, config, limits):
        """Refuses limits below the minimum."""
        if len(limits) and int(limits.min()) < self.min_new_tokens:
            raise ValueError(
                f"min_new_tokens must be at most max_new_tokens, {int(limits.min())}; "
                f"received {self.min_new_tokens}."
            )

    def __call__(self, scores, history):
        ends = end_tokens(history.config)
        if not ends:
            return scores
        early = one_of(ends, scores.shape[-1]) & (history.step < self.min_new_tokens)
        return ops.where(early, FORBIDDEN, scores)


@dataclass(frozen=True)
class Renormalize:
    """Gives what other processors forbid to the tokens they leave: behind them, the last.

        s ← s - log Σ exp(s)

    In beam search only, where scores are logarithms of probabilities; logits it makes into such.

    Example:

    >>> import numpy as np
    >>> scores = Renormalize()(np.log([[0.2, 0.6, 0.0 + 1e-30]]).astype("float32"), None)
    >>> np.exp(np.asarray(scores)).round(2).tolist()
    [[0.25, 0.75, 0.0]]
    """

    def __call__(self, scores, history):
        return scores - ops.logsumexp(scores, axis=-1, keepdims=True)


@dataclass(frozen=True)
class NoRepeatNgram:
    """Forbids every token that would end an n-gram that is there already, prompt included.

    Args:
        size: n; 1 lets no token occur twice.

    Raises:
        ValueError: the size is not a positive integer.

    Example:

    >>> NoRepeatNgram(3).size
    3

    Reference:
        Paulus et al. 2018, "A Deep Reinforced Model for Abstractive Summarization", section 2.5.
    """

    size: int

    def __post_init__(self):
        check_positive("size", self.size)

    def __call__(self, scores, history):
        before = self.size - 1
        tokens, there = history.tokens, history.mask
        follows = ops.arange(ops.shape(tokens)[1], dtype="int32") < history.end
        follows = follows & there  # (N, W): whether what stands here would end the n-gram again
        if before:
            last, last_there = history.last(before)  # (N, n - 1)
            follows = follows & ops.all(last_there, axis=1)[:, None]
        for back in range(1, before + 1):
            same = (tokens == last[:, before - back, None]) & there
            follows = follows & shifted(same, back)
        return ops.where(counts(tokens, follows, scores.shape[-1]) > 0, FORBIDDEN, scores)


def shifted(x, places):
    """(N, W) booleans moved to the right; what comes in is False."""
    width = ops.shape(x)[1]
    source = ops.arange(width, dtype="int32") - places
    return ops.take(x, ops.maximum(source, 0), axis=1) & (source >= 0)


@dataclass(frozen=True)
class BadWords:
    """Forbids words: sequences of token ids.

    The last token of a word is forbidden where the tokens before it stand at the end of what has
    been read and generated; a word of one token always.

    Args:
        words: a tuple of tuples of token ids.

    Raises:
        ValueError: there is no word, or an empty one; from `generate`: an id outside of the
            vocabulary.

    Example:

    >>> BadWords(((7,), (8, 9))).words
    ((7,), (8, 9))
    """

    words: tuple

    def __post_init__(self):
        words = tuple(tuple(int(token) for token in word) for word in self.words)
        if not words or not all(words):
            raise ValueError(f"words must be tuples of token ids, none empty; received {words!r}.")
        object.__setattr__(self, "words", words)

    def check(self, config, limits):
        """Refuses ids outside of the vocabulary."""
        check_tokens("words", [token for word in self.words for token in word], config)

    def __call__(self, scores, history):
        size = scores.shape[-1]
        always = [word[0] for word in self.words if len(word) == 1]
        if always:
            scores = ops.where(one_of(always, size), FORBIDDEN, scores)
        for *start, end in (word for word in self.words if len(word) > 1):
            last, there = history.last(len(start))
            ends = ops.all((last == ops.convert_to_tensor(start, "int32")) & there, axis=1)
            scores = ops.where(ends[:, None] & one_of([end], size), FORBIDDEN, scores)
        return scores


@dataclass(frozen=True)
class PrefixForcing:
    """The first tokens are given ones: a target that starts as the user wants it.

    A forced token has score 0 in beam search, as if it were certain. For a prefix of each row see
    `generate(..., prefixes=...)`.

    Args:
        tokens: a tuple of token ids.

    Raises:
        ValueError: there are none; from `generate`: an id outside of the vocabulary, or no room
            for them.

    Example:

    >>> PrefixForcing((7, 8)).tokens
    (7, 8)
    """

    tokens: tuple

    def __post_init__(self):
        tokens = tuple(int(token) for token in self.tokens)
        if not tokens:
            raise ValueError("tokens must be at least one token id; received none.")
        object.__setattr__(self, "tokens", tokens)

    def check(self, config, limits):
        """Refuses ids outside of the vocabulary and limits below the number of tokens."""
        check_tokens("tokens", self.tokens, config)
        if len(limits) and int(limits.min()) < len(self.tokens):
            raise ValueError(
                f"A prefix of {len(self.tokens)} tokens needs max_new_tokens of at least as many; "
                f"received {int(limits.min())}."
            )

    def __call__(self, scores, history):
        tokens = ops.convert_to_tensor(self.tokens, "int32")
        token = ops.take(tokens, ops.minimum(history.step, len(self.tokens) - 1))
        return force(scores, token[None], (history.step < len(self.tokens))[None])


def ForcedFirstToken(token):
    """The first new token is this one, as the language code of mBART: `PrefixForcing((token,))`.

    Args:
        token: its id.

    Example:

    >>> ForcedFirstToken(7)
    PrefixForcing(tokens=(7,))
    """
    return PrefixForcing((token,))


@dataclass(frozen=True)
class ForcedLastToken:
    """The last token that the limit allows is this one, as BART's summaries always end.

    A forced token has score 0 in beam search, as if it were certain.

    Args:
        token: its id, mostly that of the end.

    Raises:
        ValueError: from `generate`: an id outside of the vocabulary.

    Example:

    >>> ForcedLastToken(2).token
    2
    """

    token: int

    def check(self, config, limits):
        """Refuses an id outside of the vocabulary."""
        check_tokens("token", [self.token], config)

    def __call__(self, scores, history):
        token = ops.full_like(history.limits, self.token)
        return force(scores, token, history.step == history.limits - 1)


def force(scores, token, where):
    """Scores (N, V) that are 0 for `token` (N,) and -inf else, in rows `where` (N,)."""
    vocabulary = ops.arange(scores.shape[-1], dtype="int32")
    forced = ops.where(vocabulary == token[:, None], 0.0, FORBIDDEN)
    return ops.where(where[:, None], forced, scores)


@dataclass(frozen=True)
class PrefixOfRows:
    """As `PrefixForcing` with a prefix for each prompt: tensors, so made within a program only.

    Args:
        tokens: (B, K) int32.
        lengths: (B,) int32.
    """

    tokens: object
    lengths: object

    def __call__(self, scores, history):
        place = ops.minimum(history.step, ops.shape(self.tokens)[1] - 1)
        token, forced = ops.take(self.tokens, place, axis=1), history.step < self.lengths  # (B,)
        times = ops.shape(scores)[0] // ops.maximum(ops.shape(token)[0], 1)
        source = ops.arange(ops.shape(scores)[0], dtype="int32") // ops.maximum(times, 1)  # (N,)
        return force(scores, ops.take(token, source), ops.take(forced, source))


@dataclass(frozen=True)
class AllowedTokens:
    """Only what a callable of yours allows: the gate for grammars and constrained formats.

    Args:
        allowed: called with a `History`; returns a boolean that broadcasts to (N, V), True =
            allowed. Made of `keras.ops`, since it is compiled.

    Example:

    >>> even = AllowedTokens(lambda history: ops.arange(history.config.vocab_size) % 2 == 0)
    >>> callable(even)
    True
    """

    allowed: Callable

    def __post_init__(self):
        if not callable(self.allowed):
            raise TypeError(f"allowed must be a callable; received {self.allowed!r}.")

    def __call__(self, scores, history):
        return ops.where(self.allowed(history), scores, FORBIDDEN)


def check_tokens(name, tokens, config):
    """Refuses token ids outside of the vocabulary."""
    wrong = [token for token in tokens if not 0 <= token < config.vocab_size]
    if wrong:
        raise ValueError(
            f"{name} must be token ids from 0 to {config.vocab_size - 1} (vocab_size "
            f"{config.vocab_size}); received {wrong[0]}."
        )
