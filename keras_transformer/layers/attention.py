"""Multi-head attention of a sequence to itself and to another.

B batch, T query length, S key length, D model width, H heads, N key-value heads, K head width
"""

import keras
from keras import ops

from keras_transformer.layers import masks
from keras_transformer.layers.checks import (
    as_layer,
    check_attention_bias,
    check_positive,
    serialized,
)
from keras_transformer.layers.multi_head import MultiHeadAttention
from keras_transformer.layers.position_bias import PositionBias
from keras_transformer.layers.rotary import RotaryEmbedding
from keras_transformer.layers.scores import attend

__all__ = ["MultiHeadCrossAttention", "MultiHeadSelfAttention", "attend"]


@keras.saving.register_keras_serializable(package="keras_transformer")
class MultiHeadSelfAttention(MultiHeadAttention):
    """Multi-head attention of a sequence to itself.

        SelfAttention(x) = [head₁ … head_H] Wᴼ,  head_h = attend(x Wᵠ_h, x Wᴷ_h, x Wⱽ_h)

    Where no scores are asked for and nothing of a layer's settings forbids it, `attend` is the
    fused kernel of JAX and torch.

    Args:
        num_heads: H.
        head_dim: K; by default D / H, which must then be whole.
        causal: whether position t attends to positions up to t only.
        window: how many positions a query reaches: those at a distance below it, so itself and
            `window` - 1 before it (and after it, if not causal); None for all.
        rotary: a `RotaryEmbedding` for queries and keys, or None.
        position_bias: an `AlibiBias` or `RelativePositionBias`, whose bias is added to the scores,
            or None.
        num_kv_heads: N, a divisor of H, each serving H/N heads (grouped-query attention, and
            multi-query with 1); by default H.
        dropout: rate on the attention scores.
        use_bias: whether the projections have biases.
        use_output_bias: whether the last projection has one; by default as the others.
        query_key_norm: "rms" or "layer" normalises each head's queries and keys over K, before
            `rotary`; None does not.
        norm_epsilon: added to the variance in that normalisation.
        score: "scaled_dot_product", "dot_product", "additive" (Bahdanau), "bilinear" (Luong), or a
            callable from (B, H, T, K) queries and (B, H, S, K) keys to (B, H, T, S) scores.
        soft_cap: c in c·tanh(score / c), before bias and softmax; None for no cap.
        kernel_initializer: of the projections; by default Glorot's uniform range, for queries,
            keys and values that of their joint matrix.
        output_initializer: of the last projection; by default as the others.

    Call:
        x: (B, T, D) float.
        padding_mask: (B, T) boolean, True = real token; by default the Keras mask of `x`.
            With a cache (B, S), over the cached positions.
        attention_mask: boolean (T, S), (B, T, S) or (B, H, T, S), in addition.
        attention_bias: float that broadcasts to (B, H, T, S), added to the scores.
        segment_ids: (B, T) integers; a position attends within its own segment. Not with a cache.
        positions: (T,) or (B, T) integers for `rotary`, in place of 0, 1, ... T - 1.
        cache: a `LayerCache`: the keys and values of `x` are written at its index, and each query
            attends to all positions up to its own.
        return_attention_scores: whether to return the scores too.
        training: whether dropout is active.

    Returns:
        (B, T, D); then, where asked for, the scores (B, H, T, S) float32; then, where a cache was
        given, the advanced `LayerCache`.

    Raises:
        ValueError: `num_heads` does not divide D and `head_dim` is not given; `num_kv_heads` does
            not divide `num_heads`; a mask of a wrong shape; a number out of its range; an unknown
            name.

    Example:

    >>> import numpy as np
    >>> layer = MultiHeadSelfAttention(num_heads=2, causal=True)
    >>> output, scores = layer(np.ones((1, 3, 8), "float32"), return_attention_scores=True)
    >>> output.shape == (1, 3, 8), np.asarray(scores)[0, 0, 0].tolist()
    (True, [1.0, 0.0, 0.0])

    Reference:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2; groups: Ainslie et al. 2023,
        "GQA"; window: Beltagy et al. 2020, "Longformer", section 3.1.
    """

    def __init__(
        self,
        num_heads,
        head_dim=None,
        causal=False,
        window=None,
        rotary=None,
        position_bias=None,
        **kwargs,
    ):
        super().__init__(num_heads, head_dim, **kwargs)
        if window is not None:
            check_positive("window", window)
        self.causal = causal
        self.window = window
        self.rotary = as_layer("rotary", rotary, RotaryEmbedding)
        self.position_bias = as_layer("position_bias", position_bias, PositionBias)
        biased_heads = getattr(self.position_bias, "num_heads", num_heads)
        if biased_heads != num_heads:
            raise ValueError(
                "position_bias must have as many heads as the layer; "
                f"received {biased_heads} and num_heads={num_heads}"
            )

    def build(self, input_shape):
        self.build_projections(input_shape[-1], input_shape[-1])
        if self.rotary is not None and not self.rotary.built:
            self.rotary.build((None, self.num_heads, None, self.key_dim))
        if self.position_bias is not None and not self.position_bias.built:
            self.position_bias.build()

    def call(
        self,
        x,
        padding_mask=None,
        attention_mask=None,
        attention_bias=None,
        segment_ids=None,
        positions=None,
        cache=None,
        return_attention_scores=False,
        training=None,
    ):
        if padding_mask is None and cache is None:
            padding_mask = masks.implicit_mask(x)
        query, key, value = self.project(x, self.query, self.key, self.value)  # (B, H|N, T, K)
        query, key = self.query_norm(query), self.key_norm(key)
        offset = 0
        if cache is not None:
            self.check_cache(cache, segment_ids)
            offset = cache.index
        if self.rotary is not None:
            query = self.rotary(query, start_index=offset, positions=positions)
            key = self.rotary(key, start_index=offset, positions=positions)
        if cache is not None:
            cache = cache.update(key, value)
            key, value = cache.key, cache.value  # (B, N, S, K)
        if cache is not None and cache.ancestors is not None:
            output, scores = self.attend_shared(
                query, cache, padding_mask, attention_mask, attention_bias, return_attention_scores
            )
        else:
            lengths = ops.shape(query)[2], ops.shape(key)[2]  # T, S
            output, scores = self.attend(
                query,
                key,
                value,
                mask=self.joint_mask(
                    padding_mask, attention_mask, segment_ids, cache, lengths, offset
                ),
                bias=self.joint_bias(attention_bias, *lengths, offset),
                causal=self.causal and cache is None,
                return_scores=return_attention_scores,
                training=training,
            )
        output = self.output_dense(self.merge_heads(output))
        if cache is None:  # else the mask is over the cached positions
            masks.propagate(output, padding_mask)
        return with_extras(output, scores if return_attention_scores else None, cache)

    def joint_mask(self, padding_mask, attention_mask, segment_ids, cache, lengths, offset):
        """All masks of a call as one, or None; `lengths` are T and S."""
        places = None if cache is None else cache.places
        if places is not None:
            return self.window_cache_mask(padding_mask, attention_mask, places, lengths[0], offset)
        query_length, key_length = (n if isinstance(n, int) else None for n in lengths)
        return masks.combine(
            None if cache is None else masks.causal_mask(*lengths, offset),
            None if self.window is None else masks.window_mask(*lengths, self.window, offset),
            masks.padding_mask(padding_mask, key_length),
            masks.attention_mask(attention_mask, query_length, key_length),
            masks.own_segment_mask(segment_ids, query_length),
        )

    def window_cache_mask(self, padding_mask, attention_mask, places, length, offset):
        """The mask over the places of a `WindowCache`, which hold the positions `places`."""
        if attention_mask is not None or self.position_bias is not None:
            raise ValueError(
                "a WindowCache holds no position for attention_mask and position_bias to be of; "
                "received one of them"
            )
        return self.places_mask(padding_mask, places, length, offset)

    def places_mask(self, padding_mask, places, length, offset):
        """The mask over places that hold the positions `places` (S,), negative for none."""
        if padding_mask is not None:
            padding_mask = ops.take(padding_mask, ops.maximum(places, 0), axis=1)
        query = offset + ops.arange(length, dtype="int32")[:, None]  # (T, 1)
        near = (places >= 0) & (places <= query)  # (T, S)
        if self.window is not None:
            near = near & (query - places < self.window)
        return masks.combine(near, masks.padding_mask(padding_mask))

    def attend_shared(self, query, cache, padding_mask, attention_mask, attention_bias, scored):
        """`attend` for hypotheses that share a `SharedCache`, as if they were one sequence.

        Args:
            query: (N, H, 1, K).
            cache: the advanced cache.
            padding_mask: (N, S), the same for all hypotheses of a sentence, or None.
            attention_mask: None.
            attention_bias: broadcasts to (H, 1, S), or None.
            scored: whether the scores are needed.
        """
        if attention_mask is not None or len(getattr(attention_bias, "shape", ())) > 3:
            raise ValueError(
                "with a SharedCache attention_mask must be None and attention_bias the same for "
                "all rows, of rank 3 at most; received another"
            )
        key, value, cache = cache.key, cache.value, getattr(cache, "stored", cache)
        if padding_mask is not None:
            padding_mask = cache.of_sentences(padding_mask)
        places, offset = cache.places, cache.index - 1
        bias = self.joint_bias(attention_bias, 1, cache.length, offset)  # (H, 1, S) or None
        near = self.places_mask(padding_mask, places, 1, offset)
        output, scores = self.attend(
            cache.fold(query),
            key,
            value,
            mask=masks.combine(near, cache.own_places()),
            bias=None if bias is None else ops.take(bias, places, axis=-1),
            return_scores=scored,
            training=False,
        )
        return cache.unfold(output), cache.unfold_scores(scores) if scored else None

    def check_cache(self, cache, segment_ids):
        """Refuses a cache for other heads, whose numbers would be wrong without an error."""
        found, needed = cache.key.shape[1::2], (self.num_kv_heads, self.key_dim)
        if tuple(found) != needed:
            raise ValueError(
                "cache must hold (num_kv_heads, head_dim) = "
                f"{needed}; received one with {tuple(found)}"
            )
        if segment_ids is not None:
            raise ValueError("segment_ids and cache exclude each other; received both")

    def joint_bias(self, attention_bias, query_length, key_length, offset):
        """The sum of the call's bias and that of the positions, or None."""
        check_attention_bias(attention_bias)
        if self.position_bias is None:
            return attention_bias
        bias = self.position_bias(query_length, key_length, offset)  # (H, T, S)
        return bias if attention_bias is None else bias + ops.cast(attention_bias, bias.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "causal": self.causal,
            "window": self.window,
            "rotary": serialized(self.rotary),
            "position_bias": serialized(self.position_bias),
        }


