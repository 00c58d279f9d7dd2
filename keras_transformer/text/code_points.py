"""What a normaliser and a splitter do to single characters, as tables for a TensorFlow graph.

The tables are asked of the engine itself, code point by code point, so that a graph which looks
them up has the engine's Unicode version and not TensorFlow's.

U code points, K rows
"""

import functools
from dataclasses import dataclass

import numpy as np
from tokenizers import normalizers, pre_tokenizers

NUM_CODE_POINTS = 0x110000
SELF = -1  # in an expansion: the code point itself
LETTER, SPACE, ALONE = 0, 1, 2  # the classes of characters where words are cut
# No Unicode version assigns anything here: all behave as the first.
EMPTY_PLANES = range(0x40000, 0xE0000)
SURROGATES = range(0xD800, 0xE000)  # text has none
CHUNK = 256


@dataclass(frozen=True)
class Expansion:
    """A map from code points to sequences of code points.

    Args:
        rows: (U,) int32: which row is each code point's.
        values: (K,) int32 of all rows, one after the other; `SELF` is the code point itself.
        firsts: as `values`, 1 where a value stands in the place of a character and 0 where it was
            put in behind one (which matters where characters change places).
        splits: (rows + 1,) int32: where each row starts.
    """

    rows: np.ndarray
    values: np.ndarray
    firsts: np.ndarray
    splits: np.ndarray

    @classmethod
    def of(cls, changes: dict[int, list[tuple[int, int]]]) -> "Expansion":
        """The map that leaves alone what `changes` does not name: (value, first) by code point."""
        rows = np.zeros(NUM_CODE_POINTS, np.int32)
        numbers = {((SELF, 1),): 0}
        for code, sequence in changes.items():
            marked = tuple((SELF if value == code else value, first) for value, first in sequence)
            rows[code] = numbers.setdefault(marked, len(numbers))
        pairs = [pair for sequence in numbers for pair in sequence]
        values, firsts = np.array(pairs, np.int32).reshape(-1, 2).T
        return cls(rows, values, firsts, _splits(len(sequence) for sequence in numbers))


@dataclass(frozen=True)
class Normalization:
    """A `BertNormalizer` as tables.

    Stripping accents decomposes characters, and brings the marks of one letter into their order:
    the only step that looks at more than one character. Where no two marks are out of order
    `whole` does it all; where some are, `decompose`, a stable sort of each run of marks by
    `orders`, and `finish`.

    Args:
        whole, decompose, finish: `Expansion`s.
        orders: (U,) int32: 0 for what starts a run, else the rank of a mark.
    """

    whole: Expansion
    decompose: Expansion
    finish: Expansion
    orders: np.ndarray

    @property
    def lead_trail(self) -> np.ndarray:
        """(U, 2): the rank of the first and of the last character of each decomposition."""
        rows, splits, values = (getattr(self.decompose, n) for n in ("rows", "splits", "values"))
        codes = np.arange(NUM_CODE_POINTS)

        def rank(positions):
            empty = splits[rows] == splits[rows + 1]
            found = values[np.clip(positions, 0, len(values) - 1)]
            return np.where(empty, 0, self.orders[np.where(found == SELF, codes, found)])

        return np.stack([rank(splits[rows]), rank(splits[rows + 1] - 1)], axis=1)


@functools.lru_cache(maxsize=8)
def bert_normalization(
    clean_text: bool, handle_chinese_chars: bool, strip_accents: bool, lowercase: bool
) -> Normalization:
    """The tables of a `BertNormalizer` with these settings."""
    clean = normalizers.BertNormalizer(clean_text, handle_chinese_chars, False, False)
    rest = normalizers.BertNormalizer(False, False, strip_accents, lowercase)
    changed = _changes(clean.normalize_str)
    decomposed = _decompositions() if strip_accents else {}
    decompose = {}
    for code in changed.keys() | decomposed.keys():
        decompose[code] = [
            (value, int(i == 0))
            for character in changed.get(code, chr(code))
            for i, value in enumerate(map(ord, decomposed.get(ord(character), character)))
        ]
    finished = _changes(rest.normalize_str)
    finish = {code: _all_first(text) for code, text in finished.items()}
    whole = {code: _all_first(finished.get(code, chr(code))) for code in finished}
    for code, pairs in decompose.items():
        whole[code] = _all_first("".join(finished.get(v, chr(v)) for v, _ in pairs))
    orders = _orders() if strip_accents else np.zeros(NUM_CODE_POINTS, np.int32)
    return Normalization(*map(Expansion.of, (whole, decompose, finish)), orders)


