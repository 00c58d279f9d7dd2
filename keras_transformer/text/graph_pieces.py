"""Strings to pieces in a TensorFlow graph: added tokens, and the text between them.

B strings, P pieces
"""

import re
from dataclasses import dataclass

import tensorflow as tf

from keras_transformer.text.graph_ragged import owners_of

# White space as Rust's `char::is_whitespace` and its regular expressions have it.
SPACES = r"\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"
VALID = r"[\x00-\x{D7FF}\x{E000}-\x{10FFFF}]*"
MARK = b"\xff"  # is in no UTF-8


@dataclass(frozen=True)
class Pieces:
    """Pieces of strings, in order.

    Args:
        text: (P,) strings.
        rows: (P,) int32, the string that each is of.
        added: (P,) whether each is an added token, with the spaces that it takes.
    """

    text: tf.Tensor
    rows: tf.Tensor
    added: tf.Tensor


class AddedTokens(tf.Module):
    """Finds added tokens in strings: the leftmost first, of those the longest.

    Args:
        tokens: the `added_tokens` of a `tokenizer.json`.

    Raises:
        ValueError: a token has a flag that has no counterpart here.
    """

    def __init__(self, tokens):
        super().__init__(name="added_tokens")
        tokens = [token for token in tokens if token["content"]]
        for token in tokens:
            content = token["content"]
            if token["single_word"] or content != content.strip():
                raise ValueError(
                    "A graph twin has no added tokens with single_word or outer spaces; "
                    f"got {content!r}."
                )
        # The engine looks for those first that it must not normalize.
        groups = [[t for t in tokens if t["normalized"] == wanted] for wanted in (False, True)]
        self._expressions = [_expression(group) for group in groups if group]
        self._strips = any(token["lstrip"] or token["rstrip"] for token in tokens)
        # The mark is never looked for; a table must not be empty.
        self._ids = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant([MARK, *(token["content"] for token in tokens)], tf.string),
                tf.constant([-1, *(token["id"] for token in tokens)], tf.int64),
            ),
            -1,
        )

    def split(self, strings) -> Pieces:
        """The pieces of valid UTF-8 strings (B,)."""
        rows = tf.range(tf.size(strings))
        pieces = Pieces(strings, rows, tf.zeros_like(rows, tf.bool))
        for expression in self._expressions:
            pieces = _split(pieces, expression)
        return pieces

    def ids(self, pieces):
        """The ids of added tokens as `split` found them, -1 for others."""
        if self._strips:
            pieces = tf.strings.regex_replace(pieces, f"^[{SPACES}]+|[{SPACES}]+$", "")
        return self._ids.lookup(pieces)


def valid_utf8(strings):
    """The strings with U+FFFD for each malformed sequence."""
    return tf.cond(
        tf.reduce_all(tf.strings.regex_full_match(strings, VALID)),
        lambda: strings,
        lambda: tf.strings.unicode_transcode(
            strings, "UTF-8", "UTF-8", errors="replace", replacement_char=0xFFFD
        ),
    )


def code_points(strings):
    """The code points (C,) of valid UTF-8 strings (P,), and the string that each is of.

    The same as `tf.strings.unicode_decode`, in a tenth of its time.
    """
    flat = tf.cast(tf.io.decode_raw(tf.strings.reduce_join(strings), tf.uint8), tf.int32)
    begins = tf.where(flat // 64 != 2)[:, 0]  # bytes that continue a character are 10xxxxxx
    owners = owners_of(tf.strings.length(strings))
    padded = tf.concat([flat, [0, 0, 0]], axis=0)
    first = codes = sums = tf.gather(flat, begins)
    # What the marks of the length add to a sequence of two, three or four bytes.
    for number, (least, marks) in enumerate(((0xC0, 0x3080), (0xE0, 0xE2080), (0xF0, 0x3C82080))):
        sums = sums * 64 + tf.gather(padded, begins + number + 1)
        codes = tf.where(first >= least, sums - marks, codes)
    return codes, tf.gather(owners, begins)


def num_leading_spaces(strings):
    """How many white characters, or `Ġ`, each string begins with."""
    rest = tf.strings.regex_replace(strings, rf"^[{SPACES}\x{{120}}]+", "")
    return tf.strings.length(strings, "UTF8_CHAR") - tf.strings.length(rest, "UTF8_CHAR")


def num_trailing_spaces(strings):
    """How many white characters, or `Ġ`, each string ends with."""
    rest = tf.strings.regex_replace(strings, rf"[{SPACES}\x{{120}}]+$", "")
    return tf.strings.length(strings, "UTF8_CHAR") - tf.strings.length(rest, "UTF8_CHAR")


def _expression(tokens):
    """A regular expression of any of the tokens; the longest comes first, and so wins."""
    tokens = sorted(tokens, key=lambda token: -len(token["content"].encode()))
    spaces = {True: f"[{SPACES}]*", False: ""}
    found = (
        spaces[token["lstrip"]] + re.escape(token["content"]) + spaces[token["rstrip"]]
        for token in tokens
    )
    return f"({'|'.join(found)})"


def _split(pieces, expression):
    marked = tf.strings.regex_replace(pieces.text, expression, MARK + rb"\1" + MARK)
    parts = tf.strings.split(tf.where(pieces.added, pieces.text, marked), MARK)
    owners = tf.cast(owners_of(tf.cast(parts.row_lengths(), tf.int32)), tf.int64)
    # Text and tokens take turns.
    index = tf.range(tf.size(owners, owners.dtype)) - tf.gather(parts.row_starts(), owners)
    added = tf.gather(pieces.added, owners) | (index % 2 == 1)
    return Pieces(parts.flat_values, tf.gather(pieces.rows, owners), added)
