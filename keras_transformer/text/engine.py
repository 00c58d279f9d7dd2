"""What tokenizers have in common that run on Hugging Face's `tokenizers` library."""

import functools
import hashlib
import json
from abc import abstractmethod
from pathlib import Path

import tokenizers

from keras_transformer.text import files
from keras_transformer.text.settings import (
    DECODER,
    EXTRA,
    ROLES,
    check_settings,
    read_settings,
    token_text,
)
from keras_transformer.text.template import FIRST, SECOND, Template
from keras_transformer.text.tokenizer import Tokenizer, max_length_of

# Where a folder does not say which token has a role, a special token of this name has it.
USUAL_NAMES = {
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "bos": ("[BOS]", "<s>", "<|begin_of_text|>"),
    "eos": ("[EOS]", "</s>", "<|end_of_text|>"),
    "cls": ("[CLS]",),
    "sep": ("[SEP]",),
    "mask": ("[MASK]", "<mask>"),
}


# Classes that say nothing of how a vocabulary's files are read
GENERAL = ("PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend")


class EngineTokenizer(Tokenizer):
    """A tokenizer that the `tokenizers` library runs, as a `tokenizer.json` defines it.

    The padding and truncation of a definition are left out: calling the tokenizer does those.
    Special tokens that stand in the text are found there, as in Hugging Face's tokenizers.

    Args:
        definition: the content of a `tokenizer.json`, as a string.
        settings: the content of a `tokenizer_config.json` as a dictionary: `"cls_token"` and
            the like, `"model_max_length"`; what else it holds is kept for `save`.

    Raises:
        ValueError: `definition` is no `tokenizer.json`, or one of another kind; or a setting is
            of a wrong type.
    """

    MODEL: str  # the class in `tokenizers.models`

    def __init__(self, definition: str, settings: dict | None = None):
        check_settings(settings or {}, "settings")
        self._read(_engine(definition, "definition"), settings or {}, "definition")

    @classmethod
    def load(cls, folder):
        """Reads the tokenizer from a folder in the Hugging Face layout.

        Args:
            folder: it has `tokenizer.json`, or the vocabulary's own files; and, as far as they
                are there, `tokenizer_config.json`, `special_tokens_map.json` and
                `added_tokens.json`.

        Raises:
            FileNotFoundError: the folder or its files are not there.
            ValueError: a file is broken, or of another kind of tokenizer; or an added token cannot
                have the id that a file gives it.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder}.")
        settings = read_settings(folder)
        path = folder / files.TOKENIZER
        if path.is_file():
            engine = _engine(files.read_text(path), path)
        else:
            engine = cls._engine_of_vocabulary(folder, settings)
        tokenizer = cls.__new__(cls)
        add_declared_tokens(engine, settings, folder)
        tokenizer._read(engine, add_named_tokens(engine, settings), path)
        return tokenizer

    @classmethod
    @abstractmethod
    def _engine_of_vocabulary(cls, folder: Path, settings: dict) -> tokenizers.Tokenizer:
        """The engine of a folder without `tokenizer.json`; FileNotFoundError if that is not so."""

    @abstractmethod
    def _vocabulary_files(self) -> dict[str, bytes]:
        """The vocabulary in the files that older readers know, by their names."""

    def save(self, folder) -> Path:
        """Writes the tokenizer into a folder, so that `transformers` and `tokenizers` read it.

        Each file is there whole or not at all: what was there before stays until it is. The files
        of another tokenizer go. Returns the folder.
        """
        named = {key: self._settings[key] for key in map(_key, ROLES) if key in self._settings}
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", **self._settings}
        settings[DECODER] = {
            str(i): _flags(token) for i, token in self._engine.get_added_tokens_decoder().items()
        }
        contents = self._vocabulary_files() | {
            files.TOKENIZER: self._engine.to_str(pretty=True).encode(),
            files.SETTINGS: files.json_bytes(settings),
            files.SPECIAL_TOKENS: files.json_bytes(named),
        }
        return files.write_tokenizer(folder, contents)

    def get_config(self) -> dict:
        """All of the tokenizer, as JSON can hold it."""
        if self._definition is None:
            self._definition = self._engine.to_str()
        return {"definition": self._definition, "settings": self._settings}

    @functools.cached_property
    def fingerprint(self) -> str:
        """A sha256: equal for tokenizers that cut alike, and have the same special tokens."""
        named = [self._settings.get(_key(role)) for role in ROLES]
        content = json.dumps([type(self).__name__, self.get_config()["definition"], named])
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def engine(self) -> tokenizers.Tokenizer:
        """The `tokenizers.Tokenizer` that does the work. It must not be changed."""
        return self._engine

    @property
    def vocab_size(self) -> int:
        """Number of ids: one more than the last."""
        return self._vocab_size

    @property
    def special_ids(self) -> tuple[int, ...]:
        """The ids that decoding drops: all tokens that the folder calls special."""
        return self._special_ids

    def pieces(self, ids) -> list[str]:
        """The pieces that a sequence of ids stands for; "" where an id has none."""
        return [self._engine.id_to_token(i) or "" for i in self._checked(ids)]

    def id_of(self, piece: str) -> int:
        """The id of a piece, or `unk_id` (-1 where there is none)."""
        found = self._engine.token_to_id(piece)
        return self.unk_id if found is None else found

    def _encode(self, lines):
        return [e.ids for e in self._engine.encode_batch_fast(lines, add_special_tokens=False)]

    def _encode_with_offsets(self, lines):
        encodings = self._engine.encode_batch(lines, add_special_tokens=False)
        return [(e.ids, e.offsets) for e in encodings]

    def _decode(self, rows):
        return self._engine.decode_batch(rows, skip_special_tokens=False)

    def _read(self, engine, settings, name):
        kind = type(engine.model).__name__
        if kind != self.MODEL:
            raise ValueError(f"{name} has a {kind} model; {type(self).__name__} is {self.MODEL}.")
        engine.no_padding()
        engine.no_truncation()
        # special tokens that a text spells are text then
        engine.encode_special_tokens = settings.get("split_special_tokens") is True
        self._engine, self._definition = engine, None
        self._settings = {k: v for k, v in settings.items() if k != DECODER}
        self._vocab_size = max(engine.get_vocab().values(), default=-1) + 1
        for role in ROLES:
            found = engine.token_to_id(self._settings.get(_key(role)) or "")
            setattr(self, f"{role}_id", -1 if found is None else found)
        added = engine.get_added_tokens_decoder()
        self._special_ids = tuple(
            sorted({*super().special_ids, *(i for i, token in added.items() if token.special)})
        )
        self.template = template_of(engine)
        self.max_length = max_length_of(self._settings)

    def __getstate__(self):
        return self.get_config()

    def __setstate__(self, config):
        self.__init__(**config)


def check_class(settings, folder, is_known):
    """Refuses a folder without `tokenizer.json` whose files another kind of tokenizer reads.

    Args:
        settings: of the folder; without `tokenizer_class` that of its `config.json` counts.
        folder: the folder.
        is_known: whether a class reads these files as we do.

    Raises:
        ValueError: the class is another one.
    """
    kind = settings.get("tokenizer_class")
    if kind is None and (folder / "config.json").is_file():
        kind = files.read_json_object(folder / "config.json").get("tokenizer_class")
    if kind is not None and kind not in GENERAL and not is_known(kind):
        raise ValueError(
            f"{folder} names a {kind}, whose vocabulary without {files.TOKENIZER} is not read: "
            f"save it with transformers as a fast tokenizer, which writes {files.TOKENIZER}."
        )


def template_of(engine) -> Template:
    """The special tokens that an engine's post-processor adds, found by adding them."""
    single = engine.post_process(_mark(0))
    pair = engine.post_process(_mark(0), _mark(1))
    return Template(_parts(single), _parts(pair))


