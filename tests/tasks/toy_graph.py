"""The toy tokenizer as TensorFlow operations."""

import tensorflow as tf
import tensorflow_text

PIECE = r"\[MASK\]|[\x{4e00}-\x{9fff}]|[\p{L}\p{N}_]{1,3}|[^\p{L}\p{N}_\s]"


class GraphToyTokenizer(tf.Module):
    def __init__(self, tokenizer):
        super().__init__()
        keys = self._vocab = tf.constant(tokenizer.vocab)
        self._special_ids = tokenizer.special_ids
        values = tf.range(len(tokenizer.vocab))
        self._table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(keys, values), tokenizer.unk_id
        )

    def tokenize(self, strings):
        return self.tokenize_with_offsets(strings)[0]

    def tokenize_with_offsets(self, strings):
        strings = tf.strings.unicode_transcode(strings, "UTF-8", "UTF-8", errors="replace")
        # Every piece and what is between them; what is a piece is known by matching whole.
        parts, starts, ends = tensorflow_text.regex_split_with_offsets(
            strings, PIECE + r"|\s+", PIECE
        )
        kept = tf.strings.regex_full_match(parts.flat_values, PIECE)
        rows = parts.value_rowids()

        def characters(offsets):
            before = tf.strings.substr(
                tf.gather(strings, rows), tf.zeros_like(offsets.flat_values), offsets.flat_values
            )
            return offsets.with_flat_values(tf.strings.length(before, unit="UTF8_CHAR"))

        ids = parts.with_flat_values(self._table.lookup(parts.flat_values))
        mask = parts.with_flat_values(kept)
        found = (ids, characters(starts), characters(ends))
        return tuple(tf.ragged.boolean_mask(x, mask) for x in found)

    def detokenize(self, ids):
        special = tf.reduce_any(ids.flat_values[:, None] == tf.constant(self._special_ids), axis=1)
        ids = tf.ragged.boolean_mask(ids, ids.with_flat_values(tf.logical_not(special)))
        return tf.strings.reduce_join(tf.gather(self._vocab, ids), axis=1, separator=" ")
