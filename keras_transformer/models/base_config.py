"""What all configurations share: dictionaries, JSON and presets."""

import dataclasses
import json
import typing

from keras_transformer.layers.checks import check_choice

# Most elements that one weight may have: a larger size in a file is an error, not a model.
LARGEST_WEIGHT = 2**36
# The fields' types that are checked by type alone, what they accept, and how errors call them.
TYPES = (
    (bool, bool, "True or False"),
    (float, (int, float), "a number"),
    (dict, dict, "a dictionary"),
)


@dataclasses.dataclass(frozen=True)
class Config:
    """What all configurations share: dictionaries, JSON and presets.

    Example:

    >>> from keras_transformer.models import TransformerConfig
    >>> TransformerConfig.from_preset("transformer_base", vocab_size=100).num_heads
    8
    """

    def check_types(self):
        """Refuses other values than the fields' types say; integers and names have own checks."""
        for field in dataclasses.fields(self):
            value, kinds = getattr(self, field.name), typing.get_args(field.type) or (field.type,)
            if value is None and type(None) in kinds:
                continue
            for kind, accepted, article in TYPES:
                if kind not in kinds:
                    continue
                if not isinstance(value, accepted) or (kind is float and isinstance(value, bool)):
                    empty = " or None" if type(None) in kinds else ""
                    raise ValueError(f"{field.name} must be {article}{empty}; received {value!r}")

    @classmethod
    def presets(cls):
        """The published sizes: a dictionary from name to fields."""
        return {}

    @classmethod
    def from_preset(cls, name, **overrides):
        """The configuration of a published size.

        Args:
            name: one of `presets()`.
            **overrides: fields to change.

        Raises:
            ValueError: the preset or a field is not known, or `vocab_size` is not given.
        """
        check_choice("preset", name, tuple(cls.presets()))
        return cls.from_dict({**cls.presets()[name], **overrides})

    @classmethod
    def fields(cls):
        """The names of all fields."""
        return [field.name for field in dataclasses.fields(cls)]

    def to_dict(self):
        """The fields as a dictionary."""
        return dataclasses.asdict(self)

    def resolved(self):
        """As `to_dict`, with what a None stands for where it stands for a number."""
        return self.to_dict()

    @classmethod
    def from_dict(cls, fields):
        """The configuration of a dictionary; an unknown field is a ValueError that names it."""
        known = cls.fields()
        unknown = sorted(set(fields) - set(known))
        if unknown:
            raise ValueError(
                f"unknown configuration fields {unknown}; {cls.__name__} has {sorted(known)}"
            )
        if "vocab_size" not in fields:
            raise ValueError(f"the configuration lacks vocab_size; it has {sorted(fields)}")
        return cls(**fields)

    def to_json(self):
        """The fields as a JSON object."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_json(cls, text):
        """The inverse of `to_json`."""
        return cls.from_dict(json.loads(text))
