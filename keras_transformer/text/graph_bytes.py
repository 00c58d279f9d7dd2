"""Bytes and characters in TensorFlow graphs. Imported by `graph_twin()` alone: needs TensorFlow.

B strings, N parts of all of them, C characters, V ids
"""

import numpy as np
import tensorflow as tf

from keras_transformer.text.byte_tokenizer import NUM_BYTES, OFFSET
from keras_transformer.text.characters import UNKNOWN
from keras_transformer.text.graph_ragged import joined, owners_of, repeated, row_sums
from keras_transformer.text.graph_strings import (
    as_ragged,
    clean_strings,
    in_rows,
    lookup_table,
    optional,
    parts_of,
    without_ids,
)

LIMITS = (0x80, 0x800, 0x10000)  # from which on a character has one byte more
LEADS = (0, 0, 0xC0, 0xE0, 0xF0)  # of the first byte, by the number of them


class GraphByteTokenizer(tf.Module):
    """A `ByteTokenizer` as TensorFlow operations.

    Args:
        tokenizer: the `ByteTokenizer`.

    Example:

    >>> from keras_transformer import text
    >>> twin = text.ByteTokenizer().graph_twin()
    >>> twin.detokenize(twin.tokenize(["a dog"])).numpy()
    array([b'a dog'], dtype=object)
    """

    def __init__(self, tokenizer):
        super().__init__(name="tokenizer")
        self._added, self._special_ids = tokenizer.added_tokens, tokenizer.special_ids
        self._contents = lookup_table(self._added.ids, -1)

    def tokenize(self, strings):
        """Strings (B,) to a RaggedTensor (B, None) of int32 ids, without eos."""
        return self.tokenize_with_offsets(strings)[0]

    def tokenize_with_offsets(self, strings):
        """Strings (B,) to ids, starts and ends in characters, each a RaggedTensor (B, None)."""
        parts, _, ids = parts_of(clean_strings(strings), self._added, self._contents)
        lengths = parts.with_flat_values(tf.strings.length(parts.flat_values, unit="UTF8_CHAR"))
        ends = tf.cumsum(lengths.flat_values)  # in the characters of all strings
        starts = ends - lengths.flat_values
        first = tf.gather(starts, tf.gather(parts.row_starts(), owners_of(parts.row_lengths())))
        starts, ends = starts - first, ends - first
        found, places = _bytes(tf.where(ids >= 0, "", parts.flat_values))
        places += tf.gather(starts, owners_of(found.row_lengths()))
        places = found.with_flat_values(places)
        columns = ((ids, found + OFFSET), (starts, places), (ends, places + 1))
        return tuple(in_rows([optional(one, ids >= 0), many], parts) for one, many in columns)

    def detokenize(self, ids):
        """Ids (B, L), dense or ragged, to strings (B,); what is no UTF-8 is left out."""
        ids = without_ids(as_ragged(ids), self._special_ids)
        spelled = tf.constant([bytes([byte]) for byte in range(NUM_BYTES)])
        spelled = ids.with_flat_values(tf.gather(spelled, ids.flat_values - OFFSET))
        texts = joined(spelled)
        return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="ignore")


class GraphCharacterTokenizer(tf.Module):
    """A `CharacterTokenizer` as TensorFlow operations.

    Args:
        tokenizer: the `CharacterTokenizer`.

    Example:

    >>> from keras_transformer import text
    >>> twin = text.CharacterTokenizer("ado g").graph_twin()
    >>> twin.detokenize(twin.tokenize(["a dog"])).numpy()
    array([b'a dog'], dtype=object)
    """

    def __init__(self, tokenizer):
        super().__init__(name="tokenizer")
        self._special_ids = tokenizer.special_ids
        codes = np.array([ord(c) for c in tokenizer.characters], np.int32)
        first = tokenizer.vocab_size - len(codes)
        self._codes = np.concatenate([np.full(first, ord(UNKNOWN), np.int32), codes])  # (V,)
        # The last row is for all characters beyond.
        self._ids = np.full(codes.max(initial=0) + 2, tokenizer.unk_id, np.int32)
        self._ids[codes] = np.arange(first, tokenizer.vocab_size)

    def tokenize(self, strings):
        """Strings (B,) to a RaggedTensor (B, None) of int32 ids."""
        codes = tf.strings.unicode_decode(clean_strings(strings), "UTF-8")
        known = tf.minimum(codes.flat_values, len(self._ids) - 1)
        return codes.with_flat_values(tf.gather(self._ids, known))

    def tokenize_with_offsets(self, strings):
        """Strings (B,) to ids, starts and ends in characters, each a RaggedTensor (B, None)."""
        ids = self.tokenize(strings)
        places = tf.ragged.range(tf.cast(ids.row_lengths(), tf.int32)).flat_values
        return ids, ids.with_flat_values(places), ids.with_flat_values(places + 1)

    def detokenize(self, ids):
        """Ids (B, L), dense or ragged, to strings (B,); special ids are dropped."""
        ids = without_ids(as_ragged(ids), self._special_ids)
        codes = ids.with_flat_values(tf.gather(self._codes, ids.flat_values))
        return tf.strings.unicode_encode(codes, "UTF-8")


def _bytes(strings):
    """The bytes of valid strings (N,): ragged (N, None) int32, and the character of each, flat."""
    codes = tf.strings.unicode_decode(strings, "UTF-8")
    flat = codes.flat_values  # (C,)
    widths = 1 + tf.add_n([tf.cast(flat >= limit, tf.int32) for limit in LIMITS])
    number = tf.ragged.range(widths).flat_values  # of each byte in its character
    width, code = repeated(widths, widths), repeated(flat, widths)
    rest = tf.bitwise.right_shift(code, 6 * (width - 1 - number))
    first, later = tf.gather(LEADS, width) + rest, 0x80 + tf.bitwise.bitwise_and(rest, 0x3F)
    lengths = row_sums(codes.with_flat_values(widths))
    values = tf.where(number == 0, first, later)
    places = tf.ragged.range(tf.cast(codes.row_lengths(), tf.int32)).flat_values
    found = tf.RaggedTensor.from_row_lengths(values, tf.cast(lengths, tf.int64))
    return found, repeated(places, widths)
