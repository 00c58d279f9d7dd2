"""A text classifier, and an embedder, as TensorFlow graphs. Imported on export.

B texts, C classes, D width
"""

import tensorflow as tf

from keras_transformer.export.graph_task import GraphTask
from keras_transformer.tasks.text_classifier import check_threshold

TEXTS = tf.TensorSpec([None], tf.string, "texts")
PAIRS = tf.TensorSpec([None], tf.string, "pairs")


class GraphClassifier(GraphTask):
    """A `tasks.TextClassifier`.

    Args:
        task, max_length: as in `GraphTask`.
        threshold: of a multi-label model, as in `TextClassifier`.
    """

    def __init__(self, task, max_length=None, threshold=0.5):
        super().__init__(task, max_length)
        check_threshold(threshold)
        self._labels, self._problem = task.labels, task.model.problem
        self._threshold = float(threshold)

    def functions(self):
        found = {
            "serving_default": (self.classify, TEXTS),
            "classify_tokens": (self.logits_of_tokens, *self.token_specs()),
        }
        if self.max_length >= self.template.num_added(True) + 2:
            found["classify_pairs"] = (self.classify_pairs, TEXTS, PAIRS)
        return found

    def settings(self):
        threshold = {"threshold": self._threshold} if self._problem == "multi_label" else {}
        return {**super().settings(), "labels": list(self._labels), **threshold}

    def classify(self, texts):
        """Strings (B,) to labels."""
        return self.answers(self.outputs(self.inputs_of(texts)))

    def classify_pairs(self, texts, pairs):
        """Pairs of strings (B,) to labels."""
        ids = self.tokenizer.tokenize(texts), self.tokenizer.tokenize(pairs)
        inputs = self.apply_template(*ids, max_length=self.max_length)
        return self.answers(self.outputs(inputs))

    def answers(self, logits):
        """Logits (B, C) as the outputs of the signature."""
        rows = tf.shape(logits)[0]
        labels = tf.constant(self._labels)
        found = {"labels": tf.tile(labels[None], [rows, 1])}
        if self._problem == "regression":
            return {**found, "scores": logits}
        if self._problem == "multi_label":
            scores = tf.sigmoid(logits)
            return {**found, "scores": scores, "chosen": scores >= self._threshold}
        scores = tf.nn.softmax(logits)
        best = tf.argmax(scores, axis=1)
        return {
            **found,
            "scores": scores,
            "label": tf.gather(labels, best),
            "score": tf.reduce_max(scores, axis=1),
        }


class GraphEmbedder(GraphTask):
    """A `tasks.TextEmbedder`."""

    def functions(self):
        return {
            "serving_default": (self.embed, TEXTS),
            "embed_tokens": (self.embed_tokens, *self.token_specs()),
        }

    def embed(self, texts):
        """Strings (B,) to vectors (B, D)."""
        return {"embeddings": self.outputs(self.inputs_of(texts))}

    def embed_tokens(self, *arguments):
        """Token ids (B, T) to vectors (B, D)."""
        return {"embeddings": self.outputs(self.checked_tokens(*arguments))}