@keras.saving.register_keras_serializable(package="keras_transformer")
class MultiHeadCrossAttention(MultiHeadAttention):
    """Multi-head attention of one sequence to another, the context.

        CrossAttention(x, y) = [head₁ … head_H] Wᴼ,  head_h = attend(x Wᵠ_h, y Wᴷ_h, y Wⱽ_h)

    While decoding, the keys and values of the context are computed once, by `project_context`.

    Args:
        num_heads: H.
        head_dim: K; by default D / H, which must then be whole.
        dropout: rate on the attention scores.
        num_kv_heads, use_bias, use_output_bias, query_key_norm, norm_epsilon, score, soft_cap,
            kernel_initializer, output_initializer: as in `MultiHeadSelfAttention`.

    Call:
        x: (R, T, D) float.
        context: (B, S, C) float. R is B, or B·G for G queries (beams) of each context row, those
            of one row side by side.
        padding_mask: (B, S) boolean over the context, True = real token; by default the Keras
            mask of `context`.
        attention_mask: boolean (T, S), (B, T, S) or (B, H, T, S), in addition; for R = B.
        attention_bias: float that broadcasts to (B, H, T, S), added to the scores; for R = B.
        context_cache: what `project_context(context)` returned, instead of `context`.
        return_attention_scores: whether to return the scores too.
        training: whether dropout is active.

    Returns:
        (R, T, D); then, where asked for, the scores (R, H, T, S) float32.

    Raises:
        ValueError: `num_heads` does not divide D and `head_dim` is not given; a mask of a wrong
            rank; neither `context` nor `context_cache`; R is not a multiple of B.

    Example:

    >>> import numpy as np
    >>> layer = MultiHeadCrossAttention(num_heads=2)
    >>> x, context = np.ones((1, 3, 8), "float32"), np.ones((1, 5, 6), "float32")
    >>> layer(x, context).shape == (1, 3, 8)
    True

    Reference:
        Vaswani et al. 2017, section 3.2.3.
    """

    def build(self, x_shape, context_shape=None):
        if context_shape is None:
            raise ValueError(
                f"{self.name!r} must be built with a context, or called with one first: "
                "received none"
            )
        self.build_projections(x_shape[-1], context_shape[-1])

    def project_context(self, context):
        """Keys and values of a context (B, S, C): a pair of (B, N, S, K)."""
        if not self.built:
            raise ValueError(f"{self.name!r} must be built or called before it projects a context")
        key, value = self.project(context, self.key, self.value)
        return self.key_norm(key), value

    def call(
        self,
        x,
        context=None,
        padding_mask=None,
        attention_mask=None,
        attention_bias=None,
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
        key, value = context_cache  # (B, N, S, K)
        rows, length = ops.shape(x)[:2]
        (query,) = self.project(self.fold_rows(x, ops.shape(key)[0]), self.query)  # (B, H, G·T, K)
        output, scores = self.attend(
            self.query_norm(query),
            key,
            value,
            mask=masks.combine(
                masks.padding_mask(padding_mask, key.shape[2]),
                masks.attention_mask(attention_mask, x.shape[1], key.shape[2]),
            ),
            bias=check_attention_bias(attention_bias),
            return_scores=return_attention_scores,
            training=training,
        )
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
