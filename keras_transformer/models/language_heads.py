"""Encoders and decoders that predict tokens.

B batch, T length, M masked positions, D width, V vocabulary
"""

import keras
from keras import ops

from keras_transformer.layers import TokenEmbedding
from keras_transformer.layers.feed_forward import get_activation
from keras_transformer.models.configured import normal_initializer
from keras_transformer.models.decoder import TransformerDecoder
from keras_transformer.models.encoder import TransformerEncoder
from keras_transformer.models.head import Head


class LanguageHead(Head):
    """A head that predicts tokens. Not used by itself."""

    def build_output(self, tied):
        """Makes the output embedding, unless it is the token embedding itself."""
        self.own_output_embedding = None
        if not tied:
            token_embedding = self.token_embedding()
            self.own_output_embedding = TokenEmbedding(
                token_embedding.input_dim,
                token_embedding.output_dim,
                embeddings_initializer=normal_initializer(self.config.initializer_range),
                dtype=self.dtype_policy,
                name="output_embedding",
            )
            self.own_output_embedding.build((None, None))

    def token_embedding(self):
        """The backbone's embedding of the tokens that are predicted."""
        return self.backbone.token_embedding

    @property
    def output_embedding(self):
        """The `TokenEmbedding` by whose transpose the logits are made."""
        if self.own_output_embedding is None:
            return self.token_embedding()
        return self.own_output_embedding

    def default_loss(self):
        from keras_transformer import training

        return training.TokenCrossEntropy()

    def default_metrics(self):
        from keras_transformer import training

        return [training.TokenAccuracy()]


@keras.saving.register_keras_serializable(package="keras_transformer")
class MaskedLM(LanguageHead):
    """An encoder that predicts the tokens that were masked.

        logits = norm(activation(W Encoder(x) + b)) Eᵀ + c

    Only the positions asked for are projected to the vocabulary.

    Args:
        config: an `EncoderConfig`; `tie_embeddings` says whether E is the embedding matrix.
        head_activation: that of the equation, "gelu" in RoBERTa, ELECTRA and MPNet; by default the
            configuration's `activation`, as in BERT.
        block: a subclass of `TransformerEncoderBlock`, or None for itself.

    Call:
        inputs: as `TransformerEncoder` takes them, and perhaps `mask_positions` (B, M) int32, the
            positions to predict; by default all T.
        training: whether dropout is active.

    Returns:
        (B, M, V) logits in the compute dtype. The default loss leaves out labels of -100, with
        which rows of fewer than M masked tokens are filled up.

    Example:

    >>> import numpy as np
    >>> from keras_transformer.models import EncoderConfig
    >>> config = EncoderConfig(vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> inputs = {"token_ids": np.array([[5, 6, 7]]), "mask_positions": np.array([[2, 0]])}
    >>> MaskedLM(config)(inputs).shape == (1, 2, 11)
    True

    Reference:
        Devlin et al. 2019, "BERT", section 3.1.
    """

    backbone_class = TransformerEncoder

    def __init__(self, config, head_activation=None, **kwargs):
        self.head_activation = head_activation or config.activation
        super().__init__(config, **kwargs)

    def build_head(self):
        config = self.config
        width = config.embedding_dim or config.hidden_dim
        self.transform = self.make_dense("transform", width, get_activation(self.head_activation))
        self.transform_norm = self.backbone.make_norm("transform_norm", width)
        self.build_output(tied=self.config.tie_embeddings)
        self.output_bias = self.add_weight(
            (config.vocab_size,), initializer="zeros", name="output_bias"
        )

    def call(self, inputs, training=None):
        positions = None
        if isinstance(inputs, dict) and "mask_positions" in inputs:
            inputs = dict(inputs)
            positions = ops.cast(inputs.pop("mask_positions"), "int32")
        return self.logits(self.backbone(inputs, training=training), positions)

    def logits(self, hidden, positions=None):
        """The encoder's states (B, T, D), at positions (B, M) or all of them, as logits."""
        if positions is not None:
            hidden = ops.take_along_axis(hidden, positions[:, :, None], axis=1)  # (B, M, D)
        hidden = self.transform_norm(self.transform(hidden))
        logits = self.output_embedding(hidden, reverse=True)
        return logits + ops.cast(self.output_bias, logits.dtype)

    def get_config(self):
        return {**super().get_config(), "head_activation": self.head_activation}


