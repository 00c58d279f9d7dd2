"""Batches of texts that belong together, for embeddings.

Letters: P pairs or triples of a batch, K sides (2 or 3), L length.
"""

import hashlib

import numpy as np

from keras_transformer.data.batches import PlannedBatches, check_int, check_share
from keras_transformer.data.plan import make_plan
from keras_transformer.data.records import check_lengths, flatten


class ContrastiveBatches(PlannedBatches):
    """Batches of pairs or triples in which each text is to be told from all others.

    All sides of a batch stand below each other, so that an encoder takes them as one batch: first P
    anchors, then P positives, then perhaps P hard negatives. The labels tell texts apart: a text
    that stands in a batch twice has one label, and should not be taken as a negative of itself.

    A batch is a pure function of (data, seed, epoch, step); see `RecordBatches` on shapes, order
    and how to resume.

    Args:
        sides: two or three lists of N lists of int: token ids of anchors, positives, negatives.
        batch_size: P.
        seed: int of 0 or more.
        max_length: the longest text allowed. `None`: any.
        pad_id: the token id of padding.
        num_shapes: the most lengths L allowed. Each costs a compilation, and spares padding.
        max_padding: the share of padding that is good enough; see `RecordBatches`.
        shuffle: `False` for the same order in all epochs, for validation.
        where: function from the number of a pair, from 0, to what an error begins with.
        **kwargs: `workers`, `use_multiprocessing`, `max_queue_size` of `keras.utils.PyDataset`.

    Returns:
        Item: a pair (x, y). x is a dict of `token_ids` (K·P, L) int32 and `padding_mask` (K·P, L)
        bool. y (K·P,) int32: equal for equal texts, -1 for the empty rows of the last batch.

    Raises:
        ValueError: naming the pair: no tokens or too many; or a number out of its range.

    Example:

    >>> batches = ContrastiveBatches([[[5, 6], [7]], [[8], [5, 6]]], batch_size=2, shuffle=False)
    >>> x, y = batches.batch(epoch=0, step=0)
    >>> x["token_ids"].tolist(), y.tolist()     # anchors 5 6 and 7, positives 8 and 5 6
    ([[5, 6], [7, 0], [8, 0], [5, 6]], [0, 1, 2, 0])
    """

    def __init__(
        self,
        sides,
        batch_size,
        seed=0,
        max_length=None,
        pad_id=0,
        num_shapes=8,
        max_padding=0.0,
        shuffle=True,
        where=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_int("batch_size", batch_size, 1)
        check_int("num_shapes", num_shapes, 1)
        check_int("seed", seed, 0)
        check_int("pad_id", pad_id, 0)
        check_share("max_padding", max_padding)
        sides = list(sides)
        if len(sides) not in (2, 3) or len({len(side) for side in sides}) != 1:
            raise ValueError(
                "sides must be two or three lists of one length; "
                f"got lengths {[len(side) for side in sides]}"
            )
        where = where or "pair {}".format
        self.pad_id, self.seed, self.shuffle = pad_id, seed, shuffle
        self._sides = [flatten("ids", side, where) for side in sides]
        for side in self._sides:
            check_lengths(side.lengths, max_length, None, where)
        number = {}
        self._texts = np.array(
            [[number.setdefault(key, len(number)) for key in _keys(side)] for side in self._sides],
            "int32",
        )  # (K, N)
        lengths = np.max([side.lengths for side in self._sides], axis=0)
        plan = make_plan(np.zeros_like(lengths), lengths, None, num_shapes, max_padding, batch_size)
        self._begin(plan)

    @property
    def num_pairs(self):
        """Pairs or triples of an epoch."""
        return self._texts.shape[1]

    @property
    def padding_share(self):
        """The share of an epoch's slots, all sides together, that hold no token; 0 to 1."""
        tokens = sum(int(side.lengths.sum()) for side in self._sides)
        return 1 - tokens / (len(self._sides) * self._plan.num_slots)

    def describe(self):
        """Text for people: size, padding, and the shapes."""
        lengths = ", ".join(str(shape.target) for shape in self.shapes)
        return (
            f"{self.num_pairs:,} {'pairs' if len(self._sides) == 2 else 'triples'}, "
            f"{self.num_batches} batches an epoch of {self.shapes[0].rows}, lengths {lengths}, "
            f"padding {100 * self.padding_share:.1f} % of all slots"
        )

    def _assemble(self, shape, records):
        sides = [side.rows(records, shape.rows, shape.target) for side in self._sides]
        ids, mask = (np.concatenate(parts) for parts in zip(*sides, strict=True))  # (K·P, L)
        y = np.full((len(self._sides), shape.rows), -1, "int32")
        y[:, : len(records)] = self._texts[:, records]
        ids = np.where(mask, ids, self.pad_id).astype("int32")
        return {"token_ids": ids, "padding_mask": mask}, y.ravel()


def _keys(tokens):
    """16 bytes for each text, the same for the same tokens alone."""
    for start, length in zip(tokens.starts, tokens.lengths, strict=True):
        text = tokens.ids[start : start + length].tobytes()
        yield hashlib.blake2b(text, digest_size=16).digest()
