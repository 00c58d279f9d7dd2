"""Cross-entropy over real target tokens.

B batch, T target length, V vocabulary.
"""

import sys

import keras
from keras import ops

from keras_transformer.layers.masks import implicit_mask

IGNORED_LABEL = -100


def token_cross_entropies(labels, logits, label_smoothing=0.0):
    """Cross-entropy of every token, in float32: `lse(z) - (1 - ε)·z[label] - ε·mean(z)`.

    The gradient, `softmax(z) - (1 - ε)·[v = label] - ε / V`, is made from the logits again instead
    of from what the forward pass would have to store, and finds the label by comparing with an
    iota instead of scattering. So XLA fuses both passes into plain loops over the logits, and of
    vocabulary size there are only the logits and their gradient, in their own dtype.

    Args:
        labels: (B, T) int32 in [0, V).
        logits: (B, T, V) of any float dtype.
        label_smoothing: ε, the share of the target's mass spread evenly over the vocabulary.

    Returns:
        (B, T) float32; a label outside [0, V) is taken as the nearest inside.
    """
    size, eps = logits.shape[-1], label_smoothing
    labels = ops.expand_dims(ops.clip(labels, 0, size - 1), -1)  # (B, T, 1)

    @ops.custom_gradient
    def cross_entropies(logits):
        z = ops.cast(logits, "float32")  # (B, T, V)
        lse = ops.logsumexp(z, axis=-1)  # (B, T)
        picked = ops.squeeze(ops.take_along_axis(z, labels, axis=-1), -1)  # (B, T)
        losses = lse - (1.0 - eps) * picked
        if eps:  # without it, 0 · mean(z) would be NaN for a logit of -inf
            losses = losses - eps * ops.mean(z, axis=-1)

        def gradient(*arguments, upstream=None):
            if upstream is None:  # the backends disagree on how to pass it
                (upstream,) = arguments
            softmax = ops.exp(ops.cast(logits, "float32") - ops.expand_dims(lse, -1))
            is_label = ops.equal(labels, ops.arange(size, dtype="int32"))
            target = ops.where(is_label, 1.0 - eps + eps / size, eps / size)
            return ops.cast((softmax - target) * ops.expand_dims(upstream, -1), logits.dtype)

        return losses, gradient

    return cross_entropies(ops.convert_to_tensor(logits))


def token_weights(labels, logits, sample_weight=None, ignore_index=IGNORED_LABEL, mask=None):
    """What each target token counts: 0 where ignored or masked, else its sample weight or 1.

    Args:
        labels: (B, T) integers.
        logits: (B, T, V); a Keras mask (B, T) carried by it is honoured.
        sample_weight: (B, T), (B, 1) or (B,) or None.
        ignore_index: the label that counts nothing.
        mask: (B, T) bool or None; replaces the mask that `logits` carries.

    Returns:
        (B, T) float32.
    """
    weights = ops.cast(ops.not_equal(labels, ignore_index), "float32")  # (B, T)
    if mask is None:
        mask = implicit_mask(logits)
    if mask is not None:
        weights = weights * ops.cast(mask, "float32")
    if sample_weight is not None:
        sample_weight = ops.cast(sample_weight, "float32")
        check_sample_weight(tuple(sample_weight.shape), tuple(labels.shape))
        while len(sample_weight.shape) < len(labels.shape):
            sample_weight = ops.expand_dims(sample_weight, -1)  # (B, 1)
        weights = weights * sample_weight
    return weights


def weighted_losses(labels, logits, weights, label_smoothing=0.0):
    """Each token's cross-entropy times its weight, exactly 0 where the weight is 0.

    A label outside [0, V) that is not ignored gives NaN: compiled code cannot raise, and a
    silent number would train on a wrong target.

    Returns:
        (B, T) float32.
    """
    losses = token_cross_entropies(labels, logits, label_smoothing)
    inside = ops.logical_and(labels >= 0, labels < logits.shape[-1])
    losses = ops.where(inside, losses, float("nan"))
    counted = ops.not_equal(weights, 0.0)
    return ops.where(counted, losses, 0.0) * weights


