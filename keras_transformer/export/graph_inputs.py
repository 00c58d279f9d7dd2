"""From token ids to inputs of a model, in a TensorFlow graph: what `text.template` does in Python.

B texts, R windows, N tokens of a text, T tokens of an input
"""

from typing import NamedTuple

import tensorflow as tf

from keras_transformer.text.template import FIRST


class Windows(NamedTuple):
    """Overlapping windows of texts.

    owners: (R,) the text that each is of.
    numbers: (R,) its number among those of its text.
    starts: (R,) the number of its first token in the text.
    tokens: (R, None) ragged, places of its tokens in the texts' flat values.
    counts: (B,) windows of each text.
    """

    owners: tf.Tensor
    numbers: tf.Tensor
    starts: tf.Tensor
    tokens: tf.RaggedTensor
    counts: tf.Tensor


def make_windows(ids, sizes, overlap):
    """The windows of texts.

    Args:
        ids: (B, None) ragged.
        sizes: (B,) tokens of a window of each text.
        overlap: tokens that two neighbours share.
    """
    lengths = tf.cast(ids.row_lengths(), tf.int32)
    steps = sizes - overlap
    counts = tf.where(lengths <= sizes, 1, -(-(lengths - overlap) // steps))
    owners = tf.repeat(tf.range(tf.size(lengths)), counts)
    numbers = tf.ragged.range(counts).flat_values
    starts = numbers * tf.gather(steps, owners)
    ends = tf.minimum(starts + tf.gather(sizes, owners), tf.gather(lengths, owners))
    begins = tf.cast(tf.gather(ids.row_starts(), owners), tf.int32)
    tokens = tf.ragged.range(begins + starts, begins + ends)
    return Windows(owners, numbers, starts, tokens, counts)


def window_of(numbers, counts, sizes, overlap):
    """The window that tokens of these numbers are looked at in; see `tasks.long_texts`."""
    chosen = (numbers - (sizes - overlap // 2)) // (sizes - overlap) + 1
    return tf.clip_by_value(chosen, 0, counts - 1)


def apply_template(parts, first, second=None):
    """Ragged ids of one text, or of two, with their special tokens: ids and segments (R, None)."""
    ids, segments = [], []
    for part, segment in parts:
        if isinstance(part, str):
            own = first if part == FIRST else second
        else:
            own = tf.RaggedTensor.from_tensor(tf.fill([first.nrows(tf.int32), 1], part))
        ids.append(own)
        segments.append(own.with_flat_values(tf.fill(tf.shape(own.flat_values), segment)))
    return tf.concat(ids, axis=1), tf.concat(segments, axis=1)


def column_of(parts, name, first):
    """The column (R,) at which a text begins, in inputs whose first text is `first`."""
    column = tf.zeros([first.nrows(tf.int32)], tf.int32)
    for part, _ in parts:
        if part == name:
            return column
        is_text = isinstance(part, str)
        column += tf.cast(first.row_lengths(), tf.int32) if is_text else 1
    raise ValueError(f"{parts} has no {name}.")


def cut(ids, lengths):
    """The first tokens of each ragged row (B, None), `lengths` (B,) or one number of them."""
    places = tf.ragged.range(tf.cast(ids.row_lengths(), tf.int32))
    lengths = tf.broadcast_to(lengths, [ids.nrows(tf.int32)])
    kept = places.flat_values < tf.gather(lengths, tf.cast(places.value_rowids(), tf.int32))
    return tf.ragged.boolean_mask(ids, ids.with_flat_values(kept))


def longest_first(first, second, room):
    """Two ragged texts cut to `room` tokens together, as `text.template.truncated_lengths` says."""
    sizes = [tf.cast(ids.row_lengths(), tf.int32) for ids in (first, second)]
    short, long = tf.minimum(*sizes), tf.maximum(*sizes)
    fits = short + long <= room
    cut_long = tf.where(short > room, short, tf.maximum(short, room - short))
    both = short + cut_long > room
    kept_short = tf.where(both, room // 2, short)
    kept_long = tf.where(both, room // 2 + room % 2, cut_long)
    first_is_short = sizes[0] <= sizes[1]
    kept = (
        tf.where(first_is_short, kept_short, kept_long),
        tf.where(first_is_short, kept_long, kept_short),
    )
    kept = [tf.where(fits, size, limit) for size, limit in zip(sizes, kept, strict=True)]
    return cut(first, kept[0]), cut(second, kept[1])


def dense(ids, segments, pad_id):
    """Ragged ids and segments as what a model takes: each (R, T), T at least 1."""
    lengths = tf.cast(ids.row_lengths(), tf.int32)
    tokens = with_a_column(ids.to_tensor(max(pad_id, 0)), max(pad_id, 0))
    return {
        "token_ids": tokens,
        "padding_mask": tf.sequence_mask(lengths, tf.shape(tokens)[1]),
        "segment_ids": with_a_column(segments.to_tensor(0), 0),
    }


def with_a_column(x, value):
    """A matrix, with one column of `value` where it has none."""
    missing = tf.maximum(1 - tf.shape(x)[1], 0)
    return tf.pad(x, [[0, 0], [0, missing]], constant_values=value)
