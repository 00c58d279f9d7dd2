"""The files of a SentencePiece tokenizer, in the layout of Hugging Face's folders."""

from pathlib import Path

import sentencepiece

from keras_transformer.text import files
from keras_transformer.text.id_layout import FAMILIES, MODEL_TYPES, family_of
from keras_transformer.text.sentencepiece_proto import model_from_json

FILE_NAME = "tokenizer.model"
WORDS, TARGET = "vocab.json", "target.spm"
# The largest published models have some 20 MB: more is no SentencePiece model.
MAX_FILE_BYTES = 256 * 2**20


def read_folder(folder) -> tuple[Path, bytes, dict]:
    """The model's file, its content, and the other arguments of its `SentencePieceTokenizer`.

    A folder with `tokenizer.model` and no `tokenizer_config.json` is one of ours: its ids are the
    pieces' own. Otherwise `tokenizer_class` there, or `model_type` in `config.json`, tells the
    family. Where `tokenizer.json` is all that there is, the model is made from it.

    Raises:
        FileNotFoundError: there is no model file.
        ValueError: the family is not known, or a file is no JSON object.
    """
    settings = _read_settings(folder)
    if not settings:
        return folder / FILE_NAME, read_model(folder / FILE_NAME), {}
    family = family_of(settings)
    path = folder / family.file_name
    others = [family.file_name, FILE_NAME, *(other.file_name for other in FAMILIES.values())]
    path = next((folder / name for name in others if (folder / name).is_file()), path)
    if not path.is_file() and (folder / files.TOKENIZER).is_file():
        content = files.read_json_object(folder / files.TOKENIZER)
        declared = {str(token["id"]): token for token in content.get("added_tokens", ())}
        settings = {**settings, "added_tokens_decoder": declared}
        return folder / files.TOKENIZER, model_from_json(content, settings), {"settings": settings}
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
    """Writes the files of a tokenizer; returns the path of its model."""
    folder.mkdir(parents=True, exist_ok=True)
    if settings is None:
        return files.write_atomically(folder / FILE_NAME, model_proto)
    if words:
        ids = {word: i for i, word in enumerate(words)}
        files.write_atomically(folder / WORDS, files.json_bytes(ids))
        files.write_atomically(folder / TARGET, target_proto)
    files.write_atomically(folder / files.SETTINGS, files.json_bytes(settings))
    return files.write_atomically(folder / family_of(settings).file_name, model_proto)


def _read_settings(folder):
    """What the folder says of its tokenizer; nothing where the pieces' ids are its own."""
    parts = [folder / name for name in ("special_tokens_map.json", files.SETTINGS)]
    settings = {}
    for path in parts:
        if path.is_file():
            settings |= files.read_json_object(path)
    if not settings and (folder / FILE_NAME).is_file():
        return {}
    if settings.get("tokenizer_class") is None and (folder / "config.json").is_file():
        model_type = files.read_json_object(folder / "config.json").get("model_type")
        settings = {**MODEL_TYPES.get(model_type, {}), **settings}
    return settings if settings.get("tokenizer_class") else {}


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
