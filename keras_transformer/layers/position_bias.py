"""Positional information that is added to attention scores, as a function of distance.

A bias is a layer called as `bias(query_length, key_length, offset)`, which returns (H, T, S)
float32 to be added to the scaled scores. Query `t` stands at position `offset + t`, key `s` at
position `s`, as in `masks.causal_mask`.

H heads, T query length, S key length
"""

import math

import keras
import numpy as np
from keras import ops

from keras_transformer.layers.checks import check_positive


def distances(query_length, key_length, offset=0):
    """How far each key stands behind each query: (T, S) int32, negative where it stands before."""
    query_position = offset + ops.arange(query_length, dtype="int32")[:, None]
    return ops.arange(key_length, dtype="int32")[None, :] - query_position


class PositionBias(keras.layers.Layer):
    """What position biases share: they are called with lengths. Subclass it for one of your own.

    Example:

    >>> class Nearest(PositionBias):
    ...     def call(self, query_length, key_length, offset=0):
    ...         far = ops.abs(distances(query_length, key_length, offset)) > 1
    ...         return ops.where(far, -1e30, 0.0)[None]
    >>> Nearest()(2, 3).shape == (1, 2, 3)
    True
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        # Else Keras takes nothing but tensors as positional arguments.
        self._allow_non_tensor_positional_args = True

    def build(self, input_shape=None):
        """Makes the weights, for which no shape is needed."""


@keras.saving.register_keras_serializable(package="keras_transformer")
class AlibiBias(PositionBias):
    """Attention with linear biases: a penalty that grows with distance, at a slope of each head.

        bias(h, t, s) = -m_h · |offset + t - s|,  m_h = 2^(-8h/H) for h = 1 … H

    Nothing is learned. Under a causal mask this is the paper's bias; without one it is its
    symmetric form. Where H is not a power of two, the slopes are those of the power below, followed
    by every other one of the power above, as in the paper's code.

    Args:
        num_heads: H.

    Call:
        query_length: T; an integer or an int32 scalar tensor.
        key_length: S; likewise.
        offset: position of the first query; likewise.

    Returns:
        (H, T, S) float32 under every dtype policy.

    Raises:
        ValueError: `num_heads` is not a positive integer.

    Example:

    >>> import numpy as np
    >>> np.asarray(AlibiBias(num_heads=2)(1, 3, offset=2)).tolist()
    [[[-0.125, -0.0625, -0.0]], [[-0.0078125, -0.00390625, -0.0]]]

    Reference:
        Press et al. 2022, "Train Short, Test Long: Attention with Linear Biases Enables Input
        Length Extrapolation", section 3.
    """

    def __init__(self, num_heads, **kwargs):
        super().__init__(**kwargs)
        check_positive("num_heads", num_heads)
        self.num_heads = num_heads

    def call(self, query_length, key_length, offset=0):
        distance = ops.cast(ops.abs(distances(query_length, key_length, offset)), "float32")
        return -ops.convert_to_tensor(self.slopes())[:, None, None] * distance

    def slopes(self):
        """The slope of each head: (H,) float32 NumPy array."""
        below = 2 ** int(math.log2(self.num_heads))  # a power of two
        slopes = 2.0 ** (-8.0 * np.arange(1, below + 1) / below)
        above = 2.0 ** (-8.0 * np.arange(1, 2 * below, 2) / (2 * below))
        return np.concatenate([slopes, above])[: self.num_heads].astype("float32")

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}


@keras.saving.register_keras_serializable(package="keras_transformer")
class RelativePositionBias(PositionBias):
    """A learned bias for each head and bucket of distances, as in T5.

        bias(h, t, s) = E[bucket(s - offset - t), h]

    Half of the buckets hold one distance each, the others ever more, up to `max_distance`; all that
    is farther falls into the last. The weight `embeddings` is E, (num_buckets, H).

    Args:
        num_heads: H.
        num_buckets: even where bidirectional; at least 2 for each direction.
        max_distance: greater than the number of buckets that hold one distance each.
        bidirectional: whether keys after the query have buckets of their own (encoders), or all
            share that of distance 0, to be masked (decoders).
        embeddings_initializer: of E; by default normal with deviation 0.02.

    Call:
        query_length: T; an integer or an int32 scalar tensor.
        key_length: S; likewise.
        offset: position of the first query; likewise.

    Returns:
        (H, T, S) float32 under every dtype policy.

    Raises:
        ValueError: an argument is out of its range.

    Example:

    >>> layer = RelativePositionBias(num_heads=2)
    >>> layer(3, 5).shape == (2, 3, 5), tuple(layer.embeddings.shape)
    (True, (32, 2))

    Reference:
        Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
        Transformer", section 2.1.
    """

    def __init__(
        self,
        num_heads,
        num_buckets=32,
        max_distance=128,
        bidirectional=True,
        embeddings_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive("num_heads", num_heads)
        check_positive("num_buckets", num_buckets)
        check_positive("max_distance", max_distance)
        directions = 2 if bidirectional else 1
        if num_buckets % directions or num_buckets < 2 * directions:
            allowed = "even and at least 4" if bidirectional else "at least 2"
            raise ValueError(
                f"num_buckets must be {allowed} where bidirectional={bidirectional}; "
                f"received {num_buckets}"
            )
        exact = num_buckets // directions // 2
        if max_distance <= exact:
            raise ValueError(
                f"max_distance must be greater than {exact}, the number of buckets that hold one "
                f"distance each; received {max_distance}"
            )
        if embeddings_initializer is None:
            embeddings_initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.num_heads = num_heads
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.bidirectional = bidirectional
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)

    def build(self, input_shape=None):
        self.embeddings = self.add_weight(
            shape=(self.num_buckets, self.num_heads),
            initializer=self.embeddings_initializer,
            autocast=False,
            name="embeddings",
        )

    def call(self, query_length, key_length, offset=0):
        buckets = self.buckets(distances(query_length, key_length, offset))  # (T, S)
        bias = ops.take(ops.cast(self.embeddings, "float32"), buckets, axis=0)  # (T, S, H)
        return ops.transpose(bias, (2, 0, 1))

    def buckets(self, distance):
        """The bucket of each distance (position of the key less that of the query).

        Args:
            distance: integers of any shape.

        Returns:
            int32 of the same shape, in [0, num_buckets).
        """
        # From a table, as a logarithm on the device may round to the wrong side of a whole number.
        table = ops.convert_to_tensor(self.bucket_table())
        distance = ops.cast(distance, "int32")
        if not self.bidirectional:
            return ops.take(table, ops.clip(-distance, 0, self.max_distance), axis=0)
        bucket = ops.take(table, ops.minimum(ops.abs(distance), self.max_distance), axis=0)
        return bucket + ops.cast(distance > 0, "int32") * (self.num_buckets // 2)

    def bucket_table(self):
        """The bucket of each distance from 0 to `max_distance`, in one direction: int32 array."""
        count = self.num_buckets // 2 if self.bidirectional else self.num_buckets
        exact = count // 2
        distance = np.arange(self.max_distance + 1)
        # In float32, as the published implementations are.
        ratio = np.log(np.maximum(distance, 1).astype("float32") / np.float32(exact))
        ratio = ratio / np.float32(math.log(self.max_distance / exact)) * np.float32(count - exact)
        shared = np.minimum(exact + ratio.astype("int32"), count - 1)
        return np.where(distance < exact, distance, shared).astype("int32")

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "num_buckets": self.num_buckets,
            "max_distance": self.max_distance,
            "bidirectional": self.bidirectional,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }
