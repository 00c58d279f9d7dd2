"""The encoder of BERT and its kin.

B batch, T length, D width
"""

import keras

from keras_transformer.layers import TransformerEncoderBlock
from keras_transformer.models.stack import TransformerStack
from keras_transformer.models.stack_config import EncoderConfig


@keras.saving.register_keras_serializable(package="keras_transformer")
class TransformerEncoder(TransformerStack):
    """Tokens to hidden states that have seen the whole text.

        x = dropout(norm(E[token] + P[position] + S[segment])),  x = block(x) for each block

    Args:
        config: an `EncoderConfig`.
        block: a subclass of `TransformerEncoderBlock`, or None for itself.

    Call:
        inputs: (B, T) int32 token ids, or a dictionary of `token_ids` and, where there are any,
            `padding_mask` (B, T) boolean, True = real token, and `segment_ids` (B, T) int32 in
            [0, num_segments), which are 0 where they are missing.
        training: whether dropout is active.

    Returns:
        (B, T, D) in the compute dtype.

    Raises:
        ValueError: the inputs lack `token_ids`, or have a key that is not known.

    Example:

    >>> import numpy as np
    >>> config = EncoderConfig(vocab_size=11, num_layers=2, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> TransformerEncoder(config)(np.array([[5, 6, 7]])).shape == (1, 3, 8)
    True

    Reference:
        Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
        Understanding", section 3.
    """

    config_class = EncoderConfig
    block_classes = {"block": TransformerEncoderBlock}
    input_names = ("token_ids", "padding_mask", "segment_ids")

    def build(self, input_shape=None):
        if self.built:
            return
        self.segment_embedding = None
        if self.config.num_segments:
            width = self.config.embedding_dim or self.config.hidden_dim
            self.segment_embedding = keras.layers.Embedding(
                self.config.num_segments,
                width,
                embeddings_initializer=self.initializer() or "uniform",
                dtype=self.dtype_policy,
                name="segment_embedding",
            )
            self.segment_embedding.build((None, None))
        super().build(input_shape)

    def add_to_embedding(self, x, inputs):
        if self.segment_embedding is None:
            return x
        segments = inputs["segment_ids"]
        if segments is None:
            segments = keras.ops.zeros_like(inputs["token_ids"])
        return x + self.segment_embedding(segments)
