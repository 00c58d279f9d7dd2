"""Bytes as tokens, as ByT5 has them."""

from pathlib import Path

from keras_transformer.text import files
from keras_transformer.text.added_tokens import PYTHON_SPACES, AddedToken, AddedTokens
from keras_transformer.text.files import SETTINGS
from keras_transformer.text.settings import EXTRA, check_known, read_settings, token_text
from keras_transformer.text.template import Template
from keras_transformer.text.tokenizer import Tokenizer, max_length_of

OFFSET = 3  # pad, eos and unk come first
NUM_BYTES = 256
NAMES = ("<pad>", "</s>", "<unk>")
CLASS_NAME = "ByT5Tokenizer"


class ByteTokenizer(Tokenizer):
    """Each byte of the UTF-8 text is a token: no vocabulary, no unknown text, long sequences.

    The ids are ByT5's: pad 0, eos 1, unk 2, the byte plus 3, and then `<extra_id_0>` and its
    like. These are found in text, as `</s>` is, with the white space around `<pad>`, `</s>` and
    `<unk>`: so does Hugging Face's `ByT5Tokenizer`.

    Args:
        extra_ids: how many `<extra_id_...>` there are.
        max_length: tokens of a model's input.

    Example:

    >>> from keras_transformer import text
    >>> tokenizer = text.ByteTokenizer()
    >>> tokenizer.encode("né")
    [113, 198, 172]
    >>> tokenizer.encode_with_offsets("né")[1]
    [(0, 1), (1, 2), (1, 2)]
    >>> tokenizer.decode([113, 198, 172, 1])
    'né'

    Reference:
        Xue et al., ByT5 (2021), https://arxiv.org/abs/2105.13626
    """

    pad_id, eos_id, unk_id = 0, 1, 2
    template = Template.of(["A", 1], ["A", 1, "B", 1])

    def __init__(self, extra_ids: int = 125, max_length: int | None = None):
        if isinstance(extra_ids, bool) or not isinstance(extra_ids, int) or extra_ids < 0:
            raise ValueError(f"extra_ids must be an integer from 0 on, got {extra_ids!r}.")
        self.extra_ids, self.max_length = extra_ids, max_length
        named = [AddedToken(name, i, True, True, True) for i, name in enumerate(NAMES)]
        extra = [
            AddedToken(f"<extra_id_{i}>", OFFSET + NUM_BYTES + i) for i in range(self.extra_ids)
        ]
        self.added_tokens = AddedTokens(named + extra, PYTHON_SPACES)

    @classmethod
    def load(cls, folder) -> "ByteTokenizer":
        """The tokenizer of a folder with `tokenizer_config.json` of a `ByT5Tokenizer`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is another tokenizer's, or has tokens that are not ByT5's.
        """
        path = Path(folder) / SETTINGS
        if not path.is_file():
            raise FileNotFoundError(f"No tokenizer at {path}.")
        settings = read_settings(folder)
        if settings.get("tokenizer_class") != CLASS_NAME:
            found = settings.get("tokenizer_class")
            raise ValueError(f"{path} must name a {CLASS_NAME} as tokenizer_class; got {found!r}.")
        # Both lists are in use; without any the number is ByT5's own.
        named = next((names for names in map(settings.get, EXTRA) if names is not None), None)
        extra = settings.get("extra_ids") or 125 if named is None else len(named)
        tokenizer = cls(extra, max_length_of(settings))
        unknown = set(map(token_text, named or ())) - tokenizer.added_tokens.ids.keys()
        if unknown:
            raise ValueError(
                f"{path} must name <extra_id_0> and so on alone; got {min(unknown)!r}."
            )
        check_known(settings, tokenizer.added_tokens.ids, folder)
        return tokenizer

    def save(self, folder) -> Path:
        """Writes `tokenizer_config.json` into a folder; returns its path.

        The files of another tokenizer go.
        """
        settings = {"tokenizer_class": CLASS_NAME, "extra_ids": self.extra_ids}
        names = [f"<extra_id_{i}>" for i in range(self.extra_ids)]
        settings |= {"additional_special_tokens": names}
        if self.max_length is not None:
            settings["model_max_length"] = self.max_length
        return files.write_tokenizer(folder, {SETTINGS: files.json_bytes(settings)}) / SETTINGS

    @property
    def vocab_size(self) -> int:
        return OFFSET + NUM_BYTES + self.extra_ids

    @property
    def special_ids(self) -> tuple[int, ...]:
        """All ids that are no bytes."""
        return self.added_tokens.special_ids

    def pieces(self, ids) -> list[str]:
        """The tokens as strings: a byte is the character of its number."""
        names = {token.id: token.content for token in self.added_tokens.tokens}
        return [names.get(i) or chr(i - OFFSET) for i in self._checked(ids)]

    def id_of(self, piece: str) -> int:
        """The id of `"</s>"` and its like, or of the byte that a character numbers."""
        if len(piece) == 1 and ord(piece) < NUM_BYTES:
            return ord(piece) + OFFSET
        return self.added_tokens.ids.get(piece, self.unk_id)

    def graph_twin(self):
        """This tokenizer as a `tf.Module`: see `text.graph_bytes`."""
        from keras_transformer.text.graph_bytes import GraphByteTokenizer

        return GraphByteTokenizer(self)

    def get_config(self) -> dict:
        """All of the tokenizer, as JSON can hold it."""
        return {"extra_ids": self.extra_ids, "max_length": self.max_length}

    def _encode(self, lines):
        rows = []
        for line in lines:
            row = []
            for start, end, id in self.added_tokens.split(line):
                text = line[start:end].encode("utf-8")
                row += [byte + OFFSET for byte in text] if id is None else [id]
            rows.append(row)
        return rows

    def _encode_with_offsets(self, lines):
        rows = []
        for line, ids in zip(lines, self._encode(lines), strict=True):
            places = []
            for start, end, id in self.added_tokens.split(line):
                if id is not None:
                    places.append((start, end))
                    continue
                for i in range(start, end):
                    places += [(i, i + 1)] * len(line[i].encode("utf-8"))
            rows.append((ids, places))
        return rows

    def _decode(self, rows):
        texts = (bytes(id - OFFSET for id in row) for row in rows)
        return [text.decode("utf-8", "ignore") for text in texts]
