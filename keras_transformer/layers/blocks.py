"""Encoder and decoder blocks: attention and feed-forward, each in a residual connection.

    post-norm:  x = norm(x + dropout(f(x)))          pre-norm:  x = x + dropout(f(norm(x)))

Which of the two is settled when a block is built: a norm stands on one side of each residual
connection, an identity on the other.
"""

import keras

from keras_transformer.layers import masks
from keras_transformer.layers.attention import (
    MultiHeadCrossAttention,
    MultiHeadSelfAttention,
    with_extras,
)
from keras_transformer.layers.checks import check_positive, check_rate
from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.feed_forward import FeedForward


class TransformerBlock(keras.layers.Layer):
    """What the two blocks share: their settings and the hooks that make their parts.

    A subclass overrides `make_self_attention`, `make_cross_attention`, `make_feed_forward` or
    `make_norm` to change that part and nothing else. Hooks run when the block is built, so they
    may use what the subclass's constructor set, and `self.hidden_dim`.

    Example:

    >>> class RmsBlock(TransformerEncoderBlock):
    ...     def make_norm(self, name):
    ...         return keras.layers.RMSNormalization(name=name, dtype=self.dtype_policy)
    """

    def __init__(
        self,
        num_heads,
        ffn_dim,
        head_dim=None,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        activation="relu",
        norm_first=False,
        norm_epsilon=1e-5,
        use_bias=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive("num_heads", num_heads)
        check_positive("ffn_dim", ffn_dim)
        check_rate("dropout", dropout)
        check_rate("attention_dropout", attention_dropout)
        check_rate("activation_dropout", activation_dropout)
        self.supports_masking = True
        self.num_heads = num_heads
        self.ffn_dim = ffn_dim
        self.head_dim = head_dim
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.activation_dropout = activation_dropout
        self.activation = keras.activations.get(activation)
        self.norm_first = norm_first
        self.norm_epsilon = norm_epsilon
        self.use_bias = use_bias

    def make_self_attention(self, name, causal=False):
        """The self-attention layer."""
        return MultiHeadSelfAttention(causal=causal, name=name, **self.attention_arguments())

    def make_cross_attention(self, name):
        """The attention layer from decoder to encoder."""
        return MultiHeadCrossAttention(name=name, **self.attention_arguments())

    def make_feed_forward(self, name):
        """The feed-forward layer: (B, T, D) to (B, T, D)."""
        return FeedForward(
            self.ffn_dim,
            activation=self.activation,
            dropout=self.activation_dropout,
            use_bias=self.use_bias,
            dtype=self.dtype_policy,
            name=name,
        )

    def make_norm(self, name):
        """One normalisation layer."""
        return keras.layers.LayerNormalization(
            epsilon=self.norm_epsilon, dtype=self.dtype_policy, name=name
        )

    def attention_arguments(self):
        """What both kinds of attention are made with."""
        return dict(
            num_heads=self.num_heads,
            head_dim=self.head_dim,
            dropout=self.attention_dropout,
            use_bias=self.use_bias,
            dtype=self.dtype_policy,
        )

    def build_residual(self, name, shape):
        """Norm and dropout of one residual connection: (before, dropout, after)."""
        norm = self.make_norm(name=f"{name}_norm")
        norm.build(shape)
        dropout = Dropout(self.dropout, dtype=self.dtype_policy, name=f"{name}_dropout")
        identity = keras.layers.Identity(dtype=self.dtype_policy, name=f"{name}_identity")
        return (norm, dropout, identity) if self.norm_first else (identity, dropout, norm)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "ffn_dim": self.ffn_dim,
            "head_dim": self.head_dim,
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "activation_dropout": self.activation_dropout,
            "activation": keras.activations.serialize(self.activation),
            "norm_first": self.norm_first,
            "norm_epsilon": self.norm_epsilon,
            "use_bias": self.use_bias,
        }


