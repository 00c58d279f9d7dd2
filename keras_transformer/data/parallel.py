"""Batches of sentence pairs for an encoder-decoder, planned by length under a token budget.

Letters: N pairs, R rows of a batch, S source length, T target length.
"""

import functools
import os

import keras
import numpy as np

from keras_transformer.data.plan import make_plan
from keras_transformer.data.reading import ParallelText, read_parallel
from keras_transformer.data.tokens import tokenize

IGNORED = -100  # the label that the loss leaves out


class _Batches(keras.utils.PyDataset):
    """A data set whose batches have several shapes.

    On TensorFlow, Keras takes the signature of a data set from its first two items: a length that
    they share is taken as fixed, and the first batch of another length ends the training. So while
    Keras asks, that is once it has looked at `workers` and until the first epoch begins, these
    two items are samples that differ in every length in which any two batches do.
    """

    _to_sample = frozenset()

    @property
    def workers(self):
        if keras.backend.backend() == "tensorflow":
            self._to_sample = frozenset((0, 1))
        return super().workers

    def on_epoch_begin(self):
        self._to_sample = frozenset()

    def __getitem__(self, index):
        if index in self._to_sample:
            self._to_sample -= {index}
            return self._samples()[index]
        return self._item(index)

    def __iter__(self):
        self._to_sample = frozenset()
        return super().__iter__()


