"""Positional information that is added to embeddings.

B batch, T length, D width
"""

import keras
import numpy as np
from keras import ops

from keras_transformer.layers import masks

# A position is split into COARSE·i + j, and the sine of the sum comes from two tables that were
# computed in float64: exact at positions where a float32 product `position · frequency` is not.
COARSE = 512
LIMIT = COARSE**2


@keras.saving.register_keras_serializable(package="keras_transformer")
class PositionalEncoding(keras.layers.Layer):
    """Adds sinusoidal position encodings to embeddings.

        PE(pos, 2i) = sin(pos / 10000^(2i/D)),  PE(pos, 2i+1) = cos(pos / 10000^(2i/D))

    Nothing is learned and no length is built in: any position up to 262,143 can be encoded, also
    those that were not seen in training. The encodings are exact to float32 rounding under every
    dtype policy; only their sum with `x` is rounded to the compute dtype.

    Args:
        max_wavelength: 10000 in the equation; greater than 1.

    Call:
        x: (B, T, D) float, D even.
        start_index: position of the first of the T vectors; an integer or an int32 scalar tensor.
        padding_mask: (B, T) boolean, True = real token; by default the Keras mask of `x`. Only real
            tokens are counted, so that padding on the left changes nothing.

    Returns:
        (B, T, D), `x` plus the encodings.

    Raises:
        ValueError: D is odd, a position is beyond the limit, or the mask is not of rank 2.

    Example:

    >>> import numpy as np
    >>> np.asarray(PositionalEncoding()(np.zeros((1, 2, 2), "float32"))).round(3).tolist()
    [[[0.0, 1.0], [0.8410000205039978, 0.5400000214576721]]]

    Reference:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.5.
    """

    def __init__(self, max_wavelength=10_000, **kwargs):
        super().__init__(**kwargs)
        if not max_wavelength > 1:
            raise ValueError(f"max_wavelength must be greater than 1; received {max_wavelength!r}")
        self.supports_masking = True
        self.max_wavelength = max_wavelength

    def build(self, input_shape):
        width = input_shape[-1]
        if width % 2:
            raise ValueError(f"PositionalEncoding needs an even width; received width {width}")

    def call(self, x, start_index=0, padding_mask=None):
        if padding_mask is None:
            padding_mask = masks.implicit_mask(x)
        encodings = self.encodings(ops.shape(x)[1], x.shape[-1], start_index)  # (T, D)
        if padding_mask is not None:
            masks.check_padding_mask(padding_mask)
            tokens_so_far = ops.cumsum(ops.cast(padding_mask, "int32"), axis=1)
            encodings = ops.take(encodings, ops.maximum(tokens_so_far - 1, 0), axis=0)  # (B, T, D)
        return masks.propagate(x + ops.cast(encodings, x.dtype), padding_mask)

    def encodings(self, length, width, start_index=0):
        """The encodings of `length` positions from `start_index` on: (T, D) float32."""
        if isinstance(length, int) and isinstance(start_index, int):
            if not 0 <= start_index <= LIMIT - length:
                raise ValueError(
                    f"positions must be in [0, {LIMIT}); received start_index={start_index} "
                    f"and length {length}"
                )
        frequency = self.max_wavelength ** (-np.arange(0, width, 2) / width)  # (D/2,)
        step = np.arange(COARSE)[:, None]
        fine, coarse = step * frequency, step * COARSE * frequency
        position = start_index + ops.arange(length, dtype="int32")
        sin_a, cos_a = (
            lookup(table, position // COARSE) for table in (np.sin(coarse), np.cos(coarse))
        )
        sin_b, cos_b = (lookup(table, position % COARSE) for table in (np.sin(fine), np.cos(fine)))
        sine = sin_a * cos_b + cos_a * sin_b
        cosine = cos_a * cos_b - sin_a * sin_b
        return ops.reshape(ops.stack([sine, cosine], axis=-1), (length, width))

    def get_config(self):
        return {**super().get_config(), "max_wavelength": self.max_wavelength}


def lookup(table, rows):
    """Rows of a float64 NumPy table, as float32."""
    return ops.take(ops.convert_to_tensor(table.astype("float32")), rows, axis=0)
