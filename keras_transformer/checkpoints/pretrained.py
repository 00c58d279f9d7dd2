"""Model folders, `config.json` and `model.safetensors`: of this package and published ones."""

import json
import pathlib

import keras

from keras_transformer.checkpoints.files import write_json
from keras_transformer.checkpoints.hub import find_folder
from keras_transformer.checkpoints.published import (
    CONFIG,
    read_published,
    with_own_labels,
    write_published,
)
from keras_transformer.checkpoints.sentence_transformers import (
    read_modules,
    remove_modules,
    write_modules,
)
from keras_transformer.checkpoints.tensor_files import WEIGHTS
from keras_transformer.checkpoints.weights import load_model_weights, save_model_weights
from keras_transformer.families import get_family
from keras_transformer.models import SentenceEmbedder

MODEL_TYPE = "keras_transformer"


def save_pretrained(model, folder, family=None):
    """Writes a model's configuration and weights; each file replaces its predecessor in one step.

    Args:
        model: a model of `models`, or a subclass.
        folder: made if missing.
        family: a published family's `model_type`, in whose layout to write; by default that which
            the model was read from, or this package's own.

    Raises:
        ValueError: the family is not known or cannot express the model; or the model has low-rank
            parts (`training.enable_lora`).
        OSError: the disk is full; what was there before is untouched.

    Example:

    >>> import tempfile
    >>> from keras_transformer import models
    >>> folder = tempfile.mkdtemp()
    >>> model = models.Seq2SeqLM.from_preset("transformer_tiny", vocab_size=11)
    >>> save_pretrained(model, folder)
    >>> from_pretrained(models.Seq2SeqLM, folder).config == model.config
    True
    """
    if any("/lora_kernel_" in variable.path for variable in model.weights):
        raise ValueError(
            "the model has low-rank parts: checkpoints.save_adapter writes these, and "
            "training.merge_lora makes the model whole"
        )
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if family is None and model.published is not None:
        family = model.published["model_type"]
    if family is not None:
        write_published(model, folder, get_family(family))
    else:
        save_model_weights(model, folder / WEIGHTS)
        write_json(folder / CONFIG, own_fields(model))
    if isinstance(model, SentenceEmbedder):
        write_modules(model, folder)
    else:
        remove_modules(folder)


def own_fields(model):
    """A model's `config.json` in this package's layout."""
    fields = {
        "model_type": MODEL_TYPE,
        "architectures": [type(model).__name__],
        **model.config.to_dict(),
    }
    arguments = model.arguments()
    return {**fields, "arguments": arguments} if arguments else fields


def from_pretrained(cls, name, revision=None, dtype=None, **overrides):
    """The model of a folder or of a name on the Hugging Face hub.

    Args:
        cls: class of the model, such as `models.Seq2SeqLM` or a subclass.
        name: a local folder, or a name on the hub.
        revision: commit, tag or branch on the hub; by default its main branch.
        dtype: dtype policy of the model; by default Keras's global one.
        **overrides: fields of the configuration, and arguments of the model, to change.

    Raises:
        FileNotFoundError: there is no such folder or model, or a file of it is missing.
        ValueError: the family is not known or has no such head, or weights are missing, unexpected
            or misshapen; the message lists them.

    Example:

    >>> import tempfile
    >>> from keras_transformer import models
    >>> folder = tempfile.mkdtemp()
    >>> save_pretrained(models.Seq2SeqLM.from_preset("transformer_tiny", vocab_size=11), folder)
    >>> from_pretrained(models.Seq2SeqLM, folder, dtype="mixed_bfloat16").config.vocab_size
    11
    """
    folder = find_folder(name, revision)
    if issubclass(cls, SentenceEmbedder):
        folder, settings = read_modules(folder)
        overrides = {**settings, **overrides}
    fields = read_fields(folder / CONFIG)
    dtype = keras.dtype_policies.get(dtype)
    if fields.get("model_type") != MODEL_TYPE:
        return read_published(cls, folder, fields, dtype=dtype, **overrides)
    try:
        model = own_model(cls, fields, dtype, overrides)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{folder / CONFIG}: {error}") from None
    load_model_weights(model, folder / WEIGHTS)
    return model


def own_model(cls, fields, dtype, overrides):
    """The model of a configuration in this package's layout."""
    fields = dict(fields)
    fields.pop("model_type")
    fields.pop("architectures", None)
    changed, arguments = cls.split_arguments(
        with_own_labels({**fields.pop("arguments", {}), **overrides}, overrides)
    )
    return cls.from_config({"config": {**fields, **changed}, "dtype": dtype, **arguments})


def read_fields(path):
    """The content of a `config.json`."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: {path.parent} holds no model") from None
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{path} must hold an object; received {type(fields).__name__}")
    kind, heads = fields.get("model_type"), fields.get("architectures")
    if kind is not None and not isinstance(kind, str):
        raise ValueError(f"{path}: model_type must be a string; received {kind!r}")
    is_list = isinstance(heads, list) and all(isinstance(name, str) for name in heads)
    if heads is not None and not is_list:
        raise ValueError(f"{path}: architectures must be a list of strings; received {heads!r}")
    return fields
