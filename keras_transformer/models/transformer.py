"""The encoder-decoder Transformer.

B batch, S source length, T target length, D width, H heads, K head width, V vocabulary
N rows while decoding: B, or B·G with G hypotheses for each source
"""

import math
from typing import NamedTuple

import keras
from keras import ops

from keras_transformer.layers import (
    Dropout,
    KeyValueCache,
    PositionalEncoding,
    TokenEmbedding,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
)
from keras_transformer.models.config import TransformerConfig


class DecodingState(NamedTuple):
    """What decoding carries from token to token; a tuple of tensors.

    Attributes:
        cache: `KeyValueCache` of the decoder's self-attention, N rows.
        context: for each decoder block the pair of cross-attention keys and values, (B, H, S, K).
        context_mask: (B, S) boolean.

    Example:

    >>> DecodingState(cache=None, context=(), context_mask=None).context
    ()
    """

    cache: KeyValueCache
    context: tuple
    context_mask: object


@keras.saving.register_keras_serializable(package="keras_transformer")
class Transformer(keras.Model):
    """The Transformer of "Attention Is All You Need", without its output projection.

    A subclass overrides `make_encoder_block` or `make_decoder_block` to use blocks of its own.
    Weights are made by the constructor; what a hook needs beyond `self.config` must be set before
    `super().__init__`.

    Args:
        config: a `TransformerConfig`.

    Call:
        inputs: a dictionary of `encoder_token_ids` (B, S) and `decoder_token_ids` (B, T) int32,
            and, where there is padding, `encoder_padding_mask` (B, S) and `decoder_padding_mask`
            (B, T) boolean, True = real token.
        training: whether dropout is active.

    Returns:
        (B, T, D), the decoder's hidden states.

    Raises:
        ValueError: the inputs lack a key, or have one that is not known.

    Example:

    >>> import numpy as np
    >>> config = TransformerConfig.from_preset("transformer_tiny", vocab_size=11)
    >>> tokens = np.array([[5, 6, 7]])
    >>> inputs = {"encoder_token_ids": tokens, "decoder_token_ids": tokens[:, :2]}
    >>> Transformer(config)(inputs).shape == (1, 2, 128)
    True

    Reference:
        Vaswani et al. 2017, section 3.
    """

    def __init__(self, config, **kwargs):
        if not isinstance(config, TransformerConfig):
            raise TypeError(f"config must be a TransformerConfig; received {config!r}")
        self.config = config
        super().__init__(**kwargs)
        self.build()

    def make_encoder_block(self, name):
        """One encoder block."""
        return TransformerEncoderBlock(name=name, **self.block_arguments())

    def make_decoder_block(self, name):
        """One decoder block, with cross-attention."""
        return TransformerDecoderBlock(name=name, **self.block_arguments())

    def block_arguments(self):
        """What both kinds of block are made with."""
        names = """num_heads ffn_dim dropout attention_dropout activation_dropout activation
                   norm_first norm_epsilon"""
        return {
            **{name: getattr(self.config, name) for name in names.split()},
            "dtype": self.dtype_policy,
        }

    def build(self, input_shape=None):
        if self.built:
            return
        config = self.config
        shape = (None, None, config.hidden_dim)
        self.encoder_embedding = self.make_embedding("encoder_embedding")
        self.decoder_embedding = self.encoder_embedding
        if config.share_embeddings != "all":
            self.decoder_embedding = self.make_embedding("decoder_embedding")
        self.positions = PositionalEncoding(dtype=self.dtype_policy, name="positions")
        self.positions.build(shape)
        self.embedding_dropout = Dropout(
            config.dropout, dtype=self.dtype_policy, name="embedding_dropout"
        )
        self.encoder_blocks = [
            self.make_encoder_block(f"encoder_block_{i}") for i in range(config.num_encoder_layers)
        ]
        self.decoder_blocks = [
            self.make_decoder_block(f"decoder_block_{i}") for i in range(config.num_decoder_layers)
        ]
        for block in self.encoder_blocks:
            block.build(shape)
        for block in self.decoder_blocks:
            block.build(shape, shape)
        self.encoder_norm = self.make_final_norm("encoder_norm")
        self.decoder_norm = self.make_final_norm("decoder_norm")
        self.built = True

    def make_embedding(self, name):
        """A token embedding, scaled by √D as in section 3.4."""
        embedding = TokenEmbedding(
            self.config.vocab_size,
            self.config.hidden_dim,
            scale=math.sqrt(self.config.hidden_dim),
            dtype=self.dtype_policy,
            name=name,
        )
        embedding.build((None, None))
        return embedding

    def make_final_norm(self, name):
        """Pre-norm stacks need a norm at their end; post-norm stacks already have it."""
        if not self.config.norm_first:
            return keras.layers.Identity(dtype=self.dtype_policy, name=name)
        norm = keras.layers.LayerNormalization(
            epsilon=self.config.norm_epsilon, dtype=self.dtype_policy, name=name
        )
        norm.build((None, None, self.config.hidden_dim))
        return norm

    def call(self, inputs, training=None):
        inputs = seq2seq_inputs(inputs)
        context = self.encode(
            inputs["encoder_token_ids"], inputs["encoder_padding_mask"], training=training
        )
        x = self.embed(
            self.decoder_embedding,
            inputs["decoder_token_ids"],
            inputs["decoder_padding_mask"],
            training=training,
        )
        for block in self.decoder_blocks:
            x = block(
                x,
                context,
                padding_mask=inputs["decoder_padding_mask"],
                context_padding_mask=inputs["encoder_padding_mask"],
                training=training,
            )
        return self.decoder_norm(x)

    def encode(self, token_ids, padding_mask=None, training=None):
        """The encoder's hidden states: (B, S) tokens to (B, S, D)."""
        x = self.embed(self.encoder_embedding, token_ids, padding_mask, training=training)
        for block in self.encoder_blocks:
            x = block(x, padding_mask=padding_mask, training=training)
        return self.encoder_norm(x)

    def embed(self, embedding, token_ids, padding_mask=None, start_index=0, training=None):
        """Scaled token vectors plus positions: (B, T) to (B, T, D)."""
        x = self.positions(embedding(token_ids), start_index=start_index, padding_mask=padding_mask)
        return self.embedding_dropout(x, training=training)

    def start(self, inputs, max_length, beams=1):
        """Encodes the sources and prepares decoding.

        Args:
            inputs: a dictionary of `encoder_token_ids` (B, S) and perhaps `encoder_padding_mask`.
            max_length: how many positions the cache holds.
            beams: G, hypotheses for each source.

        Returns:
            A `DecodingState` for N = B·G rows.
        """
        token_ids = inputs["encoder_token_ids"]
        mask = inputs.get("encoder_padding_mask")
        if mask is None:
            mask = ops.ones_like(token_ids, dtype="bool")
        context = self.encode(token_ids, mask, training=False)
        cache = KeyValueCache.create(
            self.config.num_decoder_layers,
            ops.shape(token_ids)[0] * beams,
            self.config.num_heads,
            max_length,
            self.config.hidden_dim // self.config.num_heads,
            self.compute_dtype,
        )
        context = tuple(block.project_context(context) for block in self.decoder_blocks)
        return DecodingState(cache, context, mask)

    def step(self, token_ids, state):
        """Decodes T more tokens of each row, given those before.

        Args:
            token_ids: (N, T) int32; T is 1 while generating.
            state: the `DecodingState` so far.

        Returns:
            `(hidden states (N, T, D), the advanced state)`.
        """
        x = self.embed(self.decoder_embedding, token_ids, start_index=state.cache.index)
        layers = []
        for i, block in enumerate(self.decoder_blocks):
            x, layer = block(
                x,
                context_cache=state.context[i],
                context_padding_mask=state.context_mask,
                cache=state.cache.layer(i),
            )
            layers.append(layer)
        return self.decoder_norm(x), state._replace(cache=KeyValueCache.from_layers(layers))

    def trace(self, inputs):
        """Hidden states and attention scores of all layers, without dropout.

        Returns:
            A dictionary of lists: `encoder_hidden_states` and `decoder_hidden_states`, the
            embeddings first, then the output of each block; `encoder`, `decoder` and `cross`, the
            attention scores of each block.
        """
        inputs = seq2seq_inputs(inputs)
        source_mask = inputs["encoder_padding_mask"]
        found = {"encoder": [], "decoder": [], "cross": []}
        x = self.embed(self.encoder_embedding, inputs["encoder_token_ids"], source_mask)
        found["encoder_hidden_states"] = [x]
        for block in self.encoder_blocks:
            x, scores = block(x, padding_mask=source_mask, return_attention_scores=True)
            found["encoder"].append(scores)
            found["encoder_hidden_states"].append(x)
        context = self.encoder_norm(x)
        x = self.embed(
            self.decoder_embedding, inputs["decoder_token_ids"], inputs["decoder_padding_mask"]
        )
        found["decoder_hidden_states"] = [x]
        for block in self.decoder_blocks:
            x, scores, cross_scores = block(
                x,
                context,
                padding_mask=inputs["decoder_padding_mask"],
                context_padding_mask=source_mask,
                return_attention_scores=True,
            )
            found["decoder"].append(scores)
            found["cross"].append(cross_scores)
            found["decoder_hidden_states"].append(x)
        return found

    def get_config(self):
        return {**super().get_config(), "config": self.config.to_dict()}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        return cls(TransformerConfig.from_dict(config.pop("config")), **config)


def seq2seq_inputs(inputs):
    """The inputs with all four keys, missing masks as None; other keys are refused."""
    tokens = ("encoder_token_ids", "decoder_token_ids")
    allowed = (*tokens, "encoder_padding_mask", "decoder_padding_mask")
    if not isinstance(inputs, dict) or not set(tokens) <= set(inputs) <= set(allowed):
        received = sorted(inputs) if isinstance(inputs, dict) else type(inputs).__name__
        raise ValueError(
            f"inputs must be a dictionary with {' and '.join(tokens)}, and optionally "
            f"encoder_padding_mask and decoder_padding_mask; received {received}"
        )
    return {name: inputs.get(name) for name in allowed}
