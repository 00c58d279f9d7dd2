"""Linformer: self-attention whose memory grows linearly with the length.

B batch, T length, H heads, N key-value heads, K head width, R compressed length
"""

import keras
from keras import ops

from keras_transformer.layers.attention import MultiHeadSelfAttention
from keras_transformer.layers.checks import check_positive

PAIRS = (
    "LinformerSelfAttention takes a padding_mask only: it has no scores of single pairs for "
    "attention_mask, attention_bias, segment_ids or a cache to change"
)


@keras.saving.register_keras_serializable(package="keras_transformer")
class LinformerSelfAttention(MultiHeadSelfAttention):
    """Self-attention to R learned mixtures of the positions instead of to all T of them.

        attend(Q, E K, F V),   E, F: (R, T) learned

    Scores are (B, H, T, R): memory and time are linear in T. Since every mixture holds positions
    from before and after a query, there is no causal form, and no mask over single pairs; padding
    is left out of the mixtures, so that padding on the right changes nothing. A mixture is tied to
    the absolute positions, so padding on the left does.

    Args:
        num_heads: H.
        max_length: the longest T.
        compressed_length: R.
        **kwargs: as in `MultiHeadSelfAttention`, but for `causal`, `window` and `position_bias`.

    Call:
        x: (B, T, D) float, T at most `max_length`.
        padding_mask: (B, T) boolean, True = real token; by default the Keras mask of `x`.
        return_attention_scores: whether to return the scores (B, H, T, R) too.
        training: whether dropout is active.

    Returns:
        (B, T, D); where asked for also the scores (B, H, T, R) float32.

    Raises:
        ValueError: T is above `max_length`, or something is asked for that needs single pairs.

    Example:

    >>> import numpy as np
    >>> layer = LinformerSelfAttention(num_heads=2, max_length=64, compressed_length=5)
    >>> layer(np.ones((1, 33, 8), "float32")).shape == (1, 33, 8)
    True

    Reference:
        Wang et al. 2020, "Linformer: Self-Attention with Linear Complexity", section 4.
    """

    def __init__(self, num_heads, max_length=None, compressed_length=None, **kwargs):
        super().__init__(num_heads, **kwargs)
        check_positive("max_length", max_length)
        check_positive("compressed_length", compressed_length)
        if self.causal or self.window is not None or self.position_bias is not None:
            raise ValueError(
                "LinformerSelfAttention mixes positions, so causal, window and position_bias must "
                f"be left out; received causal={self.causal!r}, window={self.window!r}, "
                f"position_bias={self.position_bias!r}"
            )
        self.max_length = max_length
        self.compressed_length = compressed_length

    def build(self, input_shape):
        super().build(input_shape)
        shape = (self.compressed_length, self.max_length)
        initializer = keras.initializers.RandomNormal(stddev=self.compressed_length**-0.5)
        self.mix_keys = self.add_weight(shape, initializer=initializer.clone(), name="mix_keys")
        self.mix_values = self.add_weight(shape, initializer=initializer.clone(), name="mix_values")

    def attend(self, query, key, value, mask=None, bias=None, **kwargs):
        if bias is not None:
            raise ValueError(PAIRS)
        length = key.shape[2]
        if isinstance(length, int) and length > self.max_length:
            raise ValueError(
                f"the input has {length} positions and max_length={self.max_length} allows no more"
            )
        if mask is not None:
            if len(mask.shape) != 4 or mask.shape[1] != 1 or mask.shape[2] != 1:
                raise ValueError(PAIRS)
            real = ops.cast(ops.transpose(mask, (0, 1, 3, 2)), key.dtype)  # (B, 1, T, 1)
            key, value = key * real, value * real
        return super().attend(
            query, self.mix(self.mix_keys, key), self.mix(self.mix_values, value), **kwargs
        )

    def mix(self, weights, x):
        """(B, N, T, K) to (B, N, R, K)."""
        weights = ops.take(weights, ops.arange(ops.shape(x)[2]), axis=1)  # (R, T)
        return ops.einsum("rt,bntk->bnrk", ops.cast(weights, x.dtype), x)

    def compute_output_spec(self, x, *args, return_attention_scores=False, **kwargs):
        # Else torch would call the layer with a made-up length.
        output = keras.KerasTensor(x.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        shape = (x.shape[0], self.num_heads, x.shape[1], self.compressed_length)
        return output, keras.KerasTensor(shape, dtype="float32")

    def get_config(self):
        config = super().get_config()
        for name in ("causal", "window", "position_bias"):
            del config[name]
        return {
            **config,
            "max_length": self.max_length,
            "compressed_length": self.compressed_length,
        }
