"""Text as code points in a TensorFlow graph, each with the place that it has in its string.

B strings, N characters of all of them, T tables' rows, M matches
"""

import numpy as np
import tensorflow as tf

try:
    import tensorflow_text
except ImportError as error:
    raise ImportError(
        "A tokenizer inside a TensorFlow graph needs tensorflow-text: "
        "pip install tensorflow-text, of the same version as tensorflow."
    ) from error

from keras_transformer.text.code_points import NUM_CODE_POINTS, SELF
from keras_transformer.text.graph_ragged import owners_of

RANKS = 64  # more than there are ranks of marks
BLOCK = 256  # a table is an index of blocks, most of which are alike
# What Rust, and so the reference, calls white space
WHITE_SPACE = r"\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"


class Characters(tf.experimental.ExtensionType):
    """The characters of B strings, one after the other.

    A token that was found in the text stands there as one character beyond Unicode.

    Attributes:
        codes: (N,) int32 code points.
        rows: (N,) int64, the string of each; ascending.
        starts, ends: (N,) int32, the characters of the original string that each stands for.
    """

    codes: tf.Tensor
    rows: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor

    @classmethod
    def of(cls, strings):
        """The characters of valid UTF-8 strings (B,)."""
        ragged = tf.strings.unicode_decode(strings, "UTF-8")  # (B, None)
        rows = tf.cast(owners_of(tf.cast(ragged.row_lengths(), tf.int32)), tf.int64)
        starts = tf.range(tf.size(ragged.flat_values)) - tf.gather(
            tf.cast(ragged.row_starts(), tf.int32), rows
        )
        return cls(ragged.flat_values, rows, starts, starts + 1)

    def keep(self, kept):
        """Those where `kept` (N,) is true."""
        fields = (self.codes, self.rows, self.starts, self.ends)
        return Characters(*(tf.boolean_mask(field, kept) for field in fields))

    def begin_rows(self):
        """Whether each is the first of its string, (N,)."""
        changes = tf.concat([[True], self.rows[1:] != self.rows[:-1]], axis=0)
        return changes[: tf.size(self.rows)]  # of none, none

    def strings(self, num_strings, placeholder):
        """The strings (B,) again, and the codes they have: found tokens are a `placeholder`."""
        codes = tf.where(self.codes < NUM_CODE_POINTS, self.codes, placeholder)
        ragged = tf.RaggedTensor.from_value_rowids(codes, self.rows, num_strings, validate=False)
        return tf.strings.unicode_encode(ragged, "UTF-8"), codes


def clean_strings(strings):
    """Strings (B,) with U+FFFD for each malformed UTF-8 sequence."""
    return tf.strings.unicode_transcode(
        tf.convert_to_tensor(strings, tf.string),
        "UTF-8",
        "UTF-8",
        errors="replace",
        replacement_char=0xFFFD,
    )


def byte_lengths(codes):
    """The UTF-8 bytes of each code point."""
    return 1 + sum(tf.cast(codes >= limit, tf.int32) for limit in (0x80, 0x800, 0x10000))


