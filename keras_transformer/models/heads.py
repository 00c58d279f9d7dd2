"""The encoder-decoder that predicts tokens.

B batch, S source length, T target length, V vocabulary
"""

import keras
from keras import ops

from keras_transformer.models.language_heads import LanguageHead
from keras_transformer.models.transformer import Transformer


@keras.saving.register_keras_serializable(package="keras_transformer")
class Seq2SeqLM(LanguageHead):
    """An encoder-decoder `Transformer` that predicts the target's next token.

        logits = s · Transformer(source, target) Eᵀ + b

    s is `config.logit_scale` and b there with `config.output_bias` only.

    Args:
        config: a `TransformerConfig`; `share_embeddings` says whether E is the embedding matrix.
        encoder_block: a subclass of `TransformerEncoderBlock`, or None for itself.
        decoder_block: a subclass of `TransformerDecoderBlock`, or None for itself.

    Call:
        inputs: as `Transformer` takes them. `decoder_token_ids` are the target shifted right:
            `bos_id`, then all tokens but the last.
        training: whether dropout is active.

    Returns:
        (B, T, V) logits in the compute dtype.

    Example:

    >>> import numpy as np
    >>> model = Seq2SeqLM.from_preset("transformer_tiny", vocab_size=11)
    >>> tokens = np.array([[5, 6, 7]])
    >>> inputs = {"encoder_token_ids": tokens, "decoder_token_ids": tokens[:, :2]}
    >>> model(inputs).shape == (1, 2, 11)
    True

    Reference:
        Vaswani et al. 2017, section 3.
    """

    backbone_class = Transformer

    def build_head(self):
        self.build_output(tied=self.config.share_embeddings in ("all", "target"))
        self.output_bias = None
        if self.config.output_bias:
            self.output_bias = self.add_weight(
                (self.config.vocab_size,), initializer="zeros", name="output_bias"
            )

    def token_embedding(self):
        return self.backbone.decoder.token_embedding

    def call(self, inputs, training=None):
        return self.logits(self.backbone(inputs, training=training))

    def logits(self, hidden):
        """The decoder's states (B, T, D) as logits (B, T, V)."""
        if self.config.logit_scale is not None:
            hidden = hidden * self.config.logit_scale
        logits = self.output_embedding(hidden, reverse=True)
        if self.output_bias is None:
            return logits
        return logits + ops.cast(self.output_bias, logits.dtype)

    def start(self, inputs, max_length, beams=1, cache_dtype=None, lookahead=0):
        """Encodes the sources and prepares decoding; see `Transformer.start`.

        `lookahead`, the tokens that a step may read beyond the next, is within `max_length`.
        """
        return self.backbone.start(inputs, max_length, beams, cache_dtype, lookahead)

    def step(self, token_ids, state):
        """Logits (N, T, V) of the tokens after `token_ids` (N, T), and the advanced state."""
        hidden, state = self.step_hidden(token_ids, state)
        return self.logits(hidden), state

    def step_hidden(self, token_ids, state):
        """Hidden states (N, T, D) of `token_ids` (N, T), and the advanced state."""
        return self.backbone.step(token_ids, state)

    def step_attention(self, token_ids, state):
        """As `step_hidden`, and how much each source token was attended to.

        Returns:
            `(hidden states (N, T, D), attention (N, T, S) float32, state)`, the attention being
            the mean over layers and heads, so that it sums to 1.
        """
        scores = []
        hidden, state = self.backbone.step(token_ids, state, scores)
        layers = [ops.mean(cross, axis=1) for _, cross in scores]
        return hidden, sum(layers) / len(layers), state

    def source_mask(self, state):
        """(B, S) boolean: which tokens of the sources are real."""
        return state.context_mask

    def rewind(self, state, count):
        """The state as it was before the last `count` tokens."""
        cache = state.cache._replace(index=state.cache.index - count)
        return state._replace(cache=cache)

    def reorder(self, state, rows):
        """The state whose row i continues row `rows[i]`; rows of one source stay with it."""
        return state._replace(cache=state.cache.reorder(rows))

    def generate(self, inputs, max_new_tokens=None, method=None, **options):
        """Generates target sequences.

        Args:
            inputs: token ids (B, S), a ragged list of them, or a dictionary with
                `encoder_token_ids` and perhaps `encoder_padding_mask`.
            max_new_tokens: the longest target in tokens, the ending one included; by default
                `config.max_length`.
            method: `generation.Greedy()` (the default), `generation.BeamSearch(...)`,
                `generation.Sampling(...)` or alike.
            **options: as `generation.generate` takes them.

        Returns:
            `generation.Generated` with `sequences`, `lengths` and `scores`.

        Raises:
            ValueError: token ids outside the vocabulary, an empty source, or limits that
                contradict each other.
        """
        from keras_transformer import generation

        return generation.generate(self, inputs, max_new_tokens, method, **options)
