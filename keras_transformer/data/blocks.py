"""Blocks of a long row of tokens, for language models.

Letters: N tokens, B rows of a batch, T its length.
"""

import numpy as np

from keras_transformer.data.batches import IGNORED, EpochBatches, check_int
from keras_transformer.data.shards import TokenShards

ORDERS = ("random", "sequential")


class PackedBlocks(EpochBatches):
    """Batches of blocks of T tokens, each to predict the token that comes next, without padding.

    In "random" order each row begins anywhere, as in nanoGPT: for training. In "sequential" order
    the blocks of an epoch follow each other and every token but the first is predicted exactly
    once: for validation. The last of these blocks may be short; it is filled up, and so is the
    last batch, with labels of -100, which as they stand behind everything need no mask in a
    causal model.

    A batch is a pure function of (data, seed, epoch, step): see `batch`. As a
    `keras.utils.PyDataset` it goes to `fit`, `evaluate` and `predict`; pass `shuffle=False` to
    `fit`. To resume in the middle use `stream`.

    Args:
        tokens: (N,) array of int, such as a `numpy.memmap`, or `TokenShards`.
        block_length: T.
        batch_size: B.
        seed: int of 0 or more.
        order: "random" or "sequential".
        end_id: the token behind each document, where documents must not see each other: then there
            are `segment_ids`, and what follows an end is not to be predicted from it. `None`:
            blocks are read as one text.
        **kwargs: `workers`, `use_multiprocessing`, `max_queue_size` of `keras.utils.PyDataset`.

    Returns:
        Item: a pair (x, y). x is a dict of `token_ids` (B, T) int32 and, with `end_id`,
        `segment_ids` (B, T) int32, from 1 in each row, 0 where it is filled up. y (B, T) int32: the
        next tokens, -100 where there is nothing to predict.

    Raises:
        ValueError: fewer than T + 1 tokens in random order or fewer than 2 in any, no array of int,
            or a number out of its range; of tokens, when a batch has one.

    Example:

    >>> blocks = PackedBlocks(np.arange(10), block_length=4, batch_size=2, order="sequential")
    >>> x, y = blocks.batch(epoch=0, step=0)
    >>> x["token_ids"].tolist(), y.tolist(), len(blocks)
    ([[0, 1, 2, 3], [4, 5, 6, 7]], [[1, 2, 3, 4], [5, 6, 7, 8]], 2)
    >>> blocks.batch(epoch=0, step=1)[1].tolist()
    [[9, -100, -100, -100], [-100, -100, -100, -100]]
    """

    def __init__(
        self, tokens, block_length, batch_size, seed=0, order="random", end_id=None, **kwargs
    ):
        super().__init__(**kwargs)
        check_int("block_length", block_length, 1)
        check_int("batch_size", batch_size, 1)
        check_int("seed", seed, 0)
        if order not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(ORDERS)}; got {order!r}")
        if end_id is not None:
            check_int("end_id", end_id, 0)
        if not isinstance(tokens, TokenShards):
            if not isinstance(tokens, np.ndarray):
                tokens = np.asarray(tokens)
            if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
                raise ValueError(
                    "tokens must be TokenShards or an array (N,) of int; "
                    f"got shape {tokens.shape} of {tokens.dtype}"
                )
        least = block_length + 1 if order == "random" else 2
        if len(tokens) < least:
            raise ValueError(f"tokens must be at least {least} for one block; got {len(tokens)}")
        self.block_length, self.batch_size, self.seed = block_length, batch_size, seed
        self.order, self.end_id, self._tokens = order, end_id, tokens
        self._begin()

    @property
    def num_tokens(self):
        """N, tokens of the corpus."""
        return len(self._tokens)

    @property
    def num_predicted(self):
        """Slots of an epoch for a token to predict, those behind an `end_id` among them."""
        if self.order == "sequential":
            return self.num_tokens - 1
        return self.num_batches * self.batch_size * self.block_length

    @property
    def padding_share(self):
        """The share of an epoch's slots that hold no token; 0 to 1."""
        return 1 - self.num_predicted / (self.num_batches * self.batch_size * self.block_length)

    @property
    def num_batches(self):
        """Batches of an epoch: in random order as many as fit into the corpus, at least one."""
        if self.order == "random":
            return max(1, self.num_tokens // (self.batch_size * self.block_length))
        return -(-self._num_blocks // self.batch_size)

    @property
    def _num_blocks(self):
        return -(-(self.num_tokens - 1) // self.block_length)

    def describe(self):
        """Text for people: size, shape and padding."""
        return (
            f"{self.num_tokens:,} tokens, {self.num_batches:,} batches an epoch of "
            f"{self.batch_size} blocks of {self.block_length}, in {self.order} order, "
            f"padding {100 * self.padding_share:.1f} % of all slots"
        )

    def _make_batch(self, epoch, step):
        if self.order == "random":
            rng = np.random.default_rng([self.seed, epoch, step])
            starts = rng.integers(0, self.num_tokens - self.block_length, self.batch_size)
            tokens = self._rows(starts)  # (B, T + 1)
            is_real = np.ones_like(tokens, bool)
        else:
            tokens, is_real = self._following(step)
        x = {"token_ids": np.where(is_real, tokens, 0)[:, :-1]}
        predicted = is_real[:, 1:]
        if self.end_id is not None:
            is_end = tokens == self.end_id
            segments = np.cumsum(is_end, axis=1) - is_end + 1  # an end belongs to what it ends
            x["segment_ids"] = np.where(is_real, segments, 0)[:, :-1].astype("int32")
            predicted = predicted & ~is_end[:, :-1]
        return x, np.where(predicted, tokens[:, 1:], IGNORED)

    def _following(self, step):
        """A batch of blocks one after the other: tokens (B, T + 1), and which of them are real."""
        length = self.block_length
        blocks = step * self.batch_size + np.arange(self.batch_size)
        position = blocks[:, None] * length + np.arange(length + 1)  # (B, T + 1)
        is_real = position < self.num_tokens
        is_real &= (blocks < self._num_blocks)[:, None]  # not the last token by itself
        first, last = position[0, 0], min(position[-1, -1] + 1, self.num_tokens)
        stretch = _checked(self._tokens[first:last])
        return stretch.take(position - first, mode="clip"), is_real

    def _rows(self, starts):
        if isinstance(self._tokens, TokenShards):
            return self._tokens.rows(starts, self.block_length + 1)
        rows = self._tokens[starts[:, None] + np.arange(self.block_length + 1)]
        return _checked(rows)


def _checked(tokens):
    """Stored tokens as int32, into which labels of -100 fit too; larger than it are refused."""
    if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) < 2**31:
        wrong = tokens[(tokens < 0) | (tokens >= 2**31)][0]
        raise ValueError(f"tokens must be 0 to 2**31 - 1; got {wrong}")
    return tokens.astype("int32")