@keras.saving.register_keras_serializable(package="keras_transformer")
class TransformerEncoderBlock(TransformerBlock):
    """Self-attention and feed-forward, each in a residual connection.

        x = norm(x + dropout(SelfAttention(x)))
        x = norm(x + dropout(FFN(x)))                        (post-norm, as in the paper)

    Args:
        num_heads: H.
        ffn_dim: F, the hidden width of the feed-forward layer.
        head_dim: K; by default D / H, which must then be whole.
        dropout: rate on the output of each sublayer, before it is added.
        attention_dropout: rate on the attention scores.
        activation_dropout: rate on the feed-forward layer's hidden units.
        activation: of the feed-forward layer.
        norm_first: pre-norm when True; post-norm, as in the paper, when False.
        norm_epsilon: added to the variance in normalisation.
        use_bias: whether dense layers have biases.

    Call:
        x: (B, T, D) float.
        padding_mask: (B, T) boolean, True = real token; by default the Keras mask of `x`.
        attention_mask: boolean (T, T), (B, T, T) or (B, H, T, T), in addition.
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
        self.attention_residual = self.build_residual("self_attention", input_shape)
        self.feed_forward_residual = self.build_residual("feed_forward", input_shape)

    def call(
        self,
        x,
        padding_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
    ):
        if padding_mask is None:
            padding_mask = masks.implicit_mask(x)

        before, dropout, after = self.attention_residual
        attended, scores = self.self_attention(
            before(x),
            padding_mask=padding_mask,
            attention_mask=attention_mask,
            return_attention_scores=True,
            training=training,
        )
        x = after(x + dropout(attended, training=training))

        before, dropout, after = self.feed_forward_residual
        x = after(x + dropout(self.feed_forward(before(x), training=training), training=training))
        masks.propagate(x, padding_mask)
        return with_extras(x, scores if return_attention_scores else None)


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
        dropout: rate on the output of each sublayer, before it is added.
        attention_dropout: rate on the attention scores.
        activation_dropout: rate on the feed-forward layer's hidden units.
        activation: of the feed-forward layer.
        norm_first: pre-norm when True; post-norm, as in the paper, when False.
        norm_epsilon: added to the variance in normalisation.
        use_bias: whether dense layers have biases.

    Call:
        x: (N, T, D) float.
        context: (B, S, C) float, the encoder's output; N is B, or B·G for G hypotheses a row.
        padding_mask: (N, T) boolean, True = real token; by default the Keras mask of `x`.
        context_padding_mask: (B, S) boolean; by default the Keras mask of `context`.
        attention_mask: boolean (T, T), (N, T, T) or (N, H, T, T), for self-attention, in addition
            to causality.
        cache: a `LayerCache` of the self-attention.
        context_cache: what `project_context(context)` returned, instead of `context`.
        return_attention_scores: whether to return the scores too.
        training: whether dropout is active.

    Returns:
        (N, T, D); where asked for the self-attention scores (N, H, T, T) and the
        cross-attention scores (N, H, T, S), float32; where a cache was given the advanced one.

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
        self.attention_residual = self.build_residual("self_attention", x_shape)
        self.cross_attention = None
        if context_shape is not None:
            self.cross_attention = self.make_cross_attention(name="cross_attention")
            self.cross_attention.build(x_shape, context_shape)
            self.cross_residual = self.build_residual("cross_attention", x_shape)
        self.feed_forward = self.make_feed_forward(name="feed_forward")
        self.feed_forward.build(x_shape)
        self.feed_forward_residual = self.build_residual("feed_forward", x_shape)

    def project_context(self, context):
        """Keys and values of a context for cross-attention, computed once while decoding."""
        return self.cross_attention.project_context(context)

    def call(
        self,
        x,
        context=None,
        padding_mask=None,
        context_padding_mask=None,
        attention_mask=None,
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

        before, dropout, after = self.attention_residual
        attended, scores, *advanced = self.self_attention(
            before(x),
            padding_mask=padding_mask,
            attention_mask=attention_mask,
            cache=cache,
            return_attention_scores=True,
            training=training,
        )
        x = after(x + dropout(attended, training=training))

        cross_scores = None
        if self.cross_attention is not None:
            before, dropout, after = self.cross_residual
            attended, cross_scores = self.cross_attention(
                before(x),
                context,
                padding_mask=context_padding_mask,
                context_cache=context_cache,
                return_attention_scores=True,
                training=training,
            )
            x = after(x + dropout(attended, training=training))

        before, dropout, after = self.feed_forward_residual
        x = after(x + dropout(self.feed_forward(before(x), training=training), training=training))
        if cache is None:  # else the mask is over the cached positions
            masks.propagate(x, padding_mask)
        all_scores = (scores, cross_scores) if return_attention_scores else ()
        return with_extras(x, *all_scores, *advanced)
