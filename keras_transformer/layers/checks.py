"""Checks and conversions of constructor arguments; messages name the argument and what came."""

import keras


def check_positive(name, value):
    """Refuses anything but a positive integer.

    Example:

    >>> check_positive("num_heads", 0)
    Traceback (most recent call last):
    ValueError: num_heads must be a positive integer; received 0
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a positive integer; received {value!r}")


def check_rate(name, value):
    """Refuses anything but a dropout rate, a number in [0, 1).

    Example:

    >>> check_rate("dropout", 1.0)
    Traceback (most recent call last):
    ValueError: dropout must be a number in [0, 1); received 1.0
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ValueError(f"{name} must be a number in [0, 1); received {value!r}")


def check_positive_number(name, value):
    """Refuses anything but a number above 0.

    Example:

    >>> check_positive_number("soft_cap", 0.0)
    Traceback (most recent call last):
    ValueError: soft_cap must be a positive number; received 0.0
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(f"{name} must be a positive number; received {value!r}")


def check_choice(name, value, allowed):
    """Refuses a value that is not among the allowed.

    Example:

    >>> check_choice("norm", "batch", ("layer", "rms"))
    Traceback (most recent call last):
    ValueError: norm must be one of 'layer', 'rms'; received 'batch'
    """
    if value not in allowed:
        names = ", ".join(repr(choice) for choice in allowed)
        raise ValueError(f"{name} must be one of {names}; received {value!r}")


def as_layer(name, value, kind):
    """A layer that was passed as an argument, from itself or from its serialized form.

    Example:

    >>> as_layer("rotary", "yes", keras.layers.Layer)
    Traceback (most recent call last):
    ValueError: rotary must be a Layer or None; received 'yes'
    """
    if isinstance(value, dict):
        value = keras.saving.deserialize_keras_object(value)
    if value is not None and not isinstance(value, kind):
        raise ValueError(f"{name} must be a {kind.__name__} or None; received {value!r}")
    return value


def serialized(layer):
    """What `as_layer` makes the layer from again.

    Example:

    >>> serialized(None) is None
    True
    """
    return None if layer is None else keras.saving.serialize_keras_object(layer)


def fresh(initializer):
    """An initializer for one more weight: an instance used twice would repeat its values.

    Example:

    >>> initializer = keras.initializers.RandomNormal(seed=None)
    >>> fresh(initializer) is initializer
    False
    """
    if isinstance(initializer, keras.initializers.Initializer):
        return initializer.clone()
    return initializer


def check_attention_bias(bias):
    """The bias, if it is a float tensor that may broadcast to (B, H, T, S), or None."""
    if bias is None:
        return None
    dtype = keras.backend.standardize_dtype(bias.dtype)
    if not keras.backend.is_float_dtype(dtype) or not 2 <= len(bias.shape) <= 4:
        raise ValueError(
            "attention_bias must be a float tensor that broadcasts to (B, H, T, S), of rank 2 to "
            f"4; received shape {tuple(bias.shape)} and dtype {dtype}"
        )
    return bias
