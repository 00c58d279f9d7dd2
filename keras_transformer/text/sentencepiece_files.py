"""The files of a SentencePiece tokenizer, in the layout of Hugging Face's folders."""

from pathlib import Path

import sentencepiece

from keras_transformer.text import files
from keras_transformer.text.id_layout import FAMILIES, MODEL_TYPES, family_of
from keras_transformer.text.infer_family import infer_settings
from keras_transformer.text.sentencepiece_proto import model_from_json
from keras_transformer.text.settings import (
    DECODER,
    definition_tokens,
    read_settings,
    with_added_tokens,
)

FILE_NAME = "tokenizer.model"
WORDS, TARGET = "vocab.json", "target.spm"
MODEL_FILES = tuple(dict.fromkeys((FILE_NAME, *(f.file_name for f in FAMILIES.values()))))
# What a folder names whose `tokenizer.json` is all that transformers looks at
GENERAL_CLASSES = (None, "PreTrainedTokenizerFast", "TokenizersBackend")
# The largest published models have some 20 MB: more is no SentencePiece model.
MAX_FILE_BYTES = 256 * 2**20


def read_folder(folder) -> tuple[Path, bytes, dict]:
    """The model's file, its content, and the other arguments of its `SentencePieceTokenizer`.

    A folder with `tokenizer.model` and no settings is one of ours: its ids are the pieces' own.
    Otherwise `tokenizer_class` in `tokenizer_config.json`, `model_type` in `config.json`, or what
    `tokenizer.json` is made of tells the family. Added tokens are those of all files. Where
    `tokenizer.json` is all that there is, the model is made from it.

    Raises:
        FileNotFoundError: there is no model file.
        ValueError: the family is not known, or a file is broken, or contradicts another one.
    """
    settings, definition = read_settings(folder), folder / files.TOKENIZER
    content = files.read_json_object(definition) if definition.is_file() else None
    settings = _with_family(folder, settings, content)
    if not settings:
        return folder / FILE_NAME, read_model(folder / FILE_NAME), {}
    if content is not None:
        settings = with_added_tokens(settings, definition_tokens(content, definition), definition)
    family = family_of(settings)
    path = folder / family.file_name
    others = [family.file_name, *MODEL_FILES]
    path = next((folder / name for name in others if (folder / name).is_file()), path)
    if not path.is_file() and content is not None:
        try:
            return definition, model_from_json(content, settings), {"settings": settings}
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            told = str(error) if type(error) is ValueError else repr(error)
            raise ValueError(f"{definition} is damaged or of another kind: {told}") from error
    arguments = {"settings": settings}
    if family.file_name == "source.spm":
        arguments["words"] = _read_words(folder / WORDS)
        arguments["target_proto"] = read_model(folder / TARGET)
    return path, read_model(path), arguments


def read_model(path) -> bytes:
    """The content of a model file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is too large to be one.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No tokenizer at {path}.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path} is no SentencePiece model: {path.stat().st_size:,} bytes.")
    return path.read_bytes()


def write_folder(folder, model_proto, settings, words, target_proto) -> Path:
    """Writes the files of a tokenizer, in place of another's; returns the path of its model."""
    contents, name = {}, FILE_NAME
    if words:
        ids = {word: i for i, word in enumerate(words)}
        contents |= {WORDS: files.json_bytes(ids), TARGET: target_proto}
    if settings is not None:
        contents |= {files.SETTINGS: files.json_bytes(settings)}
        name = family_of(settings).file_name
    return files.write_tokenizer(folder, contents | {name: model_proto}) / name


def _with_family(folder, settings, content):
    """The settings with a `tokenizer_class`; nothing where the pieces' ids are the model's own."""
    bare = (folder / FILE_NAME).is_file() and content is None
    if bare and not settings:
        return {}
    named = settings.get("tokenizer_class")
    if named is None and (folder / "config.json").is_file():
        model_type = files.read_json_object(folder / "config.json").get("model_type")
        settings = {**settings, **MODEL_TYPES.get(model_type, {}), **_without_null(settings)}
    if settings.get("tokenizer_class") in GENERAL_CLASSES and content is not None:
        settings = {**settings, **infer_settings(content)}
    if settings.get("tokenizer_class") not in GENERAL_CLASSES or (named and content is None):
        return settings
    if bare and not settings.get(DECODER):
        return {}
    found = [name for name in (files.TOKENIZER, *MODEL_FILES) if (folder / name).is_file()]
    if not found:
        raise FileNotFoundError(f"No tokenizer at {folder / FILE_NAME}.")
    raise ValueError(
        f"{' and '.join(str(folder / name) for name in found)} could be of several families; "
        f"tokenizer_class in {files.SETTINGS} (or model_type in config.json) must tell which, as "
        f"one of {sorted(FAMILIES)}; got {named!r}."
    )


def _without_null(settings):
    return {key: value for key, value in settings.items() if value is not None}


def _read_words(path):
    """The words of `vocab.json` in the order of their ids."""
    if not path.is_file():
        raise FileNotFoundError(f"No vocabulary at {path}.")
    ids = files.read_json_object(path)
    words = sorted(ids, key=ids.get)
    if [ids[word] for word in words] != list(range(len(words))):
        raise ValueError(f"{path} must number its {len(words)} words from 0, each once.")
    return tuple(words)


def make_processor(proto, name):
    """The engine of a serialized model; `name` is what an error calls it."""
    if not isinstance(proto, bytes):
        raise TypeError(f"{name} must be bytes, got {type(proto).__name__}.")
    processor = sentencepiece.SentencePieceProcessor()
    try:
        # An empty message would leave a processor that aborts on use.
        if not proto or not processor.LoadFromSerializedProto(proto):
            raise RuntimeError("it is empty")
    except RuntimeError as error:
        raise ValueError(f"{name} is no SentencePiece model: {error}.") from error
    return processor
