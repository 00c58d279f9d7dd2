"""What the recipes over decoders share: a checkpoint's decoder, and how it writes messages."""

import datetime

from keras_transformer import models, text
from keras_transformer.checkpoints.hub import find_folder
from keras_transformer.checkpoints.pretrained import MODEL_TYPE, read_fields
from keras_transformer.checkpoints.published import CONFIG
from keras_transformer.families import get_family

MARKS = ("<|im_start|>", "<|im_end|>")  # ChatML's
# The day that templates name, such as Llama 3.2's, whose own this is: a run reads the same whenever
# it is gone on with.
TODAY = datetime.date(2024, 7, 26)


def load_decoder(name, length, flag, **overrides):
    """The `CausalLM` of a checkpoint.

    Args:
        name: a folder, or a name on the Hugging Face hub.
        length: tokens that the model shall read at once.
        flag: the setting that says so, for errors.
        **overrides: fields of the configuration to change.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: it holds another kind of model, or one of shorter texts.
    """
    folder = require_decoder(name)
    try:
        model = models.CausalLM.from_pretrained(folder, **overrides)
    except ValueError as error:
        raise ValueError(f"--from-checkpoint {name}: {error}") from None
    if length > model.config.max_length:
        raise ValueError(
            f"{flag} must be at most that of {name}, {model.config.max_length}; got {length}."
        )
    return model


def require_decoder(name):
    """The folder of a checkpoint, if that is not of another kind.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: it holds another kind of model.
    """
    folder = find_folder(name)
    fields = read_fields(folder / CONFIG)
    if fields.get("model_type") == MODEL_TYPE:
        kind = fields.get("architectures", ["model without a name"])[0]
        known = getattr(models, kind, models.CausalLM)  # unknown: the user's own class
        if not (isinstance(known, type) and issubclass(known, models.CausalLM)):
            raise ValueError(
                f"--from-checkpoint {name} holds a {kind}; a decoder is needed, a CausalLM"
            )
        return folder
    try:
        get_family(fields.get("model_type")).of(models.CausalLM).head_of(models.CausalLM)
    except ValueError as error:  # such as a family without decoders
        raise ValueError(f"--from-checkpoint {name}: {error}") from None
    return folder


def choose_template(settings, tokenizer):
    """What stands around messages, by the setting."""
    choice, published = settings.chat_template, None
    if settings.from_checkpoint is not None and choice in ("auto", "checkpoint"):
        folder = find_folder(settings.from_checkpoint)
        try:
            published = text.read_chat_template(folder, tokenizer, today=TODAY)
        except ImportError as error:
            raise ValueError(str(error)) from None
        if published is None and choice == "checkpoint":
            raise ValueError(f"{folder}: the tokenizer has no chat template")
    if published is not None:
        return published
    special = tokenizer.pieces(tokenizer.special_ids)
    has_marks = all(mark in special for mark in MARKS)
    if choice == "chatml" and not has_marks:
        raise ValueError(f"chatml needs a tokenizer with the special tokens {' and '.join(MARKS)}")
    return text.CHATML if has_marks and choice != "plain" else text.ChatTemplate()
