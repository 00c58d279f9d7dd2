"""Decoders with a head that is fine-tuned for a job other than going on with a text.

B batch, T length, D width, C classes
"""

import keras

from keras_transformer.models.decoder import TransformerDecoder
from keras_transformer.models.encoder_heads import SequenceClassifier


@keras.saving.register_keras_serializable(package="keras_transformer")
class DecoderClassifier(SequenceClassifier):
    """A text to logits of classes, by the last token of a decoder, which has seen all of it.

        logits = V Decoder(x)[last real token]

    Args:
        config: a `DecoderConfig`.
        num_classes: C; 1 for one regression target.
        problem: "single_label" (softmax), "multi_label" (sigmoids) or "regression".
        block: a subclass of `TransformerDecoderBlock`, or None for itself.

    Call:
        inputs: as `TransformerDecoder` takes them.
        training: whether dropout is active.

    Returns:
        (B, C) logits in the compute dtype.

    Raises:
        ValueError: a number is out of its range, or a name not known.

    Example:

    >>> import numpy as np
    >>> from keras_transformer.models import DecoderConfig
    >>> config = DecoderConfig(vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> DecoderClassifier(config, num_classes=3)(np.array([[5, 6, 7]])).shape == (1, 3)
    True

    Reference:
        Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training", section
        3.2.
    """

    backbone_class = TransformerDecoder

    def __init__(self, config, num_classes, problem="single_label", **kwargs):
        super().__init__(
            config,
            num_classes,
            problem=problem,
            pooling="last",
            head_activation=None,
            head_dropout=0.0,
            **kwargs,
        )

    def make_classes(self):
        return self.make_dense(
            "classes", self.num_classes, shape=(None, self.config.hidden_dim), use_bias=False
        )

    def get_config(self):
        fixed = ("pooling", "head_activation", "head_dropout", "pooled_dropout")
        return {name: value for name, value in super().get_config().items() if name not in fixed}
