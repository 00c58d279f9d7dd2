"""What the recipes over decoders share: a checkpoint to start from, if it is a decoder's."""

from keras_transformer import models
from keras_transformer.checkpoints.hub import find_folder
from keras_transformer.checkpoints.pretrained import MODEL_TYPE, read_fields
from keras_transformer.checkpoints.published import CONFIG


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
    folder = find_folder(name)
    fields = read_fields(folder / CONFIG)
    if fields.get("model_type") == MODEL_TYPE:
        kind = fields.get("architectures", ["model without a name"])[0]
        known = getattr(models, kind, models.CausalLM)  # unknown: the user's own class
        if not (isinstance(known, type) and issubclass(known, models.CausalLM)):
            raise ValueError(
                f"--from-checkpoint {name} holds a {kind}; a decoder is needed, a CausalLM"
            )
    try:
        model = models.CausalLM.from_pretrained(folder, **overrides)
    except ValueError as error:  # such as a family without decoders
        raise ValueError(f"--from-checkpoint {name}: {error}") from None
    if length > model.config.max_length:
        raise ValueError(
            f"{flag} must be at most that of {name}, {model.config.max_length}; got {length}."
        )
    return model
