"""The merges of BPE in a TensorFlow graph: many words at once.

W words, S symbols of all words side by side
"""

import numpy as np
import tensorflow as tf

from keras_transformer.text.graph_ragged import owners_of

IDS = 2**24  # a pair of numbers is packed as first · IDS + second
NO_MERGE = 2**62


class Merges(tf.Module):
    """Spells words with the symbols of a BPE.

    The order is that of one merge after the other, the lowest rank first and of one rank the
    leftmost. Merges come in rounds, though, each of all those that nothing can come before: the
    lowest rank of a word, at all places; and one whose neighbouring gaps close later. For the
    rank at which a gap between two symbols closes there is a bound, no less than the first merge
    that has the one symbol, or its last byte, at the end of its left part, and the other at the
    beginning of its right. Where there is no such merge, the gap stays, and is the end of a word.
    So rounds are few even in long words.

    All this needs that no merge makes a symbol that takes part in a merge of a lower rank, as is
    true of vocabularies that were trained; others are refused.

    Args:
        byte_ids: the symbol of each byte, (256,).
        merges: `(left, right, new)` symbols in the order of ranks.

    Raises:
        ValueError: a merge has a lower rank than one that makes its parts.
    """

    def __init__(self, byte_ids, merges):
        super().__init__(name="merges")
        values = {(left, right): (rank, new) for rank, (left, right, new) in enumerate(merges)}
        _check_order(values)
        self._byte_ids = tf.constant(byte_ids, tf.int64)
        # No pair is packed as -1; a table must not be empty.
        self._values = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant([-1, *(left * IDS + right for left, right in values)], tf.int64),
                tf.constant([-1, *(rank * IDS + new for rank, new in values.values())], tf.int64),
            ),
            NO_MERGE,
        )
        bounds = _bounds(byte_ids, merges)
        self._first_byte, self._last_byte, self._after, self._before, self._between = (
            tf.constant(array, tf.int64) for array in bounds
        )

    def __call__(self, words):
        """The symbols (S,) of words (W,), and how many each word has (W,); none may be empty."""
        text = tf.strings.reduce_join(words)
        symbols = tf.gather(self._byte_ids, tf.cast(tf.io.decode_raw(text, tf.uint8), tf.int32))
        owners = owners_of(tf.strings.length(words))
        flat = tf.TensorShape([None])
        _, symbols, owners = tf.while_loop(
            lambda more, symbols, owners: more,
            lambda more, symbols, owners: self._round(symbols, owners),
            (tf.size(symbols) > 0, symbols, owners),
            (tf.TensorShape([]), flat, flat),
        )
        return symbols, tf.math.bincount(owners, minlength=tf.size(words))

    def _round(self, symbols, owners):
        left, right = symbols[:-1], symbols[1:]
        bytes_between = tf.gather(self._last_byte, left) * 256 + tf.gather(self._first_byte, right)
        bounds = tf.maximum(
            tf.gather(self._between, bytes_between),
            tf.maximum(tf.gather(self._after, left), tf.gather(self._before, right)),
        )
        within = owners[:-1] == owners[1:]
        values = _with_end(tf.where(within, self._values.lookup(left * IDS + right), NO_MERGE))
        bounds = _with_end(tf.where(within, bounds, NO_MERGE))  # (S,) of the gap behind a symbol
        open_words = tf.cumsum(tf.cast(bounds == NO_MERGE, tf.int32), exclusive=True)
        lowest = tf.gather(tf.math.segment_min(values, open_words), open_words)
        bounds_before = tf.concat([[NO_MERGE], bounds[:-1]], axis=0)
        bounds_behind = _with_end(bounds[1:])
        chosen = (values == lowest) | ((values < bounds_before) & (values < bounds_behind))
        chosen &= values != NO_MERGE
        chosen &= _even_places(chosen)
        symbols = tf.where(chosen, values % IDS, symbols)
        kept = tf.concat([[True], ~chosen[:-1]], axis=0)
        more = tf.reduce_any(chosen)
        return more, tf.boolean_mask(symbols, kept), tf.boolean_mask(owners, kept)


def _with_end(values):
    return tf.concat([values, [NO_MERGE]], axis=0)


def _even_places(chosen):
    """Whether a place is the first, third, ... of its run: of `a a a`, the first two merge."""
    begins = chosen & ~tf.concat([[False], chosen[:-1]], axis=0)
    run = tf.cumsum(tf.cast(begins, tf.int32))
    index = tf.range(tf.size(chosen))
    start = tf.concat([[0], tf.cast(tf.where(begins)[:, 0], tf.int32)], axis=0)
    return (index - tf.gather(start, run)) % 2 == 0


def _check_order(values):
    made = {}
    for rank, new in values.values():
        made[new] = max(rank, made.get(new, -1))
    for (left, right), (rank, _) in values.items():
        if max(made.get(left, -1), made.get(right, -1)) >= rank:
            raise ValueError(
                f"A graph twin needs merges in the order of training: merge {rank}, of ids {left} "
                f"and {right}, comes before one that makes them."
            )


def _bounds(byte_ids, merges):
    """What bounds the ranks at which gaps close: see `Merges`.

    Returns:
        The first and the last byte of each symbol; the lowest packed rank at which a symbol's
        right gap closes, and its left; the same for a gap between two bytes, (256 * 256,).
    """
    size = 1 + max([*byte_ids, *(new for _, _, new in merges)])
    first, last = np.zeros(size, np.int64), np.zeros(size, np.int64)
    first[byte_ids] = last[byte_ids] = np.arange(256)
    after, before = np.full(size, NO_MERGE), np.full(size, NO_MERGE)
    between = np.full(256 * 256, NO_MERGE)
    for rank, (left, right, new) in enumerate(merges):
        first[new], last[new] = first[left], last[right]
        bytes_between = last[left] * 256 + first[right]
        between[bytes_between] = min(between[bytes_between], rank * IDS)
    # A symbol's right gap is also that of the symbols which end in it.
    for rank, (left, right, new) in reversed(list(enumerate(merges))):
        after[left] = min(after[left], rank * IDS)
        before[right] = min(before[right], rank * IDS)
        after[right] = min(after[right], after[new])
        before[left] = min(before[left], before[new])
    return first, last, after, before, between
