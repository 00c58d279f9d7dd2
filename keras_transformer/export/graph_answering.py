"""A question answerer as a TensorFlow graph. Imported on export.

B questions, R windows, T tokens of a window, N tokens of all contexts, L tokens of an answer
"""

import tensorflow as tf

from keras_transformer.export.graph_task import Characters, GraphTask, looked_at
from keras_transformer.generation.decoding import check_positive
from keras_transformer.tasks.question_answerer import check_no_answer_threshold
from keras_transformer.text.graph_ragged import owners_of
from keras_transformer.text.graph_strings import clean_strings

STRINGS = [tf.TensorSpec([None], tf.string, name) for name in ("questions", "contexts")]
NONE = -float("inf")


class GraphAnswerer(GraphTask):
    """A `tasks.QuestionAnswerer`.

    Args:
        task, max_length: as in `GraphTask`.
        n_best, no_answer_threshold, max_answer_length, overlap: as in `QuestionAnswerer`.
    """

    def __init__(
        self,
        task,
        max_length=None,
        n_best=5,
        no_answer_threshold=None,
        max_answer_length=30,
        overlap=None,
    ):
        super().__init__(task, max_length)
        check_positive("n_best", n_best)
        check_positive("max_answer_length", max_answer_length)
        check_no_answer_threshold(no_answer_threshold)
        limited = type(task)(task.model, task.tokenizer, self.max_length)
        self._overlap = limited.check_overlap(overlap)
        self._question_length = limited.max_question_length
        self._n_best, self._max_answer_length = int(n_best), int(max_answer_length)
        self._threshold = None if no_answer_threshold is None else float(no_answer_threshold)
        self._longest = min(self._max_answer_length, self.max_length)

    def functions(self):
        return {
            "serving_default": (self.answer, *STRINGS),
            "answer_n_best": (self.answer_n_best, *STRINGS),
            "answer_tokens": (self.logits_of_tokens, *self.token_specs()),
        }

    def settings(self):
        return {
            **super().settings(),
            "n_best": self._n_best,
            "no_answer_threshold": self._threshold,
            "max_answer_length": self._max_answer_length,
            "overlap": self._overlap,
        }

    def answer(self, questions, contexts):
        """The best answer of each context: all (B,)."""
        spans, none = self.spans_and_none(questions, contexts)
        best = spans["scores"][:, 0]
        is_none = tf.math.is_inf(best)
        if self._threshold is not None:
            is_none |= none - best > self._threshold
        return {
            "answers": tf.where(is_none, "", spans["answers"][:, 0]),
            "scores": tf.exp(tf.where(is_none, none, best)),
            "starts": tf.where(is_none, 0, spans["starts"][:, 0]),
            "ends": tf.where(is_none, 0, spans["ends"][:, 0]),
            "no_answer_scores": tf.exp(none),
        }

    def answer_n_best(self, questions, contexts):
        """The n best spans of each context: all (B, n) but `no_answer_scores` (B,)."""
        spans, none = self.spans_and_none(questions, contexts)
        return {**spans, "scores": tf.exp(spans["scores"]), "no_answer_scores": tf.exp(none)}

    def spans_and_none(self, questions, contexts):
        """The n best spans of each context, all (B, n), and log p (B,) of no answer.

        Scores stay log p until they are compared: p itself is 0 below 1e-45 in float32.
        """
        contexts = clean_strings(contexts)
        asked = self.tokenizer.tokenize(questions)[:, : self._question_length]
        ids, starts, ends = self.tokenizer.tokenize_with_offsets(contexts)
        rows = owners_of(tf.cast(ids.row_lengths(), tf.int32))
        characters = Characters(contexts)
        starts, ends, real = characters.trimmed(
            rows, tf.cast(starts.flat_values, tf.int32), tf.cast(ends.flat_values, tf.int32)
        )
        added = self.template.num_added(True)
        sizes = self.max_length - added - tf.cast(asked.row_lengths(), tf.int32)  # (B,)
        inputs = self.apply_template(
            asked,
            ids,
            max_length=self.max_length,
            truncation="only_second",
            overlap=self._overlap,
        )
        log_p = self.log_probabilities(inputs)  # (R, T, 2)

        # the token of the contexts that stands in each column of each window; the last is none
        inside = inputs["source_ids"] == 1  # (R, T)
        begins = tf.cast(tf.gather(ids.row_starts(), inputs["index"]), tf.int32)[:, None]
        flat = tf.where(inside, begins + inputs["places"], tf.size(real))
        inside = tf.gather(tf.concat([real, [False]], axis=0), flat)
        may_start = inside & looked_at(inputs, 1, sizes, self._overlap)
        first = tf.where(may_start, log_p[:, :, 0], NONE)
        last = tf.where(inside, log_p[:, :, 1], NONE)
        scores, i, j = self.best_spans(first, last)  # each (R, n)
        spans = {
            "scores": scores,
            "starts": _of_columns(tf.concat([starts, [0]], axis=0), flat, i),
            "ends": _of_columns(tf.concat([ends, [0]], axis=0), flat, j),
        }
        none = tf.reduce_sum(log_p[:, 0], axis=1)  # (R,)
        return self.by_context(characters, inputs["index"], spans, none)

    def log_probabilities(self, inputs):
        """log p of start and end (R, T, 2) over the context and the first column."""
        logits = self.outputs_in_parts(inputs)
        is_first = tf.range(tf.shape(logits)[1])[None] == 0
        allowed = (inputs["source_ids"] == 1) | is_first
        logits = tf.where(allowed[:, :, None], logits, NONE)
        return logits - tf.reduce_logsumexp(logits, axis=1, keepdims=True)

    def best_spans(self, first, last):
        """The n best of the spans of each window: log p, first and last column, each (R, n)."""
        length = tf.shape(first)[1]
        last = tf.pad(last, [[0, 0], [0, self._longest - 1]], constant_values=NONE)
        reach = tf.range(length)[:, None] + tf.range(self._longest)[None]  # (T, L)
        totals = first[:, :, None] + tf.gather(last, reach, axis=1)  # (R, T, L)
        totals = tf.reshape(totals, [tf.shape(first)[0], length * self._longest])
        missing = tf.maximum(self._n_best - tf.shape(totals)[1], 0)
        totals = tf.pad(totals, [[0, 0], [0, missing]], constant_values=NONE)
        scores, places = tf.math.top_k(totals, self._n_best)
        i = tf.minimum(places // self._longest, length - 1)
        return scores, i, tf.minimum(i + places % self._longest, length - 1)

    def by_context(self, characters, index, spans, none):
        """The n best of all windows of each context: texts and places, and log p of no answer."""
        size = tf.size(characters.row_starts)
        owners = tf.cast(index, tf.int64)

        def side_by_side(x, value):
            x = tf.RaggedTensor.from_value_rowids(x, owners, nrows=tf.cast(size, tf.int64))
            x = x.to_tensor(value)  # (B, windows, n)
            return tf.reshape(x, [size, tf.shape(x)[1] * self._n_best])

        scores = side_by_side(spans["scores"], NONE)
        missing = tf.maximum(self._n_best - tf.shape(scores)[1], 0)  # where there is no context
        scores = tf.pad(scores, [[0, 0], [0, missing]], constant_values=NONE)
        scores, places = tf.math.top_k(scores, self._n_best)
        found = scores > NONE
        starts, ends = (
            tf.where(found, tf.gather(side_by_side(spans[name], 0), places, batch_dims=1), 0)
            for name in ("starts", "ends")
        )
        rows = tf.repeat(tf.range(size), self._n_best)
        texts = characters.substrings(rows, tf.reshape(starts, [-1]), tf.reshape(ends, [-1]))
        best = {
            "answers": tf.reshape(texts, [size, self._n_best]),
            "scores": scores,
            "starts": starts,
            "ends": ends,
        }
        return best, tf.math.segment_min(none, index)


def _of_columns(values, flat, columns):
    """The values of the tokens in columns (R, n), where `flat` (R, T) says which these are."""
    return tf.gather(values, tf.gather(flat, columns, batch_dims=1))