def add_declared_tokens(engine, settings, folder):
    """Adds the tokens that have ids in a folder's files to an engine; those it has stay.

    Args:
        engine: a `tokenizers.Tokenizer`.
        settings: `added_tokens_decoder`, and the names of special tokens.
        folder: what an error calls the folder.

    Raises:
        ValueError: a token would have another id than the files give it.
    """
    named = {token_text(settings.get(_key(role))) for role in ROLES}
    decoder = settings.get(DECODER) or {}
    for id, token in sorted(((int(i), t) for i, t in decoder.items()), key=lambda item: item[0]):
        special = token.get("special", False) or token["content"] in named
        engine.add_tokens([_added(token | {"special": special})])
        found = engine.token_to_id(token["content"])
        if found != id:
            raise ValueError(
                f"The vocabulary in {folder} gives the added token {token['content']!r} the id "
                f"{found}; {files.SETTINGS} or {files.ADDED_TOKENS} there has it as {id}."
            )


def add_named_tokens(engine, settings) -> dict:
    """Adds the special tokens of a `tokenizer_config.json` to an engine, as `transformers` does.

    Args:
        engine: a `tokenizers.Tokenizer`; tokens that it has not yet are added.
        settings: `cls_token` and the like: strings, or dictionaries with a token's flags.

    Returns:
        The settings with plain strings for the tokens of all roles that are known.
    """
    known = {token.content for token in engine.get_added_tokens_decoder().values()}
    named = {_key(role): settings.get(_key(role)) for role in ROLES}
    if not any(named.values()):
        named = _usual(engine)
    tokens = [*named.values()]
    for key in EXTRA:
        extra = settings.get(key) or []
        tokens += extra.values() if isinstance(extra, dict) else extra
    for token in tokens:
        if token and token_text(token) not in known:
            engine.add_special_tokens([_added(token)])
    return settings | {key: token_text(token) for key, token in named.items() if token}


def _engine(definition, name):
    if not isinstance(definition, str):
        raise TypeError(f"{name} must be a string, got {type(definition).__name__}.")
    try:
        return tokenizers.Tokenizer.from_str(definition)
    except Exception as error:  # the library raises nothing more exact
        raise ValueError(f"{name} is no tokenizer.json: {error}.") from None


def _key(role):
    return f"{role}_token"


def _usual(engine):
    """The tokens of the roles by their usual names, of those that are special."""
    special = {t.content for t in engine.get_added_tokens_decoder().values() if t.special}
    found = {
        _key(role): next((name for name in names if name in special), None)
        for role, names in USUAL_NAMES.items()
    }
    found["unk_token"] = found["unk_token"] or getattr(engine.model, "unk_token", None)
    return found


def _added(token):
    """An `AddedToken` from the JSON of one, which may be its text alone."""
    if isinstance(token, str):
        return tokenizers.AddedToken(token, special=True)
    flags = {k: v for k, v in token.items() if k not in ("content", "id", "__type")}
    return tokenizers.AddedToken(token["content"], **({"special": True} | flags))


def _flags(token):
    names = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    return {name: getattr(token, name) for name in names}


def _mark(source):
    """An encoding of one token that stands for a text."""
    marked = tokenizers.PreTokenizedString("x")
    marked.tokenize(lambda _: [tokenizers.Token(0, "x", (0, 1))])
    return marked.to_encoding(type_id=source)


def _parts(encoding):
    names = {None: None, 0: FIRST, 1: SECOND}
    columns = zip(encoding.ids, encoding.type_ids, encoding.sequence_ids, strict=True)
    return tuple((names[source] or token, segment) for token, segment, source in columns)
