"""Attention as a function: the scores of keys for queries, their softmax, the mean of the values.

B batch, T query length, S key length, H heads, N key-value heads (of which H is a multiple), K head
width
"""

import math

import keras
from keras import ops

# Finite, so that a row without any allowed key is free of NaN; lower than any real score.
MASKED_SCORE = -1e30
# What a bias counts at least: keys that it forbids, be it with -∞, stay above those masked.
LOWEST_BIAS = -1e29


def dot_product(query, key):
    """Scores of keys for queries: their dot products.

        score(q, k) = q · k

    Args:
        query: (B, H, T, K).
        key: (B, N, S, K); head n serves the query heads n·H/N to (n + 1)·H/N - 1.

    Returns:
        (B, H, T, S).

    Example:

    >>> import numpy as np
    >>> q, k = np.ones((1, 4, 3, 5), "float32"), np.ones((1, 2, 6, 5), "float32")
    >>> dot_product(q, k).shape == (1, 4, 3, 6)
    True

    Reference:
        Luong et al. 2015, "Effective Approaches to Attention-based Neural Machine Translation",
        section 3.1, "dot".
    """
    num_heads, length = query.shape[1], ops.shape(query)[2]
    scores = ops.matmul(fold_heads(query, key.shape[1]), ops.transpose(key, (0, 1, 3, 2)))
    return unfold_heads(scores, num_heads, length)


def scaled_dot_product(query, key):
    """Dot products divided by √K, so that unit-variance vectors have unit-variance scores.

        score(q, k) = q · k / √K

    Args:
        query: (B, H, T, K).
        key: (B, N, S, K), as `dot_product` takes it.

    Returns:
        (B, H, T, S).

    Example:

    >>> import numpy as np
    >>> q, k = np.ones((1, 4, 3, 9), "float32"), np.ones((1, 2, 6, 9), "float32")
    >>> round(float(scaled_dot_product(q, k)[0, 0, 0, 0]), 4)   # 9 / √9
    3.0

    Reference:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1.
    """
    return dot_product(query * ops.cast(1.0 / math.sqrt(query.shape[-1]), query.dtype), key)


@keras.saving.register_keras_serializable(package="keras_transformer")
class AdditiveScore(keras.layers.Layer):
    """Scores of a small network with one hidden layer, per head.

        score(q, k) = vᵀ tanh(q + k)

    The paper's matrices in front of q and k are the attention layer's projections. All of
    (B, H, T, S, K) is in memory at once.

    Call:
        query: (B, H, T, K).
        key: (B, H, S, K).

    Returns:
        (B, H, T, S).

    Example:

    >>> import numpy as np
    >>> q, k = np.ones((1, 2, 3, 5), "float32"), np.ones((1, 2, 7, 5), "float32")
    >>> AdditiveScore()(q, k).shape == (1, 2, 3, 7)
    True

    Reference:
        Bahdanau et al. 2015, "Neural Machine Translation by Jointly Learning to Align and
        Translate", appendix A.1.2.
    """

    def build(self, query_shape, key_shape):
        _, num_heads, _, head_dim = query_shape
        self.vector = self.add_weight(
            (num_heads, head_dim), initializer="glorot_uniform", name="vector"
        )

    def call(self, query, key):
        hidden = ops.tanh(query[:, :, :, None] + key[:, :, None])  # (B, H, T, S, K)
        return ops.einsum("bhtsk,hk->bhts", hidden, self.vector)


@keras.saving.register_keras_serializable(package="keras_transformer")
class BilinearScore(keras.layers.Layer):
    """Scores by a learned bilinear form, per head.

        score(q, k) = qᵀ W k

    W starts as the identity over √K, with which the score is the scaled dot product.

    Call:
        query: (B, H, T, K).
        key: (B, H, S, K).

    Returns:
        (B, H, T, S).

    Example:

    >>> import numpy as np
    >>> q, k = np.ones((1, 2, 3, 4), "float32"), np.ones((1, 2, 7, 4), "float32")
    >>> round(float(BilinearScore()(q, k)[0, 0, 0, 0]), 4)   # 4 / √4
    2.0

    Reference:
        Luong et al. 2015, section 3.1, "general".
    """

    def build(self, query_shape, key_shape):
        _, num_heads, _, head_dim = query_shape
        self.form = self.add_weight(
            (num_heads, head_dim, head_dim), initializer=scaled_identity, name="form"
        )

    def call(self, query, key):
        return dot_product(ops.einsum("bhtk,hkj->bhtj", query, self.form), key)


