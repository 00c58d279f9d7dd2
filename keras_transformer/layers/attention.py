"""Multi-head attention over one function, `attend`.

B batch, T query length, S key length, D model width, H heads, K head width
"""

import math

import keras
from keras import ops

from keras_transformer.layers import masks
from keras_transformer.layers.checks import check_positive, check_rate
from keras_transformer.layers.dropout import Dropout

# Finite, so that a row without any allowed key is free of NaN; lower than any real score.
MASKED_SCORE = -1e30


def attend(query, key, value, mask=None, bias=None, dropout=None):
    """Scaled dot-product attention.

        attend(Q, K, V) = softmax(Q Kᵀ / √K + bias) V

    The softmax is computed in float32 under every dtype. Scores of masked keys are exactly 0; a
    query with no allowed key attends to exact zeros and passes no gradient.

    Args:
        query: (B, H, T, K).
        key: (B, H, S, K).
        value: (B, H, S, K).
        mask: boolean, broadcasts to (B, H, T, S), True = may be attended; or None.
        bias: added to the scaled scores, broadcasts to (B, H, T, S); or None.
        dropout: a callable on the scores, such as a `keras.layers.Dropout`; or None.

    Returns:
        `(output, scores)`: (B, H, T, K) in the dtype of `value`, and (B, H, T, S) float32, before
        dropout.

    Example:

    >>> import numpy as np
    >>> q, k, v = (np.random.rand(2, 3, n, 7).astype("float32") for n in (4, 5, 5))
    >>> output, scores = attend(q, k, v)
    >>> tuple(output.shape), tuple(scores.shape)
    ((2, 3, 4, 7), (2, 3, 4, 5))

    Reference:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1.
    """
    query = query * ops.cast(1.0 / math.sqrt(query.shape[-1]), query.dtype)
    logits = ops.cast(ops.einsum("bhtk,bhsk->bhts", query, key), "float32")
    if bias is not None:
        logits = logits + ops.cast(bias, "float32")
    if mask is None:
        scores = ops.softmax(logits, axis=-1)
    else:
        scores = ops.softmax(ops.where(mask, logits, MASKED_SCORE), axis=-1)
        scores = ops.where(mask, scores, 0.0)
    weights = scores if dropout is None else dropout(scores)
    output = ops.einsum("bhts,bhsk->bhtk", ops.cast(weights, value.dtype), value)
    return output, scores


