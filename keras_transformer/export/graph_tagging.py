"""An entity tagger as a TensorFlow graph. Imported on export.

B texts, R windows, T tokens of a window, N tokens of all texts, W words, E entities of a text
"""

import tensorflow as tf

from keras_transformer.export.graph_task import Characters, GraphTask, looked_at
from keras_transformer.tasks.entity_tagger import BEGIN, INSIDE, OUTSIDE
from keras_transformer.text.graph_ragged import owners_of
from keras_transformer.text.graph_strings import clean_strings

TEXTS = tf.TensorSpec([None], tf.string, "texts")


class GraphTagger(GraphTask):
    """A `tasks.EntityTagger`.

    Args:
        task, max_length: as in `GraphTask`.
        overlap: tokens that two windows share, as in `EntityTagger`.
    """

    def __init__(self, task, max_length=None, overlap=None):
        super().__init__(task, max_length)
        limited = type(task)(task.model, task.tokenizer, self.max_length)
        self._overlap = limited.check_overlap(overlap)
        self._labels = task.labels
        kinds = sorted({kind for _, kind in task.tags})
        self._kinds = tuple(kinds)
        self._kind_of = tuple(kinds.index(kind) for _, kind in task.tags)
        self._prefix_of = tuple(prefix for prefix, _ in task.tags)

    def functions(self):
        return {
            "serving_default": (self.tag, TEXTS),
            "tag_tokens": (self.logits_of_tokens, *self.token_specs()),
        }

    def settings(self):
        return {**super().settings(), "labels": list(self._labels), "overlap": self._overlap}

    def tag(self, texts):
        """Strings (B,) to entities (B, E)."""
        texts = clean_strings(texts)
        characters = Characters(texts)
        rows, starts, ends, probabilities = self.words(texts, characters)
        scores = tf.reduce_max(probabilities, axis=1)  # (W,)
        labels = tf.argmax(probabilities, axis=1, output_type=tf.int32)
        kinds = tf.gather(tf.constant(self._kind_of), labels)
        inside, begins = self.borders(rows, labels, kinds)
        number = tf.cumsum(tf.cast(begins, tf.int32)) - 1  # of the entity, where inside
        kept = tf.where(inside)[:, 0]
        first = tf.where(begins)[:, 0]
        rows, starts, kinds = (tf.gather(x, first) for x in (rows, starts, kinds))
        number = tf.gather(number, kept)
        scores = tf.math.segment_mean(tf.gather(scores, kept), number)
        ends = tf.math.segment_max(tf.gather(ends, kept), number)
        entities = {
            "types": tf.gather(tf.constant(self._kinds), kinds),
            "texts": characters.substrings(rows, starts, ends),
            "scores": scores,
            "starts": starts,
            "ends": ends,
        }
        size = tf.size(texts)
        by_text = {
            name: tf.RaggedTensor.from_value_rowids(x, tf.cast(rows, tf.int64), nrows=tf.cast(
                size, tf.int64)).to_tensor()
            for name, x in entities.items()
        }  # fmt: skip
        counts = tf.math.bincount(rows, minlength=size, maxlength=size, dtype=tf.int32)
        return {**by_text, "counts": counts}

    def borders(self, rows, labels, kinds):
        """Whether each word is inside an entity, and whether one begins with it: each (W,)."""
        prefixes = tf.gather(tf.constant(self._prefix_of), labels)
        inside = prefixes != OUTSIDE
        same_text = _shifted(rows, -1) == rows
        before = _shifted(prefixes, OUTSIDE)
        goes_on = (before == BEGIN) | (before == INSIDE)
        goes_on &= (prefixes != BEGIN) & (prefixes != "S")
        goes_on &= same_text & (_shifted(kinds, -1) == kinds)
        return inside, inside & tf.logical_not(goes_on)

    def words(self, texts, characters):
        """The words of all texts: their text (W,), start, end, and probabilities (W, C)."""
        ids, starts, ends = self.tokenizer.tokenize_with_offsets(texts)
        rows = owners_of(tf.cast(ids.row_lengths(), tf.int32))  # (N,)
        starts, ends, real = characters.trimmed(
            rows, tf.cast(starts.flat_values, tf.int32), tf.cast(ends.flat_values, tf.int32)
        )
        probabilities = self.token_probabilities(ids)  # (N, C)
        real = tf.where(real)[:, 0]
        rows, starts, ends = (tf.gather(x, real) for x in (rows, starts, ends))
        same_text = _shifted(rows, -1) == rows
        overlaps = starts < _shifted(ends, 0)
        goes_on = same_text & (overlaps | characters.go_on(rows, starts))
        first = tf.where(tf.logical_not(goes_on))[:, 0]
        number = tf.cumsum(tf.cast(tf.logical_not(goes_on), tf.int32)) - 1
        # the end of the word's last token
        ends = tf.gather(ends, tf.math.segment_max(tf.range(tf.size(number)), number))
        probabilities = tf.gather(probabilities, tf.gather(real, first))
        return tf.gather(rows, first), tf.gather(starts, first), ends, probabilities

    def token_probabilities(self, ids):
        """The probabilities (N, C) of all tokens (B, None), each from its window."""
        inputs = self.apply_template(
            ids, max_length=self.max_length, truncation="only_first", overlap=self._overlap
        )
        logits = self.outputs_in_parts(inputs)  # (R, T, C)
        size = self.max_length - self.template.num_added()
        own = looked_at(inputs, 0, tf.fill([ids.nrows(tf.int32)], size), self._overlap)
        return tf.nn.softmax(tf.boolean_mask(logits, own))  # in the order of the tokens


def _shifted(x, first):
    """Each element's predecessor, and `first` for the first one."""
    return tf.concat([tf.constant([first], x.dtype), x], axis=0)[:-1]
