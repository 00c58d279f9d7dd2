"""SentencePiece: text to subword ids and back, BPE or unigram."""

import base64
import hashlib
import itertools
from pathlib import Path

from keras_transformer.text import files
from keras_transformer.text.added_tokens import AddedTokens, without_spaces
from keras_transformer.text.id_layout import layout_of, plain_layout
from keras_transformer.text.sentencepiece_files import (
    make_processor,
    read_folder,
    read_model,
    write_folder,
)
from keras_transformer.text.sentencepiece_proto import renumbered
from keras_transformer.text.sentencepiece_training import train_model
from keras_transformer.text.settings import check_settings
from keras_transformer.text.tokenizer import Tokenizer, max_length_of

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # how pieces spell a space
UNKNOWN = " \N{DOUBLE QUESTION MARK} "  # how an unknown piece is decoded
# After a serialized model, whose later fields win: normalizer_spec {add_dummy_prefix: false}.
NO_PREFIX = b"\x1a\x02\x18\x00"
# What decoding cuts off: how, and the regular expression of RE2 that does the same.
TRIMS = {
    "nothing": (str, ""),
    "first space": (lambda text: text.removeprefix(" "), "^ "),
    "spaces": (lambda text: text.strip(" "), r"^ +| +\z"),
}
OPENS_CODE, CLOSES_CODE = ">>", "<<"  # around Marian's language codes


