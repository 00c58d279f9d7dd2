"""SentencePiece: text to subword ids and back, BPE or unigram."""

import base64
import gzip
import hashlib
import io
import operator
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import sentencepiece

FILE_NAME = "tokenizer.model"
MODEL_TYPES = ("bpe", "unigram")
NORMALIZATIONS = ("nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf", "identity")
# The largest published models have some 20 MB: more is no SentencePiece model.
MAX_FILE_BYTES = 256 * 2**20
# Unigram training sums per thread: another number of threads would give another vocabulary.
TRAINING_THREADS = 16
ROW = "a sequence of token ids"


class SentencePieceTokenizer:
    """Cuts text into the subwords of a SentencePiece model, and joins them again.

    White space is part of the pieces (as `▁`), so that decoding needs no rule for it. Tokenizers
    made by `train` have the special ids pad 0, unk 1, bos 2 and eos 3; a model loaded from
    elsewhere keeps its own (-1 where it has none). Special ids are never found in text: the string
    `"</s>"` is cut like any other.

    A malformed UTF-8 sequence, and a lone surrogate of a Python string, stands for U+FFFD, here and
    in the graph twin. Training files are stricter: there it is an error.

    Args:
        model_proto: the serialized SentencePiece model as bytes. Use `train` or `load` to get one.

    Raises:
        ValueError: where `model_proto` is no SentencePiece model.

    Example:

    >>> from keras_transformer import text
    >>> tokenizer = text.SentencePieceTokenizer.train([["a dog runs", "a dog eats"]], vocab_size=22)
    >>> ids = tokenizer.encode(["a dog", "runs"])
    >>> tokenizer.decode(ids)
    ['a dog', 'runs']

    Reference:
        Kudo and Richardson, SentencePiece (2018), https://arxiv.org/abs/1808.06226
    """

    def __init__(self, model_proto: bytes):
        self._read(model_proto, "model_proto")

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
        _check_settings(vocab_size, model_type, character_coverage, normalization)
        lines = [line for line in _read_sources(sources) if line.strip()]
        if not lines:
            raise ValueError("sources has no text to train on: every line is blank.")
        proto = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=proto,
                vocab_size=vocab_size,
                model_type=model_type,
                character_coverage=character_coverage,
                normalization_rule_name=normalization,
                byte_fallback=byte_fallback,
                user_defined_symbols=list(user_defined_symbols),
                # Longer lines would be dropped without a word.
                max_sentence_length=max(10, *(len(line.encode()) + 1 for line in lines)),
                num_threads=TRAINING_THREADS,
                pad_id=0,
                unk_id=1,
                bos_id=2,
                eos_id=3,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise ValueError(_explain(str(error), vocab_size)) from error
        return cls(proto.getvalue())

    @classmethod
    def load(cls, path) -> "SentencePieceTokenizer":
        """Reads a SentencePiece model file, or `tokenizer.model` in a folder.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is no SentencePiece model.
        """
        path = Path(path)
        if path.is_dir():
            path = path / FILE_NAME
        if not path.is_file():
            raise FileNotFoundError(f"No tokenizer at {path}.")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"{path} is no SentencePiece model: {path.stat().st_size:,} bytes.")
        tokenizer = cls.__new__(cls)
        tokenizer._read(path.read_bytes(), str(path))
        return tokenizer

    def save(self, path) -> Path:
        """Writes the model to a path that ends in `.model`, or as `tokenizer.model` into a folder.

        The file is there whole or not at all: what was there before stays until it is. Returns the
        path of the file.
        """
        path = Path(path)
        if path.suffix != ".model" or path.is_dir():
            path = path / FILE_NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_atomically(path, self.model_proto)
        return path

    def encode(self, text):
        """Text to ids, without bos and eos.

        Args:
            text: a string (or UTF-8 bytes), or a list of them.

        Returns:
            A list of int for one string, a list of lists for a list.
        """
        if isinstance(text, (str, bytes)):
            return self._processor.encode(_clean(text))
        return self._processor.encode([_clean(line, i) for i, line in _items(text)])

    def decode(self, ids):
        """Ids to text; pad, bos and eos are dropped, unk becomes ` ⁇ `.

        Args:
            ids: one sequence of ids (list or array), or a list (or 2-D array) of sequences.

        Returns:
            A string for one sequence, a list of strings for a list of them. `[]` is one empty
            sequence.

        Raises:
            ValueError: an id outside of [0, vocab_size).
        """
        if hasattr(ids, "tolist"):
            rows_given = ids.ndim > 1
            ids = ids.tolist()
        else:
            rows_given = len(ids) > 0 and getattr(ids[0], "ndim", hasattr(ids[0], "__len__")) > 0
        if rows_given:
            return self._processor.decode([self._known(row) for row in ids]) if ids else []
        return self._processor.decode(self._known(ids))

    def pieces(self, ids) -> list[str]:
        """The pieces that a sequence of ids stands for, special ones included: `["▁dog", "s"]`."""
        return [self._processor.id_to_piece(i) for i in self._checked(ids)]

    def graph_twin(self):
        """This tokenizer as a `tf.Module`, for a TensorFlow graph: see `text.graph.GraphTokenizer`.

        Raises:
            ImportError: where tensorflow-text is not installed.
        """
        from keras_transformer.text.graph import GraphTokenizer

        return GraphTokenizer(self)

    @property
    def model_proto(self) -> bytes:
        """The serialized SentencePiece model."""
        return self._proto

    @property
    def fingerprint(self) -> str:
        """The sha256 of the model: equal for tokenizers that cut alike in every case."""
        return hashlib.sha256(self._proto).hexdigest()

    @property
    def vocab_size(self) -> int:
        return self._processor.vocab_size()

    @property
    def pad_id(self) -> int:
        return self._processor.pad_id()

    @property
    def unk_id(self) -> int:
        return self._processor.unk_id()

    @property
    def bos_id(self) -> int:
        return self._processor.bos_id()

    @property
    def eos_id(self) -> int:
        return self._processor.eos_id()

    @property
    def special_ids(self) -> tuple[int, ...]:
        """The ids that decoding drops: pad, bos and eos, as far as the model has them."""
        return tuple(i for i in (self.pad_id, self.bos_id, self.eos_id) if i >= 0)

    def get_config(self) -> dict:
        """All of the tokenizer, as JSON can hold it."""
        return {"model_proto": base64.b64encode(self._proto).decode("ascii")}

    @classmethod
    def from_config(cls, config: dict) -> "SentencePieceTokenizer":
        """The tokenizer of a `get_config`."""
        return cls(base64.b64decode(config["model_proto"]))

    def _read(self, proto, name):
        if not isinstance(proto, bytes):
            raise TypeError(f"{name} must be bytes, got {type(proto).__name__}.")
        processor = sentencepiece.SentencePieceProcessor()
        try:
            # An empty message would leave a processor that aborts on use.
            if not proto or not processor.LoadFromSerializedProto(proto):
                raise RuntimeError("it is empty")
        except RuntimeError as error:
            raise ValueError(f"{name} is no SentencePiece model: {error}.") from error
        self._proto, self._processor = proto, processor

    def _checked(self, ids):
        """The ids as a list of int, each in the vocabulary."""
        try:
            ids = [operator.index(i) for i in ids]
        except TypeError:
            raise TypeError(f"ids must be {ROW} or a list of such, got {ids!r:.80}.") from None
        for i in ids:
            if not 0 <= i < self.vocab_size:
                raise ValueError(f"ids must be in [0, {self.vocab_size}), got {i}.")
        return ids

    def _known(self, ids):
        special = self.special_ids
        return [i for i in self._checked(ids) if i not in special]

    def __getstate__(self):
        return self._proto

    def __setstate__(self, proto):
        self._read(proto, "the pickled tokenizer")

    def __eq__(self, other):
        return isinstance(other, SentencePieceTokenizer) and self._proto == other._proto

    def __hash__(self):
        return hash(self._proto)

    def __repr__(self):
        return f"SentencePieceTokenizer(vocab_size={self.vocab_size}, {self.fingerprint[:8]})"


