"""Published checkpoints: folders in the layout of Hugging Face transformers, read and written."""

import inspect
import warnings

from keras_transformer.checkpoints.files import write_json
from keras_transformer.checkpoints.safetensors import save_weights
from keras_transformer.checkpoints.tensor_files import WEIGHTS, TensorFiles
from keras_transformer.checkpoints.weight_table import (
    Table,
    collect,
    fill,
    make_empty,
    plan,
    shapes_of,
)
from keras_transformer.families import get_family

CONFIG = "config.json"
OF_THE_START = ("scaled_residuals",)  # how weights began is no matter of a file that holds them


def read_published(cls, folder, fields, dtype=None, new_head=False, **overrides):
    """The model of a published folder.

    All is checked by the headers before memory is taken; then tensors are read one at a time.

    Args:
        cls: class of the model.
        folder: a local folder with the weights.
        fields: the content of its `config.json`.
        dtype: dtype policy of the model.
        new_head: leave out the checkpoint's tensors of the head that have another shape.
        **overrides: fields of our configuration, and arguments of the model, to change.

    Raises:
        ValueError: the family is not known or has no such head; a field cannot be expressed; the
            weights are quantised; tensors are missing, unexpected or of another shape.
    """
    refuse_quantised(fields, folder)
    family = get_family(fields.get("model_type")).of(cls)
    head = family.head_of(cls)
    changed, arguments = cls.split_arguments(overrides)
    try:
        config = family.to_config(fields)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from None
    config = type(config).from_dict({**config.to_dict(), **changed})
    own = head.to_arguments(with_usual_classes(fields, head))
    arguments = with_own_labels({**own, **arguments}, arguments)
    model = with_weights(cls, family, config, arguments, TensorFiles(folder), dtype, new_head)
    model.published = fields
    return model


def refuse_quantised(fields, folder):
    """Refuses weights that another library has packed in a way of its own."""
    settings = fields.get("quantization_config")
    if not settings:
        return
    method = settings.get("quant_method", "unknown") if isinstance(settings, dict) else settings
    raise ValueError(
        f"{folder / CONFIG} has a quantization_config (method {method!r}), and quantised weights "
        "are not read: take the checkpoint that it was made from, load that, and quantise it with "
        'model.quantize("int8")'
    )


def with_weights(cls, family, config, arguments, files, dtype, new_head=False):
    """The model of a configuration, with the weights that `files` has for it.

    Args:
        cls: class of the model.
        family: the `Family` whose table is read by.
        config: our configuration.
        arguments: of the class's constructor.
        files: a `TensorFiles`, or what has its interface.
        dtype: dtype policy of the model.
        new_head: as in `read_published`.

    Raises:
        ValueError: the number of classes is not known; tensors are missing, unexpected or of
            another shape.
    """
    if "num_classes" in inspect.signature(cls.__init__).parameters:
        require_classes(arguments)

    def make():
        return cls(config, dtype=dtype, **arguments)

    model, variables = make_empty(make)
    planned = plan(Table.of(family, cls, config), shapes_of(model), files, new_head)
    fill(model, variables, planned, files)
    warn_of_new(planned.lacking, model, files.folder)
    return model


def with_own_labels(arguments, given):
    """The arguments of a model without the checkpoint's labels where others are wanted."""
    if "num_classes" not in given or "labels" in given:
        return arguments
    labels = arguments.get("labels") or ()
    if len(labels) == arguments["num_classes"]:
        return arguments
    return {name: value for name, value in arguments.items() if name != "labels"}


def with_usual_classes(fields, head):
    """Their configuration with the number of classes, which transformers leaves out where it is 2.

    It leaves it out of models without a classifier too, so that the head's own name must be there.
    """
    said = fields.get("id2label") or "num_labels" in fields
    if said or head.architecture not in (fields.get("architectures") or ()):
        return fields
    return {**fields, "num_labels": 2}


def require_classes(arguments):
    """Refuses a classifier whose number of classes neither the checkpoint nor its user says."""
    if "num_classes" not in arguments:
        raise ValueError(
            "the checkpoint does not say how many classes there are (it was not published with a "
            "classifier); pass num_classes"
        )


def warn_of_new(names, model, folder):
    """Names weights that no file had in one warning."""
    if names:
        warnings.warn(
            f"{folder} has no weights for {', '.join(names)} of {type(model).__name__}: they are "
            "new, so train the model before you use it",
            stacklevel=5,
        )


def write_published(model, folder, family):
    """Writes a model as a folder that `transformers` reads.

    Args:
        model: a model of one of the family's heads.
        folder: made by the caller.
        family: the `Family`.

    Raises:
        ValueError: the family has no such head, or no field for something that the model's
            configuration or arguments say, or no place for a weight; the message names them.
    """
    family = family.of(type(model))
    head = family.head_of(type(model))
    fields = {"model_type": family.model_type, **family.from_config(model.config)}
    read_again = family.to_config(fields).resolved()
    differing = [
        f"{name}={value!r}"
        for name, value in model.config.resolved().items()
        if read_again[name] != value and name not in OF_THE_START
    ]
    own = head.from_model(model)
    arguments = model.arguments()
    differing += [
        f"{name}={arguments[name]!r}"
        for name, value in head.to_arguments({**fields, **own}).items()
        if arguments[name] != value
    ]
    if differing:
        raise ValueError(f"{family.model_type} cannot express {', '.join(differing)}")
    tensors = collect(model, Table.of(family, type(model), model.config))
    original = getattr(model, "published", None) or {}
    unnamed = getattr(model, "labels", None) is None
    if unnamed and len(own.get("id2label", ())) == len(original.get("id2label", ())):
        own = {name: value for name, value in own.items() if name not in ("id2label", "label2id")}
    save_weights(folder / WEIGHTS, tensors, {"format": "pt"})
    dtype = next(iter(tensors.values())).dtype.name
    for_transformers = {
        "architectures": [head.architecture],
        "dtype": dtype,  # as it is called since release 5
        "torch_dtype": dtype,
    }
    write_json(folder / CONFIG, {**original, **fields, **own, **for_transformers})