class SentencePieceTokenizer(Tokenizer):
    """Cuts text into the subwords of a SentencePiece model, and joins them again.

    White space is part of the pieces (as `▁`), so that decoding needs no rule for it. Tokenizers
    made by `train` have the special ids pad 0, unk 1, bos 2 and eos 3, which are never found in
    text: the string `"</s>"` is cut like any other; a bare model loaded from elsewhere keeps its
    own (-1 where it has none).

    A tokenizer of a published family (`load` finds out which: T5, mT5, XLM-R, CamemBERT, mBART,
    mBART-50, Pegasus, Marian, Llama) has the ids and the template that its models were trained
    with, and finds special tokens in text, as Hugging Face's does. The text between them is cut by
    SentencePiece itself, the engine that these models were trained with, also where Hugging Face's
    `tokenizers` imitates it with a difference (docs/decisions/0011-sentencepiece.md).

    A malformed UTF-8 sequence, and a lone surrogate of a Python string, stands for U+FFFD, here and
    in the graph twin. Training files are stricter: there it is an error.

    Args:
        model_proto: the serialized SentencePiece model as bytes. Use `train` or `load` to get one.
        settings: what `tokenizer_config.json` says of a family's tokenizer, its `tokenizer_class`
            above all; None for the ids of the pieces themselves.
        words: Marian's strings in the order of their ids.
        target_proto: Marian's model for the other language.

    Raises:
        ValueError: where `model_proto` is no SentencePiece model, or does not fit `settings`.

    Example:

    >>> from keras_transformer import text
    >>> tokenizer = text.SentencePieceTokenizer.train([["a dog runs", "a dog eats"]], vocab_size=22)
    >>> ids = tokenizer.encode(["a dog", "runs"])
    >>> tokenizer.decode(ids)
    ['a dog', 'runs']

    Reference:
        Kudo and Richardson, SentencePiece (2018), https://arxiv.org/abs/1808.06226
    """

    def __init__(self, model_proto: bytes, settings=None, words=(), target_proto=None):
        check_settings(settings or {}, "settings")
        self._read("model_proto", model_proto, settings, words, target_proto)

    @classmethod
    def train(
        cls,
        sources,
        vocab_size: int,
        model_type: str = "bpe",
        *,
        character_coverage: float = 1.0,
        normalization: str = "nmt_nfkc",
        byte_fallback: bool = False,
        user_defined_symbols=(),
    ) -> "SentencePieceTokenizer":
        """Learns a vocabulary. The same text and settings give the same model, byte for byte.

        Args:
            sources: a list whose items are each the path of a UTF-8 file (`.gz` is unpacked) or a
                list of lines, as `[src_path, dst_path]`, `[src_lines, dst_lines]` or mixed. A bare
                path is one source. Lines have no limit in length; blank ones are skipped.
            vocab_size: number of ids, special ids included.
            model_type: `"bpe"` or `"unigram"`.
            character_coverage: share of the text's characters that become pieces; the rest is unk
                (or bytes, with `byte_fallback`).
            normalization: applied to all text before it is cut. `"nmt_nfkc"`, the default,
                makes compatibility characters and every kind of space one; `"identity"` keeps
                characters as they are, so that decoding gives them back. Also `"nfkc"`, and with
                `_cf` lower-cased.
            byte_fallback: spell unknown characters as bytes (256 ids) instead of unk.
            user_defined_symbols: strings that always are one piece each.

        Raises:
            FileNotFoundError: a source is not there.
            ValueError: invalid UTF-8 (with file and line), no text at all, a `vocab_size` that the
                text cannot fill or that cannot hold its characters (with the limit), a bad setting.
        """
        settings = (character_coverage, normalization, byte_fallback, user_defined_symbols)
        return cls(train_model(sources, vocab_size, model_type, *settings))

    @classmethod
    def load(cls, path) -> "SentencePieceTokenizer":
        """Reads a SentencePiece model file, or the tokenizer of a folder.

        Args:
            path: a model file, whose ids are those of its pieces; or a folder with
                `tokenizer.model`; or one in the Hugging Face layout, with `tokenizer_config.json`
                and the model file (for Marian `source.spm`, `target.spm` and `vocab.json`) or, as
                transformers 5 saves it, `tokenizer.json`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is no SentencePiece model, or the family is not known.
        """
        path, arguments = Path(path), {}
        if path.is_dir():
            path, proto, arguments = read_folder(path)
        else:
            proto = read_model(path)
        tokenizer = cls.__new__(cls)
        tokenizer._read(str(path), proto, **arguments)
        return tokenizer

    def save(self, path) -> Path:
        """Writes the model to a path that ends in `.model`, or all files into a folder.

        That is `tokenizer.model`, or the files of the family that `load` and Hugging Face's
        transformers read. Each file is there whole or not at all: what was there before stays until
        it is, and then another tokenizer's files go. Returns the path of the model.
        """
        path = Path(path)
        if path.suffix == ".model" and not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            return files.write_atomically(path, self.model_proto)
        return write_folder(path, *self._arguments)

    def with_language(self, code: str) -> "SentencePieceTokenizer":
        """This tokenizer with the language of its template changed, as mBART's is for each text.

        Args:
            code: a language code of the family, such as `"de_DE"`.

        Raises:
            ValueError: the family has no such code.
        """
        codes = self._added.ids if self._layout.language >= 0 else {}
        if code not in codes:
            raise ValueError(f"code must be a language code of the tokenizer; got {code!r}.")
        proto, settings, *others = self._arguments
        return type(self)(proto, {**settings, "src_lang": code}, *others)

    def for_target(self) -> "SentencePieceTokenizer":
        """The tokenizer of the target language: Marian's has its own model, for the same ids."""
        if self._arguments[3] is None:
            return self
        proto, settings, words, target = self._arguments
        return type(self)(target, settings, words, proto)

    def pieces(self, ids) -> list[str]:
        """The pieces that a sequence of ids stands for, special ones included: `["▁dog", "s"]`."""
        return [self._names[i] for i in self._checked(ids)]

    def id_of(self, piece: str) -> int:
        """The id of a piece, or `unk_id`."""
        return self._ids.get(piece, self.unk_id)

    def graph_twin(self):
        """This tokenizer as a `tf.Module`: see `text.graph_sentencepiece`.

        Raises:
            ImportError: where tensorflow-text is not installed.
        """
        from keras_transformer.text.graph_sentencepiece import GraphSentencePieceTokenizer

        return GraphSentencePieceTokenizer(self)

    @property
    def model_proto(self) -> bytes:
        """The serialized SentencePiece model."""
        return self._arguments[0]

    @property
    def layout(self):
        """Which ids the pieces have: an `IdLayout`."""
        return self._layout

    @property
    def added_tokens(self) -> AddedTokens:
        """What finds the layout's added tokens in text."""
        return self._added

    @property
    def model_protos(self) -> tuple[bytes, bytes]:
        """The models that cut text with, and without, a space put before it."""
        proto = self.model_proto
        return proto, proto if self._layout.prefix is None else proto + NO_PREFIX

    @property
    def pieces_of_ids(self) -> list[int]:
        """For each id the piece that has it in the SentencePiece model, 0 where there is none."""
        return [self._piece_of.get(id, 0) for id in range(self.vocab_size)]

    @property
    def fingerprint(self) -> str:
        """A sha256, of a bare model its own: equal for tokenizers that cut alike in every case."""
        proto, settings, *_ = self._arguments
        return hashlib.sha256(proto).hexdigest() if settings is None else super().fingerprint

    @property
    def vocab_size(self) -> int:
        return self._layout.vocab_size

    @property
    def special_ids(self) -> tuple[int, ...]:
        """The ids that decoding drops: special tokens but unk, and ids that stand for nothing."""
        return self._special_ids

    def get_config(self) -> dict:
        """All of the tokenizer, as JSON can hold it."""
        proto, settings, words, target = self._arguments
        config = {"model_proto": base64.b64encode(proto).decode("ascii")}
        if settings is not None:
            config |= {"settings": settings, "words": list(words)}
        if target is not None:
            config["target_proto"] = base64.b64encode(target).decode("ascii")
        return config

    @classmethod
    def from_config(cls, config: dict) -> "SentencePieceTokenizer":
        """The tokenizer of a `get_config`."""
        protos = ("model_proto", "target_proto")
        decoded = {name: base64.b64decode(config[name]) for name in protos if name in config}
        return cls(**{**config, **decoded})

    # Cutting -------------------------------------------------------------------------------------

    def _encode(self, lines):
        if self._are_whole(lines):
            return self._ids_alone(self._processor, lines)
        rows = [[] for _ in lines]
        for (row, _, _, id, _), found in self._encoded(lines, self._ids_alone):
            rows[row] += found if id is None else [id]
        return rows

    def _encode_with_offsets(self, lines):
        rows = [([], []) for _ in lines]
        for (row, start, end, id, _), found in self._encoded(lines, self._ids_with_offsets):
            ids, offsets = found if id is None else ([id], [(0, end - start)])
            rows[row][0].extend(ids)
            rows[row][1].extend([(start + a, start + b) for a, b in offsets] if start else offsets)
        return rows

    def _are_whole(self, lines):
        """Whether SentencePiece cuts each line as it is: quick, and mostly so."""
        prefix, everything = self._layout.prefix, "".join(lines)
        if self._added.may_be_in(everything) or prefix == "never":
            return False
        if self._layout.words and OPENS_CODE in everything:
            return False
        return prefix is None or not any(line.startswith((" ", SPACE)) for line in lines)

    def _encoded(self, lines, cut):
        """The parts of all lines, each with what `cut` makes of its text."""
        parts = [part for row, line in enumerate(lines) for part in self._split(row, line)]
        found = [None] * len(parts)
        for processor, prefixed in ((self._processor, True), (self._bare, False)):
            chosen = [i for i, part in enumerate(parts) if part[3] is None and part[4] == prefixed]
            texts = [lines[parts[i][0]][parts[i][1] : parts[i][2]] for i in chosen]
            for i, result in zip(chosen, cut(processor, texts) if texts else (), strict=True):
                found[i] = result
        return zip(parts, found, strict=True)

    def _split(self, row, line):
        """The line as (row, start, end, id or None for text, whether a prefix is put before)."""
        for start, end, id in self._added.split(line):
            if id is None and self._layout.words and line.startswith(OPENS_CODE, start):
                close = line.find(CLOSES_CODE, start, end)
                if close >= 0:
                    code = line[start : close + len(CLOSES_CODE)]
                    yield row, start, start + len(code), self.id_of(code), False
                    start += len(code)
            yield row, start, end, id, self._is_prefixed(line, start)

    def _is_prefixed(self, line, start):
        """Whether the text from `start` on gets a space put before it."""
        scheme = self._layout.prefix
        if scheme is None:
            return True
        possible = scheme == "always" or (scheme == "first" and start == 0)
        return possible and not line.startswith((" ", SPACE), start)

    def _ids_alone(self, processor, texts):
        rows = processor.encode(texts)
        if self._layout.words:
            get, unknown, size = self._ids.get, self.unk_id, self.vocab_size
            beyond = [i for i, row in enumerate(rows) if row and max(row) >= size]
            cut = processor.encode([texts[i] for i in beyond], return_type=str)
            for at, pieces in zip(beyond, cut, strict=True):
                rows[at] = [get(piece, unknown) for piece in pieces]
        return rows

    def _ids_with_offsets(self, processor, texts):
        found = processor.encode(texts, return_type="offset_mapping")
        if self._layout.words:
            get, unknown = self._ids.get, self.unk_id
            return [([get(p, unknown) for p in row["pieces"]], row["offsets"]) for row in found]
        if self._layout.bare_offsets:
            for text, row in zip(texts, found, strict=True):
                row["offsets"] = without_spaces(text, row["offsets"])
        return [(row["ids"], row["offsets"]) for row in found]

    # Joining -------------------------------------------------------------------------------------

    def _decode(self, rows):
        if self.spelled:
            texts = (b"".join([self.spelled[i] for i in row]) for row in rows)
            return [TRIMS[self.trim][0](text.decode("utf-8", "replace")) for text in texts]
        return self._processor.decode(rows)

    # Setting up ----------------------------------------------------------------------------------

    def _read(self, name, proto, settings=None, words=(), target_proto=None):
        self._arguments = proto, settings, tuple(words), target_proto
        processor = make_processor(proto, name)
        if settings is None:
            layout = plain_layout(processor)
        else:
            layout = layout_of(processor, settings, tuple(words))
        self._layout, self.template = layout, layout.template
        self._make_engines(processor, name)
        self._added = AddedTokens(layout.added)
        for role, id in layout.roles.items():
            setattr(self, f"{role}_id", id)
        self.max_length = max_length_of(settings or {})
        size = processor.get_piece_size()
        self._piece_of = {id: i for i, id in reversed(list(enumerate(layout.piece_ids)))}
        pieces = [processor.id_to_piece(i) for i in range(size)]
        names = dict(zip(layout.piece_ids, pieces, strict=True))
        if words:
            names = dict(enumerate(words))
        names |= {token.id: token.content for token in layout.added}
        self._names = [names.get(id, "") for id in range(layout.vocab_size)]
        self._ids = {name: id for id, name in names.items()}
        empty = [id for id, name in enumerate(self._names) if not name]
        special = {*super().special_ids, *self._added.special_ids, *empty} - {self.unk_id}
        self._special_ids = tuple(sorted(special))
        self.spelled, self.trim = None, "spaces" if words else "first space"
        has_prefix = processor.encode("a", return_type=str)[0].startswith(SPACE)
        if not words and (layout.prefix == "never" or not has_prefix):
            self.trim = "nothing"
        own = {*self._piece_of, *self._special_ids}
        keeps_spaces = bool(processor.encode("  "))
        if words or keeps_spaces or any(token.id not in own for token in layout.added):
            self.spelled = [name.replace(SPACE, " ").encode("utf-8") for name in self._names]
            if self.unk_id >= 0:
                self.spelled[self.unk_id] = UNKNOWN.encode("utf-8")
            for i in filter(processor.is_byte, range(size)):
                self.spelled[layout.piece_ids[i]] = bytes([int(pieces[i][3:5], 16)])

    def _make_engines(self, processor, name):
        """Makes what cuts text: models whose pieces have the ids, so that no token takes time.

        Pieces that Marian's file lacks, and what is unknown to the model but may be in the file,
        get numbers beyond the vocabulary, by which such lines are found.
        """
        (proto, bare), ids = self.model_protos, self._layout.piece_ids
        if self._layout.words:
            beyond = itertools.count(self.vocab_size)
            ids = tuple(next(beyond) if id == self._layout.roles["unk"] else id for id in ids)
        if ids != tuple(range(len(ids))):
            proto, bare = renumbered(proto, ids), renumbered(bare, ids)
            processor = make_processor(proto, name)
        self._processor = processor
        self._bare = processor if self._layout.prefix is None else make_processor(bare, name)

    def __getstate__(self):
        return self._arguments

    def __setstate__(self, arguments):
        self._read("the pickled tokenizer", *arguments)
