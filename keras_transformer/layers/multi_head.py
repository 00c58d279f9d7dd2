"""What self- and cross-attention share: projections and heads.

B batch, T query length, S key length, D model width, H heads, N key-value heads, K head width
"""

import keras
from keras import ops

from keras_transformer.layers import masks, scores
from keras_transformer.layers.checks import (
    check_choice,
    check_positive,
    check_positive_number,
    check_rate,
    fresh,
)
from keras_transformer.layers.composite import CompositeLayer
from keras_transformer.layers.dense import Dense
from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.norm import NORMS, make_norm
from keras_transformer.layers.recomputed import Identity


def has_fused_kernel():
    """Whether `keras.ops.dot_product_attention` is more than the plain path here.

    It is on torch, and on an accelerator under JAX.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        return not keras.distribution.list_devices()[0].startswith("cpu")
    return backend == "torch"


class MultiHeadAttention(CompositeLayer):
    """Projections, heads and `attend` of the two attention layers. Not used by itself.

    The sublayers `query`, `key`, `value` and `output_dense` (named "output") are
    `Dense` layers over all heads at once, so LoRA and quantisation apply to them. A subclass
    with another way to attend overrides `attend`.

    Args:
        num_heads: H.
        head_dim: K; by default D / H, which must then be whole.
        num_kv_heads: N, a divisor of H; by default H.
        dropout: rate on the attention scores.
        use_bias: whether the projections have biases.
        use_output_bias: whether the last projection has one; by default as the others.
        query_key_norm: "rms" or "layer" normalises each head's queries and keys; None does not.
        norm_epsilon: added to the variance in that normalisation.
        score: "scaled_dot_product", "dot_product", "additive", "bilinear" or a callable
            (query, key) -> scores; see `attend`.
        soft_cap: bound of the scores before the softmax; None for none.
        kernel_initializer: of the projections; by default Glorot's uniform range, for queries,
            keys and values that of their joint matrix.
        output_initializer: of the last projection; by default as the others.

    Example:

    >>> from keras_transformer.layers import MultiHeadSelfAttention
    >>> issubclass(MultiHeadSelfAttention, MultiHeadAttention)
    True
    """

    def __init__(
        self,
        num_heads,
        head_dim=None,
        num_kv_heads=None,
        dropout=0.0,
        use_bias=True,
        use_output_bias=None,
        query_key_norm=None,
        norm_epsilon=1e-6,
        score="scaled_dot_product",
        soft_cap=None,
        kernel_initializer=None,
        output_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_heads(num_heads, num_kv_heads)
        if head_dim is not None:
            check_positive("head_dim", head_dim)
        check_rate("dropout", dropout)
        check_query_key_norm(query_key_norm)
        check_positive_number("norm_epsilon", norm_epsilon)
        if soft_cap is not None:
            check_positive_number("soft_cap", soft_cap)
        self.supports_masking = True
        self.num_heads = num_heads
        self.num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        self.head_dim = head_dim
        self.dropout = dropout
        self.use_bias = use_bias
        self.use_output_bias = use_bias if use_output_bias is None else use_output_bias
        self.query_key_norm = query_key_norm
        self.norm_epsilon = norm_epsilon
        self.score = scores.get_score(score, dtype=self.dtype_policy.name)
        self.soft_cap = soft_cap
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)
        self.score_dropout = None
        if dropout:
            self.score_dropout = Dropout(dropout, dtype="float32", name="dropout")

    def build_projections(self, hidden_dim, context_dim):
        """Makes and builds the sublayers for queries of width D and keys of width `context_dim`."""
        if self.head_dim is None and hidden_dim % self.num_heads:
            raise ValueError(
                "num_heads must divide the width of the input unless head_dim is given; "
                f"received num_heads={self.num_heads} and width {hidden_dim}"
            )
        self.key_dim = self.head_dim or hidden_dim // self.num_heads  # K
        width, kv_width = self.num_heads * self.key_dim, self.num_kv_heads * self.key_dim
        # Glorot's range of the joint (D, 3D) matrix that the three projections are.
        joint_glorot = keras.initializers.VarianceScaling(0.5, "fan_avg", "uniform")
        self.query = self.make_dense("query", hidden_dim, width, joint_glorot)
        self.key = self.make_dense("key", context_dim, kv_width, joint_glorot)
        self.value = self.make_dense("value", context_dim, kv_width, joint_glorot)
        self.output_dense = self.make_dense("output", width, hidden_dim, "glorot_uniform")
        self.query_norm = self.make_query_key_norm("query_norm")
        self.key_norm = self.make_query_key_norm("key_norm")
        if isinstance(self.score, keras.layers.Layer) and not self.score.built:
            shape = (None, self.num_heads, None, self.key_dim)
            self.score.build(shape, shape)

    def make_dense(self, name, input_dim, units, default_initializer):
        """One projection, built; `default_initializer` serves where the user gave none."""
        own = self.output_initializer if name == "output" else None
        initializer = own or self.kernel_initializer or keras.initializers.get(default_initializer)
        layer = Dense(
            units,
            use_bias=self.use_output_bias if name == "output" else self.use_bias,
            kernel_initializer=fresh(initializer),
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build((None, None, input_dim))
        return layer

    def make_query_key_norm(self, name):
        """The normalisation of queries or keys (B, H, T, K) over K, built; an identity for none."""
        if self.query_key_norm is None:
            return Identity(dtype=self.dtype_policy, name="identity")
        layer = make_norm(
            self.query_key_norm, epsilon=self.norm_epsilon, dtype=self.dtype_policy, name=name
        )
        layer.build((None, None, None, self.key_dim))
        return layer

    def project(self, x, *layers):
        """One input by several projections, split into heads.

        Args:
            x: (B, T, D).
            *layers: which of the sublayers `query`, `key`, `value`.

        Returns:
            A list of (B, H, T, K) or (B, N, T, K), one a layer.

        Raises:
            ValueError: the input is of another rank.
        """
        if len(x.shape) != 3:
            raise ValueError(f"{self.name!r} takes (B, T, D); received shape {tuple(x.shape)}")
        return [self.split_heads(layer(x)) for layer in layers]

    def split_heads(self, x):
        """(B, T, H·K) to (B, H, T, K)."""
        batch_size, length = ops.shape(x)[:2]
        x = ops.reshape(x, (batch_size, length, x.shape[-1] // self.key_dim, self.key_dim))
        return ops.transpose(x, (0, 2, 1, 3))

    def merge_heads(self, x):
        """(B, H, T, K) to (B, T, H·K)."""
        batch_size, _, length = ops.shape(x)[:3]
        width = self.num_heads * x.shape[-1]
        return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (batch_size, length, width))

    def attend(
        self,
        query,
        key,
        value,
        mask=None,
        bias=None,
        causal=False,
        return_scores=False,
        training=None,
    ):
        """What the heads attend to; a layer that attends in another way overrides this.

        Args:
            query: (B, H, T, K).
            key: (B, N, S, K).
            value: (B, N, S, K).
            mask: boolean that broadcasts to (B, H, T, S), True = may be attended; or None.
            bias: broadcasts to (B, H, T, S), added to the scores; or None.
            causal: whether query t attends to keys up to t only, in addition to `mask`.
            return_scores: whether the scores are needed.
            training: whether dropout is active.

        Returns:
            `(output, scores)`: (B, H, T, K), and (B, H, T, S) float32 or None where not needed.
        """
        dropout = self.score_dropout if training else None
        plain = self.score is scores.scaled_dot_product and self.soft_cap is None and bias is None
        fused = plain and dropout is None and not return_scores and has_fused_kernel()
        if fused and mask is None:
            return scores.fused_attend(query, key, value, causal=causal), None
        if causal:
            mask = masks.combine(masks.causal_mask(ops.shape(query)[2], ops.shape(key)[2]), mask)
        if fused:
            return scores.fused_attend(query, key, value, mask), None
        return scores.attend(query, key, value, mask, bias, self.score, self.soft_cap, dropout)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "num_kv_heads": self.num_kv_heads,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "use_output_bias": self.use_output_bias,
            "query_key_norm": self.query_key_norm,
            "norm_epsilon": self.norm_epsilon,
            "score": scores.serialize_score(self.score),
            "soft_cap": self.soft_cap,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "output_initializer": keras.initializers.serialize(self.output_initializer),
        }


def check_heads(num_heads, num_kv_heads):
    """Refuses head counts that are no positive integers, or of which one does not divide the other.

    Example:

    >>> check_heads(6, 4)
    Traceback (most recent call last):
    ValueError: num_kv_heads must divide num_heads; received num_kv_heads=4 and num_heads=6
    """
    check_positive("num_heads", num_heads)
    if num_kv_heads is None:
        return
    check_positive("num_kv_heads", num_kv_heads)
    if num_heads % num_kv_heads:
        raise ValueError(
            "num_kv_heads must divide num_heads; "
            f"received num_kv_heads={num_kv_heads} and num_heads={num_heads}"
        )


def check_query_key_norm(value):
    """Refuses anything but the name of a normalisation, or None for none."""
    check_choice("query_key_norm", value, (*NORMS, None))
