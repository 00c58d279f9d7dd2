"""The contrastive loss of texts that belong together, against all others of the batch.

P pairs or triples, K sides (2 or 3), D width
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_transformer")
class ContrastiveLoss(keras.losses.Loss):
    """Each anchor is to find its positive among the positives and negatives of the whole batch.

        loss = -mean over i of log softmaxⱼ(scale · cos(aᵢ, cⱼ))ᵢ,  c = positives, then negatives

    A candidate with the same text as the anchor or its positive is no negative of it: it is left
    out. Symmetric: positives look for their anchors as well, and the two means are averaged.

    Args:
        sides: K of the batches, 2 (pairs) or 3 (with a hard negative each).
        scale: 1 / temperature.
        symmetric: whether positives look for anchors, too.
        name: of the loss.

    Call:
        y_true: (K·P,) integers, equal for equal texts and -1 for empty rows, as
            `data.ContrastiveBatches` gives them.
        y_pred: (K·P, D) vectors: P anchors, P positives, perhaps P negatives.

    Returns:
        float32 scalar; 0.0 for a batch of empty rows.

    Raises:
        ValueError: `sides` or `scale` is out of its range, or there are sample weights.

    Example:

    >>> import numpy as np
    >>> vectors = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], "float32")    # two equal pairs
    >>> loss = ContrastiveLoss(scale=1.0)
    >>> round(float(loss(np.array([0, 1, 2, 3]), vectors)), 4)             # log(1 + 1/e)
    0.3133

    Reference: van den Oord et al. 2018, "Representation Learning with Contrastive Predictive
        Coding", equation 4; Henderson et al. 2017, "Efficient Natural Language Response
        Suggestion for Smart Reply", section 4.4.
    """

    def __init__(self, sides=2, scale=20.0, symmetric=True, name="contrastive_loss"):
        super().__init__(name=name, reduction="sum", dtype="float32")
        if sides not in (2, 3):
            raise ValueError(f"sides must be 2 or 3, got {sides!r}")
        if not scale > 0:
            raise ValueError(f"scale must be positive, got {scale!r}")
        self.sides, self.scale, self.symmetric = sides, float(scale), bool(symmetric)

    def __call__(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None:
            raise ValueError("sample_weight must be None: a pair's loss is of the whole batch")
        with keras.name_scope(self.name):
            return self.call(y_true, y_pred)

    def call(self, y_true, y_pred):
        texts = ops.cast(ops.reshape(y_true, (self.sides, -1)), "int32")  # (K, P)
        vectors = ops.cast(y_pred, "float32")
        square = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
        vectors = vectors * ops.rsqrt(ops.maximum(square, 1e-24))  # √0 has no gradient
        anchors, *others = ops.split(vectors, self.sides)  # (P, D) each
        loss = self.one_way(anchors, ops.concatenate(others), texts[0], texts[1], texts[1:])
        if self.symmetric:
            loss += self.one_way(others[0], anchors, texts[1], texts[0], texts[:1])
            loss /= 2.0
        return loss

    def one_way(self, queries, candidates, query_texts, right_texts, candidate_texts):
        """The mean over real queries of the cross-entropy of their own candidate."""
        logits = self.scale * ops.matmul(queries, ops.transpose(candidates))  # (P, C)
        number = ops.arange(ops.shape(logits)[1], dtype="int32")  # (C,)
        own = number[None, :] == ops.arange(ops.shape(logits)[0], dtype="int32")[:, None]
        texts = ops.reshape(candidate_texts, (1, -1))  # (1, C)
        left_out = ops.logical_or(texts == query_texts[:, None], texts == right_texts[:, None])
        left_out = ops.logical_or(left_out, texts < 0)
        shown = ops.logical_or(own, ops.logical_not(left_out))
        logits = ops.where(shown, logits, -1e9)
        right = ops.sum(ops.where(own, logits, 0.0), axis=1)  # (P,)
        real = query_texts >= 0
        losses = ops.where(real, ops.logsumexp(logits, axis=1) - right, 0.0)
        return ops.sum(losses) / ops.maximum(ops.sum(ops.cast(real, "float32")), 1.0)

    def get_config(self):
        return {
            "sides": self.sides,
            "scale": self.scale,
            "symmetric": self.symmetric,
            "name": self.name,
        }
