"""Batches of sentence pairs for an encoder-decoder, planned by length under a token budget.

Letters: N pairs, R rows of a batch, S source length, T target length.
"""

import os

import numpy as np

from keras_transformer.data.batches import IGNORED, PlannedBatches, check_int, check_share
from keras_transformer.data.plan import make_plan
from keras_transformer.data.reading import ParallelText, read_parallel
from keras_transformer.data.tokens import tokenize

COUNTS = ("target", "both")


class ParallelBatches(PlannedBatches):
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
            `eos_id` and, for a cache, `fingerprint`. Where it has a `template` that adds special
            ids, both sides get these, else the end.
        tokens_per_batch: slots of a batch, padding included, of which side `count` says.
        seed: int of 0 or more.
        max_length: the longest source and target allowed, special ids included. `None`: any.
        truncate: cut longer pairs, which are counted in `num_truncated`, instead of refusing them.
        num_shapes: the most shapes allowed. Each costs a compilation, and spares padding.
        max_padding: a share of all slots, 0 to 1: the fewest shapes with at most so much padding
            are taken, if `num_shapes` are enough for it. 0: the least padding.
        shuffle: `False` for the same order in all epochs, for validation.
        cache_dir: folder that keeps the token ids of the corpus, so that the next run need not
            tokenise. `None`: no cache.
        target_tokenizer: that of the target, where it is another one for the same ids.
        start_id: what the decoder reads first; `None`: `bos_id`.
        count: "target": a shape has `tokens_per_batch // T` rows; "both": it has
            `tokens_per_batch // (S + T)`, which bounds the memory of a batch where sources are much
            longer than targets, as those of summaries.
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
        target_tokenizer=None,
        start_id=None,
        count="target",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_int("tokens_per_batch", tokens_per_batch, 1)
        check_int("num_shapes", num_shapes, 1)
        check_int("seed", seed, 0)
        if max_length is not None:
            check_int("max_length", max_length, 2)
        check_share("max_padding", max_padding)
        if count not in COUNTS:
            raise ValueError(f"count must be one of {COUNTS}; got {count!r}")
        if tokenizer is None:
            raise TypeError("tokenizer is missing")
        self.pad_id = max(tokenizer.pad_id, 0)
        self.start_id = tokenizer.bos_id if start_id is None else start_id
        check_int("start_id", self.start_id, 0)
        self.seed, self.shuffle, self.tokens_per_batch = seed, shuffle, tokens_per_batch
        text = _text(source, target)
        self.num_blank = text.num_blank
        tokenizers = tokenizer, target_tokenizer or tokenizer
        tokens = [tokenize(text.source, tokenizers[0], cache_dir)]
        tokens += [tokenize(text.target, tokenizers[1], cache_dir)]
        around = [special_ids(own) for own in tokenizers]
        sides = [side.between(*ids) for side, ids in zip(tokens, around, strict=True)]
        self.num_truncated = 0
        if max_length is not None:
            long = np.maximum(sides[0].lengths, sides[1].lengths) > max_length
            if truncate:
                rooms = [max_length - len(before) - len(after) for before, after in around]
                tokens = [side.truncate(room) for side, room in zip(tokens, rooms, strict=True)]
                sides = [side.between(*ids) for side, ids in zip(tokens, around, strict=True)]
                self.num_truncated = int(long.sum())
            elif long.any():
                raise ValueError(_too_long(text, sides, int(long.argmax()), max_length))
        self._source, self._target = sides
        _check_budget(text, sides, tokens_per_batch, count)
        lengths = self._source.lengths, self._target.lengths
        plan = make_plan(*lengths, tokens_per_batch, num_shapes, max_padding, count=count)
        self._begin(plan)

    # What an epoch holds

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

    def _assemble(self, shape, pairs):
        source, source_mask = self._source.rows(pairs, shape.rows, shape.source)  # (R, S)
        target, target_mask = self._target.rows(pairs, shape.rows, shape.target)  # (R, T)
        shifted = np.empty_like(target)  # (R, T)
        shifted[:, 0] = self.start_id
        shifted[:, 1:] = target[:, :-1]
        x = {
            "encoder_token_ids": np.where(source_mask, source, self.pad_id).astype("int32"),
            "encoder_padding_mask": source_mask,
            "decoder_token_ids": np.where(target_mask, shifted, self.pad_id).astype("int32"),
            "decoder_padding_mask": target_mask,
        }
        return x, np.where(target_mask, target, IGNORED).astype("int32")


def special_ids(tokenizer):
    """The ids before and after those of a text: of the template, or the end alone."""
    template = getattr(tokenizer, "template", None)
    parts = [] if template is None else [part for part, _ in template.single]
    if len(parts) <= 1:
        return [], [tokenizer.eos_id]
    place = next(i for i, part in enumerate(parts) if isinstance(part, str))
    return parts[:place], parts[place + 1 :]


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


def _check_budget(text, sides, budget, count):
    """Refuses a budget into which one row of the longest texts does not fit."""
    longest = [int(side.lengths.argmax()) for side in sides]
    sizes = [int(side.lengths[n]) for side, n in zip(sides, longest, strict=True)]
    if sizes[1] > budget:
        raise ValueError(
            f"{text.names[1]}:{text.lines[longest[1]]}: {sizes[1]} tokens do not fit into "
            f"tokens_per_batch={budget}"
        )
    if count == "both" and sum(sizes) > budget:
        raise ValueError(
            f"{text.names[0]}:{text.lines[longest[0]]}: tokens_per_batch must be at least "
            f"{sum(sizes)}, the longest source's {sizes[0]} tokens and the longest target's "
            f"{sizes[1]}; got {budget}"
        )
