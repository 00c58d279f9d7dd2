"""Strings in TensorFlow graphs: made valid, cut at added tokens, counted in characters.

B strings, N parts of all of them
"""

import re

import numpy as np
import tensorflow as tf
import tensorflow_text

from keras_transformer.text.added_tokens import SPACES
from keras_transformer.text.graph_ragged import keep, owners_of

# Which code points are white space; the last stands for all beyond.
IS_SPACE = np.array([re.match(f"[{SPACES}]", chr(code)) is not None for code in range(0x3002)])


def clean_strings(strings):
    """Strings (B,) with U+FFFD for each malformed UTF-8 sequence, as Python's `decode`."""
    return tf.strings.unicode_transcode(
        tf.convert_to_tensor(strings, tf.string),
        "UTF-8",
        "UTF-8",
        errors="replace",
        replacement_char=0xFFFD,
    )


def lookup_table(ids: dict[str, int], default: int):
    """A table of strings to int32 ids."""
    content = tf.lookup.KeyValueTensorInitializer(
        list(ids) or [""], list(ids.values()) or [default], tf.string, tf.int32
    )
    return tf.lookup.StaticHashTable(content, default)


def parts_of(strings, added, table):
    """The strings cut at their added tokens.

    Args:
        strings: (B,) valid UTF-8.
        added: the `AddedTokens`.
        table: the `lookup_table` of their contents.

    Returns:
        The parts, a RaggedTensor (B, None) of strings, where each starts, in bytes (N,) int32, and
        its id, -1 for text (N,) int32.
    """
    if not added.tokens:
        parts = tf.RaggedTensor.from_tensor(strings[:, None])
        zeros = tf.zeros_like(strings, tf.int32)
        return parts, zeros, zeros - 1
    # The split takes NUL for the end of a string; another control character is as wide.
    visible = tf.strings.regex_replace(strings, r"\x00", "\x01")
    pattern = added.pattern
    parts, starts, _ = tensorflow_text.regex_split_with_offsets(visible, pattern, pattern)
    content = tf.strings.regex_replace(
        parts.flat_values, f"^[{added.spaces}]+|[{added.spaces}]+$", ""
    )
    texts = tf.cond(
        tf.reduce_any(visible != strings),
        lambda: cut(strings, tf.strings.length(parts.flat_values)),
        lambda: parts.flat_values,
    )
    starts = tf.cast(starts.flat_values, tf.int32)
    return parts.with_flat_values(texts), starts, table.lookup(content)


def cut(strings, lengths):
    """Strings (B,), one after the other, cut into pieces (N,) of these lengths in bytes.

    Each byte is copied once: `substr` would copy the whole string for each of its pieces.
    """
    in_bytes = tf.strings.bytes_split(strings).flat_values
    return tf.strings.reduce_join(tf.RaggedTensor.from_row_lengths(in_bytes, lengths), axis=-1)


def in_rows(columns, parts):
    """Ragged (N, None) columns side by side, as the rows (B, None) that their parts are of."""
    side_by_side = tf.concat(columns, axis=1)
    return parts.with_flat_values(side_by_side).merge_dims(1, 2)


def optional(values, kept):
    """Values (N,) as rows of one where `kept` (N,), of none elsewhere."""
    return tf.RaggedTensor.from_row_lengths(tf.boolean_mask(values, kept), tf.cast(kept, tf.int64))


def as_ragged(ids):
    """Ids (B, L), dense or ragged, as a RaggedTensor of int32."""
    if not isinstance(ids, tf.RaggedTensor):
        ids = tf.RaggedTensor.from_tensor(tf.convert_to_tensor(ids))
    return tf.cast(ids, tf.int32)


def without_ids(ids, dropped):
    """Ragged ids (B, None) without some, a tuple of int."""
    table = np.zeros(max(dropped, default=0) + 2, bool)  # the last row is for all ids beyond
    table[list(dropped)] = True
    is_dropped = tf.gather(table, tf.minimum(ids.flat_values, len(table) - 1))
    return keep(ids, ~is_dropped)


def to_characters(strings, offsets):
    """Ragged offsets (B, None) in the bytes of strings (B,) as offsets in their characters."""
    codes = tf.strings.unicode_decode(strings, "UTF-8")  # (B, None)
    flat = codes.flat_values
    wide = [tf.cast(flat >= limit, tf.int64) for limit in (0x80, 0x800, 0x10000)]
    ends = tf.cumsum(1 + tf.add_n(wide))
    starts = tf.concat([[tf.constant(0, tf.int64)], ends], axis=0)
    rows = owners_of(offsets.row_lengths())
    first = tf.gather(codes.row_starts(), rows)
    places = tf.gather(starts, first) + tf.cast(offsets.flat_values, tf.int64)
    found = tf.searchsorted(starts, places, out_type=tf.int64) - first
    return offsets.with_flat_values(tf.cast(found, tf.int32))


def without_spaces(strings, starts, ends, whole):
    """The places of pieces without the white space before them, and none of them empty.

    Args:
        strings: (B,) valid UTF-8.
        starts, ends: ragged (B, None) int32, in characters.
        whole: for each flat place whether it stays as it is.

    Returns:
        The new starts and ends.
    """
    codes = tf.strings.unicode_decode(strings, "UTF-8")  # (B, None)
    solid = ~tf.gather(IS_SPACE, tf.minimum(codes.flat_values, len(IS_SPACE) - 1))  # (C,)
    spots = tf.concat([tf.where(solid)[:, 0], [tf.size(solid, tf.int64)]], axis=0)
    before = tf.cumsum(tf.cast(tf.concat([solid, [False]], axis=0), tf.int32), exclusive=True)
    rows = owners_of(starts.row_lengths())
    first = tf.cast(tf.gather(codes.row_starts(), rows), tf.int32)
    lengths = tf.cast(tf.gather(codes.row_lengths(), rows), tf.int32)
    old, end = starts.flat_values, ends.flat_values
    after = tf.cast(tf.gather(spots, tf.gather(before, first + old)), tf.int32) - first
    start = tf.where(whole, old, tf.minimum(after, end))
    end = tf.where(whole, end, tf.minimum(tf.maximum(end, start + 1), lengths))
    return starts.with_flat_values(start), ends.with_flat_values(end)
