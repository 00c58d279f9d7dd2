"""Positional information that is added to embeddings.

B batch, T length, D width, N = D/2 frequencies
"""

import keras
import numpy as np
from keras import ops

from keras_transformer.layers import angles, masks
from keras_transformer.layers.checks import check_choice, check_positive


def interleave(sine, cosine):
    """[s₀ c₀ s₁ c₁ …]."""
    shape = ops.shape(sine)
    pairs = ops.stack([sine, cosine], axis=-1)
    return ops.reshape(pairs, (*shape[:-1], 2 * sine.shape[-1]))


def concatenate(sine, cosine):
    """[s₀ s₁ … c₀ c₁ …]."""
    return ops.concatenate([sine, cosine], axis=-1)


LAYOUTS = {"interleaved": interleave, "concatenated": concatenate}


@keras.saving.register_keras_serializable(package="keras_transformer")
class PositionalEncoding(keras.layers.Layer):
    """Adds sinusoidal position encodings to embeddings.

        PE(pos, 2i) = sin(pos · fᵢ),  PE(pos, 2i+1) = cos(pos · fᵢ),  fᵢ = 10000^(-2i/D)

    Nothing is learned and no length is built in: any position up to 2,097,151 can be encoded, also
    those that were not seen in training. The encodings are exact to float32 rounding under every
    dtype policy; only their sum with `x` is rounded to the compute dtype.

    Published models differ from the paper in two ways that have nothing to do with each other:
    Marian and Pegasus concatenate, Tensor2Tensor, fairseq and Whisper concatenate and have other
    frequencies too (fairseq's positions, moreover, begin at 2).

    Args:
        max_wavelength: 10000 in the equation; greater than 1.
        layout: "interleaved" as in the equation, or "concatenated", all sines before all cosines.
        endpoint: whether the slowest frequency is 1/`max_wavelength` itself, as in Tensor2Tensor,
            whose fᵢ are 10000^(-i/(D/2-1)); in the paper it is a little faster.

    Call:
        x: (B, T, D) float, D even.
        start_index: position of the first of the T vectors; an integer or an int32 scalar tensor.
        padding_mask: (B, T) boolean, True = real token; by default the Keras mask of `x`. Only real
            tokens are counted, so that padding on the left changes nothing.
        segment_ids: (B, T) integers: positions start anew in each packed segment; see
            `token_positions`.
        positions: (T,) or (B, T) integers, instead of all that `start_index`, `padding_mask` and
            `segment_ids` would give.

    Returns:
        (B, T, D), `x` plus the encodings.

    Raises:
        ValueError: D is odd, an argument is out of its range, a position is beyond the limit, or a
            mask, segments or positions have a wrong shape.

    Example:

    >>> import numpy as np
    >>> np.asarray(PositionalEncoding()(np.zeros((1, 2, 2), "float32"))).round(3).tolist()
    [[[0.0, 1.0], [0.8410000205039978, 0.5400000214576721]]]

    Reference:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.5; Vaswani et al. 2018,
        "Tensor2Tensor for Neural Machine Translation", `get_timing_signal_1d` of its code.
    """

    def __init__(self, max_wavelength=10_000, layout="interleaved", endpoint=False, **kwargs):
        super().__init__(**kwargs)
        if not max_wavelength > 1:
            raise ValueError(f"max_wavelength must be greater than 1; received {max_wavelength!r}")
        check_choice("layout", layout, LAYOUTS)
        self.supports_masking = True
        self.max_wavelength = max_wavelength
        self.layout = layout
        self.endpoint = endpoint

    def build(self, input_shape):
        width = input_shape[-1]
        if width % 2:
            raise ValueError(f"PositionalEncoding needs an even width; received width {width}")

    def call(self, x, start_index=0, padding_mask=None, segment_ids=None, positions=None):
        if padding_mask is None:
            padding_mask = masks.implicit_mask(x)
        if positions is not None:
            angles.check_positions(positions, x.shape[1])
            encodings = self.encode(positions, x.shape[-1])  # (T, D) or (B, T, D)
        else:
            encodings = self.encodings(ops.shape(x)[1], x.shape[-1], start_index)  # (T, D)
            if padding_mask is not None or segment_ids is not None:
                rows = token_positions(padding_mask, segment_ids, x.shape[1])
                encodings = ops.take(encodings, rows, axis=0)  # (B, T, D)
        return masks.propagate(x + ops.cast(encodings, x.dtype), padding_mask)

    def encodings(self, length, width, start_index=0):
        """The encodings of `length` positions from `start_index` on: (T, D) float32."""
        angles.check_range(start_index, length)
        return self.encode(start_index + ops.arange(length, dtype="int32"), width)

    def encode(self, positions, width):
        """The encodings of positions of any shape: float32 of that shape with D appended."""
        count = width // 2
        steps = max(count - 1, 1) if self.endpoint else count
        frequency = self.max_wavelength ** (-np.arange(count) / steps)  # (N,)
        return LAYOUTS[self.layout](*angles.sine_and_cosine(positions, frequency))

    def get_config(self):
        return {
            **super().get_config(),
            "max_wavelength": self.max_wavelength,
            "layout": self.layout,
            "endpoint": self.endpoint,
        }