@functools.cache
def bert_classes() -> np.ndarray:
    """(U,) int32: `LETTER`, `SPACE` or `ALONE`, as `BertPreTokenizer` cuts words."""
    return split_classes(pre_tokenizers.BertPreTokenizer())


def split_classes(splitter) -> np.ndarray:
    """(U,) int32: the class of each code point for a pre-tokenizer that has these three."""
    classes = np.zeros(NUM_CODE_POINTS, np.int32)
    for codes in _chunks():
        # "xx" around each, so that what stands alone differs from what is dropped
        text = "xx" + "xx".join(map(chr, codes)) + "xx"
        kept = np.full(len(text), -1)
        for number, (_, (start, end)) in enumerate(splitter.pre_tokenize_str(text)):
            kept[start:end] = number
        here, before = kept[2:-2:3], kept[1:-2:3]
        classes[codes] = np.where(here < 0, SPACE, np.where(here == before, LETTER, ALONE))
    classes[EMPTY_PLANES.start : EMPTY_PLANES.stop] = classes[EMPTY_PLANES.start]
    return classes


def _changes(function) -> dict[int, str]:
    """What a function from string to string does to each code point that it changes."""
    changes = {}
    for codes in _chunks():
        # what is joined to nothing changes on its own: most chunks stay as they are
        together = "|".join(map(chr, codes))
        if function(together) != together:
            for code in codes:
                character = chr(code)
                if (changed := function(character)) != character:
                    changes[code] = changed
    if EMPTY_PLANES.start in changes:
        changed = changes[EMPTY_PLANES.start].replace(chr(EMPTY_PLANES.start), "\0")
        for code in EMPTY_PLANES:
            changes[code] = changed.replace("\0", chr(code))
    return changes


@functools.cache
def _decompositions():
    return _changes(normalizers.NFD().normalize_str)


@functools.cache
def _orders() -> np.ndarray:
    """(U,) int32: the rank of a mark in its canonical order, 0 for what is no mark.

    Two marks change places where the first has the higher combining class. Of each class, one
    mark is found; a mark's rank is one more than the number of classes that go before it.
    """
    nfd = normalizers.NFD().normalize_str

    def swaps(first, second):
        return nfd(first + second) == second + first and first != second

    low, high = "\u0334", "\u0345"  # of the lowest class and of the highest
    decomposed = _decompositions()
    marks = [low, high]
    for codes in _chunks():
        plain = [chr(code) for code in codes if code not in decomposed]
        together = "".join("x" + high + c + "x" + c + low for c in plain)
        if nfd(together) != together:
            marks += [c for c in plain if swaps(high, c) or swaps(c, low)]
    marks = list(dict.fromkeys(marks))
    one_of_each = []
    for mark in marks:
        if all(swaps(mark, other) or swaps(other, mark) for other in one_of_each):
            one_of_each.append(mark)
    orders = np.zeros(NUM_CODE_POINTS, np.int32)
    for mark in marks:
        orders[ord(mark)] = 1 + sum(swaps(mark, other) for other in one_of_each)
    return orders


def _chunks():
    """All code points that text can have, of the empty planes only the first."""
    for start in range(0, NUM_CODE_POINTS, CHUNK):
        if start == EMPTY_PLANES.start:
            yield [start]
        elif start not in EMPTY_PLANES and start not in SURROGATES:
            yield list(range(start, start + CHUNK))


def _all_first(text):
    return [(ord(character), 1) for character in text]


def _splits(lengths):
    return np.cumsum([0, *lengths]).astype(np.int32)
