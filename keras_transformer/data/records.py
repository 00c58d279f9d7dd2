"""Batches of tokenised records for encoders and decoders, planned by length.

Letters: N records, R rows of a batch, L its length, C classes.
"""

import numpy as np

from keras_transformer.data.batches import IGNORED, PlannedBatches, check_int, check_share
from keras_transformer.data.plan import make_plan
from keras_transformer.data.tokens import Tokens


class RecordBatches(PlannedBatches):
    """Batches of token ids with labels, in a few fixed shapes with little padding.

    Lengths are known in advance, so shapes (R, L) are chosen for the corpus; a record belongs to
    the shortest shape that it fits into. Every epoch shuffles the records of each shape anew and
    fills whole batches; leftovers are promoted to a longer shape, so that one batch an epoch at
    most has empty rows, which weigh nothing. All epochs have equally many batches.

    A batch is a pure function of (data, seed, epoch, step): see `batch`. As a
    `keras.utils.PyDataset` it goes to `fit`, `evaluate` and `predict`; item i is a batch of the
    epoch that is under way. Pass `shuffle=False` to `fit`, which otherwise permutes the batches
    once more. To resume in the middle use `stream`.

    Args:
        ids: the token ids of each record, special ones included: list of N lists or arrays of int.
        labels: one label a record: an array (N,), or (N, ...) such as (N, C) of indicators or
            (N, 2) of an answer's first and last token.
        token_labels: one label a token, -100 where there is nothing to learn: list like `ids`.
        segment_ids: of each token: list like `ids`.
        weights: (N,) how much each record counts, such as the weight of its class; `None`: 1.
        label_weights: (C,) how much a token of each label counts, with `token_labels` below C;
            `None`: 1.
        tokens_per_batch: slots of a batch, padding included: a shape has `tokens_per_batch // L`
            rows. Or
        batch_size: R, for all shapes.
        seed: int of 0 or more.
        max_length: the longest record allowed. `None`: any.
        pad_id: the token id of padding.
        num_shapes: the most shapes allowed. Each costs a compilation, and spares padding.
        max_padding: a share of all slots, 0 to 1: the fewest shapes with at most so much padding
            are taken, if `num_shapes` are enough for it. 0: the least padding.
        shuffle: `False` for the same order in all epochs, for validation.
        where: function from the number of a record, from 0, to what an error begins with, such as
            `Table.where`.
        **kwargs: `workers`, `use_multiprocessing`, `max_queue_size` of `keras.utils.PyDataset`.

    Returns:
        Item: a tuple (x,), (x, y) or (x, y, w). x is a dict of `token_ids` (R, L) int32,
        `padding_mask` (R, L) bool, True = real token, and `segment_ids` (R, L) int32 where they
        were given, 0 at padding. y is (R, ...) int32 or float32 of `labels`, or (R, L) int32 of
        `token_labels`, -100 at padding; there is none without labels. w (R,) float32, 0 for empty
        rows, comes with `labels`, and with `token_labels` that have `weights`; with
        `label_weights` w is (R, L), 0 where there is nothing to learn. Metrics must be compiled as
        `weighted_metrics`, or they count empty rows.

    Raises:
        ValueError: naming the record: no tokens, too many, or not as many labels as tokens; naming
            the argument: a wrong number of labels, or a number out of its range.

    Example:

    >>> batches = RecordBatches([[5, 6, 7], [8]], labels=[1, 0], batch_size=2, shuffle=False)
    >>> x, y, w = batches.batch(epoch=0, step=0)
    >>> x["token_ids"].tolist(), y.tolist()
    ([[5, 6, 7], [8, 0, 0]], [1, 0])
    """

    def __init__(
        self,
        ids,
        labels=None,
        token_labels=None,
        segment_ids=None,
        weights=None,
        label_weights=None,
        tokens_per_batch=None,
        batch_size=None,
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
        check_int("num_shapes", num_shapes, 1)
        check_int("seed", seed, 0)
        check_int("pad_id", pad_id, 0)
        check_share("max_padding", max_padding)
        _check_size(tokens_per_batch, batch_size)
        self.pad_id, self.seed, self.shuffle = pad_id, seed, shuffle
        where = where or "ids[{}]".format
        self._tokens = flatten("ids", ids, where)
        lengths = self._tokens.lengths
        check_lengths(lengths, max_length, tokens_per_batch, where)
        if labels is not None and token_labels is not None:
            raise ValueError("labels and token_labels must not both be given")
        self._labels, self._weights = labels, None
        if labels is not None:
            labels = _array("labels", labels, len(lengths))
            self._labels = labels.astype("float32" if labels.dtype.kind == "f" else "int32")
            if labels.dtype.kind != "f" and (self._labels != labels).any():
                raise ValueError(f"labels must fit int32; got {labels[self._labels != labels][0]}")
        if weights is not None:
            self._weights = _array("weights", weights, len(lengths)).astype("float32")
            if self._weights.ndim != 1:
                raise ValueError(f"weights must be (N,); got shape {self._weights.shape}")
            if (self._weights < 0).any():
                raise ValueError(f"weights must be 0 or more; got {self._weights.min()}")
        self._token_labels = _like(lengths, "token_labels", token_labels, where)
        self._label_weights = _weights_of(self._token_labels, label_weights)
        self._segments = _like(lengths, "segment_ids", segment_ids, where)
        plan = make_plan(
            np.zeros_like(lengths), lengths, tokens_per_batch, num_shapes, max_padding, batch_size
        )
        self._begin(plan)

    # What an epoch holds

    @property
    def has_token_labels(self):
        """Whether y are labels of tokens; `None` where a subclass says what y is."""
        if self._labels is None and self._token_labels is None:
            return None
        return self._token_labels is not None

    @property
    def num_records(self):
        """Records of an epoch."""
        return len(self._tokens.lengths)

    @property
    def num_tokens(self):
        """Real tokens of an epoch."""
        return int(self._tokens.lengths.sum())

    @property
    def padding_share(self):
        """The share of an epoch's slots that hold no token; 0 to 1."""
        return 1 - self.num_tokens / self._plan.num_slots

    def describe(self):
        """Text for people: size, padding, and the shapes."""
        plan = self._plan
        lines = [
            f"{self.num_records:,} records, {self.num_tokens:,} tokens",
            f"{self.num_batches} batches an epoch, {len(plan.shapes)} shapes, "
            f"padding {100 * self.padding_share:.1f} % of all slots",
            "   rows  length  batches",
        ]
        lines += [
            f"{s.rows:7}{s.target:8}{n:9}"
            for s, n in zip(plan.shapes, plan.num_batches, strict=True)
        ]
        return "\n".join(lines)

    def records(self, epoch, step):
        """Which record is in which row of a batch: what a prediction belongs to.

        Returns:
            (R,) int64, -1 for empty rows.
        """
        self._check_step(step)
        shape, records = self._place(int(epoch), int(step))
        rows = np.full(shape.rows, -1)
        rows[: len(records)] = records
        return rows

    # Batches

    def _assemble(self, shape, records):
        x = self._inputs(shape, records)
        mask = x["padding_mask"]
        if self._token_labels is not None:
            y, _ = self._token_labels.rows(records, shape.rows, shape.target)
            y = np.where(mask, y, IGNORED).astype("int32")
            weights = None if self._weights is None else self._row_weights(shape, records)
            if self._label_weights is not None:
                of_tokens = np.where(y == IGNORED, 0.0, self._label_weights[y.clip(0)])
                weights = of_tokens if weights is None else of_tokens * weights[:, None]
            return (x, y) if weights is None else (x, y, weights.astype("float32"))
        if self._labels is not None:
            y = np.zeros((shape.rows, *self._labels.shape[1:]), self._labels.dtype)
            y[: len(records)] = self._labels[records]
            return x, y, self._row_weights(shape, records)
        return (x,)

    def _inputs(self, shape, records):
        ids, mask = self._tokens.rows(records, shape.rows, shape.target)  # (R, L)
        x = {"token_ids": np.where(mask, ids, self.pad_id).astype("int32"), "padding_mask": mask}
        if self._segments is not None:
            segments, _ = self._segments.rows(records, shape.rows, shape.target)
            x["segment_ids"] = np.where(mask, segments, 0).astype("int32")
        return x

    def _row_weights(self, shape, records):
        weights = np.zeros(shape.rows, "float32")
        weights[: len(records)] = 1.0 if self._weights is None else self._weights[records]
        return weights


def flatten(name, sequences, where):
    """Sequences of ids as `Tokens`, checked: whole numbers that int32 can hold.

    Args:
        name: of the argument, for errors.
        sequences: list of lists or arrays of int.
        where: function from the number of a sequence to what an error begins with.
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    for n, array in enumerate(arrays):
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise ValueError(f"{where(n)}: {name} must be a list of int; got {sequences[n]!r:.80}")
    lengths = np.fromiter(map(len, arrays), "int32", len(arrays))
    ids = np.concatenate(arrays).astype("int64") if len(arrays) else np.zeros(0, "int64")
    least = 0 if name == "ids" else IGNORED
    wrong = (ids < least) | (ids >= 2**31)
    if wrong.any():
        place = int(wrong.argmax())
        n = int(np.searchsorted(np.cumsum(lengths), place, side="right"))
        raise ValueError(f"{where(n)}: {name} must be {least} to 2**31 - 1; got {ids[place]}")
    return Tokens(ids.astype("int32"), lengths)


def _like(lengths, name, sequences, where):
    """`Tokens` of the same lengths as the ids; `None` where none were given."""
    if sequences is None:
        return None
    if len(sequences) != len(lengths):
        raise ValueError(
            f"{name} must be as many as ids; got {len(sequences)} for {len(lengths)} records"
        )
    tokens = flatten(name, sequences, where)
    differ = tokens.lengths != lengths
    if differ.any():
        n = int(differ.argmax())
        raise ValueError(f"{where(n)}: {tokens.lengths[n]} {name} for {lengths[n]} tokens")
    return tokens


def _weights_of(token_labels, weights):
    """The weight of each label, checked; `None` where none were given."""
    if weights is None:
        return None
    if token_labels is None:
        raise ValueError("label_weights must come with token_labels; got none")
    weights = np.asarray(weights, "float32")
    if weights.ndim != 1 or not (weights >= 0).all() or weights.sum() in (0, np.inf):
        raise ValueError(f"label_weights must be (C,) numbers of 0 or more; got {weights}")
    most = token_labels.ids.max(initial=0)
    if most >= len(weights):
        raise ValueError(f"label_weights must have one for each label; {len(weights)} for {most}")
    return weights


def _array(name, values, num_records):
    array = np.asarray(values)
    if array.ndim == 0 or len(array) != num_records or array.dtype.kind not in "iufb":
        raise ValueError(
            f"{name} must be numbers, one for each of the {num_records} records; "
            f"got shape {array.shape} of {array.dtype}"
        )
    if not np.isfinite(array).all():
        n = np.argwhere(~np.isfinite(array))[0][0]
        raise ValueError(f"{name} must be finite; got {values[n]} for record {n}")
    return array


def _check_size(tokens_per_batch, batch_size):
    if (tokens_per_batch is None) == (batch_size is None):
        raise ValueError(
            "one of tokens_per_batch and batch_size must be given; "
            f"got {tokens_per_batch} and {batch_size}"
        )
    if batch_size is None:
        check_int("tokens_per_batch", tokens_per_batch, 1)
    else:
        check_int("batch_size", batch_size, 1)


def check_lengths(lengths, max_length, tokens_per_batch, where):
    """Refuses records without tokens, or with more than either limit that is not `None`."""
    if not len(lengths):
        raise ValueError("ids must have at least one record; got none")
    if not lengths.all():
        raise ValueError(f"{where(int(lengths.argmin()))}: no tokens")
    for name, limit in (("max_length", max_length), ("tokens_per_batch", tokens_per_batch)):
        if limit is not None and lengths.max() > limit:
            n = int((lengths > limit).argmax())
            raise ValueError(f"{where(n)}: {lengths[n]} tokens, {name} is {limit}")