class ParallelBatches(_Batches):
    r"""Batches of sentence pairs, in a few fixed shapes with little padding.

    Lengths are known in advance, so shapes (R, S, T) are chosen for the corpus; a pair belongs to
    the cheapest shape that it fits into. Every epoch shuffles the pairs of each shape anew and
    fills whole batches; leftovers are promoted to a larger shape, so that one batch an epoch at
    most has empty rows. All epochs have equally many batches. The batches of an epoch are shuffled.

    A batch is a pure function of (data, seed, epoch, step): see `batch`. As a
    `keras.utils.PyDataset` it goes to `fit`, `evaluate` and `predict`; item i is a batch of the
    epoch that is under way. Pass `shuffle=False` to `fit`, which otherwise permutes the batches
    once more, by Python's global random state. To resume in the middle use `stream`.

    Args:
        source, target: paths of parallel files, or lists of str. Or a `ParallelText` as `source`.
        tokenizer: with `encode(list of str)`, which adds no special ids, `pad_id`, `bos_id`,
            `eos_id` and, for a cache, `fingerprint`.
        tokens_per_batch: target slots of a batch, padding included: a shape has
            `tokens_per_batch // T` rows.
        seed: int of 0 or more.
        max_length: the longest source and target allowed, end or beginning included. `None`: any.
        truncate: cut longer pairs, which are counted in `num_truncated`, instead of refusing them.
        num_shapes: the most shapes allowed. Each costs a compilation, and spares padding.
        max_padding: a share of all slots, 0 to 1: the fewest shapes with at most so much padding
            are taken, if `num_shapes` are enough for it. 0: the least padding.
        shuffle: `False` for the same order in all epochs, for validation.
        cache_dir: folder that keeps the token ids of the corpus, so that the next run need not
            tokenise. `None`: no cache.
        **kwargs: `workers`, `use_multiprocessing`, `max_queue_size` of `keras.utils.PyDataset`.

    Returns:
        Item: a pair (x, y). x is a dict of `encoder_token_ids` (R, S) int32: source, end, padding;
        `encoder_padding_mask` (R, S) bool: True = real token; `decoder_token_ids` (R, T) int32:
        beginning, target, padding; `decoder_padding_mask` (R, T) bool. y (R, T) int32: target,
        end, and -100 where there is nothing to predict.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file that cannot be used, a pair longer than `max_length` or than the budget,
            or an argument out of range.

    Example:

    >>> class Letters:
    ...     pad_id, bos_id, eos_id = 0, 2, 3
    ...     def encode(self, lines):
    ...         return [[ord(letter) for letter in line] for line in lines]
    >>> batches = ParallelBatches(["ab", "c"], ["d", "efg"], Letters(), tokens_per_batch=8)
    >>> x, y = batches.batch(epoch=0, step=0)
    >>> x["decoder_token_ids"].shape
    (2, 4)
    >>> sorted(y.tolist())
    [[100, 3, -100, -100], [101, 102, 103, 3]]
    """

    def __init__(
        self,
        source,
        target=None,
        tokenizer=None,
        tokens_per_batch=4096,
        seed=0,
        max_length=None,
        truncate=False,
        num_shapes=8,
        max_padding=0.0,
        shuffle=True,
        cache_dir=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check("tokens_per_batch", tokens_per_batch, 1)
        _check("num_shapes", num_shapes, 1)
        _check("seed", seed, 0)
        if max_length is not None:
            _check("max_length", max_length, 2)
        if not 0 <= max_padding < 1:
            raise ValueError(f"max_padding must be at least 0 and less than 1; got {max_padding!r}")
        if tokenizer is None:
            raise TypeError("tokenizer is missing")
        self.pad_id, self.bos_id = tokenizer.pad_id, tokenizer.bos_id
        self.seed, self.shuffle, self.tokens_per_batch = seed, shuffle, tokens_per_batch
        text = _text(source, target)
        self.num_blank = text.num_blank
        sides = [
            tokenize(lines, tokenizer, cache_dir).append(tokenizer.eos_id)
            for lines in (text.source, text.target)
        ]
        self.num_truncated = 0
        if max_length is not None:
            long = np.maximum(sides[0].lengths, sides[1].lengths) > max_length
            if truncate:
                sides = [side.truncate(max_length) for side in sides]
                self.num_truncated = int(long.sum())
            elif long.any():
                raise ValueError(_too_long(text, sides, int(long.argmax()), max_length))
        self._source, self._target = sides
        longest = int(self._target.lengths.argmax())
        if self._target.lengths[longest] > tokens_per_batch:
            raise ValueError(
                f"{text.names[1]}:{text.lines[longest]}: {self._target.lengths[longest]} tokens do "
                f"not fit into tokens_per_batch={tokens_per_batch}"
            )
        self._plan = make_plan(
            self._source.lengths, self._target.lengths, tokens_per_batch, num_shapes, max_padding
        )
        self._members = [
            np.flatnonzero(self._plan.bucket == i) for i in range(len(self._plan.shapes))
        ]
        self._orders = {}
        self.epoch = 0
        self._is_last_served = False

    # What an epoch holds

    @property
    def shapes(self):
        """The batches' shapes: tuple of `Shape(rows, source, target)`."""
        return self._plan.shapes

    @property
    def num_pairs(self):
        """Sentence pairs of an epoch."""
        return len(self._plan.bucket)

    @property
    def num_source_tokens(self):
        """Real source tokens of an epoch, the end of each sentence included."""
        return int(self._source.lengths.sum())

    @property
    def num_target_tokens(self):
        """Real target tokens of an epoch, the end of each sentence included: what is predicted."""
        return int(self._target.lengths.sum())

    @property
    def padding_share(self):
        """The share of an epoch's slots, source and target, that hold no token; 0 to 1."""
        return 1 - (self.num_source_tokens + self.num_target_tokens) / self._plan.num_slots

    @property
    def num_batches(self):
        """Batches of an epoch, the same in every one."""
        return sum(self._plan.num_batches)

    def __len__(self):
        return self.num_batches

    def describe(self):
        """Text for people: size, padding, what was left out or cut, and the shapes."""
        plan = self._plan
        lines = [
            f"{self.num_pairs:,} pairs, {self.num_source_tokens:,} source and "
            f"{self.num_target_tokens:,} target tokens",
            f"{self.num_batches} batches an epoch, {len(plan.shapes)} shapes, "
            f"padding {100 * self.padding_share:.1f} % of all slots",
            f"{self.num_blank} blank pairs left out, {self.num_truncated} truncated",
            "   rows  source  target  batches",
        ]
        lines += [
            f"{s.rows:7}{s.source:8}{s.target:8}{n:9}"
            for s, n in zip(plan.shapes, plan.num_batches, strict=True)
        ]
        return "\n".join(lines)

    # Batches

    def batch(self, epoch, step):
        """Batch `step` of epoch `epoch`, both from 0: a pure function of (data, seed, epoch, step).

        Returns:
            (x, y), see the class.
        """
        if not 0 <= step < self.num_batches:
            raise IndexError(f"step must be 0 to {self.num_batches - 1}; got {step}")
        shape, rows = self._order(int(epoch) if self.shuffle else 0)[step]
        return self._assemble(self.shapes[shape], rows)

    def stream(self, start_step=0):
        """The batches of all epochs in one endless row, from global step `start_step` on.

        Item i is batch `start_step + i`, whatever the epoch: so a run that stopped after n steps
        resumes exactly with `fit(batches.stream(n), steps_per_epoch=..., initial_epoch=...)`.

        Returns:
            `keras.utils.PyDataset` without end (`num_batches` is `None`).
        """
        _check("start_step", start_step, 0)
        return _Stream(self, start_step)

    def _item(self, index):
        if index == self.num_batches - 1:
            self._is_last_served = True
        return self.batch(self.epoch, index)

    def on_epoch_end(self):
        # Keras ends epochs that it did not run, such as a first look at the data to build a model.
        if self._is_last_served:
            self.epoch += 1
        self._is_last_served = False

    def _order(self, epoch):
        """The batches of an epoch: list of (shape, pairs of its rows)."""
        orders = self._orders
        if epoch not in orders:
            # A new dict, as other threads may read the old one; two epochs meet at a border.
            self._orders = orders = dict([*orders.items()][-1:]) | {epoch: self._make_order(epoch)}
        return orders[epoch]

    def _make_order(self, epoch):
        rng = np.random.default_rng([self.seed, epoch])
        pools = [[members] for members in self._members]
        batches = []
        for i, (shape, to) in enumerate(zip(self.shapes, self._plan.promoted_to, strict=True)):
            pool = np.concatenate(pools[i])
            if self.shuffle:
                pool = rng.permutation(pool)
            full = len(pool) - len(pool) % shape.rows
            batches += [(i, pool[k : k + shape.rows]) for k in range(0, full, shape.rows)]
            if to >= 0:
                pools[to].append(pool[full:])
            elif full < len(pool):
                batches.append((i, pool[full:]))
        if self.shuffle:
            batches = [batches[k] for k in rng.permutation(len(batches))]
        return batches

    def _assemble(self, shape, pairs):
        source, source_mask = self._source.rows(pairs, shape.rows, shape.source)  # (R, S)
        target, target_mask = self._target.rows(pairs, shape.rows, shape.target)  # (R, T)
        shifted = np.empty_like(target)  # (R, T)
        shifted[:, 0] = self.bos_id
        shifted[:, 1:] = target[:, :-1]
        x = {
            "encoder_token_ids": np.where(source_mask, source, self.pad_id).astype("int32"),
            "encoder_padding_mask": source_mask,
            "decoder_token_ids": np.where(target_mask, shifted, self.pad_id).astype("int32"),
            "decoder_padding_mask": target_mask,
        }
        return x, np.where(target_mask, target, IGNORED).astype("int32")

    @functools.cached_property
    def _differing_shapes(self):
        """Two shapes that differ in every length in which any two do."""

        def differences(pair):
            return sum(a != b for a, b in zip(*pair, strict=True))

        pairs = [(a, b) for a in self.shapes for b in self.shapes]
        return max(pairs, key=lambda pair: differences((pair[0][1:], pair[1][1:])))

    def _samples(self):
        return [self._assemble(shape, np.arange(0)) for shape in self._differing_shapes]


class _Stream(_Batches):
    def __init__(self, batches, start_step):
        super().__init__()
        self._batches, self.start_step = batches, start_step

    @property
    def num_batches(self):
        return None

    def _item(self, index):
        return self._batches.batch(*divmod(self.start_step + index, self._batches.num_batches))

    def _samples(self):
        return self._batches._samples()


def _text(source, target):
    if isinstance(source, ParallelText):
        if target is not None:
            raise ValueError("target must be None where source is a ParallelText: it holds both")
        return source
    are_paths = [isinstance(side, str | os.PathLike) for side in (source, target)]
    if all(are_paths):
        return read_parallel(source, target)
    if any(are_paths) or source is None or target is None:
        raise TypeError(
            "source and target must be two paths or two lists of str; "
            f"got {type(source).__name__} and {type(target).__name__}"
        )
    return ParallelText.from_lines(list(source), list(target))


def _too_long(text, sides, pair, max_length):
    side = int(sides[1].lengths[pair] > max_length)
    return (
        f"{text.names[side]}:{text.lines[pair]}: {sides[side].lengths[pair]} tokens with the end, "
        f"max_length is {max_length}; pass truncate=True to cut longer ones"
    )


def _check(name, value, least):
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be an int of at least {least}; got {value!r}")