def scaled_identity(shape, dtype=None):
    """(H, K, K): for each head the identity over √K."""
    num_heads, head_dim, _ = shape
    return ops.tile(ops.eye(head_dim, dtype=dtype)[None] / math.sqrt(head_dim), (num_heads, 1, 1))


SCORES = {
    "scaled_dot_product": lambda: scaled_dot_product,
    "dot_product": lambda: dot_product,
    "additive": AdditiveScore,
    "bilinear": BilinearScore,
}


def get_score(identifier, dtype=None):
    """The score function of a name, a configuration or a callable.

    Args:
        identifier: a name in `SCORES`, a callable (query, key) -> scores, or its serialized form.
        dtype: dtype policy of a layer that a name stands for.

    Raises:
        ValueError: the name is not known.

    Example:

    >>> get_score("dot_product") is dot_product
    True
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if callable(identifier):
        return identifier
    if not isinstance(identifier, str) or identifier not in SCORES:
        names = ", ".join(repr(name) for name in SCORES)
        raise ValueError(f"score must be one of {names} or a callable; received {identifier!r}")
    score = SCORES[identifier]
    if isinstance(score, type):
        return score(dtype=dtype, name="score")
    return score()


def serialize_score(score):
    """What `get_score` makes the score function from again."""
    for name, make in SCORES.items():
        if not isinstance(make, type) and make() is score:
            return name
    return keras.saving.serialize_keras_object(score)


def masked_softmax(logits, mask=None):
    """Softmax over the allowed keys, in float32.

    Scores of masked keys are exactly 0, and so is every score of a query without an allowed key;
    nothing masked passes a gradient.

    Args:
        logits: (B, H, T, S) of any float dtype.
        mask: boolean, broadcasts to (B, H, T, S), True = may be attended; or None.

    Returns:
        (B, H, T, S) float32.

    Example:

    >>> import numpy as np
    >>> logits, mask = np.zeros((1, 1, 2, 2), "float32"), np.array([[True, False], [False, False]])
    >>> np.asarray(masked_softmax(logits, mask))[0, 0].tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    scores = ops.softmax(mask_logits(logits, mask), axis=-1)
    return scores if mask is None else ops.where(has_key(mask), scores, 0.0)


def mask_logits(logits, mask):
    """Logits in float32, those of masked keys so low that their softmax is exactly 0."""
    logits = ops.cast(logits, "float32")
    return logits if mask is None else ops.where(mask, logits, MASKED_SCORE)


def has_key(mask):
    """Whether a query has any allowed key: (…, T, 1) boolean; elsewhere a softmax is uniform."""
    return ops.any(mask, axis=-1, keepdims=True)