def _clean(text, index=None):
    """The string with U+FFFD for what is no Unicode text."""
    if isinstance(text, bytes):
        return text.decode("utf-8", "replace")
    if not isinstance(text, str):
        name = "text" if index is None else f"text[{index}]"
        raise TypeError(f"{name} must be a string, got {type(text).__name__}.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # By way of UTF-16, two surrogates that make a pair become its character.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _items(text):
    if not isinstance(text, Iterable):
        raise TypeError(f"text must be a string or a list of strings, got {type(text).__name__}.")
    return enumerate(text)


def _check_settings(vocab_size, model_type, character_coverage, normalization):
    if isinstance(vocab_size, bool) or not isinstance(vocab_size, int) or vocab_size < 1:
        raise ValueError(f"vocab_size must be a positive integer, got {vocab_size!r}.")
    if model_type not in MODEL_TYPES:
        raise ValueError(f"model_type must be one of {MODEL_TYPES}, got {model_type!r}.")
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"normalization must be one of {NORMALIZATIONS}, got {normalization!r}.")
    if not 0 < character_coverage <= 1:
        raise ValueError(f"character_coverage must be in (0, 1], got {character_coverage!r}.")


def _read_sources(sources):
    """All lines of all sources, one after the other."""
    if isinstance(sources, (str, os.PathLike)):
        sources = [sources]
    for i, source in enumerate(sources):
        if isinstance(source, (str, os.PathLike)):
            yield from _read_file(source, f"sources[{i}]")
        elif isinstance(source, Iterable) and not isinstance(source, bytes):
            for j, line in enumerate(source):
                if not isinstance(line, str):
                    raise TypeError(
                        f"sources[{i}][{j}] must be a line of text, got {type(line).__name__}."
                    )
                yield _clean(line)
        else:
            raise TypeError(
                f"sources[{i}] must be a path or a list of lines, got {type(source).__name__}."
            )


def _read_file(path, name):
    # A line given by mistake for a path may be too long for one, or hold a NUL.
    try:
        found = Path(path).is_file()
    except (OSError, ValueError):
        found = False
    if not found:
        raise FileNotFoundError(
            f"{name} is no file: {str(path)[:200]!r}. To train on lines, give a list of lists: "
            "train([lines], ...)."
        )
    opener = gzip.open if str(path).endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    # The byte order mark belongs to the file, not to its first word.
                    yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    message = f"{path}:{number} is not valid UTF-8: {error.reason}."
                    raise ValueError(message) from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{path} is no whole gzip file: {error}.") from error


def _explain(message, vocab_size):
    """The trainer's refusal in the words of our arguments."""
    if found := re.search(r"Vocabulary size too high .* value <= (\d+)", message):
        return (
            f"vocab_size={vocab_size} is more than this text can fill; "
            f"the largest possible is {found[1]}."
        )
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return (
            f"vocab_size={vocab_size} cannot hold the characters of this text; the smallest "
            f"possible is {found[1]} (or lower character_coverage)."
        )
    return f"SentencePiece cannot be trained on sources: {message}"


def _write_atomically(path, content):
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's is for the owner alone
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
