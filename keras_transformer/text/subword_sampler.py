"""Subword regularisation: a text is cut otherwise each time that it is read."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import sentencepiece

from keras_transformer.text.sentencepiece import SentencePieceTokenizer


class SubwordSampler:
    """Cuts text as a SentencePiece tokenizer does, but draws the cuts; for training only.

    A model that sees a word in many cuts learns what its parts mean, which helps most where there
    is little text. What is translated or scored is cut by the tokenizer itself.

    A list of texts is cut as a function of the texts and the seed alone. So that each text comes in
    several cuts, it stands in the list several times (`data.ParallelText.repeated`).

    Args:
        tokenizer: the `SentencePieceTokenizer`, BPE or unigram. All but the cuts is its own: ids,
            template, decoding.
        alpha: in (0, 1). For BPE the share of merges that are left out: near 0 a text is cut as
            the tokenizer cuts it, near 1 into characters. For unigram the power of the cuts'
            probabilities: near 0 all cuts of a text are alike.
        seed: int of 0 or more, below 2³² - 1.

    Raises:
        TypeError: `tokenizer` is no `SentencePieceTokenizer`.
        ValueError: `alpha` or `seed` is out of its range.

    Example:

    >>> from keras_transformer import text
    >>> lines = ["a dog runs", "a dog eats"]
    >>> tokenizer = text.SentencePieceTokenizer.train([lines], vocab_size=22)
    >>> sampler = text.SubwordSampler(tokenizer, alpha=0.5, seed=1)
    >>> cuts = sampler.encode(["a dog runs"] * 20)
    >>> len(set(map(tuple, cuts))) > 1, set(sampler.decode(cuts))
    (True, {'a dog runs'})

    Reference:
        Provilkov et al. 2020, "BPE-Dropout: Simple and Effective Subword Regularization", section
        3; Kudo 2018, "Subword Regularization", section 3.
    """

    def __init__(self, tokenizer, alpha=0.1, seed=0):
        if not isinstance(tokenizer, SentencePieceTokenizer):
            raise TypeError(
                f"tokenizer must be a SentencePieceTokenizer; got {type(tokenizer).__name__}."
            )
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < 1:
            raise ValueError(f"alpha must be above 0 and below 1; got {alpha!r}.")
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32 - 1:
            raise ValueError(f"seed must be an int of 0 or more, below 2³² - 1; got {seed!r}.")
        self._arguments = tokenizer, alpha, seed
        self._tokenizer = tokenizer.with_engines(lambda engine: _Engine(engine, alpha, seed))
        content = f"{tokenizer.fingerprint} alpha={alpha!r} seed={seed}"
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._tokenizer, name)

    def __reduce__(self):
        return SubwordSampler, self._arguments

    def __repr__(self):
        return f"SubwordSampler{self._arguments!r}"


class _Engine:
    """A `SentencePieceProcessor` that samples."""

    def __init__(self, processor, alpha, seed):
        self._processor, self._alpha, self._seed = processor, alpha, seed

    def encode(self, texts, **options):
        sampling = dict(enable_sampling=True, alpha=self._alpha, nbest_size=-1, num_threads=1)
        # Only a new thread begins with this seed; one that has drawn before goes on where it was.
        sentencepiece.set_random_generator_seed(self._seed)
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._processor.encode, texts, **sampling, **options).result()

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._processor, name)
