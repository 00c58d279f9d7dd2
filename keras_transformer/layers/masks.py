"""Masks: each rule is one function, and all of them combine into one boolean mask.

A mask is boolean, True = may be attended, and broadcasts to (B, H, T, S):

    B batch, H heads, T query length, S key length
"""

import keras
from keras import ops

# Keras has no public access to them, and their attribute alone misses those of JAX's tracers.
from keras.src.backend import get_keras_mask, set_keras_mask


def padding_mask(mask, key_length=None):
    """Lets every query attend to real tokens only.

    Args:
        mask: (B, S), True = real token; or None.
        key_length: S, where it is known.

    Returns:
        (B, 1, 1, S) boolean, or None.

    Raises:
        ValueError: the mask does not have two dimensions, or not the length of the keys.

    Example:

    >>> import numpy as np
    >>> padding_mask(np.array([[True, True, False]])).shape == (1, 1, 1, 3)
    True
    """
    if mask is None:
        return None
    check_padding_mask(mask, key_length)
    return ops.expand_dims(ops.cast(mask, "bool"), (1, 2))


def check_padding_mask(mask, length=None):
    """Refuses a padding mask that does not have two dimensions, or another length than `length`.

    Example:

    >>> import numpy as np
    >>> check_padding_mask(np.ones((2, 3, 5), "bool"))
    Traceback (most recent call last):
    ValueError: padding_mask must have shape (batch, length) ...
    """
    if len(mask.shape) != 2:
        raise ValueError(
            "padding_mask must have shape (batch, length), True = real token; "
            f"received shape {tuple(mask.shape)}"
        )
    if not may_equal(mask.shape[1], length):
        raise ValueError(
            f"padding_mask must have one entry for each of the {length} positions; "
            f"received shape {tuple(mask.shape)}"
        )


def may_equal(size, other):
    """Whether two sizes are the same, or may be since one of them is not known yet.

    Example:

    >>> may_equal(3, 4), may_equal(3, None)
    (False, True)
    """
    return not (isinstance(size, int) and isinstance(other, int)) or size == other


def attention_mask(mask, query_length=None, key_length=None):
    """A mask over pairs of query and key, so that it broadcasts to (B, H, T, S).

    Args:
        mask: boolean (T, S), (B, T, S) or (B, H, T, S); or None.
        query_length: T, where it is known.
        key_length: S, where it is known.

    Returns:
        The mask in a form that broadcasts to (B, H, T, S), or None.

    Raises:
        ValueError: the mask has another rank, does not fit the lengths, or is of floats.

    Example:

    >>> import numpy as np
    >>> attention_mask(np.ones((2, 3, 5), "bool")).shape == (2, 1, 3, 5)
    True
    """
    if mask is None:
        return None
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(mask.dtype)):
        raise ValueError(
            "attention_mask must be boolean, True = may be attended; received "
            f"{keras.backend.standardize_dtype(mask.dtype)}. Numbers that are added to the scores "
            "are an attention_bias."
        )
    rank = len(mask.shape)
    if rank not in (2, 3, 4):
        raise ValueError(
            "attention_mask must have shape (T, S), (B, T, S) or (B, H, T, S); "
            f"received shape {tuple(mask.shape)}"
        )
    for size, length in zip(mask.shape[-2:], (query_length, key_length), strict=True):
        if size != 1 and not may_equal(size, length):
            raise ValueError(
                f"attention_mask must end in (T, S) = ({query_length}, {key_length}), either of "
                f"which may be 1; received shape {tuple(mask.shape)}"
            )
    mask = ops.cast(mask, "bool")
    return ops.expand_dims(mask, 1) if rank == 3 else mask


def causal_mask(query_length, key_length, offset=0):
    """Lets a query attend to keys at its own position and before.

    Query `t` stands at position `offset + t`, so the one formula serves training (offset 0) and
    decoding with a cache (offset = positions already filled).

    Args:
        query_length: T.
        key_length: S.
        offset: position of the first query; an integer or an int32 scalar tensor.

    Returns:
        (T, S) boolean.

    Example:

    >>> import numpy as np
    >>> np.asarray(causal_mask(2, 3, offset=1)).astype(int)
    array([[1, 1, 0],
           [1, 1, 1]])
    """
    query_position = offset + ops.arange(query_length, dtype="int32")[:, None]
    return ops.arange(key_length, dtype="int32")[None, :] <= query_position


