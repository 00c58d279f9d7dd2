"""Keys and values of the positions decoded so far.

B batch, H heads, S preallocated length, K head width
"""

from typing import NamedTuple

import keras
from keras import ops


class LayerCache(NamedTuple):
    """One layer's share of a `KeyValueCache`.

    Attributes:
        key: (B, H, S, K) in the compute dtype; positions from `index` on are not yet written.
        value: (B, H, S, K).
        index: int32 scalar, the number of positions written.

    Example:

    >>> cache = KeyValueCache.create(1, batch_size=2, num_heads=3, max_length=5, head_dim=7)
    >>> tuple(cache.layer(0).key.shape)
    (2, 3, 5, 7)
    """

    key: object
    value: object
    index: object

    def update(self, key, value):
        """Writes keys and values at `index`.

        Compiled code cannot refuse what does not fit: it is the caller that sees to it that
        `index` + T is at most S.

        Args:
            key: (B, H, T, K).
            value: (B, H, T, K).

        Returns:
            The new LayerCache, its index advanced by T.
        """
        start = (0, 0, self.index, 0)
        return LayerCache(
            ops.slice_update(self.key, start, ops.cast(key, self.key.dtype)),
            ops.slice_update(self.value, start, ops.cast(value, self.value.dtype)),
            self.index + ops.shape(key)[2],
        )


class StoredCache:
    """A `LayerCache` whose keys and values are kept in another dtype than layers compute in.

    No tuple, since Keras casts the tensors of a tuple that a layer is given to the dtype that it
    computes in.

    Args:
        stored: the `LayerCache`.
        dtype: that of the keys and values as a layer sees them.

    Example:

    >>> cache = KeyValueCache.create(1, 2, num_heads=3, max_length=5, head_dim=7, dtype="float16")
    >>> keras.backend.standardize_dtype(StoredCache(cache.layer(0), "float32").key.dtype)
    'float32'
    """

    def __init__(self, stored, dtype):
        self.stored, self.dtype = stored, dtype

    @property
    def key(self):
        """(B, H, S, K) in the dtype of the layer."""
        return ops.cast(self.stored.key, self.dtype)

    @property
    def value(self):
        """(B, H, S, K) in the dtype of the layer."""
        return ops.cast(self.stored.value, self.dtype)

    @property
    def index(self):
        """int32 scalar, the number of positions written."""
        return self.stored.index

    def update(self, key, value):
        """As `LayerCache.update`."""
        return StoredCache(self.stored.update(key, value), self.dtype)


class KeyValueCache(NamedTuple):
    """Preallocated keys and values of all self-attention layers, and one index.

    A tuple of tensors, so that it passes through `keras.ops.while_loop`, `tf.function` and
    `jax.jit` as it is. Nothing grows: a step writes its keys and values in place of zeros.

    Attributes:
        keys: one (B, H, S, K) tensor a layer.
        values: likewise.
        index: int32 scalar, the number of positions written.

    Example:

    >>> cache = KeyValueCache.create(2, batch_size=3, num_heads=4, max_length=16, head_dim=8)
    >>> len(cache.keys), tuple(cache.keys[0].shape), int(cache.index)
    (2, (3, 4, 16, 8), 0)
    """

    keys: tuple
    values: tuple
    index: object

    @classmethod
    def create(cls, num_layers, batch_size, num_heads, max_length, head_dim, dtype="float32"):
        """An empty cache.

        Args:
            num_layers: self-attention layers of the decoder.
            batch_size: rows; an integer or an int32 scalar tensor.
            num_heads: H.
            max_length: S, the most positions it can hold.
            head_dim: K.
            dtype: compute dtype of the layers.

        Returns:
            A KeyValueCache of zeros with index 0.
        """
        shape = (batch_size, num_heads, max_length, head_dim)
        return cls(
            tuple(ops.zeros(shape, dtype) for _ in range(num_layers)),
            tuple(ops.zeros(shape, dtype) for _ in range(num_layers)),
            ops.zeros((), "int32"),
        )

    def layer(self, number, dtype=None):
        """The LayerCache of layer `number`, or what stands for it to a layer of another `dtype`."""
        layer = LayerCache(self.keys[number], self.values[number], self.index)
        if dtype is None or keras.backend.standardize_dtype(layer.key.dtype) == dtype:
            return layer
        return StoredCache(layer, dtype)

    @classmethod
    def from_layers(cls, layers):
        """The cache made of LayerCaches that were all advanced by the same number of positions."""
        layers = [getattr(layer, "stored", layer) for layer in layers]
        return cls(
            tuple(layer.key for layer in layers),
            tuple(layer.value for layer in layers),
            layers[0].index,
        )

    def extended(self, length):
        """The cache with room for `length` more positions: what follows the reading of a prompt.

        Args:
            length: an integer or an int32 scalar tensor.
        """

        def extend(x):
            batch_size, num_heads, _, head_dim = ops.shape(x)
            more = ops.zeros((batch_size, num_heads, length, head_dim), x.dtype)
            return ops.concatenate([x, more], axis=2)

        return KeyValueCache(
            tuple(extend(key) for key in self.keys),
            tuple(extend(value) for value in self.values),
            self.index,
        )

    def repeat(self, times):
        """The cache with each row `times` times, side by side: one for each hypothesis."""
        if isinstance(times, int) and times == 1:
            return self
        return KeyValueCache(
            tuple(ops.repeat(key, times, axis=0) for key in self.keys),
            tuple(ops.repeat(value, times, axis=0) for value in self.values),
            self.index,
        )

    def reorder(self, rows):
        """The cache whose row i is this cache's row `rows[i]`: what a beam search needs.

        Args:
            rows: (N,) int32 in [0, B); N may differ from B.

        Returns:
            A KeyValueCache of N rows.
        """
        return KeyValueCache(
            tuple(ops.take(key, rows, axis=0) for key in self.keys),
            tuple(ops.take(value, rows, axis=0) for value in self.values),
            self.index,
        )
