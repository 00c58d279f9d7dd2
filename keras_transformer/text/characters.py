"""Characters as tokens, for character language models."""

from collections import Counter
from pathlib import Path

from keras_transformer.text import files
from keras_transformer.text.files import SETTINGS
from keras_transformer.text.settings import (
    check_known,
    definition_tokens,
    read_settings,
    with_added_tokens,
)
from keras_transformer.text.tokenizer import Tokenizer, clean, max_length_of

FILE_NAME = "tokenizer.json"
NAMES = ("<pad>", "<unk>", "<s>", "</s>")
UNKNOWN = "\N{REPLACEMENT CHARACTER}"  # how an unknown character is decoded


class CharacterTokenizer(Tokenizer):
    """Each character of the text is a token; those that are not in the vocabulary are unk.

    The special ids are pad 0, unk 1, bos 2 and eos 3, and are never found in text; the characters
    follow in their order.

    Args:
        characters: those of the vocabulary, each once.
        max_length: tokens of a model's input.

    Raises:
        ValueError: a character is there twice, or one is a surrogate.

    Example:

    >>> from keras_transformer import text
    >>> tokenizer = text.CharacterTokenizer.train([["to be", "or not"]])
    >>> tokenizer.characters
    '\\n benort'
    >>> tokenizer.encode("bet!")
    [6, 7, 11, 1]
    >>> tokenizer.decode([6, 7, 11])
    'bet'
    """

    pad_id, unk_id, bos_id, eos_id = range(len(NAMES))

    def __init__(self, characters: str, max_length: int | None = None):
        characters = "".join(characters)
        twice = [c for c, count in Counter(characters).items() if count > 1]
        if twice:
            raise ValueError(f"characters must be there once each; twice are {twice[:9]}.")
        if any("\ud800" <= c <= "\udfff" for c in characters):
            raise ValueError("characters must be Unicode's; one is a surrogate.")
        self.characters, self.max_length = characters, max_length
        self._ids = {c: i for i, c in enumerate(characters, start=len(NAMES))}
        self._spelled = ["", UNKNOWN, "", "", *characters]

    @classmethod
    def train(cls, sources, vocab_size: int | None = None) -> "CharacterTokenizer":
        """The characters of a text, by code point; the line feed between lines is one.

        Args:
            sources: as in `SentencePieceTokenizer.train`.
            vocab_size: number of ids at most, the four special ones included: the most frequent
                characters stay. None keeps all.

        Raises:
            ValueError: there is no text, or `vocab_size` leaves no room for any character.
        """
        counts, lines = Counter(), 0
        for line in map(clean, files.read_lines(sources)):
            counts.update(line)
            lines += 1
        if not counts:
            raise ValueError("sources has no text to train on.")
        if lines > 1:
            counts["\n"] += lines - 1
        most = len(counts) if vocab_size is None else vocab_size - len(NAMES)
        if most < 1:
            raise ValueError(f"vocab_size must be above {len(NAMES)}; got {vocab_size}.")
        kept = sorted(counts, key=lambda c: (-counts[c], c))[:most]
        return cls("".join(sorted(kept)))

    @classmethod
    def load(cls, folder) -> "CharacterTokenizer":
        """The tokenizer that `save` has left in a folder.

        Raises:
            FileNotFoundError: there is no `tokenizer.json`.
            ValueError: it is another kind of tokenizer's, or has further tokens.
        """
        path = Path(folder) / FILE_NAME
        if not path.is_file():
            raise FileNotFoundError(f"No tokenizer at {path}.")
        content = files.read_json_object(path)
        model = content.get("model")
        ids = model.get("vocab") if isinstance(model, dict) else None
        if not isinstance(ids, dict) or model.get("type") != "WordLevel":
            raise ValueError(f"{path} must be of type WordLevel.")
        names = sorted(ids, key=ids.get)
        wanted = [*NAMES, *names[len(NAMES) :]]
        if {name: i for i, name in enumerate(wanted)} != ids or any(
            len(name) != 1 for name in names[len(NAMES) :]
        ):
            raise ValueError(f"{path} must have {NAMES} and then single characters as its words.")
        declared = definition_tokens(content, path)
        settings = with_added_tokens(read_settings(folder), declared, path)
        check_known(settings, ids, folder)
        return cls("".join(names[len(NAMES) :]), max_length_of(settings))

    def save(self, folder) -> Path:
        """Writes `tokenizer.json` and `tokenizer_config.json`, for Hugging Face's tokenizers too.

        The files of another tokenizer go. Returns the path of the former.
        """
        vocab = {name: i for i, name in enumerate(NAMES)} | self._ids
        content = {
            "version": "1.0",
            "added_tokens": [],
            "pre_tokenizer": {
                "type": "Split",
                "pattern": {"Regex": r"[\s\S]"},
                "behavior": "Isolated",
                "invert": False,
            },
            "decoder": {"type": "Fuse"},
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": NAMES[1]},
        }
        roles = zip(("pad", "unk", "bos", "eos"), NAMES, strict=True)
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", "split_special_tokens": True}
        settings |= {f"{role}_token": name for role, name in roles}
        if self.max_length is not None:
            settings["model_max_length"] = self.max_length
        contents = {SETTINGS: settings, FILE_NAME: content}
        contents = {name: files.json_bytes(value) for name, value in contents.items()}
        return files.write_tokenizer(folder, contents) / FILE_NAME

    @property
    def vocab_size(self) -> int:
        return len(self._spelled)

    def pieces(self, ids) -> list[str]:
        """The characters, and the names of special tokens."""
        names = [*NAMES, *self.characters]
        return [names[i] for i in self._checked(ids)]

    def id_of(self, piece: str) -> int:
        """The id of a character, or of a special token's name; else `unk_id`."""
        return NAMES.index(piece) if piece in NAMES else self._ids.get(piece, self.unk_id)

    def graph_twin(self):
        """This tokenizer as a `tf.Module`: see `text.graph_bytes`."""
        from keras_transformer.text.graph_bytes import GraphCharacterTokenizer

        return GraphCharacterTokenizer(self)

    def get_config(self) -> dict:
        """All of the tokenizer, as JSON can hold it."""
        return {"characters": self.characters, "max_length": self.max_length}

    def _encode(self, lines):
        get, unknown = self._ids.get, self.unk_id
        return [[get(c, unknown) for c in line] for line in lines]

    def _encode_with_offsets(self, lines):
        rows = self._encode(lines)
        return [(row, [(i, i + 1) for i in range(len(row))]) for row in rows]

    def _decode(self, rows):
        return ["".join([self._spelled[i] for i in row]) for row in rows]
