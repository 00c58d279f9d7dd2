"""Positional information as a rotation of queries and keys.

B batch, H heads, T length, K head width, R rotated width
"""

import keras
import numpy as np
from keras import ops

from keras_transformer.layers import angles
from keras_transformer.layers.checks import check_choice, check_positive


def rotate_halves(x, cosine, sine):
    """Rotates the pairs (i, i + R/2)."""
    first, second = ops.split(x, 2, axis=-1)
    return ops.concatenate([first * cosine - second * sine, second * cosine + first * sine], -1)


def rotate_neighbours(x, cosine, sine):
    """Rotates the pairs (2i, 2i + 1)."""
    first, second = x[..., ::2], x[..., 1::2]
    pairs = ops.stack([first * cosine - second * sine, second * cosine + first * sine], axis=-1)
    return ops.reshape(pairs, ops.shape(x))


ROTATIONS = {"half_split": rotate_halves, "interleaved": rotate_neighbours}


@keras.saving.register_keras_serializable(package="keras_transformer")
class RotaryEmbedding(keras.layers.Layer):
    """Rotates pairs of a query's or key's components by angles proportional to its position.

        (a, b) → (a cos θ - b sin θ, b cos θ + a sin θ),  θ = pos · 10000^(-2i/R) for the i-th pair

    The product of a rotated query and a rotated key depends on their distance alone, and a
    rotation changes no norm. The angles are exact to float32 rounding at every position up to
    2,097,151 under every dtype policy; the rotation is computed in float32 too, and only its result
    is rounded to the compute dtype.

    Args:
        max_wavelength: 10000 in the equation; greater than 1.
        rotary_dim: R; by default K. The components from R on stay as they are.
        layout: which components are a pair: "half_split" (i, i + R/2), as in GPT-NeoX, Llama and
            nearly all published checkpoints; or "interleaved" (2i, 2i + 1), as in the paper and
            GPT-J.
        scaling: a `RotaryScaling` such as `YarnScaling`, which lets a model read longer texts than
            it was trained on; or None.

    Call:
        x: (B, H, T, K) float, queries or keys.
        start_index: position of the first of the T; an integer or an int32 scalar tensor.
        positions: (T,) or (B, T) integers, instead of those from `start_index` on: for padding on
            the left and packed segments, `token_positions(...)`.
        length: number of positions of the whole text, for scalings that depend on it; an integer or
            an int32 scalar tensor. By default the last position plus 1.

    Returns:
        (B, H, T, K), rotated.

    Raises:
        ValueError: an odd R, an R beyond K, an argument out of its range, a position beyond the
            limit, or positions or an input of a wrong shape.

    Example:

    >>> import numpy as np
    >>> layer, x = RotaryEmbedding(), np.ones((1, 1, 2, 2), "float32")
    >>> np.asarray(layer(x)).round(2).tolist()
    [[[[1.0, 1.0], [-0.30000001192092896, 1.3799999952316284]]]]

    Reference:
        Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding", section
        3.2.2.
    """

    def __init__(
        self,
        max_wavelength=10_000,
        rotary_dim=None,
        layout="half_split",
        scaling=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not max_wavelength > 1:
            raise ValueError(f"max_wavelength must be greater than 1; received {max_wavelength!r}")
        if rotary_dim is not None:
            check_positive("rotary_dim", rotary_dim)
            if rotary_dim % 2:
                raise ValueError(f"rotary_dim must be even; received {rotary_dim}")
        check_choice("layout", layout, ROTATIONS)
        if isinstance(scaling, dict):
            scaling = keras.saving.deserialize_keras_object(scaling)
        if scaling is not None and not hasattr(scaling, "scale"):
            raise ValueError(
                f"scaling must be None or a RotaryScaling such as YarnScaling; received {scaling!r}"
            )
        self.supports_masking = True
        self.max_wavelength = max_wavelength
        self.rotary_dim = rotary_dim
        self.layout = layout
        self.scaling = scaling

    def build(self, input_shape):
        if len(input_shape) != 4:
            raise ValueError(
                "RotaryEmbedding needs an input of shape (batch, heads, length, head width); "
                f"received shape {tuple(input_shape)}"
            )
        head_dim = input_shape[-1]
        if self.rotary_dim is None and head_dim % 2:
            raise ValueError(
                "RotaryEmbedding needs an even head width, or an even rotary_dim below it; "
                f"received head width {head_dim}"
            )
        if self.rotary_dim is not None and self.rotary_dim > head_dim:
            raise ValueError(
                f"rotary_dim must be at most the head width, {head_dim}; received {self.rotary_dim}"
            )

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x, start_index=0, positions=None, length=None):
        steps, width = ops.shape(x)[2], self.rotary_dim or x.shape[-1]
        if positions is None:
            angles.check_range(start_index, steps)
            positions = start_index + ops.arange(steps, dtype="int32")
            if length is None and isinstance(steps, int):
                length = start_index + steps
        angles.check_positions(positions, x.shape[2])
        cosine, sine = self.rotations(positions, width, length)  # (T, R/2) or (B, T, R/2)
        if len(positions.shape) == 2:
            cosine, sine = cosine[:, None], sine[:, None]
        rotated = ops.cast(x[..., :width], "float32")
        rotated = ops.cast(ROTATIONS[self.layout](rotated, cosine, sine), x.dtype)
        if width == x.shape[-1]:
            return rotated
        return ops.concatenate([rotated, x[..., width:]], axis=-1)

    def rotations(self, positions, rotary_dim, length=None):
        """Cosines and sines of the angles, with the amplitude of the scaling.

        Args:
            positions: integers of any shape.
            rotary_dim: R.
            length: as in the call.

        Returns:
            `(cosine, sine)`: float32 of the shape of `positions` with R/2 appended.
        """
        frequency = self.max_wavelength ** (-np.arange(0, rotary_dim, 2) / rotary_dim)  # (R/2,)
        if self.scaling is None:
            sine, cosine = angles.sine_and_cosine(positions, frequency)
            return cosine, sine
        if length is None:
            length = ops.max(positions) + 1
        frequency = self.scaling.scale(frequency, self.max_wavelength, length)
        sine, cosine = angles.sine_and_cosine(positions, frequency)
        return cosine * self.scaling.amplitude, sine * self.scaling.amplitude

    def get_config(self):
        scaling = self.scaling
        return {
            **super().get_config(),
            "max_wavelength": self.max_wavelength,
            "rotary_dim": self.rotary_dim,
            "layout": self.layout,
            "scaling": scaling and keras.saving.serialize_keras_object(scaling),
        }
