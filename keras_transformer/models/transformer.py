"""The encoder-decoder Transformer.

B batch, S source length, T target length, D width, H heads, K head width, V vocabulary
N rows while decoding: B, or B·G with G hypotheses for each source
"""

from typing import NamedTuple

import keras
from keras import ops

from keras_transformer.layers import (
    KeyValueCache,
    TokenEmbedding,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
    masks,
)
from keras_transformer.models.config import TransformerConfig
from keras_transformer.models.configured import ConfiguredModel, normal_initializer
from keras_transformer.models.decoder import TransformerDecoder
from keras_transformer.models.encoder import TransformerEncoder


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
class Transformer(ConfiguredModel):
    """The encoder-decoder Transformer, without its output projection.

        Decoder(target, Encoder(source))

    The two are the sublayers `encoder` and `decoder`. A subclass overrides `make_encoder` or
    `make_decoder` to use stacks of its own; other classes of blocks alone are passed.

    Args:
        config: a `TransformerConfig`.
        encoder_block: a subclass of `TransformerEncoderBlock`, or None for itself.
        decoder_block: a subclass of `TransformerDecoderBlock`, or None for itself.

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

    config_class = TransformerConfig
    block_classes = {
        "encoder_block": TransformerEncoderBlock,
        "decoder_block": TransformerDecoderBlock,
    }

    def __init__(self, config, encoder_block=None, decoder_block=None, **kwargs):
        self.choose(config, {"encoder_block": encoder_block, "decoder_block": decoder_block})
        super().__init__(**kwargs)
        self.build()

    def build(self, input_shape=None):
        if self.built:
            return
        self.token_embedding = None
        if self.config.share_embeddings in ("all", "input"):
            self.token_embedding = TokenEmbedding(
                self.config.vocab_size,
                self.config.hidden_dim,
                scale=self.config.encoder_config().embedding_scale,
                embeddings_initializer=normal_initializer(self.config.initializer_range),
                dtype=self.dtype_policy,
                name="token_embedding",
            )
            self.token_embedding.build((None, None))
        self.encoder = self.make_encoder("encoder")
        self.decoder = self.make_decoder("decoder")
        self.built = True

    def make_encoder(self, name):
        """The stack that reads the source."""
        return TransformerEncoder(
            self.config.encoder_config(),
            block=self.encoder_block,
            token_embedding=self.token_embedding,
            dtype=self.dtype_policy,
            name=name,
        )

    def make_decoder(self, name):
        """The stack that reads the target and attends to the encoder's output."""
        return TransformerDecoder(
            self.config.decoder_config(),
            block=self.decoder_block,
            token_embedding=self.token_embedding,
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, inputs, training=None):
        inputs = seq2seq_inputs(inputs)
        context = self.encode(
            inputs["encoder_token_ids"], inputs["encoder_padding_mask"], training=training
        )
        return self.decoder(decoder_inputs(inputs, context), training=training)

    def encode(self, token_ids, padding_mask=None, training=None):
        """The encoder's hidden states: (B, S) tokens to (B, S, D)."""
        return self.encoder(encoder_inputs(token_ids, padding_mask), training=training)

    def start(self, inputs, max_length, beams=1, cache_dtype=None, lookahead=0):
        """Encodes the sources and prepares decoding.

        Args:
            inputs: a dictionary of `encoder_token_ids` (B, S) and perhaps `encoder_padding_mask`.
            max_length: how many positions the cache holds.
            beams: G, hypotheses for each source.
            cache_dtype: of the cached keys and values; by default the compute dtype.
            lookahead: how many tokens a step may read beyond the one that is next, all of them
                among the `max_length`.

        Returns:
            A `DecodingState` for N = B·G rows.
        """
        token_ids = inputs["encoder_token_ids"]
        mask = inputs.get("encoder_padding_mask")
        if mask is None:
            mask = ops.ones_like(token_ids, dtype="bool")
        context = self.encode(token_ids, mask, training=False)
        rows = ops.shape(token_ids)[0]
        cache = self.decoder.make_cache(rows, max_length, cache_dtype, beams, lookahead)
        return DecodingState(cache, self.decoder.project_context(context), mask)

    def step(self, token_ids, state, scores=None):
        """Decodes T more tokens of each row, given those before.

        Args:
            token_ids: (N, T) int32; T is 1 while generating.
            state: the `DecodingState` so far.
            scores: a list that is given, for each block, its attention scores (N, H, T, ·) to the
                target and to the source; or None.

        Returns:
            `(hidden states (N, T, D), the advanced state)`.
        """
        hidden, cache = self.decoder.step(
            token_ids,
            state.cache,
            context_cache=state.context,
            context_padding_mask=state.context_mask,
            scores=scores,
        )
        return hidden, state._replace(cache=cache)

    def hidden_states(self, inputs):
        """Hidden states of all layers: a dictionary of two lists, `encoder` and `decoder`.

        Each starts with the embeddings and goes on with the output of each block, (B, S, D) and
        (B, T, D).
        """
        found = self.trace(inputs)
        return {side: found[f"{side}_hidden_states"] for side in ("encoder", "decoder")}

    def attention_scores(self, inputs):
        """Attention scores of all layers and heads, float32.

        Returns:
            A dictionary of lists, an item a layer: `encoder` (B, H, S, S), `decoder`
            (B, H, T, T), `cross` (B, H, T, S).
        """
        found = self.trace(inputs)
        return {name: found[name] for name in ("encoder", "decoder", "cross")}

    def trace(self, inputs):
        """Hidden states and attention scores of all layers, without dropout.

        Returns:
            A dictionary of lists: `encoder_hidden_states` and `decoder_hidden_states`, the
            embeddings first, then the output of each block, the last one normalised where a stack
            ends with a norm; `encoder`, `decoder` and `cross`, the attention scores of each block.
        """
        inputs = seq2seq_inputs(inputs)
        states, scores = {"encoder": [], "decoder": []}, {"encoder": [], "decoder": []}
        source = encoder_inputs(inputs["encoder_token_ids"], inputs["encoder_padding_mask"])
        context = self.encoder.run(
            self.encoder.named(source), states=states["encoder"], scores=scores["encoder"]
        )
        self.decoder.run(
            self.decoder.named(decoder_inputs(inputs, context)),
            states=states["decoder"],
            scores=scores["decoder"],
        )
        return {
            "encoder_hidden_states": states["encoder"],
            "decoder_hidden_states": states["decoder"],
            "encoder": [own for own, *_ in scores["encoder"]],
            "decoder": [own for own, *_ in scores["decoder"]],
            "cross": [cross for _, cross in scores["decoder"]],
        }


def encoder_inputs(token_ids, padding_mask):
    """What an encoder takes; a missing mask is left out."""
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    return {name: value for name, value in inputs.items() if value is not None}


def decoder_inputs(inputs, context):
    """What the decoder takes, of the inputs of both; missing masks are left out."""
    return {
        **encoder_inputs(inputs["decoder_token_ids"], inputs["decoder_padding_mask"]),
        "context": context,
        **(
            {}
            if inputs["encoder_padding_mask"] is None
            else {"context_padding_mask": inputs["encoder_padding_mask"]}
        ),
    }


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
    shapes = [tuple(inputs[name].shape) for name in tokens]
    have_two_axes = all(len(shape) == 2 for shape in shapes)
    if not have_two_axes or not masks.may_equal(shapes[0][0], shapes[1][0]):
        raise ValueError(
            "encoder_token_ids (B, S) and decoder_token_ids (B, T) must have two axes and as many "
            f"rows; received shapes {shapes[0]} and {shapes[1]}"
        )
    return {name: inputs.get(name) for name in allowed}