@keras.saving.register_keras_serializable(package="keras_transformer")
class LearnedPositions(keras.layers.Layer):
    """Adds a learned vector for each position to embeddings.

        y_t = x_t + E[start + t]

    The weight `embeddings` is E, of `start` + `max_length` rows, so that a published table is taken
    over as it is: BERT's and GPT-2's with `start=0`, that of RoBERTa (514 rows for 512 positions),
    BART or OPT with `start=2`. Rows before `start` are never looked up.

    Args:
        max_length: the number of positions, and so the longest input.
        start: the row of position 0.
        embeddings_initializer: of E; by default normal with deviation 0.02, as in BERT and GPT-2.

    Call:
        x: (B, T, D) float.
        start_index: position of the first of the T vectors; an integer or an int32 scalar tensor.
        padding_mask: (B, T) boolean, True = real token; by default the Keras mask of `x`. Only real
            tokens are counted, so that padding on the left changes nothing.
        segment_ids: (B, T) integers: positions start anew in each packed segment, of which none may
            be longer than `max_length`, whereas T may; see `token_positions`.
        positions: (T,) or (B, T) integers in [0, max_length), instead of all that `start_index`,
            `padding_mask` and `segment_ids` would give.

        Lengths are checked where they are known while the program is built. What depends on data
        (`positions`, lengths of segments, a tensor as `start_index`) is the caller's to check.

    Returns:
        (B, T, D), `x` plus the looked-up vectors.

    Raises:
        ValueError: the input is longer than `max_length`, a size is out of its range, or a mask,
            segments or positions have a wrong shape.

    Example:

    >>> import numpy as np
    >>> layer = LearnedPositions(max_length=3)
    >>> layer(np.zeros((1, 2, 4), "float32")).shape == (1, 2, 4), tuple(layer.embeddings.shape)
    (True, (3, 4))

    Reference:
        Gehring et al. 2017, "Convolutional Sequence to Sequence Learning", section 3.1; Devlin et
        al. 2019, "BERT", section 3.
    """

    def __init__(self, max_length, start=0, embeddings_initializer=None, **kwargs):
        super().__init__(**kwargs)
        check_positive("max_length", max_length)
        if isinstance(start, bool) or not isinstance(start, int) or start < 0:
            raise ValueError(f"start must be an integer of at least 0; received {start!r}")
        if embeddings_initializer is None:
            embeddings_initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.supports_masking = True
        self.max_length = max_length
        self.start = start
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)

    def build(self, input_shape):
        self.embeddings = self.add_weight(
            shape=(self.start + self.max_length, input_shape[-1]),
            initializer=self.embeddings_initializer,
            name="embeddings",
        )

    def call(self, x, start_index=0, padding_mask=None, segment_ids=None, positions=None):
        if padding_mask is None:
            padding_mask = masks.implicit_mask(x)
        if positions is not None:
            angles.check_positions(positions, x.shape[1])
        else:
            if segment_ids is None:
                self.check_length(x.shape[1], start_index)
            if padding_mask is None and segment_ids is None:
                positions = ops.arange(ops.shape(x)[1], dtype="int32")  # (T,)
            else:
                positions = token_positions(padding_mask, segment_ids, x.shape[1])
            positions = start_index + positions
        vectors = ops.take(self.embeddings, self.start + positions, axis=0)
        return masks.propagate(x + vectors, padding_mask)

    def compute_output_spec(
        self, x, start_index=0, padding_mask=None, segment_ids=None, positions=None
    ):
        # Else torch would call the layer with a made-up length where it is not known.
        if segment_ids is None and positions is None and x.shape[1] is not None:
            self.check_length(x.shape[1], start_index)
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def check_length(self, length, start_index):
        """Refuses an input that reaches beyond the table, as far as the numbers are known."""
        first = start_index if isinstance(start_index, int) else 0
        last = first + length if isinstance(length, int) else first + 1
        if first < 0 or last > self.max_length:
            raise ValueError(
                f"LearnedPositions has max_length={self.max_length} positions; "
                f"received length {length} from start_index={start_index}"
            )

    def get_config(self):
        return {
            **super().get_config(),
            "max_length": self.max_length,
            "start": self.start,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }


