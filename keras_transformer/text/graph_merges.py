"""The merges of BPE in a TensorFlow graph: many words at once.

W words, S symbols of all words side by side
"""

import tensorflow as tf

IDS = 2**24  # a pair of numbers is packed as first · IDS + second
NO_MERGE = 2**62


class Merges(tf.Module):
    """Spells words with the symbols of a BPE.

    In each round every word does its merge of the lowest rank, at all places where it occurs. That
    is the order of one merge after the other as long as no merge makes a symbol that takes part
    in a merge of a lower rank, as vocabularies that were trained are; others are refused.

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
        self._values = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant([left * IDS + right for left, right in values], tf.int64),
                tf.constant([rank * IDS + new for rank, new in values.values()], tf.int64),
            ),
            NO_MERGE,
        )

    def __call__(self, words):
        """The symbols (S,) of words (W,), and how many each word has (W,); none may be empty."""
        text = tf.strings.reduce_join(words)
        symbols = tf.gather(self._byte_ids, tf.cast(tf.io.decode_raw(text, tf.uint8), tf.int32))
        lengths = tf.strings.length(words)
        owners = tf.repeat(tf.range(tf.size(words)), lengths)
        flat = tf.TensorShape([None])
        _, symbols, owners = tf.while_loop(
            lambda more, symbols, owners: more,
            lambda more, symbols, owners: self._round(symbols, owners),
            (tf.size(symbols) > 0, symbols, owners),
            (tf.TensorShape([]), flat, flat),
        )
        return symbols, tf.math.bincount(owners, minlength=tf.size(words))

    def _round(self, symbols, owners):
        neighbours = owners[:-1] == owners[1:]
        values = self._values.lookup(symbols[:-1] * IDS + symbols[1:])
        values = tf.where(neighbours, values, NO_MERGE)
        values = tf.concat([values, [NO_MERGE]], axis=0)
        lowest = tf.gather(tf.math.segment_min(values, owners), owners)
        chosen = (values == lowest) & (values != NO_MERGE)
        chosen &= _even_places(chosen)
        symbols = tf.where(chosen, values % IDS, symbols)
        kept = tf.concat([[True], ~chosen[:-1]], axis=0)
        more = tf.reduce_any(chosen)
        return more, tf.boolean_mask(symbols, kept), tf.boolean_mask(owners, kept)


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