@keras.saving.register_keras_serializable(package="keras_transformer")
class CausalLM(LanguageHead):
    """A decoder that predicts the next token.

        logits = Decoder(x) Eᵀ

    Args:
        config: a `DecoderConfig`; `tie_embeddings` says whether E is the embedding matrix.
        block: a subclass of `TransformerDecoderBlock`, or None for itself.

    Call:
        inputs: as `TransformerDecoder` takes them.
        training: whether dropout is active.

    Returns:
        (B, T, V) logits in the compute dtype; those at t are of the token at t + 1. The default
        loss leaves out labels of -100.

    Example:

    >>> import numpy as np
    >>> from keras_transformer.models import DecoderConfig
    >>> config = DecoderConfig(vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> CausalLM(config)(np.array([[5, 6, 7]])).shape == (1, 3, 11)
    True

    Reference:
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.
    """

    backbone_class = TransformerDecoder

    def build_head(self):
        self.build_output(tied=self.config.tie_embeddings)

    def call(self, inputs, training=None):
        return self.logits(self.backbone(inputs, training=training))

    def logits(self, hidden):
        """The decoder's states (B, T, D) as logits (B, T, V)."""
        return self.output_embedding(hidden, reverse=True)

    def prompt(self, inputs):
        """The tokens that generated ones follow: `(tokens, mask)` (B, P), padding on the left."""
        tokens = ops.cast(inputs["token_ids"], "int32")
        mask = inputs.get("padding_mask")
        if mask is None:
            return tokens, ops.ones_like(tokens, dtype="bool")
        return left_padded(tokens, ops.cast(mask, "bool"))

    def start(self, inputs, max_new_tokens, beams=1, cache_dtype=None, lookahead=0):
        """Reads the prompts but for their last tokens; see `TransformerDecoder.start`."""
        tokens, mask = self.prompt(inputs)
        return self.backbone.start(tokens, mask, max_new_tokens, beams, cache_dtype, lookahead)

    def step(self, token_ids, state):
        """Logits (N, T, V) of the tokens after `token_ids` (N, T), and the advanced state."""
        hidden, state = self.step_hidden(token_ids, state)
        return self.logits(hidden), state

    def step_hidden(self, token_ids, state):
        """Hidden states (N, T, D) of `token_ids` (N, T), and the advanced state."""
        hidden, cache = self.backbone.step(token_ids, state.cache, padding_mask=state.padding_mask)
        return hidden, state._replace(cache=cache)

    def prompt_hidden(self, inputs):
        """Hidden states (B, P, D) of the prompts, padding on the left."""
        tokens, mask = self.prompt(inputs)
        return self.backbone({"token_ids": tokens, "padding_mask": mask}, training=False)

    def rewind(self, state, count):
        """The state as it was before the last `count` tokens."""
        cache = state.cache._replace(index=state.cache.index - count)
        return state._replace(cache=cache)

    def reorder(self, state, rows):
        """The state whose row i continues row `rows[i]`; rows of one prompt stay with it."""
        return state._replace(cache=state.cache.reorder(rows))

    def generate(self, inputs, max_new_tokens=None, method=None, **options):
        """Generates what follows prompts.

        Args:
            inputs: token ids (B, P), a ragged list of them, or a dictionary with `token_ids` and
                perhaps `padding_mask`; padding may stand on either side.
            max_new_tokens: new tokens at most, the ending one included; by default as many as
                `config.max_length` leaves room for.
            method: `generation.Greedy()` (the default), `generation.BeamSearch(...)`,
                `generation.Sampling(...)` or alike.
            **options: as `generation.generate` takes them.

        Returns:
            `generation.Generated`: `sequences` has the new tokens only, without the prompt.

        Raises:
            ValueError: token ids outside the vocabulary, an empty prompt, or more tokens than
                `config.max_length` in prompt and limit together.

        Example:

        >>> from keras_transformer.models import DecoderConfig
        >>> config = DecoderConfig(
        ...     vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16, max_length=32)
        >>> CausalLM(config).generate([[5, 6, 7], [8]], max_new_tokens=4).sequences.shape
        (2, 1, 4)
        """
        from keras_transformer import generation

        return generation.generate(self, inputs, max_new_tokens, method, **options)


def left_padded(tokens, mask):
    """The rows of `tokens` and `mask` (B, P) with all padding moved to the left."""
    place = ops.arange(ops.shape(tokens)[1], dtype="int32")
    real = ops.cast(mask, "int32")
    order = ops.argsort(real * ops.shape(tokens)[1] + place, axis=1)  # padding first, else as is
    return ops.take_along_axis(tokens, order, axis=1), ops.take_along_axis(mask, order, axis=1)
