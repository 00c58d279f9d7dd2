"""Metrics per real target token, exact over batches that hold unequal numbers of them.

Keras's own `loss` in the logs weighs each batch by its rows. These weigh each token once, over
the whole epoch or validation set. B batch, T target length, V vocabulary.
"""

import keras
from keras import ops

from keras_transformer.training.losses import (
    IGNORED_LABEL,
    check_labels,
    token_weights,
    weighted_losses,
)


class _TokenMean(keras.metrics.Metric):
    """Σ w·value / Σ w over every batch seen, 0.0 before the first token."""

    def __init__(self, ignore_index=IGNORED_LABEL, name=None):
        super().__init__(name=name, dtype="float32")
        self.ignore_index = int(ignore_index)
        self.total = self.add_variable(shape=(), initializer="zeros", name="total")
        self.count = self.add_variable(shape=(), initializer="zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = check_labels(y_true, y_pred)
        weights = token_weights(labels, y_pred, sample_weight, self.ignore_index)
        self.total.assign_add(ops.sum(self.weighted_values(labels, y_pred, weights)))
        self.count.assign_add(ops.sum(weights))

    def weighted_values(self, labels, logits, weights):
        """(B, T) float32: each token's value times its weight."""
        raise NotImplementedError

    def result(self):
        return ops.divide_no_nan(self.total.value, self.count.value)

    def get_config(self):
        return {"ignore_index": self.ignore_index, "name": self.name}


@keras.saving.register_keras_serializable(package="keras_transformer")
class TokenCrossEntropyMetric(_TokenMean):
    """Mean cross-entropy per real target token, without label smoothing by default.

    Args:
        label_smoothing: ε as in `TokenCrossEntropy`.
        ignore_index: the label that is not counted.
        name: key in the logs.

    Call `update_state(y_true (B, T), y_pred (B, T, V) logits, sample_weight (B, T) or (B,))`.
    List it under `weighted_metrics` of `compile` where sample weights shall count.

    Returns:
        `result()`: float32 scalar in nats, 0.0 where nothing was counted.

    Example:

    >>> import numpy as np
    >>> metric = TokenCrossEntropyMetric()
    >>> metric.update_state(np.array([[1, 2, -100]]), np.zeros((1, 3, 7), "float32"))
    >>> round(float(metric.result()), 4)   # log 7
    1.9459
    """

    def __init__(self, label_smoothing=0.0, ignore_index=IGNORED_LABEL, name="nll"):
        super().__init__(ignore_index, name)
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing!r}")
        self.label_smoothing = float(label_smoothing)

    def weighted_values(self, labels, logits, weights):
        return weighted_losses(labels, logits, weights, self.label_smoothing)

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable(package="keras_transformer")
class Perplexity(_TokenMean):
    """exp of the mean cross-entropy per real target token.

    Args:
        ignore_index: the label that is not counted.
        name: key in the logs.

    Call `update_state(y_true (B, T), y_pred (B, T, V) logits, sample_weight (B, T) or (B,))`.

    Returns:
        `result()`: float32 scalar, 1.0 where nothing was counted.

    Example:

    >>> import numpy as np
    >>> metric = Perplexity()
    >>> metric.update_state(np.array([[1, 2, -100]]), np.zeros((1, 3, 7), "float32"))
    >>> round(float(metric.result()), 3)
    7.0
    """

    def __init__(self, ignore_index=IGNORED_LABEL, name="perplexity"):
        super().__init__(ignore_index, name)

    def weighted_values(self, labels, logits, weights):
        return weighted_losses(labels, logits, weights)

    def result(self):
        return ops.exp(super().result())


@keras.saving.register_keras_serializable(package="keras_transformer")
class TokenAccuracy(_TokenMean):
    """Share of the real target tokens that have the largest logit (the first, of equal ones).

    Args:
        ignore_index: the label that is not counted.
        name: key in the logs.

    Call `update_state(y_true (B, T), y_pred (B, T, V) logits, sample_weight (B, T) or (B,))`.

    Returns:
        `result()`: float32 scalar in [0, 1], 0.0 where nothing was counted.

    Example:

    >>> import numpy as np
    >>> metric = TokenAccuracy()
    >>> logits = np.eye(3, dtype="float32")[np.newaxis]            # predicts 0, 1, 2
    >>> metric.update_state(np.array([[0, 2, -100]]), logits)
    >>> float(metric.result())
    0.5
    """

    def __init__(self, ignore_index=IGNORED_LABEL, name="accuracy"):
        super().__init__(ignore_index, name)

    def weighted_values(self, labels, logits, weights):
        # argmax written as two plain reductions, which XLA fuses and vectorises.
        size = logits.shape[-1]
        is_largest = ops.equal(logits, ops.max(logits, axis=-1, keepdims=True))  # (B, T, V)
        first = ops.min(ops.where(is_largest, ops.arange(size, dtype="int32"), size), axis=-1)
        return ops.cast(ops.equal(first, labels), "float32") * weights
