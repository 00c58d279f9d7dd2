"""Backbones of KerasHub, as our models."""

import keras

from keras_transformer.checkpoints.published import with_weights
from keras_transformer.checkpoints.tensor_files import Place
from keras_transformer.checkpoints.weights import named_weights
from keras_transformer.families import get_family
from keras_transformer.families.keras_hub import BACKBONES

# RoBERTa's one segment, which KerasHub leaves out and other libraries look for, is zero
SEGMENTS = "segment_embedding/embeddings"


class Variables:
    """The variables of a model under the interface of `TensorFiles`."""

    def __init__(self, model):
        self.folder = type(model).__name__
        self.variables = named_weights(model)

    def __iter__(self):
        return iter(self.variables)

    def __getitem__(self, name):
        variable = self.variables[name]
        dtype = keras.backend.standardize_dtype(variable.dtype)
        return Place(None, dtype, tuple(variable.shape), 0)

    def read(self, name):
        """A variable as a NumPy array."""
        return keras.ops.convert_to_numpy(self.variables[name])


def from_keras_hub(cls, backbone, dtype=None, **overrides):
    """A model with the weights of a KerasHub backbone, which gives the same hidden states.

    BERT, DistilBERT, RoBERTa, XLM-R, ELECTRA, GPT-2, Llama, Mistral, Qwen2, Qwen3 and BART are
    read. `model.save_pretrained` then writes the layout of the published family, which other
    libraries read. Language models take their output embedding from the backbone too; weights of
    other heads are new, and a warning names them.

    Args:
        cls: class of the model, such as `models.CausalLM`.
        backbone: a KerasHub backbone or a task that has one, such as
            `keras_hub.models.GPT2Backbone.from_preset("gpt2_base_en")`.
        dtype: dtype policy of the model; by default Keras's global one.
        **overrides: fields of the configuration, and arguments of the model, to change. A backbone
            knows no tokens that begin and end texts, so `eos_id` is one that generating needs.

    Raises:
        ValueError: the backbone's class is not known or has no such head; weights are missing,
            unexpected or of another shape: the message lists them.

    Example:

    >>> import keras_hub  # doctest: +SKIP
    >>> backbone = keras_hub.models.GPT2Backbone.from_preset("gpt2_base_en")  # doctest: +SKIP
    >>> model = from_keras_hub(models.CausalLM, backbone, eos_id=50256)  # doctest: +SKIP
    >>> model.save_pretrained("gpt2")  # doctest: +SKIP

    Reference: [KerasHub](https://keras.io/keras_hub/).
    """
    backbone = getattr(backbone, "backbone", backbone)
    name = type(backbone).__name__
    if name not in BACKBONES:
        raise ValueError(
            f"backbone must be one of KerasHub's {', '.join(BACKBONES)}; received {name}"
        )
    known = BACKBONES[name]
    family = known.family(name)
    family.head_of(cls)  # refuses a head that it has not
    changed, arguments = cls.split_arguments(overrides)
    is_tied = getattr(backbone.token_embedding, "tie_weights", True)
    config = family.to_config({**backbone.get_config(), "tie_weights": is_tied})
    published = get_family(known.model_type)
    fields = {"model_type": known.model_type, **published.from_config(config)}
    config = type(config).from_dict({**config.to_dict(), **changed})
    arguments = {**published.head_of(cls).to_arguments(fields), **arguments}
    variables = Variables(backbone)
    model = with_weights(cls, family, config, arguments, variables, dtype)
    for name, variable in named_weights(model).items():
        if name.endswith(SEGMENTS) and SEGMENTS not in variables:
            variable.assign(keras.ops.zeros_like(variable))
    model.published = fields
    return model
