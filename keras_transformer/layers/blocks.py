"""Encoder and decoder blocks: attention and feed-forward, each in a residual connection.

B batch, T query length, S context length, D model width, H heads
"""

import keras

from keras_transformer.layers import masks
from keras_transformer.layers.attention import with_extras
from keras_transformer.layers.transformer_block import TransformerBlock


@keras.saving.register_keras_serializable(package="keras_transformer")
class TransformerEncoderBlock(TransformerBlock):
    """Self-attention and feed-forward, each in a residual connection.

        x = norm(x + dropout(SelfAttention(x)))
        x = norm(x + dropout(FFN(x)))                        (post-norm, as in the paper)

    Args:
        num_heads: H.
        ffn_dim: F, the hidden width of the feed-forward layer.
        head_dim: K; by default D / H, which must then be whole.
        num_kv_heads: N, a divisor of H, for grouped-query attention; by default H.
        dropout: rate on the output of each sublayer, before it is added.
        attention_dropout: rate on the attention scores.
        activation_dropout: rate on the feed-forward layer's hidden units.
        activation: of the feed-forward layer: "relu", "gelu", "gelu_tanh", "silu", or a callable.
        gated: whether the feed-forward layer has a gate (SwiGLU with "silu").
        norm: "layer" for LayerNormalization, "rms" for RMSNormalization.
        norm_first: pre-norm when True; post-norm, as in the paper, when False.
        norm_epsilon: added to the variance in normalisation, that of queries and keys included.
        parallel: whether attention and feed-forward both start from the block's input, as in
            GPT-NeoX; with `norm_first` only.
        use_bias: whether dense layers have biases.
        rotary, position_bias, window: of the self-attention; see `MultiHeadSelfAttention`.
        query_key_norm, score, soft_cap: of all attention; see `MultiHeadSelfAttention`.
        use_attention_bias: whether the attention's projections have biases; by default `use_bias`.
        use_output_bias: whether the last of them has one; by default as the others.
        kernel_initializer: of all kernels; None for each layer's own default.
        output_initializer: of the last kernel before each residual sum, which deep models start
            smaller; by default as the others.

    Call:
        x: (B, T, D) float.
        padding_mask: (B, T) boolean, True = real token; by default the Keras mask of `x`.
        attention_mask: boolean (T, T), (B, T, T) or (B, H, T, T), in addition.
        attention_bias: float that broadcasts to (B, H, T, T), added to the scores.
        segment_ids: (B, T) integers; a position attends within its own segment.
        positions: (T,) or (B, T) integers for `rotary`, in place of 0, 1, ... T - 1.
        return_attention_scores: whether to return the scores too.
        training: whether dropout is active.

    Returns:
        (B, T, D); where asked for also the attention scores (B, H, T, T) float32.

    Raises:
        ValueError: a number is out of its range, or `num_heads` does not divide D.

    Example:

    >>> import numpy as np
    >>> block = TransformerEncoderBlock(num_heads=2, ffn_dim=16)
    >>> block(np.ones((1, 3, 8), "float32")).shape == (1, 3, 8)
    True

    Reference:
        Vaswani et al. 2017, section 3.1; pre-norm: Xiong et al. 2020, "On Layer Normalization in
        the Transformer Architecture".
    """

    def build(self, input_shape):
        self.hidden_dim = input_shape[-1]
        self.self_attention = self.make_self_attention(name="self_attention")
        self.self_attention.build(input_shape)
        self.feed_forward = self.make_feed_forward(name="feed_forward")
        self.feed_forward.build(input_shape)
        self.attention_residual = self.make_residual("self_attention", input_shape)
        self.feed_forward_residual = self.make_residual("feed_forward", input_shape)

    def call(
        self,
        x,
        padding_mask=None,
        attention_mask=None,
        attention_bias=None,
        segment_ids=None,
        positions=None,
        return_attention_scores=False,
        training=None,
    ):
        if padding_mask is None:
            padding_mask = masks.implicit_mask(x)

        block_input = x
        before, dropout, after = self.attention_residual
        attended, *scores = as_tuple(
            self.self_attention(
                before(x),
                padding_mask=padding_mask,
                attention_mask=attention_mask,
                attention_bias=attention_bias,
                segment_ids=segment_ids,
                positions=positions,
                return_attention_scores=return_attention_scores,
                training=training,
            )
        )
        x = after(x + dropout(attended, training=training))

        before, dropout, after = self.feed_forward_residual
        transformed = self.feed_forward(
            before(block_input if self.parallel else x), training=training
        )
        x = after(x + dropout(transformed, training=training))
        masks.propagate(x, padding_mask)
        return with_extras(x, *scores)