def token_positions(padding_mask=None, segment_ids=None, length=None):
    """The number of each real token within its own segment, from 0 on.

    Padding is not counted, so that it changes no position wherever it stands; it gets itself a
    position in [0, T) that means nothing.

    Args:
        padding_mask: (B, T) boolean, True = real token; or None, and all are real.
        segment_ids: (B, T) integers; a segment is a run of equal numbers, whichever they are. Or
            None, and each row is one segment.
        length: the T that both must have, or None, and they must agree.

    Returns:
        (B, T) int32.

    Raises:
        ValueError: both are None, or one does not have two dimensions or not the length.

    Example:

    >>> import numpy as np
    >>> mask = np.array([[False, True, True, True, True, False]])
    >>> np.asarray(token_positions(mask, np.array([[0, 1, 1, 1, 2, 0]]))).tolist()
    [[0, 0, 1, 2, 0, 0]]
    """
    if padding_mask is None and segment_ids is None:
        raise ValueError("token_positions needs padding_mask or segment_ids; received neither")
    if segment_ids is not None:
        check_segments(segment_ids, length)
        length = segment_ids.shape[1]
    if padding_mask is None:
        real = ops.cast(ops.ones_like(segment_ids), "int32")
    else:
        masks.check_padding_mask(padding_mask, length)
        real = ops.cast(padding_mask, "int32")
    count = ops.cast(ops.cumsum(real, axis=1), "int32")  # real tokens up to and with this one
    number = count - 1
    if segment_ids is not None:
        segment_ids = ops.convert_to_tensor(segment_ids)
        opens = ops.concatenate(
            [
                ops.ones_like(segment_ids[:, :1], dtype="bool"),
                ops.not_equal(segment_ids[:, 1:], segment_ids[:, :-1]),
            ],
            axis=1,
        )
        # Counts never fall, so that sorting brings the one before the n-th segment to place n.
        before = ops.sort(ops.where(opens, count - real, np.iinfo("int32").max), axis=1)
        segment = ops.cast(ops.cumsum(ops.cast(opens, "int32"), axis=1), "int32") - 1
        number = number - ops.take_along_axis(before, segment, axis=1)
    return ops.maximum(number, 0)


def check_segments(segment_ids, length=None):
    """Refuses segment numbers that do not have two dimensions, or another length than `length`.

    Example:

    >>> check_segments(np.zeros(3, "int32"))
    Traceback (most recent call last):
    ValueError: segment_ids must have shape (batch, length); received shape (3,)
    """
    shape = tuple(segment_ids.shape)
    if len(shape) != 2:
        raise ValueError(f"segment_ids must have shape (batch, length); received shape {shape}")
    if not masks.may_equal(shape[1], length):
        raise ValueError(
            f"segment_ids must have one entry for each of the {length} positions; "
            f"received shape {shape}"
        )
