"""A model small enough to be compared by hand, and inputs with padding for it."""

import numpy as np
from backend_tools import randomise

from keras_transformer import models

V, B, S, T, D, H, F = 23, 3, 7, 5, 14, 2, 13
SOURCE_LENGTHS, TARGET_LENGTHS = (7, 4, 2), (3, 5, 2)


def config(**settings):
    sizes = dict(num_encoder_layers=2, num_decoder_layers=2, hidden_dim=D, num_heads=H, ffn_dim=F)
    return models.TransformerConfig(**{"vocab_size": V, "dropout": 0.0, **sizes, **settings})


def model(cls=models.Seq2SeqLM, seed=5, dtype=None, **settings):
    """A model whose weights depend on the seed alone, biases included."""
    return randomise(cls(config(**settings), dtype=dtype), seed=seed)


def up_to(lengths, size):
    return np.arange(size) < np.array(lengths)[:, None]


def inputs(masks=True):
    """Right-padded sources and targets; without masks nothing counts as padding."""
    rng = np.random.default_rng(3)
    source = rng.integers(4, V, (B, S)).astype("int32") * up_to(SOURCE_LENGTHS, S)
    target = rng.integers(4, V, (B, T)).astype("int32") * up_to(TARGET_LENGTHS, T)
    found = {"encoder_token_ids": source, "decoder_token_ids": target}
    if masks:
        found["encoder_padding_mask"] = up_to(SOURCE_LENGTHS, S)
        found["decoder_padding_mask"] = up_to(TARGET_LENGTHS, T)
    return found


def labels():
    """The target, one to the left, and -100 where there is nothing to predict."""
    found = np.random.default_rng(4).integers(3, V, (B, T)).astype("int32")
    return np.where(up_to(TARGET_LENGTHS, T), found, -100)