class MultiHeadAttention(keras.layers.Layer):
    """What self- and cross-attention share: projections and heads. Not used by itself.

    The sublayers `query`, `key`, `value` and `output_dense` (named "output") are
    `keras.layers.Dense` over all heads at once, so LoRA and quantisation apply to them.

    Example:

    >>> issubclass(MultiHeadSelfAttention, MultiHeadAttention)
    True
    """

    def __init__(
        self,
        num_heads,
        head_dim=None,
        dropout=0.0,
        use_bias=True,
        kernel_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive("num_heads", num_heads)
        if head_dim is not None:
            check_positive("head_dim", head_dim)
        check_rate("dropout", dropout)
        self.supports_masking = True
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.dropout = dropout
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
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
        width = self.num_heads * (self.head_dim or hidden_dim // self.num_heads)
        # Glorot's range of the joint (D, 3D) matrix that the three projections are.
        joint_glorot = keras.initializers.VarianceScaling(0.5, "fan_avg", "uniform")
        self.query = self.make_dense("query", hidden_dim, width, joint_glorot)
        self.key = self.make_dense("key", context_dim, width, joint_glorot)
        self.value = self.make_dense("value", context_dim, width, joint_glorot)
        self.output_dense = self.make_dense("output", width, hidden_dim, "glorot_uniform")

    def make_dense(self, name, input_dim, units, default_initializer):
        """One projection, built; `default_initializer` serves where the user gave none."""
        initializer = self.kernel_initializer or keras.initializers.get(default_initializer)
        if isinstance(initializer, keras.initializers.Initializer):
            initializer = initializer.clone()  # the instance itself would repeat its values
        layer = keras.layers.Dense(
            units,
            use_bias=self.use_bias,
            kernel_initializer=initializer,
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build((None, None, input_dim))
        return layer

    def project(self, x, *layers):
        """Several projections of one input, as one matrix product.

        Args:
            x: (B, T, D).
            *layers: which of the sublayers `query`, `key`, `value`.

        Returns:
            A list of (B, H, T, K), one a layer.
        """
        if len(layers) == 1 or any(layer.quantization_mode for layer in layers):
            return [self.split_heads(layer(x)) for layer in layers]
        kernel = ops.concatenate([layer.kernel for layer in layers], axis=-1)
        # Inside `call` these casts do nothing: Keras has done them. `project_context` needs them.
        joint = ops.matmul(self.to_compute_dtype(x), self.to_compute_dtype(kernel))
        if self.use_bias:
            bias = ops.concatenate([layer.bias for layer in layers], axis=-1)
            joint = joint + self.to_compute_dtype(bias)
        return [self.split_heads(part) for part in ops.split(joint, len(layers), axis=-1)]

    def to_compute_dtype(self, x):
        """The tensor in the dtype that this layer computes in."""
        return ops.cast(x, self.compute_dtype)

    def split_heads(self, x):
        """(B, T, H·K) to (B, H, T, K)."""
        batch_size, length = ops.shape(x)[:2]
        x = ops.reshape(x, (batch_size, length, self.num_heads, x.shape[-1] // self.num_heads))
        return ops.transpose(x, (0, 2, 1, 3))

    def merge_heads(self, x):
        """(B, H, T, K) to (B, T, H·K)."""
        batch_size, _, length = ops.shape(x)[:3]
        width = self.num_heads * x.shape[-1]
        return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (batch_size, length, width))

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="keras_transformer")
class MultiHeadSelfAttention(MultiHeadAttention):
    """Multi-head attention of a sequence to itself.

        SelfAttention(x) = [head₁ … head_H] Wᴼ,  head_h = attend(x Wᵠ_h, x Wᴷ_h, x Wⱽ_h)

    Queries, keys and values come from one matrix product.

    Args:
        num_heads: H.
        head_dim: K; by default D / H, which must then be whole.
        causal: whether position t attends to positions up to t only.
        dropout: rate on the attention scores.
        use_bias: whether the four projections have biases.
        kernel_initializer: of the projections; by default Glorot's uniform range, for queries,
            keys and values that of their joint matrix.

    Call:
        x: (B, T, D) float.
        padding_mask: (B, T) boolean, True = real token; by default the Keras mask of `x`.
            With a cache (B, S), over the cached positions.
        attention_mask: boolean (T, S), (B, T, S) or (B, H, T, S), in addition.
        cache: a `LayerCache`: the keys and values of `x` are written at its index, and each query
            attends to all positions up to its own.
        return_attention_scores: whether to return the scores too.
        training: whether dropout is active.

    Returns:
        (B, T, D); then, where asked for, the scores (B, H, T, S) float32; then, where a cache was
        given, the advanced `LayerCache`.

    Raises:
        ValueError: `num_heads` does not divide D and `head_dim` is not given; a mask of a wrong
            rank; a number out of its range.

    Example:

    >>> import numpy as np
    >>> layer = MultiHeadSelfAttention(num_heads=2, causal=True)
    >>> output, scores = layer(np.ones((1, 3, 8), "float32"), return_attention_scores=True)
    >>> output.shape == (1, 3, 8), np.asarray(scores)[0, 0, 0].tolist()
    (True, [1.0, 0.0, 0.0])

    Reference:
        Vaswani et al. 2017, section 3.2.
    """

    def __init__(self, num_heads, head_dim=None, causal=False, **kwargs):
        super().__init__(num_heads, head_dim, **kwargs)
        self.causal = causal

    def build(self, input_shape):
        self.build_projections(input_shape[-1], input_shape[-1])

    def call(
        self,
        x,
        padding_mask=None,
        attention_mask=None,
        cache=None,
        return_attention_scores=False,
        training=None,
    ):
        if padding_mask is None and cache is None:
            padding_mask = masks.implicit_mask(x)
        query, key, value = self.project(x, self.query, self.key, self.value)  # (B, H, T, K)
        offset = 0
        if cache is not None:
            offset = cache.index
            cache = cache.update(key, value)
            key, value = cache.key, cache.value  # (B, H, S, K)
        causal_mask = None
        if self.causal or cache is not None:
            causal_mask = masks.causal_mask(ops.shape(query)[2], ops.shape(key)[2], offset)
        mask = masks.combine(
            causal_mask,
            masks.padding_mask(padding_mask),
            masks.attention_mask(attention_mask),
        )
        dropout = self.score_dropout if training else None
        output, scores = attend(query, key, value, mask, dropout=dropout)
        output = self.output_dense(self.merge_heads(output))
        if cache is None:  # else the mask is over the cached positions
            masks.propagate(output, padding_mask)
        return with_extras(output, scores if return_attention_scores else None, cache)

    def get_config(self):
        return {**super().get_config(), "causal": self.causal}


@keras.saving.register_keras_serializable(package="keras_transformer")
class MultiHeadCrossAttention(MultiHeadAttention):
    """Multi-head attention of one sequence to another, the context.

        CrossAttention(x, y) = [head₁ … head_H] Wᴼ,  head_h = attend(x Wᵠ_h, y Wᴷ_h, y Wⱽ_h)

    While decoding, the keys and values of the context are computed once, by `project_context`.

    Args:
        num_heads: H.
        head_dim: K; by default D / H, which must then be whole.
        dropout: rate on the attention scores.
        use_bias: whether the four projections have biases.
        kernel_initializer: of the projections; see `MultiHeadSelfAttention`.

    Call:
        x: (N, T, D) float.
        context: (B, S, C) float. N is B, or B·G for G queries (beams) of each context row, those
            of one row side by side.
        padding_mask: (B, S) boolean over the context, True = real token; by default the Keras
            mask of `context`.
        attention_mask: boolean (T, S), (B, T, S) or (B, H, T, S), in addition; for N = B.
        context_cache: what `project_context(context)` returned, instead of `context`.
        return_attention_scores: whether to return the scores too.
        training: whether dropout is active.

    Returns:
        (N, T, D); then, where asked for, the scores (N, H, T, S) float32.

    Raises:
        ValueError: `num_heads` does not divide D and `head_dim` is not given; a mask of a wrong
            rank; neither `context` nor `context_cache`; N is not a multiple of B.

    Example:

    >>> import numpy as np
    >>> layer = MultiHeadCrossAttention(num_heads=2)
    >>> x, context = np.ones((1, 3, 8), "float32"), np.ones((1, 5, 6), "float32")
    >>> layer(x, context).shape == (1, 3, 8)
    True

    Reference:
        Vaswani et al. 2017, section 3.2.3.
    """

    def build(self, x_shape, context_shape):
        self.build_projections(x_shape[-1], context_shape[-1])

    def project_context(self, context):
        """Keys and values of a context (B, S, C): a pair of (B, H, S, K)."""
        return tuple(self.project(context, self.key, self.value))

    def call(
        self,
        x,
        context=None,
        padding_mask=None,
        attention_mask=None,
        context_cache=None,
        return_attention_scores=False,
        training=None,
    ):
        if context_cache is None:
            if context is None:
                raise ValueError("MultiHeadCrossAttention needs context or context_cache")
            if padding_mask is None:
                padding_mask = masks.implicit_mask(context)
            context_cache = self.project_context(context)
        key, value = context_cache  # (B, H, S, K)
        rows, length = ops.shape(x)[:2]
        (query,) = self.project(self.fold_rows(x, ops.shape(key)[0]), self.query)  # (B, H, G·T, K)
        mask = masks.combine(masks.padding_mask(padding_mask), masks.attention_mask(attention_mask))
        dropout = self.score_dropout if training else None
        output, scores = attend(query, key, value, mask, dropout=dropout)
        output = self.output_dense(self.merge_heads(output))
        output = ops.reshape(output, (rows, length, output.shape[-1]))
        return with_extras(
            output, self.unfold_scores(scores, rows, length) if return_attention_scores else None
        )

    def fold_rows(self, x, batch_size):
        """(B·G, T, D) to (B, G·T, D): the queries of one context row become one sequence."""
        rows, length = ops.shape(x)[:2]
        groups = count_groups(rows, batch_size)
        return ops.reshape(x, (batch_size, groups * length, x.shape[-1]))

    def unfold_scores(self, scores, rows, length):
        """(B, H, G·T, S) to (B·G, H, T, S)."""
        batch_size, _, _, context_length = ops.shape(scores)
        groups = count_groups(rows, batch_size)
        scores = ops.reshape(scores, (batch_size, self.num_heads, groups, length, context_length))
        scores = ops.transpose(scores, (0, 2, 1, 3, 4))
        return ops.reshape(scores, (rows, self.num_heads, length, context_length))


def count_groups(rows, batch_size):
    """G of B·G rows; numbers that are known must fit."""
    if ops.is_tensor(rows) or ops.is_tensor(batch_size):
        return rows // ops.maximum(batch_size, 1)
    if not (isinstance(rows, int) and isinstance(batch_size, int)):
        return rows // batch_size  # JAX's symbolic dimensions, which are never 0
    if rows % max(batch_size, 1):
        raise ValueError(
            "x must have the same whole number of rows for each row of the context; "
            f"received {rows} rows of x and {batch_size} of the context"
        )
    return rows // max(batch_size, 1)


def with_extras(output, *extras):
    """The output alone, or a tuple of it and those extras that are not None."""
    extras = tuple(extra for extra in extras if extra is not None)
    return (output, *extras) if extras else output
