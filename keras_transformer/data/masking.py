"""Masked language modelling: which tokens are hidden, and batches that hide others every epoch.

Letters: R rows of a batch, L its length, M masked positions of a row, V vocabulary.

Reference: Devlin et al. 2019, "BERT", section 3.1; Liu et al. 2019, "RoBERTa", section 4.1, on
masks that change from epoch to epoch.
"""

import dataclasses

import numpy as np

from keras_transformer.data.batches import IGNORED
from keras_transformer.data.records import RecordBatches

_MASKING = 1  # tells the random numbers of masks from those of the order


@dataclasses.dataclass(frozen=True, eq=False)
class Masking:
    """BERT's rule: 15 % of a row's tokens are to be predicted.

    Of these, 80 % become the mask token, 10 % a random token, and 10 % stay as they are. A row of n
    tokens has `max(1, round(rate · n))` of them, if it has so many that are not special.

    Args:
        vocab_size: V.
        mask_id: the id of the mask token.
        special_ids: ids that are neither hidden nor drawn as a random token.
        rate: share of a row's tokens to predict, special ones counted in.
        continues_word: (V,) bool, True for a piece that continues a word, such as "##ing"; then
            words are hidden whole, as long as there is room for all their pieces. `None`: pieces
            are hidden one by one.
        ends_word: (V,) bool, True for a piece after which a word begins even where the next piece
            is one that continues words, such as a line break. `None`: there are none.
        mask_share, random_share: 0.8 and 0.1 of the rule; ELECTRA's generator takes 1.0 and 0.0.

    Call:
        token_ids: (R, L) int32.
        padding_mask: (R, L) bool, True = real token.
        rng: `numpy.random.Generator`.

    Returns:
        `(token_ids (R, L), mask_positions (R, M), labels (R, M))`, all int32: the ids with some
        hidden; where these stand, in their order; and what they were. Rows with fewer than M =
        `num_masked(L)` are filled up with position 0 and label -100.

    Raises:
        ValueError: an id, a rate or a share out of its range.

    Example:

    >>> masking = Masking(vocab_size=99, mask_id=3, special_ids=(0, 1, 2, 3), rate=0.5)
    >>> ids = np.array([[1, 7, 8, 2]])
    >>> hidden, positions, labels = masking(ids, ids > 0, np.random.default_rng(0))
    >>> positions.tolist(), labels.tolist()
    ([[1, 2]], [[7, 8]])

    Reference: Devlin et al. 2019, "BERT", section 3.1 and appendix A.1.
    """

    vocab_size: int
    mask_id: int
    special_ids: tuple
    rate: float = 0.15
    continues_word: np.ndarray | None = None
    mask_share: float = 0.8
    random_share: float = 0.1
    ends_word: np.ndarray | None = None

    def __post_init__(self):
        object.__setattr__(self, "special_ids", tuple(self.special_ids))
        for name, ids in (("mask_id", [self.mask_id]), ("special_ids", self.special_ids)):
            for id in ids:
                if not 0 <= id < self.vocab_size:
                    raise ValueError(f"{name} must be 0 to {self.vocab_size - 1}; got {id}")
        if not 0 < self.rate < 1:
            raise ValueError(f"rate must be more than 0 and less than 1; got {self.rate!r}")
        if min(self.mask_share, self.random_share) < 0 or self.mask_share + self.random_share > 1:
            raise ValueError(
                "mask_share and random_share must be at least 0, and at most 1 together; "
                f"got {self.mask_share!r} and {self.random_share!r}"
            )
        for name in ("continues_word", "ends_word"):
            if getattr(self, name) is not None:
                pieces = np.asarray(getattr(self, name), bool)
                if pieces.shape != (self.vocab_size,):
                    raise ValueError(
                        f"{name} must have shape ({self.vocab_size},); got {pieces.shape}"
                    )
                object.__setattr__(self, name, pieces)
        special = np.zeros(self.vocab_size, bool)
        special[[self.mask_id, *self.special_ids]] = True
        if special.all():
            raise ValueError("special_ids must leave some of the vocabulary; got all of it")
        object.__setattr__(self, "_is_special", special)
        object.__setattr__(self, "_drawn", np.flatnonzero(~special).astype("int32"))

    def num_masked(self, length):
        """M, the most positions that a row of `length` tokens can have."""
        return max(1, round(self.rate * length))

    def __call__(self, token_ids, padding_mask, rng):
        token_ids = np.asarray(token_ids, "int32")
        wrong = (token_ids < 0) | (token_ids >= self.vocab_size)
        if wrong.any():
            raise ValueError(
                f"token_ids must be 0 to {self.vocab_size - 1}; got {token_ids[wrong][0]}"
            )
        padding_mask = np.asarray(padding_mask, bool)
        if padding_mask.shape != token_ids.shape:
            raise ValueError(
                f"padding_mask must have the shape of token_ids, {token_ids.shape}; "
                f"got {padding_mask.shape}"
            )
        candidate = padding_mask & ~self._is_special[token_ids]  # (R, L)
        number = np.maximum(1, np.rint(self.rate * padding_mask.sum(1))).astype(int)  # (R,)
        if self.continues_word is None:
            chosen = _choose_tokens(candidate, number, rng)
        else:
            chosen = _choose_words(candidate, number, self._continues(token_ids, candidate), rng)
        size = self.num_masked(token_ids.shape[1])
        positions = np.argsort(~chosen, axis=1, kind="stable")[:, :size]  # (R, M)
        is_chosen = np.take_along_axis(chosen, positions, 1)
        original = np.take_along_axis(token_ids, positions, 1)
        share = rng.random(positions.shape)
        shown = np.where(share < self.mask_share, self.mask_id, original)
        is_random = (share >= self.mask_share) & (share < self.mask_share + self.random_share)
        shown = np.where(is_random, rng.choice(self._drawn, positions.shape), shown)
        hidden = token_ids.copy()
        rows = np.nonzero(is_chosen)[0]
        hidden[rows, positions[is_chosen]] = shown[is_chosen]
        labels = np.where(is_chosen, original, IGNORED).astype("int32")
        return hidden, np.where(is_chosen, positions, 0).astype("int32"), labels

    def _continues(self, token_ids, candidate):
        """Which tokens go on with the word of the token before them: (R, L) bool."""
        goes_on = candidate.copy()
        if self.ends_word is not None:
            goes_on &= ~self.ends_word[token_ids]
        continues = self.continues_word[token_ids]
        continues[:, 1:] &= goes_on[:, :-1]
        continues[:, 0] = False
        return continues