def window_mask(query_length, key_length, window, offset=0):
    """Lets a query attend to keys at a distance below `window`, before and after its position.

    Together with `causal_mask` that is the sliding window of language models: the query's own
    position and `window` - 1 before it.

    Args:
        query_length: T.
        key_length: S.
        window: a positive integer.
        offset: position of the first query, as in `causal_mask`.

    Returns:
        (T, S) boolean.

    Example:

    >>> import numpy as np
    >>> np.asarray(window_mask(3, 3, window=2)).astype(int)
    array([[1, 1, 0],
           [1, 1, 1],
           [0, 1, 1]])

    Reference:
        Beltagy et al. 2020, "Longformer: The Long-Document Transformer", section 3.1.
    """
    query_position = offset + ops.arange(query_length, dtype="int32")[:, None]
    distance = query_position - ops.arange(key_length, dtype="int32")[None, :]
    return ops.abs(distance) < window


def prefix_mask(query_length, key_length, prefix_lengths, offset=0):
    """Causal, but every query attends to the whole prefix: the mask of a prefix language model.

    Args:
        query_length: T.
        key_length: S.
        prefix_lengths: (B,) integers, how many positions each row's prefix has.
        offset: position of the first query, as in `causal_mask`.

    Returns:
        (B, 1, T, S) boolean: an `attention_mask` for layers that are not causal themselves.

    Example:

    >>> import numpy as np
    >>> np.asarray(prefix_mask(3, 3, np.array([2])))[0, 0].astype(int)
    array([[1, 1, 0],
           [1, 1, 0],
           [1, 1, 1]])

    Reference:
        Raffel et al. 2020, "Exploring the Limits of Transfer Learning", section 3.2.1.
    """
    prefix_lengths = ops.cast(prefix_lengths, "int32")[:, None, None, None]  # (B, 1, 1, 1)
    in_prefix = ops.arange(key_length, dtype="int32") < prefix_lengths  # (B, 1, 1, S)
    return ops.logical_or(causal_mask(query_length, key_length, offset), in_prefix)


def segment_mask(query_segments, key_segments):
    """Keeps packed sequences apart: a query attends within its own segment.

    Args:
        query_segments: (B, T) integers, the segment of each query.
        key_segments: (B, S) integers.

    Returns:
        (B, 1, T, S) boolean.

    Example:

    >>> import numpy as np
    >>> np.asarray(segment_mask(np.array([[1, 2]]), np.array([[1, 1, 2]])))[0, 0].astype(int)
    array([[1, 1, 0],
           [0, 0, 1]])
    """
    return query_segments[:, None, :, None] == key_segments[:, None, None, :]


def own_segment_mask(segment_ids, length=None):
    """Keeps the packed sequences of self-attention apart; see `segment_mask`.

    Args:
        segment_ids: (B, T) integers, or None.
        length: T, where it is known.

    Returns:
        (B, 1, T, T) boolean, or None.

    Raises:
        ValueError: the segments do not have two dimensions, or not the length of the sequence.

    Example:

    >>> import numpy as np
    >>> own_segment_mask(np.array([1, 1, 2]))
    Traceback (most recent call last):
    ValueError: segment_ids must have shape (batch, length); received shape (3,)
    """
    if segment_ids is None:
        return None
    shape = tuple(segment_ids.shape)
    if len(shape) != 2 or not may_equal(shape[1], length):
        raise ValueError(
            f"segment_ids must have shape (batch, length{f' = {length}' if length else ''}); "
            f"received shape {shape}"
        )
    return segment_mask(segment_ids, segment_ids)


def combine(*masks):
    """The conjunction of masks; None stands for a rule that forbids nothing.

    Args:
        *masks: booleans that broadcast against each other, or None.

    Returns:
        One boolean mask, or None when nothing is forbidden.

    Example:

    >>> combine(None, None) is None
    True
    """
    present = [mask for mask in masks if mask is not None]
    if not present:
        return None
    combined = present[0]
    for mask in present[1:]:
        combined = ops.logical_and(combined, mask)
    return combined


def implicit_mask(x):
    """The Keras mask that an earlier layer attached to a tensor.

    Args:
        x: a tensor.

    Returns:
        (B, T) boolean, True = real token, or None.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> embedded = keras.layers.Embedding(5, 2, mask_zero=True)(np.array([[3, 0]]))
    >>> np.asarray(implicit_mask(embedded)).tolist()
    [[True, False]]
    """
    return get_keras_mask(x)


def propagate(x, mask):
    """Attaches a mask to a tensor, for the layers and the loss that come after.

    Args:
        x: a tensor (B, T, ...).
        mask: (B, T), True = real token; or None, which changes nothing.

    Returns:
        The same tensor.

    Example:

    >>> import numpy as np
    >>> x = propagate(ops.ones((1, 2, 3)), np.array([[True, False]]))
    >>> np.asarray(implicit_mask(x)).tolist()
    [[True, False]]
    """
    if mask is not None:
        set_keras_mask(x, ops.cast(mask, "bool"))
    return x
