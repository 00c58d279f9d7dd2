"""Where words begin: the patterns of byte-level BPE as rules on classes of characters.

TensorFlow's regular expressions have no look-ahead, and their classes are of another Unicode
version. So each character becomes its class, which the reference engine itself told, and a rule
looks at the classes next to it. C characters
"""

import functools

import numpy as np
import tensorflow as tf
from tokenizers import Regex, normalizers

from keras_transformer.text.byte_pair import GPT2_PATTERN, LLAMA3_PATTERN, QWEN2_PATTERN

# Classes in such an order that kinds are ranges; APOSTROPHE is of the kind OTHER.
EDGE, APOSTROPHE, OTHER, LETTER, NUMBER, SPACE, BLANK, NEWLINE = range(8)
# What a letter can do in a contraction: 's 't 'm 'd, 're, 've and 'll.
ALONE, R_OR_V, E, L = (8 * i for i in range(1, 5))
CONTRACTED = dict.fromkeys("stmd", ALONE) | dict.fromkeys("rv", R_OR_V) | {"e": E, "l": L}
CODE_POINTS = 0x110000
# The planes that have characters; in the others are none, or private ones: OTHER.
ASSIGNED = (*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xF0000))
PROBED = 4096  # characters at a time: the engine takes more than linear time


@functools.cache
def character_classes(ignore_case: bool) -> np.ndarray:
    """The class of each code point, with the part of a letter in contractions added: uint8."""
    classes = _plain_classes().copy()
    for letter, part in CONTRACTED.items():
        alike = [chr(c) for c in ASSIGNED if chr(c).casefold() == letter]
        pattern = f"(?i:{letter})" if ignore_case else letter
        classes[[ord(c) for c in _matching(pattern, alike)]] += part
    return classes


@functools.cache
def _plain_classes():
    classes = np.full(CODE_POINTS, OTHER, np.uint8)
    found = _matching(r"[\p{L}\p{N}\s]", [chr(c) for c in ASSIGNED])
    for name, pattern in ((LETTER, r"\p{L}"), (NUMBER, r"\p{N}"), (SPACE, r"\s")):
        classes[[ord(c) for c in _matching(pattern, found)]] = name
    classes[[ord("'"), ord(" "), ord("\n"), ord("\r")]] = APOSTROPHE, BLANK, NEWLINE, NEWLINE
    return classes


def _matching(pattern, characters):
    """Those of the characters that the engine's regular expressions say match."""
    remove = normalizers.Replace(Regex(f"{pattern}+"), "")
    found = []
    for start in range(0, len(characters), PROBED):
        chunk = characters[start : start + PROBED]
        left = set(remove.normalize_str("".join(chunk)))
        found += [c for c in chunk if c not in left]
    return found


class _Characters:
    """Classes (C,) of characters, and those of their neighbours within the same piece of text."""

    def __init__(self, coded, first):
        self.first = first
        self._last = tf.concat([first[1:], [True]], axis=0)[: tf.size(first)]
        self.classes = coded & 7
        self.parts = coded - self.classes
        self.kind = kind_of(self.classes)
        self.before, self.after = self.earlier(self.classes), self.later(self.classes)
        self.kind_before = kind_of(self.before)
        self.new_run = self.kind != self.kind_before
        self.index = tf.range(tf.size(first))

    def earlier(self, x):
        """x of the character before; 0 at a piece's start."""
        return tf.where(self.first, tf.zeros_like(x), _shifted(x, 1))

    def later(self, x):
        """x of the character after; 0 at a piece's end."""
        return tf.where(self._last, tf.zeros_like(x), _shifted(x, -1))

    def contractions(self):
        """Whether a character is the first letter of a contraction, and the first after one."""
        begins = (self.classes == APOSTROPHE) & self.new_run & (self.before != BLANK)
        second = self.later(self.parts)
        third = self.later(second)
        two = begins & (second == ALONE)
        three = begins & (((second == R_OR_V) & (third == E)) | ((second == L) & (third == L)))
        return _shifted(two | three, 1), _shifted(two, 2) | _shifted(three, 3)


def kind_of(classes):
    """The kind of a class: 0, OTHER, LETTER, NUMBER or SPACE."""
    return tf.where(classes == APOSTROPHE, tf.constant(OTHER, tf.uint8), tf.minimum(classes, SPACE))


def _shifted(x, by):
    """The vector moved right (left if negative), filled with zeros, of the same length."""
    fill = tf.zeros([abs(by)], x.dtype)
    moved = tf.concat([fill, x], axis=0) if by > 0 else tf.concat([x, fill], axis=0)
    return moved[: tf.size(x)] if by > 0 else moved[-by:]


def gpt2_starts(coded, first):
    """Where GPT-2's words begin.

    Args:
        coded: `character_classes` of characters (C,), uint8.
        first: whether each begins a piece of text of its own (C,).

    Returns:
        Whether each begins a word (C,).
    """
    c = _Characters(coded, first)
    after = kind_of(c.after)
    # The last space before a word is its own or, if it is none to be joined, alone.
    last_space = (after != SPACE) & (after != EDGE)
    joined = c.before == BLANK
    starts = tf.where(c.kind == SPACE, c.new_run | last_space, c.new_run & ~joined)
    inside, behind = c.contractions()
    return first | behind | (starts & ~inside)


def llama3_starts(coded, first, digits=3):
    """Where Llama 3's words begin, with numbers of up to `digits` digits; see `gpt2_starts`."""
    c = _Characters(coded, first)
    run = tf.cumsum(tf.cast(c.new_run | first, tf.int32)) - 1
    run_start = tf.cast(tf.where(c.new_run | first)[:, 0], tf.int32)
    # Letters take one character before them that is no newline, letter or number: a space, or
    # punctuation that stands alone and has not itself taken a blank.
    alone = (c.kind_before == OTHER) & c.earlier(c.new_run & (c.before != BLANK))
    spaced = (c.before == SPACE) | (c.before == BLANK)
    letters = c.new_run & ~alone & ~spaced
    numbers = (c.index - tf.gather(run_start, run)) % digits == 0
    others = c.new_run & (c.before != BLANK)
    starts = tf.where(c.kind == LETTER, letters, tf.where(c.kind == NUMBER, numbers, others))
    starts = tf.where(c.kind == SPACE, _space_starts(c, run, run_start), starts)
    inside, behind = c.contractions()
    return first | behind | (starts & ~inside)


def _space_starts(c, run, run_start):
    """Where words begin among spaces: at the run's own start, behind newlines, at its end."""
    newline = c.classes == NEWLINE
    # Punctuation takes the newlines directly behind it.
    others = tf.math.segment_min(tf.where(newline, tf.int32.max, c.index), run)
    begin = tf.where(tf.gather(c.kind_before, run_start) == OTHER, others, run_start)
    final_newline = tf.math.segment_max(tf.where(newline, c.index, -2), run)
    after = kind_of(c.after)
    last_space = ~newline & (after != SPACE) & (after != EDGE)
    behind_newlines = c.index == tf.gather(final_newline, run) + 1
    return (c.index == tf.gather(begin, run)) | behind_newlines | last_space


# Rules by pattern, with whether case is ignored in contractions.
RULES = {
    GPT2_PATTERN: (gpt2_starts, False),
    LLAMA3_PATTERN: (llama3_starts, True),
    QWEN2_PATTERN: (functools.partial(llama3_starts, digits=1), True),
}
