"""Texts, or pairs of texts, to labels.

B texts, C classes
"""

from dataclasses import dataclass

import numpy as np

from keras_transformer.models import SequenceClassifier
from keras_transformer.tasks.task import (
    Task,
    check_number,
    class_names,
    list_of_strings,
    two_lists,
)


@dataclass(frozen=True)
class Classification:
    """The label of a text.

    Args:
        label: the most probable class.
        score: its probability.
        scores: the probability of each class, in the model's order.

    Example:

    >>> print(Classification("good", 0.75, {"bad": 0.25, "good": 0.75}))
    good (0.750)
    """

    label: str
    score: float
    scores: dict[str, float]

    def __str__(self):
        return f"{self.label} ({self.score:.3f})"

    def to_dict(self) -> dict:
        """`label`, `score` and `scores`."""
        return {"label": self.label, "score": self.score, "scores": dict(self.scores)}


@dataclass(frozen=True)
class LabelSet:
    """The labels of a text that may have several, or none.

    Args:
        labels: the classes whose probability reaches the threshold, the most probable first.
        scores: the probability of each class, in the model's order.

    Example:

    >>> print(LabelSet(("news",), {"news": 0.75, "sports": 0.125}))
    news (0.750)
    """

    labels: tuple[str, ...]
    scores: dict[str, float]

    def __str__(self):
        return ", ".join(f"{label} ({self.scores[label]:.3f})" for label in self.labels)

    def to_dict(self) -> dict:
        """`labels` and `scores`."""
        return {"labels": list(self.labels), "scores": dict(self.scores)}


@dataclass(frozen=True)
class Regression:
    """What a text was rated.

    Args:
        scores: the value of each target, in the model's order.

    Example:

    >>> rating = Regression({"similarity": 3.5})
    >>> print(rating, rating.value)
    similarity 3.500 3.5
    """

    scores: dict[str, float]

    @property
    def value(self) -> float:
        """The value of the first target, which most models have alone."""
        return next(iter(self.scores.values()))

    def __str__(self):
        return ", ".join(f"{name} {value:.3f}" for name, value in self.scores.items())

    def to_dict(self) -> dict:
        """`value` and `scores`."""
        return {"value": self.value, "scores": dict(self.scores)}


class TextClassifier(Task):
    """Labels strings, or pairs of strings, with a `SequenceClassifier` and its tokenizer.

    Args:
        model: a `models.SequenceClassifier`; its `labels` are the names of the classes.
        tokenizer: the `text.Tokenizer` it was trained with.
        max_length: tokens of an input at most; by default the model's and the tokenizer's.

    Call:
        texts: a string, or a list of them.
        pairs: the second text of each, for models of pairs, or None.
        threshold: the probability from which on a class of a multi-label model counts.
        batch_size: texts that the model is given together; they are sorted by length first.
        truncate: cut texts that are too long, of a pair the longer one first, and warn with their
            number, in place of an error.
        progress: whether to show a progress bar; by default on a terminal, for long work.

    Returns:
        For a string a `Classification`, a `LabelSet` where the model's `problem` is "multi_label",
        or a `Regression`; for a list a list of them in the order of the texts.

    Raises:
        TypeError: `texts` or `pairs`, or an item of them, is no string.
        ValueError: a text is too long, or an argument is out of its range.

    Example:

    >>> from keras_transformer import models, tasks, text
    >>> tokenizer = text.SentencePieceTokenizer.train([["a good film", "a bad film"]], 22)
    >>> config = models.EncoderConfig(
    ...     vocab_size=22, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> model = models.SequenceClassifier(config, num_classes=2, labels=["bad", "good"])
    >>> classifier = tasks.TextClassifier(model, tokenizer)     # untrained
    >>> sorted(classifier("a good film").scores)
    ['bad', 'good']
    >>> classifier([])
    []
    """

    model_class = SequenceClassifier

    def __init__(self, model, tokenizer, max_length=None):
        super().__init__(model, tokenizer, max_length)
        self.labels = class_names(model)

    def __call__(
        self, texts, pairs=None, *, threshold=0.5, batch_size=32, truncate=False, progress=None
    ):
        single = isinstance(texts, str)
        check_threshold(threshold)
        if pairs is not None:
            lines, pairs = two_lists(texts, pairs, ("texts", "pairs"))
        else:
            lines = [texts] if single else list_of_strings(texts)
        encodings = self.encode(lines, pairs, truncate)
        logits = self.forward(encodings, batch_size, progress)
        answers = [self._answer(row, threshold) for row in logits]
        return answers[0] if single else answers

    def _answer(self, logits, threshold):
        values = probabilities(logits, self.model.problem)
        scores = dict(zip(self.labels, values.tolist(), strict=True))
        if self.model.problem == "regression":
            return Regression(scores)
        order = np.argsort(-values, kind="stable")
        if self.model.problem == "multi_label":
            kept = [self.labels[i] for i in order if values[i] >= threshold]
            return LabelSet(tuple(kept), scores)
        best = self.labels[order[0]]
        return Classification(best, scores[best], scores)


def check_threshold(threshold):
    """Refuses what is no probability."""
    check_number("threshold", threshold)
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be from 0 to 1, got {threshold}.")


def probabilities(logits, problem):
    """The logits (C,) as what they say: probabilities, or the values of a regression."""
    if problem == "regression":
        return logits
    if problem == "multi_label":
        return np.float32(1) / (1 + np.exp(-logits))
    return softmax(logits)


def softmax(logits):
    """Probabilities of logits over their last axis."""
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)
