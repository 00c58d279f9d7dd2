"""Published sizes: the number of parameters, without memory for them."""

import copy
import math

import keras
import peer
import pytest

from keras_transformer.checkpoints.weight_table import outline
from keras_transformer.families import FAMILIES

SIZES = [(family, name) for family in FAMILIES.values() for name in family.sizes]


def label(value):
    return value if isinstance(value, str) else value.model_type


def our_shapes(family, size):
    fields = {"model_type": family.model_type, **size.fields}
    arguments = family.head_of(size.head).to_arguments(fields)
    return outline(lambda: size.head(family.to_config(fields), **arguments))


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="shapes are the same everywhere")
@pytest.mark.parametrize("family, name", SIZES, ids=label)
def test_a_size_has_the_published_number_of_parameters(family, name):
    size = family.sizes[name]
    assert sum(map(math.prod, our_shapes(family, size).values())) == size.parameters


@pytest.mark.parametrize("family, name", SIZES, ids=label)
def test_transformers_counts_the_same(family, name):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    size = family.sizes[name]
    fields = copy.deepcopy(size.fields)  # transformers adds to dictionaries that it is given
    config = transformers.AutoConfig.for_model(family.model_type, **fields)
    with torch.device("meta"):
        model = getattr(transformers, family.head_of(size.head).architecture)(config)
    if "output_embedding/embeddings" in our_shapes(family, size):
        peer.untie(model)
    without_tables_of_sines = model.num_parameters(only_trainable=True)
    assert without_tables_of_sines == size.parameters