@keras.saving.register_keras_serializable(package="keras_transformer")
class TransformerDecoderBlock(TransformerBlock):
    """Causal self-attention, attention to a context, and feed-forward.

        x = norm(x + dropout(SelfAttention(x)))
        x = norm(x + dropout(CrossAttention(x, context)))
        x = norm(x + dropout(FFN(x)))                        (post-norm, as in the paper)

    Built without a context, the block has no cross-attention: a GPT-style block.

    Args:
        num_heads: H.
        ffn_dim: F, the hidden width of the feed-forward layer.
        head_dim: K; by default D / H, which must then be whole.
        num_kv_heads: N, a divisor of H, for grouped-query attention; by default H.
        dropout: rate on the output of each sublayer, before it is added.
        attention_dropout: rate on the attention scores.
        activation_dropout: rate on the feed-forward layer's hidden units.
        activation: of the feed-forward layer: "relu", "gelu", "gelu_tanh", "silu", or a callable.
        gated: whether the feed-forward layer has a gate (SwiGLU with "silu").
        norm: "layer" for LayerNormalization, "rms" for RMSNormalization.
        norm_first: pre-norm when True; post-norm, as in the paper, when False.
        norm_epsilon: added to the variance in normalisation, that of queries and keys included.
        parallel: whether attention and feed-forward both start from the block's input, as in
            GPT-NeoX; with `norm_first` only.
        use_bias: whether dense layers have biases.
        rotary, position_bias, window: of the self-attention; see `MultiHeadSelfAttention`.
        query_key_norm, score, soft_cap: of all attention; see `MultiHeadSelfAttention`.
        use_attention_bias: whether the attention's projections have biases; by default `use_bias`.
        use_output_bias: whether the last of them has one; by default as the others.
        kernel_initializer: of all kernels; None for each layer's own default.
        output_initializer: of the last kernel before each residual sum, which deep models start
            smaller; by default as the others.

    Call:
        x: (R, T, D) float.
        context: (B, S, C) float, the encoder's output; R is B, or B·G for G hypotheses a row.
        padding_mask: (R, T) boolean, True = real token; by default the Keras mask of `x`.
        context_padding_mask: (B, S) boolean; by default the Keras mask of `context`.
        attention_mask: boolean (T, T), (R, T, T) or (R, H, T, T), for self-attention, in addition
            to causality.
        attention_bias: float that broadcasts to (R, H, T, T), added to self-attention's scores.
        segment_ids: (R, T) integers; a position attends within its own segment.
        context_segment_ids: (B, S) integers; with `segment_ids`, a position attends to its own
            segment of the context.
        positions: (T,) or (R, T) integers for `rotary`, in place of 0, 1, ... T - 1.
        cache: a `LayerCache` of the self-attention.
        context_cache: what `project_context(context)` returned, instead of `context`.
        return_attention_scores: whether to return the scores too.
        training: whether dropout is active.

    Returns:
        (R, T, D); where asked for the self-attention scores (R, H, T, T) and the
        cross-attention scores (R, H, T, S), float32; where a cache was given the advanced one.

    Raises:
        ValueError: a number is out of its range; `num_heads` does not divide D; a context for a
            block that was built without one, or none for a block that was built with one.

    Example:

    >>> import numpy as np
    >>> block = TransformerDecoderBlock(num_heads=2, ffn_dim=16)
    >>> x, context = np.ones((1, 3, 8), "float32"), np.ones((1, 5, 8), "float32")
    >>> block(x, context).shape == (1, 3, 8)
    True

    Reference:
        Vaswani et al. 2017, section 3.1.
    """

    def build(self, x_shape, context_shape=None):
        self.hidden_dim = x_shape[-1]
        self.self_attention = self.make_self_attention(name="self_attention", causal=True)
        self.self_attention.build(x_shape)
        self.attention_residual = self.make_residual("self_attention", x_shape)
        self.cross_attention = None
        if context_shape is not None:
            if self.parallel:
                raise ValueError(
                    "parallel=True is for blocks without cross-attention; received a context"
                )
            self.cross_attention = self.make_cross_attention(name="cross_attention")
            self.cross_attention.build(x_shape, context_shape)
            self.cross_residual = self.make_residual("cross_attention", x_shape)
        self.feed_forward = self.make_feed_forward(name="feed_forward")
        self.feed_forward.build(x_shape)
        self.feed_forward_residual = self.make_residual("feed_forward", x_shape)

    def project_context(self, context):
        """Keys and values of a context for cross-attention, computed once while decoding."""
        if not self.built or self.cross_attention is None:
            raise ValueError(
                f"{self.name!r} has no cross-attention to project a context for: it must be built "
                "with one"
            )
        return self.cross_attention.project_context(context)

    def call(
        self,
        x,
        context=None,
        padding_mask=None,
        context_padding_mask=None,
        attention_mask=None,
        attention_bias=None,
        segment_ids=None,
        context_segment_ids=None,
        positions=None,
        cache=None,
        context_cache=None,
        return_attention_scores=False,
        training=None,
    ):
        if self.cross_attention is None and not (context is None and context_cache is None):
            raise ValueError(
                f"{self.name!r} was built without a context, so it has no cross-attention for the "
                "one it received"
            )
        if padding_mask is None and cache is None:
            padding_mask = masks.implicit_mask(x)

        block_input = x
        before, dropout, after = self.attention_residual
        attended, *extras = as_tuple(
            self.self_attention(
                before(x),
                padding_mask=padding_mask,
                attention_mask=attention_mask,
                attention_bias=attention_bias,
                segment_ids=segment_ids,
                positions=positions,
                cache=cache,
                return_attention_scores=return_attention_scores,
                training=training,
            )
        )
        x = after(x + dropout(attended, training=training))

        if self.cross_attention is not None:
            before, dropout, after = self.cross_residual
            attended, *cross_scores = as_tuple(
                self.cross_attention(
                    before(x),
                    context,
                    padding_mask=context_padding_mask,
                    attention_mask=segments_of_context(segment_ids, context_segment_ids),
                    context_cache=context_cache,
                    return_attention_scores=return_attention_scores,
                    training=training,
                )
            )
            extras[1:1] = cross_scores  # after self-attention's scores, before the cache
            x = after(x + dropout(attended, training=training))

        before, dropout, after = self.feed_forward_residual
        transformed = self.feed_forward(
            before(block_input if self.parallel else x), training=training
        )
        x = after(x + dropout(transformed, training=training))
        if cache is None:  # else the mask is over the cached positions
            masks.propagate(x, padding_mask)
        return with_extras(x, *extras)


def as_tuple(outputs):
    """A layer's output with its extras, as a tuple also where it is alone."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


def segments_of_context(segment_ids, context_segment_ids):
    """The mask (R, 1, T, S) of packed sequences and their packed contexts, or None."""
    if context_segment_ids is None:
        return None
    if segment_ids is None:
        raise ValueError("context_segment_ids need segment_ids beside them; received None")
    return masks.segment_mask(segment_ids, context_segment_ids)
