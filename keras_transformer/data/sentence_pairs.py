"""Pairs of texts that follow each other, or do not, with masks: batches for two objectives at once.

Letters: N records, R rows of a batch, L its length, M masked positions of a row.

Reference: Devlin et al. 2019, "BERT", section 3.1, task 2; Lan et al. 2020, "ALBERT", section 3.1.
"""

import numpy as np

from keras_transformer.data.batches import IGNORED, PlannedBatches, check_int, check_share
from keras_transformer.data.plan import make_plan

OBJECTIVES = ("next", "order")
_PAIRS = 2  # tells the random numbers of pairs from those of the order
_TRIES = 8  # draws of a sentence that is short enough, before one is cut


class SentencePairBatches(PlannedBatches):
    """Batches of two texts a row: some tokens are hidden, and the second text may be a wrong one.

    A record is a run of sentences of one document, as many as fit into `max_length`. Every epoch
    cuts it in two between other sentences, and makes half of the rows, drawn at random, wrong:

        "next"    the second text gives way to sentences of another document, no longer than it
        "order"   the two texts change places

    A document's last sentence is left out where no other stands beside it in its run; sentences
    longer than half of the room are parted. A batch is a pure function of (data, seed, epoch,
    step), its pairs and masks included; without shuffling, for validation, they are the same in all
    epochs.

    Args:
        documents: list of documents, each the list of its sentences' token ids, without special
            ones.
        masking: a `Masking`.
        template: a tokenizer's, which puts special tokens around two texts and tells segments.
        max_length: the longest row, special tokens included.
        batch_size: R.
        objective: "next" or "order".
        seed: int of 0 or more.
        pad_id: the token id of padding.
        num_shapes: the most lengths L allowed. Each costs a compilation, and spares padding.
        max_padding: the share of padding that is good enough; see `RecordBatches`.
        shuffle: `False` for the same batches in all epochs.
        **kwargs: `workers`, `use_multiprocessing`, `max_queue_size` of `keras.utils.PyDataset`.

    Returns:
        Item: a pair (x, y). x is a dict of `token_ids` (R, L), `segment_ids` (R, L) and
        `mask_positions` (R, M) int32, and `padding_mask` (R, L) bool. y is a dict of `tokens`
        (R, M) int32, what was hidden, and `pair` (R, 1) int32: 0 for texts as they stand in their
        document, 1 for wrong ones. -100 is what is not to be learned.

    Raises:
        ValueError: an argument out of its range, no two sentences in any document, or, for "next",
            sentences in one document alone.

    Example:

    >>> from keras_transformer import data, text
    >>> masking = data.Masking(vocab_size=99, mask_id=3, special_ids=(0, 1, 2, 3))
    >>> template = text.Template.of([1, "A", 2], [1, "A", 2, "B:1", "2:1"])
    >>> documents = [[[5, 6], [7, 8, 9]], [[11, 12, 13], [14]]]
    >>> batches = SentencePairBatches(documents, masking, template, max_length=9, batch_size=2)
    >>> x, y = batches.batch(epoch=0, step=0)
    >>> x["segment_ids"].shape, y["tokens"].shape, y["pair"].shape
    ((2, 8), (2, 1), (2, 1))
    """

    def __init__(
        self,
        documents,
        masking,
        template,
        max_length,
        batch_size,
        objective="next",
        seed=0,
        pad_id=0,
        num_shapes=8,
        max_padding=0.0,
        shuffle=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if objective not in OBJECTIVES:
            raise ValueError(f"objective must be one of {OBJECTIVES}; got {objective!r}")
        added = template.num_added(pair=True)
        for name, value, least in (
            ("max_length", max_length, added + 2),
            ("batch_size", batch_size, 1),
            ("seed", seed, 0),
            ("pad_id", pad_id, 0),
            ("num_shapes", num_shapes, 1),
        ):
            check_int(name, value, least)
        check_share("max_padding", max_padding)
        self.masking, self.template, self.objective = masking, template, objective
        self.seed, self.pad_id, self.shuffle = seed, pad_id, shuffle
        self._read(documents, max_length - added)
        lengths = self._starts[self._runs[:, 1]] - self._starts[self._runs[:, 0]] + added
        self._num_tokens = int(lengths.sum())
        plan = make_plan(np.zeros_like(lengths), lengths, None, num_shapes, max_padding, batch_size)
        self._begin(plan)

    def _read(self, documents, room):
        """Keeps the sentences in one row of ids, and which of them make a record."""
        sentences, self._document, runs = [], [], []
        for number, document in enumerate(documents):
            own = [part for sentence in document for part in _parted(sentence, room // 2)]
            runs += [(len(sentences) + a, len(sentences) + b) for a, b in _runs(own, room)]
            sentences += own
            self._document += [number] * len(own)
        if not runs:
            raise ValueError("documents must hold one of at least two sentences; got none")
        self._document = np.array(self._document)
        if self.objective == "next" and self._document[0] == self._document[-1]:
            raise ValueError("documents must be at least two for objective 'next'; got one")
        self._starts = np.concatenate([[0], np.cumsum([len(each) for each in sentences])])
        self._ids = np.concatenate([np.asarray(each, "int32") for each in sentences])
        wrong = (self._ids < 0) | (self._ids >= self.masking.vocab_size)
        if wrong.any():
            place = np.searchsorted(self._starts, wrong.argmax(), side="right") - 1
            raise ValueError(
                f"documents[{self._document[place]}]: token id {self._ids[wrong.argmax()]}, the "
                f"vocabulary has {self.masking.vocab_size}"
            )
        self._runs = np.array(runs)  # (N, 2): the first sentence, and the one behind the last

    # What an epoch holds

    @property
    def num_records(self):
        """Pairs of an epoch."""
        return len(self._runs)

    def describe(self):
        """Text for people: size, padding, what was left out."""
        unpaired = len(self._document) - int((self._runs[:, 1] - self._runs[:, 0]).sum())
        padding = 1 - self._num_tokens / self._plan.num_slots
        return (
            f"{self.num_records:,} pairs, {self._num_tokens:,} tokens\n"
            f"{self.num_batches} batches an epoch, {len(self.shapes)} shapes, "
            f"padding {100 * padding:.1f} % of all slots\n"
            f"{unpaired:,} sentences without another beside them left out"
        )

    # Batches

    def _make_batch(self, epoch, step):
        epoch = epoch if self.shuffle else 0
        rng = np.random.default_rng([self.seed, epoch, step, _PAIRS])
        return self._draw(*self._place(epoch, step), rng)

    def _assemble(self, shape, records):
        return self._draw(shape, records, np.random.default_rng(0))

    def _draw(self, shape, records, rng):
        ids = np.full((shape.rows, shape.target), self.pad_id, "int32")  # (R, L)
        segments, mask = np.zeros_like(ids), np.zeros(ids.shape, bool)
        pair = np.full((shape.rows, 1), IGNORED, "int32")
        for row, record in enumerate(records):
            first, second, pair[row] = self._pair(record, rng)
            whole = self.template.apply((first.tolist(), None), (second.tolist(), None))
            size = len(whole.ids)
            ids[row, :size], segments[row, :size], mask[row, :size] = whole.ids, whole.segments, 1
        hidden, positions, tokens = self.masking(ids, mask, rng)
        x = {"token_ids": hidden, "padding_mask": mask, "segment_ids": segments}
        return {**x, "mask_positions": positions}, {"tokens": tokens, "pair": pair}

    def _pair(self, record, rng):
        """Two texts, and whether they are wrong: 0 or 1."""
        start, end = self._runs[record]
        cut = rng.integers(start + 1, end)
        first, second = self._text(start, cut), self._text(cut, end)
        if rng.random() < 0.5:
            return first, second, 0
        if self.objective == "order":
            return second, first, 1
        return first, self._elsewhere(self._document[start], len(second), rng), 1

    def _text(self, start, end):
        return self._ids[self._starts[start] : self._starts[end]]

    def _elsewhere(self, document, room, rng):
        """Sentences of another document, at most `room` tokens; one is cut if none is so short."""
        own, behind = np.searchsorted(self._document, [document, document + 1])
        for _ in range(_TRIES):
            start = rng.integers(len(self._document) - (behind - own))
            start += (behind - own) * (start >= own)
            limit = self._starts[start] + room
            end = np.searchsorted(self._starts, limit, side="right") - 1
            end = min(end, np.searchsorted(self._document, self._document[start], side="right"))
            if end > start:
                return self._text(start, end)
        return self._ids[self._starts[start] : limit]


def _parted(sentence, size):
    """A sentence in parts of at most `size` tokens."""
    return [sentence[start : start + size] for start in range(0, len(sentence), size)]


def _runs(sentences, room):
    """Pairs (first, behind the last) of sentences that fill `room` together, two at least."""
    found, start, used = [], 0, 0
    for number, sentence in enumerate(sentences):
        if used + len(sentence) > room:
            found.append((start, number))
            start, used = number, 0
        used += len(sentence)
    found.append((start, len(sentences)))
    return [(a, b) for a, b in found if b - a > 1]
