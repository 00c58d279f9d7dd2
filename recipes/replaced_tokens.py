"""ELECTRA's objective: a small encoder fills masks, a larger one says which tokens it replaced.

B batch, T length, M masked positions, V vocabulary

Clark et al. 2020, "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators",
sections 2 and 3.2.
"""

import dataclasses

import keras
import numpy as np
from keras import ops

from keras_transformer import data, models, training

IGNORED = -100


class ReplacedTokens(keras.Model):
    """A generator and a detector that learn together.

        loss = cross-entropy of the generator + weight · binary cross-entropy of the detector

    The generator's tokens are drawn, so no gradient passes from the detector to it.

    Args:
        detector: a `ReplacedTokenDetector`, whose token embeddings the generator shares.
        share: width of the generator, of the detector's.
        weight: of the detector's loss.
        seed: of the drawn tokens.

    Call:
        inputs: as `OriginalBatches` makes them.

    Returns:
        A dictionary of the detector's `logits` (B, T) and the `labels` (B, T) to them: 1 for a
        replaced token, 0 for an original one, -100 for padding.
    """

    def __init__(self, detector, share=0.25, weight=50.0, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.detector = detector
        self.generator = make_generator(detector, share)
        self.weight = weight
        self.draws = keras.random.SeedGenerator(seed)
        self.generator_loss = training.TokenCrossEntropy()
        self.detector_loss = detector.default_loss()
        self.built = True

    def call(self, inputs, training=None):
        inputs = dict(inputs)
        originals, positions = inputs.pop("originals"), inputs["mask_positions"]
        logits = self.generator(inputs, training=training)  # (B, M, V)
        tokens, labels = self.replace(inputs, originals, positions, logits)
        del inputs["mask_positions"]
        found = self.detector({**inputs, "token_ids": tokens}, training=training)  # (B, T)
        loss = self.weight * self.detector_loss(labels, found)
        self.add_loss(self.generator_loss(originals, logits) + loss)
        return {"logits": found, "labels": labels}

    def replace(self, inputs, originals, positions, logits):
        """The text with drawn tokens in place of masks, and which of them are new (B, T)."""
        noise = keras.random.uniform(ops.shape(logits), 1e-9, 1.0, seed=self.draws)
        gumbel = -ops.log(-ops.log(noise))
        drawn = ops.argmax(ops.cast(logits, "float32") + gumbel, axis=-1)  # (B, M)
        length = ops.shape(inputs["token_ids"])[1]
        columns = ops.arange(length, dtype="int32")
        is_masked = (originals != IGNORED)[:, :, None] & (positions[:, :, None] == columns)
        before, after = (
            ops.sum(ops.where(is_masked, ops.cast(tokens, "int32")[:, :, None], 0), axis=1)
            for tokens in (originals, drawn)
        )  # (B, T)
        was_masked = ops.any(is_masked, axis=1)
        tokens = ops.where(was_masked, after, inputs["token_ids"])
        labels = ops.cast(was_masked & (before != after), "int32")
        return tokens, ops.where(inputs["padding_mask"], labels, IGNORED)


class OriginalBatches(data.MaskedBatches):
    """`MaskedBatches` whose inputs tell what was masked: `originals` (B, M), -100 for nothing."""

    def _hide(self, x, rng):
        x, originals = super()._hide(x, rng)
        return {**x, "originals": originals}, originals


def make_generator(detector, share):
    """A `MaskedLM` like the detector's encoder, but narrower, over the same token embeddings."""
    config, embedding = detector.config, detector.backbone.token_embedding
    num_heads = max(1, round(config.num_heads * share))
    hidden_dim = num_heads * (config.hidden_dim // config.num_heads)

    class Generator(models.MaskedLM):
        def make_backbone(self, name):
            return models.TransformerEncoder(self.config, token_embedding=embedding, name=name)

    narrow = dataclasses.replace(
        config,
        hidden_dim=hidden_dim,
        num_heads=num_heads,
        ffn_dim=round(config.ffn_dim * hidden_dim / config.hidden_dim),
        embedding_dim=config.embedding_dim or config.hidden_dim,
    )
    with keras.name_scope("generator"):  # part of its weights' names
        return Generator(narrow, name="generator")


def detection_scores(model, batches):
    """How well the detector finds drawn tokens in batches in their own order.

    Returns:
        A dictionary of `accuracy`, and `precision`, `recall` and `f1` of replaced tokens, percents.
    """
    counts = np.zeros((2, 2), int)  # [was replaced, seems replaced]
    for step in range(len(batches)):
        x = batches.batch(0, step)[0]
        found = model.predict_on_batch(x)
        real = found["labels"] != IGNORED
        np.add.at(counts, (found["labels"][real], (found["logits"][real] > 0).astype(int)), 1)
    right, found, there = counts[1, 1], counts[:, 1].sum(), counts[1].sum()
    return {
        "accuracy": 100 * float(np.trace(counts) / counts.sum()),
        "precision": 100 * float(right / max(found, 1)),
        "recall": 100 * float(right / max(there, 1)),
        "f1": 100 * float(2 * right / max(found + there, 1)),
    }
