"""Ragged tensors in linear memory: TensorFlow's own ways pad all rows to the longest one.

N rows
"""

import tensorflow as tf


def owners_of(lengths):
    """For lengths (N,) of rows side by side, which row each element is of: in their dtype.

    The same as `tf.repeat(tf.range(N), lengths)` and `RaggedTensor.value_rowids`, which take memory
    for N times the longest: one long string in a large batch would fill it.
    """
    ends = tf.cumsum(lengths)
    total = tf.reduce_sum(lengths)
    return tf.cumsum(tf.math.unsorted_segment_sum(tf.ones_like(ends), ends, total + 1))[:total]


def repeated(values, counts):
    """Values (N,), each as often as its count (N,) says: `tf.repeat`."""
    return tf.gather(values, owners_of(counts))


def row_sums(ragged):
    """The sum of each row of a RaggedTensor (N, None): (N,)."""
    owners = owners_of(ragged.row_lengths())
    return tf.math.unsorted_segment_sum(ragged.flat_values, owners, ragged.nrows())


def joined(ragged):
    """The strings of each row of a RaggedTensor (N, None) as one: (N,)."""
    owners = owners_of(ragged.row_lengths())
    return tf.strings.unsorted_segment_join(ragged.flat_values, owners, ragged.nrows())


def keep(ragged, kept):
    """The elements of a RaggedTensor (N, None) for which `kept` (elements,) is true."""
    owners = owners_of(ragged.row_lengths())
    lengths = tf.math.unsorted_segment_sum(tf.cast(kept, tf.int64), owners, ragged.nrows())
    return tf.RaggedTensor.from_row_lengths(tf.boolean_mask(ragged.flat_values, kept), lengths)