class CodePointTable(tf.Module):
    """A number for each code point.

    Args:
        values: (U,) int32.
        beyond: the number of all that is beyond Unicode.
    """

    def __init__(self, values, beyond: int):
        super().__init__()
        numbers = {}  # of the blocks that differ
        rows = np.asarray(values, np.int32).reshape(-1, BLOCK)
        index = [numbers.setdefault(row.tobytes(), len(numbers)) for row in rows]
        blocks = [*map(np.frombuffer, numbers, [np.int32] * len(numbers))]
        blocks.append(np.full(BLOCK, beyond, np.int32))
        self._index = tf.constant([*index, len(numbers)], tf.int32)
        self._blocks = tf.constant(np.concatenate(blocks))

    def __call__(self, codes):
        """(N,) code points to (N,) int32."""
        high = tf.minimum(codes // BLOCK, tf.size(self._index) - 1)
        return tf.gather(self._blocks, tf.gather(self._index, high) * BLOCK + codes % BLOCK)


class ExpansionTable(tf.Module):
    """A `code_points.Expansion` in the graph."""

    def __init__(self, expansion):
        super().__init__()
        self._rows = CodePointTable(expansion.rows, beyond=0)
        self._splits = tf.constant(expansion.splits)
        self._values = tf.constant(expansion.values)
        self._firsts = tf.constant(expansion.firsts)

    def __call__(self, characters):
        """The `Characters` that these become, and for each of those whether it is a first one."""
        rows = self._rows(characters.codes)
        begin = tf.gather(self._splits, rows)
        counts = tf.gather(self._splits, rows + 1) - begin
        source = owners_of(tf.cast(counts, tf.int32))
        # place in the table: the row's begin, and how far this one is in its row
        before = tf.cumsum(counts, exclusive=True)
        place = tf.range(tf.size(source)) + tf.gather(begin - before, source)
        values = tf.gather(self._values, place)
        codes = tf.where(values == SELF, tf.gather(characters.codes, source), values)
        others = (characters.rows, characters.starts, characters.ends)
        expanded = Characters(codes, *(tf.gather(field, source) for field in others))
        return expanded, tf.gather(self._firsts, place)


class Normalizer(tf.Module):
    """A `code_points.Normalization` in the graph."""

    def __init__(self, normalization):
        super().__init__()
        self._whole = ExpansionTable(normalization.whole)
        self._decompose = ExpansionTable(normalization.decompose)
        self._finish = ExpansionTable(normalization.finish)
        self._orders = CodePointTable(normalization.orders, beyond=0)
        lead, trail = normalization.lead_trail.T
        splits, rows = normalization.decompose.splits, normalization.decompose.rows
        gone = splits[rows + 1] == splits[rows]
        self._marks = CodePointTable((trail * RANKS + lead) * 2 + gone, 0)  # one lookup for all

    def __call__(self, characters):
        """The normalised `Characters`."""
        marks = self._marks(characters.codes)
        gone, lead, trail = marks % 2 == 1, marks // 2 % RANKS, marks // 2 // RANKS
        disordered = (trail[:-1] > lead[1:]) & (lead[1:] > 0)
        # what goes may stand between two marks
        in_doubt = tf.reduce_any(gone) & tf.reduce_any(lead > 0)
        return tf.cond(
            tf.reduce_any(disordered) | in_doubt,
            lambda: self._in_order(characters.keep(~gone)),
            lambda: self._whole(characters)[0],
        )

    def _in_order(self, characters):
        """Decomposed, each run of marks sorted, and finished."""
        decomposed, firsts = self._decompose(characters)
        order = self._orders(decomposed.codes)  # (N,)
        run = tf.cumsum(tf.cast((order == 0) | decomposed.begin_rows(), tf.int64))
        sorting = tf.argsort(run * 256 + tf.cast(order, tf.int64), stable=True)
        # Places are dealt out in order: the n-th first character gets that of the n-th one before.
        places = tf.boolean_mask(tf.range(tf.size(firsts)), firsts == 1)
        place = tf.gather(places, tf.cumsum(tf.gather(firsts, sorting)) - 1)
        moved = Characters(
            tf.gather(decomposed.codes, sorting),
            decomposed.rows,
            tf.gather(decomposed.starts, place),
            tf.gather(decomposed.ends, place),
        )
        return self._finish(moved)[0]


class AddedTokens(tf.Module):
    """Finds tokens that stand in the text as they are, and puts one character for each.

    Where several fit, the first place wins, and of those the longest.

    Args:
        contents: the strings to be found.
        numbers: (T,) int: the code point, beyond Unicode, of each.
        tokens: their `AddedToken`s, for the flags.
        trims: whether the white space that a token takes along is not part of its place.
    """

    def __init__(self, contents, numbers, tokens, trims=False):
        super().__init__()
        for content, token in zip(contents, tokens, strict=True):
            if token.single_word:
                raise ValueError(f"The added token {content!r} is single_word: no graph finds it.")
            if (token.lstrip or token.rstrip) and any(c != c.strip() for c in contents):
                raise ValueError(
                    f"The added token {content!r} takes white space along, and others begin or "
                    "end with it: no graph finds both."
                )
        # The splitting operation takes a NUL for the end of its string.
        used = set().union(*contents)
        if "\0" in used:
            raise ValueError("An added token holds a NUL: no graph finds it.")
        self._for_nul = next(code for code in range(1, 128) if chr(code) not in used)
        self._trims = trims
        self._strips = any(token.lstrip or token.rstrip for token in tokens)
        longest_first = sorted(zip(contents, tokens, strict=True), key=lambda p: -len(p[0]))
        self._pattern = "|".join(_pattern(content, token) for content, token in longest_first)
        self._numbers = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(contents), tf.constant(numbers, tf.int32)
            ),
            default_value=-1,
        )

    def __call__(self, characters, strings, codes):
        """The `Characters` with the tokens in them.

        Args:
            characters: those of the strings.
            strings: (B,) as text.
            codes: (N,) the code points that `strings` has for the characters.
        """
        strings = tf.cond(
            tf.reduce_any(codes == 0),
            lambda: self._without_nul(characters, codes, strings),
            lambda: strings,
        )
        pieces, begin, end = tensorflow_text.regex_split_with_offsets(
            strings, self._pattern, self._pattern
        )  # (B, None) each
        content = pieces.flat_values
        margins = [tf.zeros_like(begin.flat_values, tf.int32)] * 2  # characters of white space
        if self._strips:
            left = tf.strings.regex_replace(content, f"^[{WHITE_SPACE}]+", "")
            both = tf.strings.regex_replace(left, f"[{WHITE_SPACE}]+$", "")
            if self._trims:
                sizes = [tf.strings.length(s, "UTF8_CHAR") for s in (content, left, both)]
                margins = [sizes[0] - sizes[1], sizes[1] - sizes[2]]
            content = both
        numbers = self._numbers.lookup(content)
        found = numbers >= 0
        row_bytes = tf.gather(
            _row_bytes(strings), owners_of(tf.cast(pieces.row_lengths(), tf.int32))
        )
        begin, end = (tf.cast(b.flat_values, tf.int32) + row_bytes for b in (begin, end))
        columns = (begin, end, *margins, numbers)
        return tf.cond(
            tf.reduce_any(found),
            lambda: self._put(
                characters,
                tf.cumsum(byte_lengths(codes), exclusive=True),
                *(tf.boolean_mask(column, found) for column in columns),
            ),
            lambda: characters,
        )

    def _without_nul(self, characters, codes, strings):
        codes = tf.where(codes == 0, self._for_nul, codes)
        num_strings = tf.size(strings, tf.int64)
        ragged = tf.RaggedTensor.from_value_rowids(codes, characters.rows, num_strings)
        return tf.strings.unicode_encode(ragged, "UTF-8")

    def _put(self, characters, places, begin, end, before, after, numbers):
        """One character for each match.

        Args:
            characters: N.
            places: (N,) the first byte of each.
            begin, end: (M,) the bytes of the matches.
            before, after: (M,) how many characters their places are shorter by. As the engine does,
                so many of the string are left out as there are white ones in the normalised text,
                also where normalisation has removed others between them.
            numbers: (M,) the character that each becomes.
        """
        size = tf.size(places)
        first = tf.searchsorted(places, begin)  # (M,)
        stop = tf.searchsorted(places, end)
        ends = tf.gather(characters.ends, stop - 1)
        starts = tf.minimum(tf.gather(characters.starts, first) + before, ends)
        ends = tf.maximum(ends - after, starts)
        inside = tf.concat([first + 1, stop], axis=0)[:, None]
        steps = tf.concat([tf.ones_like(first), -tf.ones_like(stop)], axis=0)
        covered = tf.cumsum(tf.scatter_nd(inside, steps, [size + 1]))[:-1]
        where = first[:, None]
        return Characters(
            tf.tensor_scatter_nd_update(characters.codes, where, numbers),
            characters.rows,
            tf.tensor_scatter_nd_update(characters.starts, where, starts),
            tf.tensor_scatter_nd_update(characters.ends, where, ends),
        ).keep(covered == 0)


def _row_bytes(strings):
    return tf.cumsum(tf.strings.length(strings), exclusive=True)


def _pattern(content, token):
    quoted = "".join(f"\\x{{{ord(c):x}}}" for c in content)
    before = f"[{WHITE_SPACE}]*" if token.lstrip else ""
    return before + quoted + (f"[{WHITE_SPACE}]*" if token.rstrip else "")
