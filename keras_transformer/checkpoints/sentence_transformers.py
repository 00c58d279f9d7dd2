"""Folders of the sentence-transformers library: which pooling, and whether vectors are normalised.

`modules.json` lists the parts of such a model: the encoder's folder, the pooling's, and perhaps a
normalisation.
"""

import json
import pathlib

from keras_transformer.checkpoints.files import write_json

MODULES, POOLING = "modules.json", "1_Pooling"
NORMALIZE = "2_Normalize"
ENCODER_CONFIG = "sentence_bert_config.json"
# Where the library looks for it, the first that is there
ENCODER_CONFIGS = (
    ENCODER_CONFIG,
    *(
        f"sentence_{kind}_config.json"
        for kind in ("roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
    ),
)
LIBRARY_CONFIG = "config_sentence_transformers.json"
POOLING_FLAGS = {
    "first": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "last": "pooling_mode_lasttoken",
}
KIND = "sentence_transformers.models."


def read_modules(folder):
    """The encoder's folder, and arguments of a `SentenceEmbedder`.

    Args:
        folder: a `pathlib.Path`; one without `modules.json` is the encoder's own.

    Returns:
        `(folder, {"pooling": ..., "normalize": ...})`; without `modules.json` an empty dictionary.

    Raises:
        ValueError: the file is damaged, or lists something that a `SentenceEmbedder` is not.
    """
    path = folder / MODULES
    if not path.is_file():
        return folder, {}
    modules = read_json(path)
    if not isinstance(modules, list) or not all(isinstance(each, dict) for each in modules):
        raise ValueError(f"{path} must be a list of modules")
    encoder, settings = folder, {"normalize": False}
    for module in modules:
        kind = str(module.get("type", "")).rsplit(".", 1)[-1]
        place = str(module.get("path", ""))
        if place and (pathlib.PurePath(place).name != place or place == ".."):
            raise ValueError(f"{path} names {place!r}; modules must lie in the folder itself")
        if kind == "Transformer":
            encoder = folder / place
        elif kind == "Pooling":
            settings["pooling"] = read_pooling(folder / place / "config.json")
        elif kind == "Normalize":
            settings["normalize"] = True
        else:
            raise ValueError(
                f"{path} has a module {module.get('type')!r}; a SentenceEmbedder is a Transformer, "
                "a Pooling and perhaps a Normalize"
            )
    return encoder, settings


def read_encoding(folder, encoder_folder):
    """How the library cuts and writes an input.

    Args:
        folder: the model's folder.
        encoder_folder: that of its encoder, as `read_modules` found it.

    Returns:
        `(limit, lowers)`: the tokens, special ones included, after which it cuts, None for no
        limit; and whether it lower-cases texts before its tokenizer sees them.

    Raises:
        ValueError: the file is damaged.
    """
    for place in (encoder_folder, folder):
        there = (place / name for name in ENCODER_CONFIGS)
        path = next((path for path in there if path.is_file()), None)
        if path is not None:
            fields = read_json(path)
            fields = fields if isinstance(fields, dict) else {}
            limit = fields.get("max_seq_length")
            whole = isinstance(limit, int) and not isinstance(limit, bool)
            if limit is not None and (not whole or limit < 1):
                raise ValueError(f"{path}: max_seq_length must be a positive integer; got {limit}")
            return limit, fields.get("do_lower_case") is True
    return None, False


def refuse_default_prompt(folder):
    """Refuses a model whose library puts a prompt before each text that it is given.

    Raises:
        ValueError: it does; the message says how to do it oneself.
    """
    path = folder / LIBRARY_CONFIG
    fields = read_json(path) if path.is_file() else {}
    if not isinstance(fields, dict):
        raise ValueError(f"{path} must hold an object; received {type(fields).__name__}")
    name = fields.get("default_prompt_name")
    if name is None:
        return
    prompts = fields.get("prompts")
    prompt = prompts.get(name) if isinstance(prompts, dict) else None
    if prompt != "":
        raise ValueError(
            f"{path} asks for the prompt {name!r}, {prompt!r}, before each text "
            "(default_prompt_name), which a TextEmbedder does not put there; put it before your "
            "texts, and set default_prompt_name to null."
        )


def read_pooling(path):
    """The pooling that a configuration of sentence-transformers stands for."""
    fields = read_json(path)
    if not isinstance(fields, dict):
        raise ValueError(f"{path} must hold an object; received {type(fields).__name__}")
    if isinstance(fields.get("pooling_mode"), str):  # as later releases write it
        names = {"cls": "first", "lasttoken": "last"}
        chosen = [names.get(fields["pooling_mode"], fields["pooling_mode"])]
    else:
        chosen = [ours for ours, theirs in POOLING_FLAGS.items() if fields.get(theirs)]
    others = [
        name
        for name, value in fields.items()
        if name.startswith("pooling_mode_") and value and name not in POOLING_FLAGS.values()
    ]
    if len(chosen) != 1 or chosen[0] not in POOLING_FLAGS or others:
        raise ValueError(
            f"{path} must choose one pooling of {', '.join(POOLING_FLAGS.values())}; "
            f"received {fields}"
        )
    return chosen[0]


def write_modules(model, folder):
    """Writes what makes a folder with an encoder one of sentence-transformers."""
    modules = [("Transformer", ""), ("Pooling", POOLING)]
    modules += [("Normalize", NORMALIZE)] if model.normalize else []
    (folder / POOLING).mkdir(exist_ok=True)
    flags = {theirs: ours == model.pooling for ours, theirs in POOLING_FLAGS.items()}
    width = {"word_embedding_dimension": model.config.hidden_dim}
    write_json(folder / POOLING / "config.json", {**width, **flags})
    if model.normalize:
        (folder / NORMALIZE).mkdir(exist_ok=True)
    write_json(
        folder / MODULES,
        [
            {"idx": i, "name": str(i), "path": place, "type": KIND + kind}
            for i, (kind, place) in enumerate(modules)
        ],
    )
    write_encoding(folder, model.config.max_length)


def write_encoding(folder, max_length):
    """Writes how the library shall cut an input, in tokens, special ones included."""
    write_json(folder / ENCODER_CONFIG, {"max_seq_length": max_length, "do_lower_case": False})


def remove_modules(folder):
    """Removes what made a folder one of sentence-transformers before it held another model."""
    if not (folder / MODULES).is_file():
        return
    for name in (f"{POOLING}/config.json", *ENCODER_CONFIGS, LIBRARY_CONFIG, MODULES):
        if (folder / name).is_file():
            (folder / name).unlink()
    for place in (folder / POOLING, folder / NORMALIZE):
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()


def read_json(path):
    """The content of a JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing; {MODULES} names it") from None
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
