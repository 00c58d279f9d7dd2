"""Published checkpoints: folders in the layout of Hugging Face transformers, read and written."""

import warnings

from keras_transformer.checkpoints.files import write_json
from keras_transformer.checkpoints.safetensors import save_weights
from keras_transformer.checkpoints.tensor_files import WEIGHTS, TensorFiles
from keras_transformer.checkpoints.weight_table import Table, collect, fill, outline, plan
from keras_transformer.checkpoints.weights import named_weights
from keras_transformer.families import get_family
from keras_transformer.models.configured import without_initial_values


def read_published(cls, folder, fields, dtype=None, **overrides):
    """The model of a published folder.

    All is checked by the headers before memory is taken; then tensors are read one at a time.

    Args:
        cls: class of the model.
        folder: a local folder with the weights.
        fields: the content of its `config.json`.
        dtype: dtype policy of the model.
        **overrides: fields of our configuration, and arguments of the model, to change.

    Raises:
        ValueError: the family is not known or has no such head; a field cannot be expressed;
            tensors are missing, unexpected or of another shape.
    """
    family = get_family(fields.get("model_type"))
    head = family.head_of(cls)
    config = family.to_config(fields)
    known = config.fields()
    changed = {name: overrides.pop(name) for name in list(overrides) if name in known}
    config = type(config).from_dict({**config.to_dict(), **changed})
    arguments = {**head.to_arguments(fields), **overrides}
    files = TensorFiles(folder)

    def make():
        return cls(config, dtype=dtype, **arguments)

    planned = plan(Table.of(family, cls, config), outline(make), files)
    with without_initial_values():
        model = make()
    fill(model, planned, files)
    initialise(model, planned.lacking, folder)
    model.published = fields
    return model


def initialise(model, names, folder):
    """Gives new weights their initial values, and names them in one warning."""
    if not names:
        return
    variables = named_weights(model)
    for name in names:
        if name.endswith("/kernel"):
            shape = tuple(variables[name].shape)
            variables[name].assign((model.backbone.initializer())(shape))
    warnings.warn(
        f"{folder} has no weights for {', '.join(names)} of {type(model).__name__}: they are new, "
        "so train the model before you use it",
        stacklevel=4,
    )


def write_published(model, folder, family):
    """Writes a model as a folder that `transformers` reads.

    Args:
        model: a model of one of the family's heads.
        folder: made by the caller.
        family: the `Family`.

    Raises:
        ValueError: the family has no such head, or no field for something that the model's
            configuration says, or no place for a weight; the message names them.
    """
    head = family.head_of(type(model))
    fields = {"model_type": family.model_type, **family.from_config(model.config)}
    read_again = family.to_config(fields).to_dict()
    differing = [
        f"{name}={value!r}"
        for name, value in model.config.to_dict().items()
        if read_again[name] != value
    ]
    if differing:
        raise ValueError(f"{family.model_type} cannot express {', '.join(differing)}")
    tensors = collect(model, Table.of(family, type(model), model.config))
    original = getattr(model, "published", None) or {}
    own = head.from_model(model)
    if len(own.get("id2label", ())) == len(original.get("id2label", ())):
        own = {name: value for name, value in own.items() if name not in ("id2label", "label2id")}
    save_weights(folder / WEIGHTS, tensors, {"format": "pt"})
    for_transformers = {"architectures": [head.architecture], "torch_dtype": "float32"}
    write_json(folder / "config.json", {**original, **fields, **own, **for_transformers})
