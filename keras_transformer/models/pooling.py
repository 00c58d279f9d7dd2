"""One vector of a text from those of its tokens.

B batch, T length, D width
"""

from keras import ops


def first(hidden, padding_mask=None):
    """The vector of the first real token: (B, T, D) to (B, D)."""
    if padding_mask is None:
        return hidden[:, 0]
    start = ops.argmax(ops.cast(padding_mask, "int32"), axis=1)  # (B,)
    return ops.squeeze(ops.take_along_axis(hidden, start[:, None, None], axis=1), axis=1)


def last(hidden, padding_mask=None):
    """The vector of the last real token: (B, T, D) to (B, D)."""
    if padding_mask is None:
        return hidden[:, -1]
    length = ops.shape(padding_mask)[1]
    numbers = ops.arange(length, dtype="int32")
    end = ops.max(ops.where(padding_mask, numbers, 0), axis=1)  # (B,)
    return ops.squeeze(ops.take_along_axis(hidden, end[:, None, None], axis=1), axis=1)


def mean(hidden, padding_mask=None):
    """The mean over the real tokens, taken in float32: (B, T, D) to (B, D); 0 without any."""
    dtype = hidden.dtype
    hidden = ops.cast(hidden, "float32")
    if padding_mask is None:
        return ops.cast(ops.mean(hidden, axis=1), dtype)
    real = ops.expand_dims(ops.cast(padding_mask, "float32"), 2)  # (B, T, 1)
    total = ops.sum(hidden * real, axis=1)
    return ops.cast(total / ops.maximum(ops.sum(real, axis=1), 1.0), dtype)


def largest(hidden, padding_mask=None):
    """The largest value of each component over the real tokens: (B, T, D) to (B, D); else 0."""
    if padding_mask is None:
        return ops.max(hidden, axis=1)
    lowest = ops.cast(-1e4 if hidden.dtype == "float16" else -1e30, hidden.dtype)
    found = ops.max(ops.where(ops.expand_dims(padding_mask, 2), hidden, lowest), axis=1)
    return ops.where(ops.any(padding_mask, axis=1, keepdims=True), found, ops.zeros_like(found))


POOLINGS = {"first": first, "last": last, "mean": mean, "max": largest}
