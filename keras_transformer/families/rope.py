"""Rotary positions in published configurations, and ours.

Old files have `rope_theta` and `rope_scaling`, whose kind is called `type` or, later, `rope_type`:

    "rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, ...}

New ones, of transformers 5, have all of it in `rope_parameters`:

    "rope_parameters": {"rope_theta": 500000.0, "rope_type": "llama3", "factor": 8.0, ...}

Both are read and both are written, so that every version finds what it looks for.
"""

import dataclasses

import keras

from keras_transformer.families.family import need
from keras_transformer.layers import (
    DynamicNtkScaling,
    LinearScaling,
    Llama3Scaling,
    YarnScaling,
)

WAVELENGTH = 10_000.0  # what files without `rope_theta` mean, and `RotaryEmbedding`'s default

SCALINGS = {
    "linear": LinearScaling,
    "dynamic": DynamicNtkScaling,
    "yarn": YarnScaling,
    "llama3": Llama3Scaling,
}

# Names of the scalings' arguments that differ from ours
NAMES = {
    "original_max_length": "original_max_position_embeddings",
    "low_frequency_factor": "low_freq_factor",
    "high_frequency_factor": "high_freq_factor",
}


def to_rotary(fields, head_dim, theta="rope_theta", share=None):
    """Their rotary settings as arguments of `RotaryEmbedding`, those that are not its defaults.

    Args:
        fields: their configuration, with its family's defaults filled in.
        head_dim: K.
        theta: the field of the longest wavelength in old files.
        share: the field of the rotated part of each head in old files; None for families that
            rotate all of it.

    Raises:
        ValueError: the scaling is of a kind that `layers` does not have, the settings differ
            between layers, or a part is rotated in a family that rotates all.

    Example:

    >>> fields = {"rotary_emb_base": 1e6, "rotary_pct": 0.5}
    >>> to_rotary(fields, head_dim=64, theta="rotary_emb_base", share="rotary_pct")
    {'max_wavelength': 1000000.0, 'rotary_dim': 32}
    """
    given = fields.get("rope_scaling") or fields.get("rope_parameters") or {}
    by_layer = sorted(name for name, value in given.items() if isinstance(value, dict))
    if by_layer:
        raise ValueError(
            f"{fields.get('model_type', 'a model')} with rotary settings that differ between "
            f"layers, {', '.join(by_layer)}, is not supported"
        )
    options = {}
    wavelength = float(first(given.get("rope_theta"), fields.get(theta), WAVELENGTH))
    if wavelength != WAVELENGTH:
        options["max_wavelength"] = wavelength
    name = "partial_rotary_factor"
    part = first(given.get(name), fields.get(share or name), 1.0)
    if share is None:
        need({**fields, name: part}, name, 1.0)
    rotary_dim = int(head_dim * part)
    if rotary_dim != head_dim:
        options["rotary_dim"] = rotary_dim
    scaling = to_scaling(given, fields)
    if scaling is not None:
        options["scaling"] = keras.saving.serialize_keras_object(scaling)
    return options


def to_scaling(given, fields):
    """The `RotaryScaling` of rotary settings, or None."""
    kind = given.get("rope_type") or given.get("type") or "default"
    need({**fields, "rope_type": kind}, "rope_type", "default", *SCALINGS)
    if kind == "default":
        return None
    longest = fields["max_position_embeddings"]
    original = "original_max_position_embeddings"
    given = {**given, original: first(fields.get(original), given.get(original), longest)}
    if kind == "dynamic":
        given[original] = longest  # the only length that this kind goes by
    if kind == "yarn" and given.get("factor") is None:
        given["factor"] = longest / given[original]
    arguments = {ours: given.get(theirs) for ours, theirs in names(SCALINGS[kind]).items()}
    return SCALINGS[kind](**{name: value for name, value in arguments.items() if value is not None})


def from_rotary(config, theta="rope_theta", share=None):
    """The rotary settings of our configuration in the fields of old and of new files.

    Args:
        config: ours, with rotary positions.
        theta: as in `to_rotary`.
        share: likewise.

    Raises:
        ValueError: the scaling has no published name.
    """
    options = config.position_options
    head_dim = config.head_dim or config.hidden_dim // config.num_heads
    wavelength = float(options.get("max_wavelength", WAVELENGTH))
    scaling = from_scaling(options.get("scaling"))
    fields = {theta: wavelength, "rope_scaling": scaling}
    parameters = {"rope_type": "default", **(scaling or {}), "rope_theta": wavelength}
    if share is not None:
        fields[share] = (options.get("rotary_dim") or head_dim) / head_dim
        parameters["partial_rotary_factor"] = fields[share]
    return {**fields, "rope_parameters": parameters}


def from_scaling(scaling):
    """The published form of a `RotaryScaling` in a configuration, or None."""
    if scaling is None:
        return None
    scaling = keras.saving.deserialize_keras_object(scaling)
    kinds = {cls: kind for kind, cls in SCALINGS.items()}
    if type(scaling) not in kinds:
        raise ValueError(f"{scaling!r} has no published name; known are {', '.join(SCALINGS)}")
    arguments = dataclasses.asdict(scaling)
    if isinstance(scaling, DynamicNtkScaling):
        arguments.pop("original_max_length")  # it is `max_position_embeddings`
    theirs = names(type(scaling))
    present = {theirs[name]: value for name, value in arguments.items() if value is not None}
    return {"rope_type": kinds[type(scaling)], **present}


def names(scaling_class):
    """{argument of a scaling: its published name}."""
    ours = [field.name for field in dataclasses.fields(scaling_class)]
    return {name: NAMES.get(name, name) for name in ours}


def first(*values):
    """The first value that is not None."""
    return next(value for value in values if value is not None)
