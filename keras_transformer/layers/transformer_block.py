"""What the encoder's and the decoder's block share: settings, hooks, residual connections.

    post-norm:  x = norm(x + dropout(f(x)))          pre-norm:  x = x + dropout(f(norm(x)))

Which of the two is settled when a block is built: a norm stands on one side of each residual
connection, an identity on the other.
"""

import keras

from keras_transformer.layers.attention import MultiHeadCrossAttention, MultiHeadSelfAttention
from keras_transformer.layers.checks import (
    as_layer,
    check_choice,
    check_positive,
    check_positive_number,
    check_rate,
    serialized,
)
from keras_transformer.layers.composite import CompositeLayer
from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.feed_forward import FeedForward, get_activation
from keras_transformer.layers.multi_head import (
    check_heads,
    check_query_key_norm,
)
from keras_transformer.layers.norm import NORMS, make_norm
from keras_transformer.layers.position_bias import PositionBias
from keras_transformer.layers.recomputed import Identity
from keras_transformer.layers.rotary import RotaryEmbedding
from keras_transformer.layers.scores import get_score, serialize_score


class TransformerBlock(CompositeLayer):
    """Settings, hooks and residual connections of the two blocks. Not used by itself.

    A subclass overrides `make_self_attention`, `make_cross_attention`, `make_feed_forward`,
    `make_norm` or `make_residual` to change that part and nothing else. Hooks run when the block
    is built, so they may use what the subclass's constructor set, and `self.hidden_dim`.

    Args:
        num_heads: H.
        ffn_dim: F, the hidden width of the feed-forward layer.
        head_dim: K; by default D / H, which must then be whole.
        num_kv_heads: N, a divisor of H; by default H.
        dropout: rate on the output of each sublayer, before it is added.
        attention_dropout: rate on the attention scores.
        activation_dropout: rate on the feed-forward layer's hidden units.
        activation: of the feed-forward layer; see `FeedForward`.
        gated: whether the feed-forward layer has a gate.
        norm: "layer" or "rms".
        norm_first: pre-norm when True; post-norm, as in the paper, when False.
        norm_epsilon: added to the variance in normalisation, that of queries and keys included.
        parallel: whether attention and feed-forward both start from the block's input, instead of
            one after the other; pre-norm only.
        use_bias: whether dense layers have biases.
        rotary, position_bias, window: of the self-attention; see `MultiHeadSelfAttention`.
        query_key_norm, score, soft_cap: of all attention; see `MultiHeadSelfAttention`.
        use_attention_bias: whether the attention's projections have biases; by default `use_bias`.
        use_output_bias: whether the last of them has one; by default as the others.
        kernel_initializer: of all kernels; None for each layer's own default.
        output_initializer: of the last kernel before each residual sum, which deep models start
            smaller; by default as the others.

    Example:

    >>> from keras_transformer.layers import TransformerEncoderBlock
    >>> class BiasFreeBlock(TransformerEncoderBlock):
    ...     def make_feed_forward(self, name):
    ...         return FeedForward(self.ffn_dim, use_bias=False, name=name)
    """

    def __init__(
        self,
        num_heads,
        ffn_dim,
        head_dim=None,
        num_kv_heads=None,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        activation="relu",
        gated=False,
        norm="layer",
        norm_first=False,
        norm_epsilon=1e-5,
        parallel=False,
        use_bias=True,
        use_attention_bias=None,
        use_output_bias=None,
        rotary=None,
        position_bias=None,
        window=None,
        query_key_norm=None,
        score="scaled_dot_product",
        soft_cap=None,
        kernel_initializer=None,
        output_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_heads(num_heads, num_kv_heads)
        check_positive("ffn_dim", ffn_dim)
        check_rate("dropout", dropout)
        check_rate("attention_dropout", attention_dropout)
        check_rate("activation_dropout", activation_dropout)
        check_choice("norm", norm, tuple(NORMS))
        if parallel and not norm_first:
            raise ValueError(
                "parallel=True needs norm_first=True: after the sum there is nothing that both "
                "sublayers could be normalised by"
            )
        self.supports_masking = True
        self.num_heads = num_heads
        self.ffn_dim = ffn_dim
        self.head_dim = head_dim
        self.num_kv_heads = num_kv_heads
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.activation_dropout = activation_dropout
        self.activation = get_activation(activation)
        self.gated = gated
        self.norm = norm
        self.norm_first = norm_first
        self.norm_epsilon = norm_epsilon
        self.parallel = parallel
        self.use_bias = use_bias
        self.use_attention_bias = use_bias if use_attention_bias is None else use_attention_bias
        self.use_output_bias = use_output_bias
        self.rotary = as_layer("rotary", rotary, RotaryEmbedding)
        self.position_bias = as_layer("position_bias", position_bias, PositionBias)
        self.window = window
        self.query_key_norm = query_key_norm
        self.score = score if isinstance(score, str) else get_score(score)
        self.soft_cap = soft_cap
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)
        if window is not None:
            check_positive("window", window)
        check_query_key_norm(query_key_norm)
        if head_dim is not None:
            check_positive("head_dim", head_dim)
        if soft_cap is not None:
            check_positive_number("soft_cap", soft_cap)
        check_positive_number("norm_epsilon", norm_epsilon)

    def make_self_attention(self, name, causal=False):
        """The self-attention layer."""
        return MultiHeadSelfAttention(causal=causal, name=name, **self.self_attention_arguments())

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
            gated=self.gated,
            kernel_initializer=self.kernel_initializer,
            output_initializer=self.output_initializer,
            dtype=self.dtype_policy,
            name=name,
        )

    def make_norm(self, name):
        """One normalisation layer."""
        return make_norm(self.norm, epsilon=self.norm_epsilon, dtype=self.dtype_policy, name=name)

    def attention_arguments(self):
        """What both kinds of attention are made with."""
        return dict(
            num_heads=self.num_heads,
            head_dim=self.head_dim,
            num_kv_heads=self.num_kv_heads,
            dropout=self.attention_dropout,
            use_bias=self.use_attention_bias,
            use_output_bias=self.use_output_bias,
            query_key_norm=self.query_key_norm,
            norm_epsilon=self.norm_epsilon,
            score=self.score,
            soft_cap=self.soft_cap,
            kernel_initializer=self.kernel_initializer,
            output_initializer=self.output_initializer,
            dtype=self.dtype_policy,
        )

    def self_attention_arguments(self):
        """What self-attention is made with, but for its name and whether it is causal."""
        return dict(
            rotary=self.rotary,
            position_bias=self.position_bias,
            window=self.window,
            **self.attention_arguments(),
        )

    def make_residual(self, name, shape):
        """What stands around a sublayer f: `after(x + dropout(f(before(x))))`, all built.

        Args:
            name: the sublayer's.
            shape: of the block's input.

        Returns:
            `(before, dropout, after)`, three layers; `dropout` is called with `training`.
        """
        norm = self.make_norm(name=f"{name}_norm")
        norm.build(shape)
        dropout = Dropout(self.dropout, dtype=self.dtype_policy, name=f"{name}_dropout")
        identity = Identity(dtype=self.dtype_policy, name=f"{name}_identity")
        return (norm, dropout, identity) if self.norm_first else (identity, dropout, norm)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "ffn_dim": self.ffn_dim,
            "head_dim": self.head_dim,
            "num_kv_heads": self.num_kv_heads,
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "activation_dropout": self.activation_dropout,
            "activation": keras.activations.serialize(self.activation),
            "gated": self.gated,
            "norm": self.norm,
            "norm_first": self.norm_first,
            "norm_epsilon": self.norm_epsilon,
            "parallel": self.parallel,
            "use_bias": self.use_bias,
            "use_attention_bias": self.use_attention_bias,
            "use_output_bias": self.use_output_bias,
            "rotary": serialized(self.rotary),
            "position_bias": serialized(self.position_bias),
            "window": self.window,
            "query_key_norm": self.query_key_norm,
            "score": self.score if isinstance(self.score, str) else serialize_score(self.score),
            "soft_cap": self.soft_cap,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "output_initializer": keras.initializers.serialize(self.output_initializer),
        }
