"""The encoder that ELECTRA trains: which tokens of a text are not the original ones?

B batch, T length
"""

import keras
from keras import ops

from keras_transformer.layers.feed_forward import get_activation
from keras_transformer.layers.masks import implicit_mask, propagate
from keras_transformer.models.encoder import TransformerEncoder
from keras_transformer.models.head import Head


@keras.saving.register_keras_serializable(package="keras_transformer")
class ReplacedTokenDetector(Head):
    """For each token a logit that something else stood in its place: ELECTRA's discriminator.

        logits = v · activation(W Encoder(x) + b) + c

    Args:
        config: an `EncoderConfig`, whose `activation` is that of the equation.
        block: a subclass of `TransformerEncoderBlock`, or None for itself.

    Call:
        inputs: as `TransformerEncoder` takes them.
        training: whether dropout is active.

    Returns:
        (B, T) logits in the compute dtype, above 0 where a token seems replaced. Labels of the
        default loss are (B, T): 1 for replaced, 0 for original, -100 to leave a token out.

    Example:

    >>> import numpy as np
    >>> from keras_transformer.models import EncoderConfig
    >>> config = EncoderConfig(vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> ReplacedTokenDetector(config)(np.array([[5, 6, 7]])).shape == (1, 3)
    True

    Reference:
        Clark et al. 2020, "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than
        Generators", section 2.
    """

    backbone_class = TransformerEncoder

    def build_head(self):
        activation = get_activation(self.config.activation)
        self.transform = self.make_dense("transform", self.config.hidden_dim, activation)
        self.replaced = self.make_dense("replaced", 1)

    def call(self, inputs, training=None):
        hidden = self.backbone(inputs, training=training)
        logits = ops.squeeze(self.replaced(self.transform(hidden)), axis=-1)
        return propagate(logits, implicit_mask(hidden))

    def default_loss(self):
        from keras_transformer import training

        return training.TokenBinaryCrossEntropy()

    def default_metrics(self):
        from keras_transformer import training

        return [training.TokenBinaryAccuracy()]
