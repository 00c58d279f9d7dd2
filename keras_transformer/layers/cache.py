"""Keys and values of the positions decoded so far.

B batch, H heads, S preallocated length, K head width
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_transformer.layers.shared_cache import SharedCache


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

    places = None
    """The position at each place of S, where these are not the same."""
    ancestors = None
    """Whose keys a hypothesis sees, where several share a cache."""

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


class WindowCache(NamedTuple):
    """The share of a layer with a window: its last positions only, written round and round.

    Attributes:
        key: (B, H, C, K), C at least the window, and T - 1 more to read T positions at a time.
        value: (B, H, C, K).
        index: int32 scalar, the number of positions written.

    Example:

    >>> cache = WindowCache(ops.zeros((1, 1, 3, 2)), ops.zeros((1, 1, 3, 2)), 4)
    >>> new = cache.update(ops.ones((1, 1, 1, 2)), ops.ones((1, 1, 1, 2)))
    >>> ops.convert_to_numpy(new.places).tolist()
    [3, 4, 2]
    """

    key: object
    value: object
    index: object

    ancestors = None

    @property
    def places(self):
        """(C,) int32: the position that each place holds; negative where nothing is written."""
        size = self.key.shape[2]
        last = self.index - 1
        return last - (last - ops.arange(size, dtype="int32")) % size

    def update(self, key, value):
        """Writes keys and values at `index`, over the oldest ones.

        Args:
            key: (B, H, T, K), T at most C.
            value: (B, H, T, K).

        Returns:
            The new WindowCache, its index advanced by T.
        """
        size, length = self.key.shape[2], key.shape[2]
        start = self.index % size
        if length == 1:
            at = (0, 0, start, 0)
            keys, values = (
                ops.slice_update(old, at, ops.cast(new, old.dtype))
                for old, new in ((self.key, key), (self.value, value))
            )
            return WindowCache(keys, values, self.index + 1)
        source = (ops.arange(size, dtype="int32") - start) % size  # (C,)
        is_new = (source < length)[:, None]
        source = ops.minimum(source, length - 1)
        keys, values = (
            ops.where(is_new, ops.take(ops.cast(new, old.dtype), source, axis=2), old)
            for old, new in ((self.key, key), (self.value, value))
        )
        return WindowCache(keys, values, self.index + length)


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

    @property
    def places(self):
        """As `WindowCache.places`, or None."""
        return self.stored.places

    @property
    def ancestors(self):
        """As `SharedCache.ancestors`, or None."""
        return self.stored.ancestors

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
        ancestors: (B, G, L) int32 where hypotheses share their keys, as in `SharedCache`; else ().

    Example:

    >>> cache = KeyValueCache.create(2, batch_size=3, num_heads=4, max_length=16, head_dim=8)
    >>> len(cache.keys), tuple(cache.keys[0].shape), int(cache.index)
    (2, (3, 4, 16, 8), 0)
    """

    keys: tuple
    values: tuple
    index: object
    ancestors: object = ()

    @property
    def length(self):
        """S, the most positions it can hold."""
        layer = self.layer(0)
        return ops.shape(layer.key)[2] if layer.ancestors is None else layer.length

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

    def layer(self, number, dtype=None, length=None):
        """The LayerCache of layer `number`, or what stands for it.

        Args:
            number: of the layer.
            dtype: what the layer computes in: where keys and values are kept in another, they are
                a `StoredCache`.
            length: the most positions of the whole text: where the layer holds fewer, they are a
                `WindowCache`.
        """
        key, value = self.keys[number], self.values[number]
        known = isinstance(length, int) and isinstance(key.shape[2], int)
        if not isinstance(self.ancestors, tuple):
            layer = SharedCache(key, value, self.index, self.ancestors)
        elif known and key.shape[2] < length:
            layer = WindowCache(key, value, self.index)
        else:
            layer = LayerCache(key, value, self.index)
        if dtype is None or keras.backend.standardize_dtype(key.dtype) == dtype:
            return layer
        return StoredCache(layer, dtype)

    @classmethod
    def from_layers(cls, layers):
        """The cache made of LayerCaches that were all advanced by the same number of positions."""
        layers = [getattr(layer, "stored", layer) for layer in layers]
        first = layers[0]
        return cls(
            tuple(layer.key for layer in layers),
            tuple(layer.value for layer in layers),
            first.index,
            () if first.ancestors is None else first.ancestors,
        )

    def extended(self, length, windows=None):
        """The cache with room for `length` more positions: what follows the reading of a prompt.

        Args:
            length: an integer or an int32 scalar tensor.
            windows: for each layer how many of the last positions are enough, or None for all.
                They are kept alone where that is fewer.
        """
        windows = (None,) * len(self.keys) if windows is None else windows
        written = self.keys[0].shape[2]
        known = isinstance(length, int) and isinstance(written, int)

        def extend(x, window):
            if known and window is not None and window < written + length:
                place = np.arange(window)
                place = written - 1 - (written - 1 - place) % window  # as in `WindowCache`
                if (place < 0).all():
                    return ops.zeros((*ops.shape(x)[:2], window, x.shape[3]), x.dtype)
                return ops.take(x, ops.convert_to_tensor(np.maximum(place, 0), "int32"), axis=2)
            batch_size, num_heads, _, head_dim = ops.shape(x)
            more = ops.zeros((batch_size, num_heads, length, head_dim), x.dtype)
            return ops.concatenate([x, more], axis=2)

        return KeyValueCache(
            tuple(map(extend, self.keys, windows)),
            tuple(map(extend, self.values, windows)),
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

    def shared(self, groups, length):
        """The cache, full with a prompt or of length 0, for hypotheses that share their keys.

        Args:
            groups: G, hypotheses of each row.
            length: L, positions to come; an integer or an int32 scalar tensor.

        Returns:
            A KeyValueCache of N = B·G rows, whose layers are `SharedCache`s.
        """
        batch_size = ops.shape(self.keys[0])[0]
        own = ops.arange(groups, dtype="int32")[None, :, None]
        ancestors = ops.broadcast_to(own, (batch_size, groups, length))
        return self.extended(groups * length)._replace(ancestors=ancestors)

    def reorder(self, rows):
        """The cache whose row i is this cache's row `rows[i]`: what a beam search needs.

        Args:
            rows: (N,) int32 in [0, B); N may differ from B. Where hypotheses share their keys, N
                is B·G, and rows of a sentence come from that sentence.

        Returns:
            A KeyValueCache of N rows.
        """
        if not isinstance(self.ancestors, tuple):
            return self._replace(ancestors=self.layer(0).reordered_ancestors(rows))
        return KeyValueCache(
            tuple(ops.take(key, rows, axis=0) for key in self.keys),
            tuple(ops.take(value, rows, axis=0) for value in self.values),
            self.index,
        )