@keras.saving.register_keras_serializable(package="keras_transformer")
class TokenCrossEntropy(keras.losses.Loss):
    """Cross-entropy per real target token, with label smoothing.

    `loss = Σ w·(lse(z) - (1 - ε)·z[label] - ε·mean(z)) / Σ w`, with w = 0 at ignored labels
    and masked positions, else the sample weight or 1. So padding, and how sentences are spread
    over batches rows, do not dilute it. Computed in float32 whatever the logits are in. A batch
    (or the share of one replica) without any token to learn from gives 0.0 and zero gradients.
    Label smoothing is that of `torch.nn.CrossEntropyLoss`: ε of the mass is spread evenly over
    all V entries, the label's among them.

    Under `tf.distribute` the tokens of all replicas are divided by their common number.

    Args:
        label_smoothing: ε in [0, 1).
        ignore_index: the label that is not learned from.
        name: name of the loss.
        reduction: "mean", or "sum" to leave out the division by Σ w, where the weights hold it
            already (`data.AccumulatedBatches`).

    Call:
        y_true: (B, T) integers in [0, V), or `ignore_index`. Any other value gives NaN.
        y_pred: (B, T, V) logits of any float dtype. Its Keras mask is honoured.
        sample_weight: (B, T) or (B,) or None.

    Returns:
        float32 scalar.

    Raises:
        ValueError: `label_smoothing` outside [0, 1), another reduction, or labels, logits and
            weights that do not fit.

    Example:

    >>> import numpy as np
    >>> loss = TokenCrossEntropy()
    >>> logits = np.zeros((1, 3, 7), "float32")
    >>> round(float(loss(np.array([[5, 2, -100]]), logits)), 4)   # log 7
    1.9459

    Reference: [Attention is all you need](https://arxiv.org/abs/1706.03762), §5.4.
    """

    def __init__(
        self,
        label_smoothing=0.0,
        ignore_index=IGNORED_LABEL,
        name="token_cross_entropy",
        reduction="mean",
    ):
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction must be 'mean' or 'sum', got {reduction!r}")
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing!r}")
        # The division is done here: the base class would divide by all positions, padding too.
        super().__init__(name=name, reduction="sum", dtype="float32")
        self.label_smoothing = float(label_smoothing)
        self.ignore_index = int(ignore_index)
        self.divides = reduction == "mean"

    def __call__(self, y_true, y_pred, sample_weight=None):
        with keras.name_scope(self.name):
            return self.call(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred, sample_weight=None):
        labels = check_labels(y_true, y_pred)
        weights = token_weights(labels, y_pred, sample_weight, self.ignore_index)
        losses = weighted_losses(labels, y_pred, weights, self.label_smoothing)
        if not self.divides:
            return ops.sum(losses)
        count = sum_over_replicas(ops.sum(weights))
        return ops.divide_no_nan(ops.sum(losses), count)

    def get_config(self):
        return {
            "label_smoothing": self.label_smoothing,
            "ignore_index": self.ignore_index,
            "name": self.name,
            "reduction": "mean" if self.divides else "sum",
        }


def check_labels(labels, logits):
    """Labels as int32, once their shape is seen to fit that of the logits."""
    label_shape, logit_shape = tuple(labels.shape), tuple(logits.shape)
    fits = len(logit_shape) == len(label_shape) + 1 and all(
        a is None or b is None or a == b for a, b in zip(label_shape, logit_shape, strict=False)
    )
    if not fits:
        raise ValueError(
            "labels must be (B, T) token ids and logits (B, T, V), "
            f"got labels {label_shape} and logits {logit_shape}"
        )
    return ops.cast(labels, "int32")


def check_sample_weight(shape, label_shape):
    """Refuses weights that would be spread over the tokens in another way than (B,) or (B, T)."""

    def fits(size, *allowed):
        return size is None or None in allowed or size in allowed

    fits_all = len(shape) in (1, len(label_shape)) and fits(shape[0], label_shape[0])
    for size, length in zip(shape[1:], label_shape[1:], strict=False):
        fits_all = fits_all and fits(size, length, 1)
    if not fits_all:
        raise ValueError(
            f"sample_weight must be (B,), (B, 1) or (B, T) for labels (B, T) = {label_shape}, "
            f"got {shape}"
        )


def sum_over_replicas(value):
    """Sum of a scalar over the replicas of `tf.distribute`; the value itself elsewhere.

    Keras adds up the gradients of the replicas, so with the common token count as divisor
    each of them contributes its share of the one mean.
    """
    if keras.backend.backend() != "tensorflow":
        return value
    tf = sys.modules["tensorflow"]  # loaded by Keras itself, so this module needs no import of it
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return value
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, value)
