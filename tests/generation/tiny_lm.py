"""A small decoder that is sure of something, and an oracle that uses no cache."""

import numpy as np

from keras_transformer import models

PROMPTS = [[5, 4, 7], [11, 13, 17, 5, 4, 9, 22, 19, 6, 8, 21], [6, 21], [3]]


def make_lm(block=None, **settings):
    """With weights this large no two tokens are near a tie."""
    sizes = dict(num_layers=1, hidden_dim=12, num_heads=2, ffn_dim=13, max_length=32, dropout=0.0)
    sizes = {**sizes, "vocab_size": 23, "eos_id": 2, "pad_id": 0, **settings}
    model = models.CausalLM(models.DecoderConfig(**sizes), block=block)
    rng = np.random.default_rng(5)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(rng.normal(size=variable.shape) * 0.5)
    return model


class Uncached:
    """The whole model on the whole text, one prompt and one hypothesis at a time."""

    def __init__(self, model):
        self.model, self.config = model, model.config

    def log_probs(self, prompt, prefix):
        text = np.zeros((1, self.config.max_length), "int32")
        length = len(prompt) + len(prefix)
        text[0, :length] = [*prompt, *prefix]  # what follows, it cannot see
        logits = np.asarray(self.model.predict_on_batch(text))[0, length - 1].astype("float64")
        return logits - np.log(np.exp(logits).sum())
