"""What every tokenizer does, whatever cuts the words."""

import hashlib
import json
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path

from keras_transformer.text.template import (
    TRUNCATIONS,
    Template,
    truncated_lengths,
    windows,
)

ROW = "a sequence of token ids"


class Tokenizer(ABC):
    """Text to token ids, and back.

    `encode` and `decode` know the text's own tokens only; calling the tokenizer adds the special
    ones of its `template`, joins pairs, and cuts to a length. A malformed UTF-8 sequence, and a
    lone surrogate of a Python string, stands for U+FFFD, here and in the graph twin.

    Attributes:
        vocab_size: number of ids.
        pad_id, unk_id, bos_id, eos_id, cls_id, sep_id, mask_id: special ids, -1 for none.
        special_ids: the ids that decoding drops.
        template: the `Template` of a model's input.
        max_length: tokens of a model's input, or None where the folder does not say.

    Example:

    >>> from keras_transformer import text
    >>> tokenizer = text.SentencePieceTokenizer.train([["a dog runs", "a dog eats"]], vocab_size=22)
    >>> isinstance(tokenizer, text.Tokenizer)
    True
    """

    template = Template()
    max_length: int | None = None
    pad_id = unk_id = bos_id = eos_id = cls_id = sep_id = mask_id = -1

    # What a kind of tokenizer has to say ---------------------------------------------------------

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Number of ids, special ones included."""

    @abstractmethod
    def _encode(self, lines: list[str]) -> list[list[int]]:
        """The ids of each line; the lines are clean Unicode."""

    @abstractmethod
    def _encode_with_offsets(self, lines: list[str]) -> list[tuple[list[int], list]]:
        """The ids of each line, and for each id its (start, end) in the line, in characters."""

    @abstractmethod
    def _decode(self, rows: list[list[int]]) -> list[str]:
        """The text of each row of known ids, without special ones."""

    @abstractmethod
    def pieces(self, ids) -> list[str]:
        """The pieces that a sequence of ids stands for, special ones included."""

    @abstractmethod
    def id_of(self, piece: str) -> int:
        """The id of a piece, or `unk_id` (-1 where there is none)."""

    @abstractmethod
    def graph_twin(self):
        """This tokenizer as a `tf.Module` for TensorFlow graphs: same ids, same text.

        It has `tokenize(strings (B,)) -> RaggedTensor (B, None) int32`, `tokenize_with_offsets`,
        which adds starts and ends in characters, and `detokenize(ids) -> strings (B,)`.

        Raises:
            ImportError: where tensorflow-text is not installed.
        """

    @abstractmethod
    def save(self, folder) -> Path:
        """Writes the tokenizer's files into a folder, in the Hugging Face layout.

        Files of another tokenizer that was there go, all others stay.
        """

    @abstractmethod
    def get_config(self) -> dict:
        """All of the tokenizer, as JSON can hold it."""

    # What follows from it ------------------------------------------------------------------------

    def encode(self, text):
        """Text to ids, without special tokens around it.

        Args:
            text: a string (or UTF-8 bytes), or a list of them.

        Returns:
            A list of int for one string, a list of lists for a list.
        """
        if isinstance(text, (str, bytes)):
            return self._encode([clean(text)])[0]
        return self._encode(_clean_lines(_listed(text, "text"), "text"))

    def encode_with_offsets(self, text):
        """Text to ids, and where each of them stands in the text.

        Args:
            text: a string (or UTF-8 bytes), or a list of them.

        Returns:
            `(ids, offsets)` for one string, a list of such for a list. Offsets are (start, end)
            in characters of the string as it was passed, end excluded: the two surrogates that
            spell one character count as two.
        """
        if isinstance(text, (str, bytes)):
            return self._located([text], [clean(text)])[0]
        texts = _listed(text, "text")
        return self._located(texts, _clean_lines(texts, "text"))

    def decode(self, ids):
        """Ids to text; special ids are dropped.

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
            return self._decode([self._known(row) for row in ids]) if ids else []
        return self._decode([self._known(ids)])[0]

    def __call__(
        self,
        texts,
        pairs=None,
        *,
        max_length=None,
        truncation="longest_first",
        overlap=None,
        offsets=False,
    ):
        """Texts, or pairs of texts, as inputs of a model, with its special tokens.

        Args:
            texts: a list of strings.
            pairs: the second text of each, or None.
            max_length: tokens that an input may have, special ones included; None does not cut.
            truncation: which text gives way: `"longest_first"`, `"only_first"`, `"only_second"`,
                or None, which makes a text that is too long an error.
            overlap: where not None, the text that gives way is not cut but comes in several
                windows of `max_length`, which share this many tokens with their neighbour; then
                `truncation` must be `"only_first"` or `"only_second"`.
            offsets: whether the encodings have offsets.

        Returns:
            A list of `Encoding`, one for each text, or more with `overlap`.

        Raises:
            TypeError: `texts` or `pairs` is no list of strings, or a number no integer.
            ValueError: an argument is out of its range, or a text too long.
        """
        firsts = self._parts(texts, "texts", offsets)
        seconds = [None] * len(firsts) if pairs is None else self._parts(pairs, "pairs", offsets)
        if len(seconds) != len(firsts):
            raise ValueError(f"pairs must be as many as texts, {len(firsts)}; got {len(seconds)}.")
        max_length, overlap = self._check_cut(max_length, truncation, overlap, pairs is not None)
        found = []
        for index, (first, second) in enumerate(zip(firsts, seconds, strict=True)):
            cut = self._cut(first, second, max_length, truncation, overlap, index)
            found += [self.template.apply(*parts, index=index) for parts in cut]
        return found

    @classmethod
    def load(cls, folder) -> "Tokenizer":
        """Reads the tokenizer of a folder in the Hugging Face layout, of whatever kind it is.

        Args:
            folder: it has `tokenizer.json`, or a vocabulary's own files: `vocab.txt`, `vocab.json`
                and `merges.txt`, or a SentencePiece model.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: a file is broken, or none is a known tokenizer's.
        """
        from keras_transformer.text.loading import load_tokenizer

        return load_tokenizer(folder)

    @property
    def special_ids(self) -> tuple[int, ...]:
        """The ids that decoding drops, as far as the tokenizer has them."""
        named = (self.pad_id, self.bos_id, self.eos_id, self.cls_id, self.sep_id, self.mask_id)
        return tuple(sorted({i for i in named if i >= 0}))

    @property
    def fingerprint(self) -> str:
        """A sha256: equal for tokenizers that cut alike in every case."""
        content = json.dumps([type(self).__name__, self.get_config()], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    @classmethod
    def from_config(cls, config: dict) -> "Tokenizer":
        """The tokenizer of a `get_config`."""
        return cls(**config)

    def _parts(self, texts, name, offsets):
        if isinstance(texts, (str, bytes)):
            raise TypeError(f"{name} must be a list of strings, got one string.")
        texts = _listed(texts, name)
        lines = _clean_lines(texts, name)
        if offsets:
            return self._located(texts, lines)
        return [(ids, None) for ids in self._encode(lines)]

    def _located(self, texts, lines):
        """The ids of clean lines, and their offsets in the texts that the lines are made of."""
        rows = self._encode_with_offsets(lines)
        for i, (text, line) in enumerate(zip(texts, lines, strict=True)):
            if len(text) != len(line) and isinstance(text, str):
                ids, offsets = rows[i]
                places = places_of(text)
                rows[i] = ids, [(places[start], places[end]) for start, end in offsets]
        return rows

    def _check_cut(self, max_length, truncation, overlap, pair):
        """The two numbers as int, in their range as far as it does not depend on a text."""
        max_length, overlap = _integer(max_length, "max_length"), _integer(overlap, "overlap")
        if truncation is not None and truncation not in TRUNCATIONS:
            raise ValueError(
                f"truncation must be one of {TRUNCATIONS} or None; got {truncation!r}."
            )
        if overlap is not None and (max_length is None or truncation in (None, "longest_first")):
            raise ValueError(
                "overlap needs max_length and truncation='only_first' or 'only_second'; "
                f"got {max_length} and {truncation!r}."
            )
        least = self.template.num_added(pair) + 1
        if max_length is not None and max_length < least:
            raise ValueError(
                f"max_length must be at least {least}, the special tokens and one more; "
                f"got {max_length}."
            )
        if overlap is not None and not 0 <= overlap <= max_length - least:
            raise ValueError(
                f"overlap must be from 0 to {max_length - least}, below the tokens that max_length "
                f"leaves to a text; got {overlap}."
            )
        return max_length, overlap

    def _cut(self, first, second, max_length, truncation, overlap, index):
        """The (first, second) of every input that these texts become."""
        pair = second is not None
        sizes = len(first[0]), len(second[0]) if pair else None
        total = sizes[0] + (sizes[1] or 0) + self.template.num_added(pair)
        if max_length is None or total <= max_length:
            return [(first, second)]
        if truncation is None:
            raise ValueError(f"texts[{index}] has {total} tokens; max_length is {max_length}.")
        room = max_length - self.template.num_added(pair)
        kept = truncated_lengths(*sizes, room, truncation)
        if overlap is None:
            return [(_slice(first, 0, kept[0]), second and _slice(second, 0, kept[1]))]
        if truncation == "only_second":
            spans = windows(sizes[1], kept[1], overlap)
            return [(first, _slice(second, *span)) for span in spans]
        return [(_slice(first, *span), second) for span in windows(sizes[0], kept[0], overlap)]

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
        special = frozenset(self.special_ids)
        return [i for i in self._checked(ids) if i not in special]

    def __eq__(self, other):
        return type(other) is type(self) and self.fingerprint == other.fingerprint

    def __hash__(self):
        return hash(self.fingerprint)

    def __repr__(self):
        return f"{type(self).__name__}(vocab_size={self.vocab_size}, {self.fingerprint[:8]})"


def clean(text, name="text"):
    """The string with U+FFFD for what is no Unicode text."""
    if isinstance(text, bytes):
        return text.decode("utf-8", "replace")
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a string, got {type(text).__name__}.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # By way of UTF-16, two surrogates that make a pair become its character.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def places_of(text: str) -> list[int]:
    """Where in a string each character of `clean(text)` begins, and where the last one ends.

    >>> places_of("a\\ud83d\\ude00b")
    [0, 1, 3, 4]
    """
    places = []
    for place, character in enumerate(text):
        pair = "\udc00" <= character <= "\udfff" and "\ud800" <= text[place - 1 : place] <= "\udbff"
        if not pair:
            places.append(place)
    return [*places, len(text)]


def max_length_of(settings: dict) -> int | None:
    """The `model_max_length` of a `tokenizer_config.json`; where there is none it is enormous."""
    limit = settings.get("model_max_length")
    return int(limit) if limit is not None and 1 <= limit < 2**31 else None


def _listed(texts, name):
    """The texts as a list; a dictionary's keys are none."""
    is_scalar = getattr(texts, "ndim", 1) == 0  # NumPy's arrays always seem to be iterable
    if not isinstance(texts, Iterable) or isinstance(texts, Mapping) or is_scalar:
        raise TypeError(
            f"{name} must be a string or a list of strings, got {type(texts).__name__}."
        )
    return list(texts)


def _clean_lines(lines, name):
    try:
        "".join(lines).encode("utf-8")  # at once, which is quick, and mostly enough
        return lines
    except (TypeError, UnicodeEncodeError):
        return [clean(text, f"{name}[{i}]") for i, text in enumerate(lines)]


def _integer(value, name):
    """None, or an integer, NumPy's too, as int."""
    if value is None:
        return None
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise TypeError(f"{name} must be an integer or None, got {value!r:.80}.")


def _slice(part, start, end):
    ids, offsets = part
    return ids[start:end], None if offsets is None else offsets[start:end]
