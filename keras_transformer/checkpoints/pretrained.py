"""Model folders: `config.json` and `model.safetensors`."""

import json
import pathlib

import keras

from keras_transformer.checkpoints.files import write_json
from keras_transformer.checkpoints.weights import load_model_weights, save_model_weights
from keras_transformer.models import TransformerConfig

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MODEL_TYPE = "keras_transformer"


def save_pretrained(model, folder):
    """Writes a model's configuration and weights; each file replaces its predecessor in one step.

    Args:
        model: a built model with a `config`.
        folder: made if missing.

    Raises:
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
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": MODEL_TYPE,
        "architectures": [type(model).__name__],
        **model.config.to_dict(),
    }
    save_model_weights(model, folder / WEIGHTS)
    write_json(folder / CONFIG, config)


def from_pretrained(cls, folder, dtype=None):
    """The model that `save_pretrained` wrote.

    Args:
        cls: class of the model, such as `models.Seq2SeqLM` or a subclass.
        folder: a local folder.
        dtype: dtype policy of the model; by default Keras's global one.

    Raises:
        FileNotFoundError: the folder or a file of it does not exist.
        ValueError: the configuration is not one of this package, or weights are missing,
            unexpected or misshapen; the message lists them.

    Example:

    >>> import tempfile
    >>> from keras_transformer import models
    >>> folder = tempfile.mkdtemp()
    >>> save_pretrained(models.Seq2SeqLM.from_preset("transformer_tiny", vocab_size=11), folder)
    >>> from_pretrained(models.Seq2SeqLM, folder, dtype="mixed_bfloat16").config.vocab_size
    11
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder")
    config = read_config(folder / CONFIG)
    model = cls(config, dtype=keras.dtype_policies.get(dtype))
    load_model_weights(model, folder / WEIGHTS)
    return model


def read_config(path):
    """The `TransformerConfig` of a `config.json`."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: {path.parent} holds no model") from None
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(fields, dict) or fields.get("model_type") != MODEL_TYPE:
        found = fields.get("model_type") if isinstance(fields, dict) else type(fields).__name__
        raise ValueError(f"{path} has model_type {found!r}; known is {MODEL_TYPE!r}")
    fields.pop("architectures", None)
    fields.pop("model_type")
    try:
        return TransformerConfig.from_dict(fields)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
