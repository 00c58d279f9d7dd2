"""Published sizes: the number of parameters, without memory for them."""

import math

import pytest

from keras_transformer.checkpoints.weight_table import outline
from keras_transformer.families import FAMILIES

SIZES = [(family, name) for family in FAMILIES.values() for name in family.sizes]


def label(value):
    return value if isinstance(value, str) else value.model_type


@pytest.mark.parametrize("family, name", SIZES, ids=label)
def test_a_size_has_the_published_number_of_parameters(family, name):
    size = family.sizes[name]
    fields = {"model_type": family.model_type, **size.fields}
    arguments = family.head_of(size.head).to_arguments(fields)
    shapes = outline(lambda: size.head(family.to_config(fields), **arguments))
    assert sum(map(math.prod, shapes.values())) == size.parameters


@pytest.mark.parametrize("family, name", SIZES, ids=label)
def test_transformers_counts_the_same(family, name):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    size = family.sizes[name]
    config = transformers.AutoConfig.for_model(family.model_type, **size.fields)
    with torch.device("meta"):
        model = getattr(transformers, family.head_of(size.head).architecture)(config)
    assert model.num_parameters() == size.parameters
