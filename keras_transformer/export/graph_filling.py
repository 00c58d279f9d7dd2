"""A filler of masks as a TensorFlow graph. Imported on export.

B texts, T tokens, M masks, V vocabulary
"""

import tensorflow as tf

from keras_transformer.export.graph_task import GraphTask, with_a_column
from keras_transformer.tasks.mask_filler import SPACES
from keras_transformer.text.graph_ragged import joined, owners_of
from keras_transformer.text.graph_strings import clean_strings
from keras_transformer.text.word_piece import CONTINUING

TEXTS = tf.TensorSpec([None], tf.string, "texts")


class GraphFiller(GraphTask):
    """A `tasks.MaskFiller`.

    Args:
        task, max_length: as in `GraphTask`.
        top_k: candidates for each mask.
    """

    def __init__(self, task, max_length=None, top_k=5):
        super().__init__(task, max_length)
        task.check_top_k(top_k)
        self._top_k, self._mask_token = int(top_k), task.mask_token
        self._mask_id = task.tokenizer.mask_id
        ids = range(task.tokenizer.vocab_size)
        self._words = tuple(task.token_text(ids))
        self._joined = tuple(task.joined(ids))
        self._fillings = tuple(
            word.removeprefix(CONTINUING) if joins else word
            for word, joins in zip(self._words, self._joined, strict=True)
        )

    def functions(self):
        return {
            "serving_default": (self.fill, TEXTS),
            "fill_tokens": (self.logits_of_tokens, *self.token_specs()),
        }

    def settings(self):
        return {**super().settings(), "top_k": self._top_k, "mask_token": self._mask_token}

    def fill(self, texts):
        """Strings (B,) to candidates (B, M, k)."""
        texts = clean_strings(texts)
        inputs = self.inputs_of(texts)
        masked = inputs["token_ids"] == self._mask_id  # (B, T)
        masked &= inputs["padding_mask"]
        counts = tf.reduce_sum(tf.cast(masked, tf.int32), axis=1)
        columns = tf.range(tf.shape(masked)[1])[None] + tf.zeros_like(inputs["token_ids"])
        places = tf.ragged.boolean_mask(columns, masked).to_tensor(0)  # (B, M)
        width = tf.shape(places)[1]
        inputs = {name: inputs[name] for name in self._names}
        logits = self._model({**inputs, "mask_positions": with_a_column(places)})
        scores = tf.nn.softmax(logits)[:, :width, : len(self._words)]  # (B, M, V)
        scores, ids = tf.math.top_k(scores, self._top_k)
        real = tf.sequence_mask(counts, width)[:, :, None]
        tokens = tf.where(real, tf.gather(tf.constant(self._words), ids), "")
        return {
            "filled": self.filled(texts, ids[:, :, 0], counts),
            "tokens": tokens,
            "token_ids": tf.where(real, ids, 0),
            "scores": tf.where(real, scores, 0.0),
            "counts": counts,
        }

    def filled(self, texts, best, counts):
        """The texts with the best ids (B, M) in the places of the masks."""
        best = tf.pad(best, [[0, 0], [0, 1]])
        parts = tf.strings.split(texts, sep=self._mask_token)  # ragged (B, None)
        lengths = tf.cast(parts.row_lengths(), tf.int32)
        rows = owners_of(lengths)
        numbers = tf.ragged.range(lengths).flat_values
        limit = tf.gather(counts, rows)
        ids = tf.gather_nd(best, tf.stack([rows, tf.minimum(numbers, limit)], axis=1))
        joins = tf.gather(tf.constant(self._joined), ids) & (numbers < limit)
        words = tf.gather(tf.constant(self._fillings), ids)
        words = tf.where(numbers < limit, words, self._mask_token)
        words = tf.where(numbers == tf.gather(lengths, rows) - 1, "", words)
        texts = parts.flat_values
        texts = tf.where(joins, tf.strings.regex_replace(texts, f"[{SPACES}]+$", ""), texts)
        return joined(parts.with_flat_values(tf.strings.join([texts, words])))