def attend(
    query,
    key,
    value,
    mask=None,
    bias=None,
    score=scaled_dot_product,
    soft_cap=None,
    dropout=None,
):
    """Attention: for each query the mean of the values, weighted by the scores of their keys.

        attend(Q, K, V) = softmax(cap(score(Q, K)) + bias) V,    cap(z) = c·tanh(z / c)

    The softmax is computed in float32 under every dtype. Scores of masked keys are exactly 0; a
    query with no allowed key attends to exact zeros and passes no gradient. With fewer key-value
    heads than query heads, each of them serves a group of query heads (grouped-query attention;
    multi-query with one).

    Args:
        query: (B, H, T, K).
        key: (B, N, S, K), N a divisor of H.
        value: (B, N, S, K).
        mask: boolean, broadcasts to (B, H, T, S), True = may be attended; or None.
        bias: added to the capped scores, broadcasts to (B, H, T, S); or None. -∞ forbids a key to
            a query that has others; forbidding all of them is for `mask`.
        score: a callable (query, key) -> (B, H, T, S). It gets H key heads, repeated where they
            are fewer, unless it is one of the two dot products, which need no repetition.
        soft_cap: c, the bound of the capped scores; or None.
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
        Vaswani et al. 2017, section 3.2.1; groups: Ainslie et al. 2023, "GQA", section 2.2; the
        cap: Bello et al. 2017, "Neural Combinatorial Optimization", appendix A.1, and Gemma Team
        2024, "Gemma 2", section 2.
    """
    num_heads, length = query.shape[1], ops.shape(query)[2]
    if score not in (scaled_dot_product, dot_product):
        key = repeat_heads(key, num_heads)
    logits = ops.cast(score(query, key), "float32")  # (B, H, T, S)
    if soft_cap is not None:
        logits = soft_cap * ops.tanh(logits / soft_cap)
    if bias is not None:
        logits = logits + ops.maximum(ops.cast(bias, "float32"), LOWEST_BIAS)
    scores = ops.softmax(mask_logits(logits, mask), axis=-1)
    weights = scores if dropout is None else dropout(scores)
    weights = fold_heads(ops.cast(weights, value.dtype), value.shape[1])
    output = unfold_heads(ops.einsum("bnts,bnsk->bntk", weights, value), num_heads, length)
    if mask is None:
        return output, scores
    # Zeros of (B, H, T, K) rather than of all scores, which compiled code skips where nobody asks.
    attends = has_key(mask)
    return ops.where(attends, output, 0.0), ops.where(attends, scores, 0.0)


def fused_attend(query, key, value, mask=None, causal=False):
    """`attend` by the backend's fused kernel: flash attention on a GPU, where there is one.

    The (B, H, T, S) scores need not exist, so none are returned. A query with no allowed key, for
    which kernels give whatever they give, attends to exact zeros here too.

    Args:
        query: (B, H, T, K).
        key: (B, N, S, K).
        value: (B, N, S, K).
        mask: boolean, broadcasts to (B, H, T, S); or None.
        causal: whether query t attends to keys up to t only; without `mask`.

    Returns:
        (B, H, T, K).

    Example:

    >>> import numpy as np
    >>> x = np.ones((1, 2, 3, 5), "float32")
    >>> fused_attend(x, x, x, causal=True).shape == (1, 2, 3, 5)
    True

    Reference:
        Dao et al. 2022, "FlashAttention".
    """
    if key.shape[1] == 1:  # Keras repeats other numbers of heads only
        key, value = (repeat_heads(x, query.shape[1]) for x in (key, value))
    attends = None
    if mask is not None:
        attends = has_key(mask)
        mask = ops.logical_or(mask, ops.logical_not(attends))
        mask = ops.reshape(mask, (1,) * (4 - len(mask.shape)) + tuple(ops.shape(mask)))
        lengths = (ops.shape(query)[2], ops.shape(key)[2])
        mask = ops.broadcast_to(mask, tuple(ops.shape(mask)[:2]) + lengths)
    output = ops.dot_product_attention(
        *(ops.transpose(x, (0, 2, 1, 3)) for x in (query, key, value)), mask=mask, is_causal=causal
    )
    output = ops.transpose(output, (0, 2, 1, 3))
    return output if attends is None else ops.where(attends, output, 0.0)


def fold_heads(x, num_heads):
    """(B, H, T, ·) to (B, N, H/N·T, ·): the heads of one group become one longer sequence."""
    if x.shape[1] == num_heads:
        return x
    batch_size, _, length = ops.shape(x)[:3]
    groups = x.shape[1] // num_heads
    return ops.reshape(x, (batch_size, num_heads, groups * length, ops.shape(x)[3]))


def unfold_heads(x, num_heads, length):
    """(B, N, H/N·T, ·) to (B, H, T, ·): `fold_heads` undone."""
    if x.shape[1] == num_heads:
        return x
    return ops.reshape(x, (ops.shape(x)[0], num_heads, length, ops.shape(x)[3]))


def repeat_heads(x, num_heads):
    """(B, N, S, K) to (B, H, S, K): each head H/N times."""
    if x.shape[1] == num_heads:
        return x
    return ops.repeat(x, num_heads // x.shape[1], axis=1)
