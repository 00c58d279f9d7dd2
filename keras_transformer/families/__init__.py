"""Published families: their configurations translated, their weight tables, their sizes."""

from keras_transformer.families.bert import BERT
from keras_transformer.families.family import Family, PublishedHead, Size

FAMILIES = {family.model_type: family for family in (BERT,)}

__all__ = ["FAMILIES", "Family", "PublishedHead", "Size", "get_family", "preset_fields"]


def get_family(model_type):
    """The family of a published `model_type`.

    Raises:
        ValueError: there is no such family; the message lists those there are.

    Example:

    >>> get_family("bert").prefix
    'bert.'
    """
    if model_type not in FAMILIES:
        raise ValueError(
            f"model_type {model_type!r} is not known; known are {', '.join(sorted(FAMILIES))}"
        )
    return FAMILIES[model_type]


def preset_fields(config_class):
    """The published sizes of a class of configurations: {name: fields}.

    Example:

    >>> from keras_transformer.models import EncoderConfig
    >>> preset_fields(EncoderConfig)["bert-base-uncased"]["hidden_dim"]
    768
    """
    return {
        name: family.to_config({"model_type": family.model_type, **size.fields}).to_dict()
        for family in FAMILIES.values()
        if family.backbone.config_class is config_class
        for name, size in family.sizes.items()
    }
