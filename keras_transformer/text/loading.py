"""Which tokenizer a folder in the Hugging Face layout has, told by its files."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keras_transformer.text import files

SENTENCEPIECE_FILES = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "source.spm")


@dataclass(frozen=True)
class Contents:
    """What tells one kind of folder from another.

    Args:
        names: the names of its files.
        model: the type of the model in `tokenizer.json`, or None without that file.
        byte_level: whether that model works on bytes, as GPT-2's does.
        tokenizer_class: what `tokenizer_config.json` names, or None.
    """

    names: frozenset[str]
    model: str | None
    byte_level: bool
    tokenizer_class: str | None = None

    @classmethod
    def of(cls, folder: Path) -> "Contents":
        """The contents of a folder."""
        names = frozenset(path.name for path in folder.iterdir() if path.is_file())
        own = {}
        if files.SETTINGS in names:
            own = files.read_json_object(folder / files.SETTINGS)
        name = own.get("tokenizer_class")
        if files.TOKENIZER not in names:
            return cls(names, None, False, name)
        definition = files.read_json_object(folder / files.TOKENIZER)
        parts = [definition.get("pre_tokenizer"), definition.get("decoder")]
        return cls(names, _model_type(definition), any(map(_has_byte_level, parts)), name)

    def has_any(self, *names: str) -> bool:
        """Whether one of these files is there."""
        return bool(self.names.intersection(names))


@dataclass(frozen=True)
class Kind:
    """One kind of tokenizer.

    Args:
        module, name: where its class is; imported when a folder has it.
        files: how its folder looks, for the message where none fits.
        fits: whether contents are of this kind.
    """

    module: str
    name: str
    files: str
    fits: Callable[[Contents], bool]


KINDS = (
    Kind(
        "sentencepiece",
        "SentencePieceTokenizer",
        " or ".join(SENTENCEPIECE_FILES) + ", or tokenizer.json of type Unigram",
        lambda found: (
            found.model == "Unigram" or (found.model == "BPE" and not found.byte_level)
            if found.model
            else found.has_any(*SENTENCEPIECE_FILES)
        ),
    ),
    Kind(
        "word_piece",
        "WordPieceTokenizer",
        "tokenizer.json of type WordPiece, or vocab.txt",
        lambda found: found.model == "WordPiece" or not found.model and found.has_any("vocab.txt"),
    ),
    Kind(
        "byte_pair",
        "BytePairTokenizer",
        "tokenizer.json of type BPE on bytes, or vocab.json and merges.txt",
        lambda found: (
            found.model == "BPE" and found.byte_level
            if found.model
            else {"vocab.json", "merges.txt"} <= found.names
        ),
    ),
    Kind(
        "byte_tokenizer",
        "ByteTokenizer",
        "tokenizer_config.json that names ByT5Tokenizer",
        lambda found: found.tokenizer_class == "ByT5Tokenizer",
    ),
    Kind(
        "characters",
        "CharacterTokenizer",
        "tokenizer.json of type WordLevel",
        lambda found: found.model == "WordLevel",
    ),
)


def load_tokenizer(folder):
    """The tokenizer of a folder: see `Tokenizer.load`."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    contents = Contents.of(folder)
    for kind in KINDS:
        if kind.fits(contents):
            module = importlib.import_module(f"keras_transformer.text.{kind.module}")
            return getattr(module, kind.name).load(folder)
    known = "".join(f"\n  {kind.name}: {kind.files}" for kind in KINDS)
    found = ", ".join(sorted(contents.names)[:20]) or "no files"
    if contents.model:
        found += f"; its {files.TOKENIZER} is of type {contents.model}"
    raise ValueError(f"{folder} has no known tokenizer. Found: {found}. Known are:{known}")


def _model_type(definition):
    model = definition.get("model")
    if not isinstance(model, dict):
        return "unknown"
    if "type" in model:
        return str(model["type"])
    # older files leave it out
    telling = {"merges": "BPE", "max_input_chars_per_word": "WordPiece", "unk_id": "Unigram"}
    return next((kind for key, kind in telling.items() if key in model), "unknown")


def _has_byte_level(part):
    """Whether a part of a tokenizer, or one of a sequence of parts, works on bytes."""
    if isinstance(part, list):
        return any(map(_has_byte_level, part))
    if not isinstance(part, dict):
        return False
    inner = (part.get(key) for key in ("pretokenizers", "decoders"))
    return part.get("type") == "ByteLevel" or any(map(_has_byte_level, inner))
