"""Texts longer than the model, through overlapping windows; and where tokens stand in a text.

R windows, N tokens of a text
"""

import unicodedata
from dataclasses import dataclass

import numpy as np

from keras_transformer.text import Encoding
from keras_transformer.text.template import windows

# What BERT's normaliser sets apart: each of these ideographs counts as a word.
IDEOGRAPHS = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


@dataclass(frozen=True)
class Windows:
    """One text as inputs of a model.

    Each token of the text is looked at in one window alone, the one that shows about as much to
    its left as to its right: an overlap is shared out in its middle.

    Args:
        encodings: the R inputs, at least one.
        offsets: of the text's N tokens, in characters, without white space at their ends; (s, s)
            for a token of white space alone.
        rows: (N,) the window that each token is looked at in.
        columns: (N,) the token's position in it.
    """

    encodings: list[Encoding]
    offsets: list[tuple[int, int]]
    rows: np.ndarray
    columns: np.ndarray


def make_windows(template, line, tokens, max_length, overlap, index=0, first=None) -> Windows:
    """The windows of one text, or of the second text of a pair.

    Args:
        template: the tokenizer's.
        line: the text.
        tokens: its `(ids, offsets)`.
        max_length: tokens of a window, special ones included.
        overlap: tokens that two neighbours share.
        index: passed on to the encodings.
        first: ids of the first text of a pair, the same in all windows; None for no pair.
    """
    ids, offsets = tokens
    size = max_length - template.num_added(first is not None) - len(first or ())
    spans = windows(len(ids), size, overlap)
    parts = [(ids[start:end], None) for start, end in spans]
    if first is None:
        encodings = [template.apply(part, index=index) for part in parts]
    else:
        encodings = [template.apply((first, None), part, index) for part in parts]
    numbers = np.arange(len(ids))
    source = 0 if first is None else 1
    begins = encodings[0].sources.index(source) if len(ids) else 0
    rows = window_of(numbers, len(spans), size, overlap)
    return Windows(
        encodings,
        [trimmed(line, *place) for place in offsets],
        rows,
        begins + numbers - rows * (size - overlap),
    )


def window_of(numbers, num_windows, size, overlap):
    """The window that the tokens of these numbers are looked at in.

    >>> window_of(np.arange(10), 3, size=5, overlap=2).tolist()
    [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    """
    step = size - overlap
    return np.clip((numbers - (size - overlap // 2)) // step + 1, 0, num_windows - 1)


def default_overlap(max_length):
    """Tokens that two windows share where nobody says another number."""
    return min(128, max_length // 3)


def trimmed(line, start, end):
    """The span without white space at its ends.

    >>> trimmed("a dog ", 1, 6)
    (2, 5)
    """
    while start < end and line[start].isspace():
        start += 1
    while start < end and line[end - 1].isspace():
        end -= 1
    return start, end


def in_words(character):
    """Whether a character makes one word with its neighbours: a letter, digit, mark or "_".

    >>> [in_words(c) for c in "é3_-語"]
    [True, True, True, False, False]
    """
    code = ord(character)
    if any(low <= code <= high for low, high in IDEOGRAPHS):
        return False
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"


def group_words(line, offsets):
    """The tokens of each word: lists of their numbers.

    A word is letters, digits and marks in a row, or any one other character. Tokens of white space
    alone belong to none.

    Args:
        line: the text.
        offsets: of its tokens, trimmed.

    >>> group_words("a dog's", [(0, 1), (2, 4), (4, 5), (5, 6), (6, 7)])
    [[0], [1, 2], [3], [4]]
    """
    words, last_end = [], 0
    for number, (start, end) in enumerate(offsets):
        if start == end:
            continue
        inside = start > 0 and in_words(line[start - 1]) and in_words(line[start])
        if words and (start < last_end or inside):
            words[-1].append(number)
        else:
            words.append([number])
        last_end = end
    return words
