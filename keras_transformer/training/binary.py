"""Loss and accuracy of a yes or no for each token.

B batch, T length
"""

import keras
from keras import ops

from keras_transformer.layers.masks import implicit_mask, propagate
from keras_transformer.training.losses import TokenCrossEntropy
from keras_transformer.training.metrics import TokenAccuracy


@keras.saving.register_keras_serializable(package="keras_transformer")
class TokenBinaryCrossEntropy(TokenCrossEntropy):
    """Binary cross-entropy per real token.

        loss = Σ w·(log(1 + exp(z)) - label·z) / Σ w

    with w as in `TokenCrossEntropy`, whose arguments it takes.

    Call:
        y_true: (B, T) integers, 0 or 1, or `ignore_index`. Any other value gives NaN.
        y_pred: (B, T) logits z of any float dtype.
        sample_weight: (B, T) or (B,) or None.

    Returns:
        float32 scalar.

    Example:

    >>> import numpy as np
    >>> loss = TokenBinaryCrossEntropy()
    >>> round(float(loss(np.array([[1, 0, -100]]), np.zeros((1, 3), "float32"))), 4)   # log 2
    0.6931

    Reference:
        Clark et al. 2020, "ELECTRA", section 2.
    """

    def __init__(self, *args, name="token_binary_cross_entropy", **kwargs):
        super().__init__(*args, name=name, **kwargs)

    def call(self, y_true, y_pred, sample_weight=None):
        return super().call(y_true, no_and_yes(y_pred), sample_weight)


@keras.saving.register_keras_serializable(package="keras_transformer")
class TokenBinaryAccuracy(TokenAccuracy):
    """Share of the real tokens whose logit has the right sign; 0 counts as no.

    Args:
        ignore_index: the label that is not counted.
        name: key in the logs.

    Call `update_state(y_true (B, T), y_pred (B, T) logits, sample_weight (B, T) or (B,))`.

    Returns:
        `result()`: float32 scalar in [0, 1], 0.0 where nothing was counted.

    Example:

    >>> import numpy as np
    >>> metric = TokenBinaryAccuracy()
    >>> metric.update_state(np.array([[1, 1, -100]]), np.array([[2.0, -1.0, 3.0]], "float32"))
    >>> float(metric.result())
    0.5
    """

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(y_true, no_and_yes(y_pred), sample_weight)


def no_and_yes(logits):
    """Logits (B, T) of a yes as those of both answers, (B, T, 2)."""
    logits = ops.convert_to_tensor(logits)
    both = ops.stack([ops.zeros_like(logits), logits], axis=-1)
    return propagate(both, implicit_mask(logits))
