"""Published families: their configurations translated, their weight tables, their sizes."""

from keras_transformer.families.bart import BART
from keras_transformer.families.bert import BERT
from keras_transformer.families.distilbert import DISTILBERT
from keras_transformer.families.electra import ELECTRA
from keras_transformer.families.family import Family, PublishedHead, Size
from keras_transformer.families.gpt2 import GPT2
from keras_transformer.families.gpt_neox import GPT_NEOX
from keras_transformer.families.llama import LLAMA
from keras_transformer.families.marian import MARIAN
from keras_transformer.families.mbart import MBART
from keras_transformer.families.mistral import MISTRAL
from keras_transformer.families.mpnet import MPNET
from keras_transformer.families.pegasus import PEGASUS
from keras_transformer.families.qwen2 import QWEN2
from keras_transformer.families.qwen3 import QWEN3
from keras_transformer.families.roberta import CAMEMBERT, ROBERTA, XLM_ROBERTA
from keras_transformer.families.t5_encoder import MT5, T5

FAMILIES = {
    family.model_type: family
    for family in (
        BERT,
        CAMEMBERT,
        DISTILBERT,
        ELECTRA,
        MPNET,
        ROBERTA,
        XLM_ROBERTA,
        BART,
        MARIAN,
        MBART,
        MT5,
        PEGASUS,
        T5,
        GPT2,
        GPT_NEOX,
        LLAMA,
        MISTRAL,
        QWEN2,
        QWEN3,
    )
}

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