class MaskedBatches(RecordBatches):
    """Batches for a `MaskedLM`, planned by length, with other tokens hidden in every epoch.

    A batch is a pure function of (data, seed, epoch, step), its masks included. Without shuffling,
    for validation, the same tokens are hidden in all epochs.

    Args:
        ids: see `RecordBatches`.
        masking: a `Masking`.
        **kwargs: as `RecordBatches` takes them, but for labels and weights.

    Returns:
        Item: a pair (x, y). x is a dict of `token_ids` (R, L) int32, some of them hidden,
        `padding_mask` (R, L) bool, `mask_positions` (R, M) int32, and `segment_ids` (R, L) int32
        where they were given. y (R, M) int32: what was hidden; -100 fills rows up.

    Raises:
        ValueError: see `RecordBatches`; or an id outside the vocabulary.

    Example:

    >>> masking = Masking(vocab_size=99, mask_id=3, special_ids=(0, 1, 2, 3))
    >>> ids = [[1, *range(4, 24), 2], [1, *range(24, 44), 2]]
    >>> batches = MaskedBatches(ids, masking, batch_size=2, seed=5)
    >>> x, y = batches.batch(epoch=0, step=0)
    >>> x["token_ids"].shape, x["mask_positions"].shape, y.shape
    ((2, 22), (2, 3), (2, 3))
    """

    def __init__(self, ids, masking, **kwargs):
        for name in ("labels", "token_labels", "weights"):
            if kwargs.get(name) is not None:
                raise ValueError(f"{name} must not be given: the labels are the hidden tokens")
        super().__init__(ids, **kwargs)
        self.masking = masking
        largest = int(self._tokens.ids.argmax())
        if self._tokens.ids[largest] >= masking.vocab_size:
            record = int(np.searchsorted(self._tokens.starts, largest, side="right")) - 1
            place = (kwargs.get("where") or "ids[{}]".format)(record)
            raise ValueError(
                f"{place}: token id {self._tokens.ids[largest]}, the vocabulary has "
                f"{masking.vocab_size}"
            )

    def _make_batch(self, epoch, step):
        epoch = epoch if self.shuffle else 0
        (x,) = super()._make_batch(epoch, step)
        return self._hide(x, np.random.default_rng([self.seed, epoch, step, _MASKING]))

    def _samples(self):
        return [self._hide(x, np.random.default_rng(0)) for (x,) in super()._samples()]

    def _hide(self, x, rng):
        ids, positions, labels = self.masking(x["token_ids"], x["padding_mask"], rng)
        return {**x, "token_ids": ids, "mask_positions": positions}, labels


def _choose_tokens(candidate, number, rng):
    """(R, L) bool: `number` (R,) of each row's candidates."""
    score = np.where(candidate, rng.random(candidate.shape), 2.0)
    rank = np.argsort(np.argsort(score, axis=1), axis=1)
    return candidate & (rank < number[:, None])


def _choose_words(candidate, number, continues, rng):
    """(R, L) bool: whole words of each row's candidates, `number` (R,) tokens at most."""
    starts = candidate & ~continues
    chosen = np.zeros_like(candidate)
    for row, limit in enumerate(number):
        first = np.flatnonzero(starts[row])
        goes_on = np.append(candidate[row, 1:] & ~starts[row, 1:], False)
        last = np.flatnonzero(candidate[row] & ~goes_on)
        left = limit
        for word in rng.permutation(len(first)):
            size = last[word] + 1 - first[word]
            if size <= left:
                chosen[row, first[word] : last[word] + 1] = True
                left -= size
            if not left:
                break
    return chosen
