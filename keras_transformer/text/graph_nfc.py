"""Unicode's normal form C in a TensorFlow graph, as the `tokenizers` library computes it.

The tables are the engine's own, read off what it does, so that both are of one Unicode version.
Each output remembers how many characters it took, which is how the engine aligns it with the text.
C characters, N of their decomposition
"""

import functools
import unicodedata
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from tokenizers import normalizers

CODE_POINTS = 0x110000
LOW, HIGH = "\u0334", "\u0301"  # marks of the classes 1 and 230


@dataclass(frozen=True)
class _Tables:
    """decompositions by character, combining classes (code points,), and composites of pairs."""

    decompositions: dict[str, str]
    classes: np.ndarray
    composites: dict[tuple[str, str], str]


@functools.cache
def engine_tables() -> _Tables:
    """What the engine decomposes, reorders and composes."""
    decompose, compose = normalizers.NFD().normalize_str, normalizers.NFC().normalize_str
    characters = [chr(c) for c in (*range(0xD800), *range(0xE000, 0x30000))]
    decompositions = {c: d for c in characters if (d := decompose(c)) != c}
    classes = np.zeros(CODE_POINTS, np.uint8)
    for c in characters:
        # A class is the same in all versions of Unicode that have the character.
        known = unicodedata.combining(c)
        if known and (decompose(HIGH + c) != HIGH + c or decompose(c + LOW) != c + LOW):
            classes[ord(c)] = known
    composites = {}
    for c, d in decompositions.items():
        first = compose(d[:-1])
        if len(d) > 1 and compose(d) == c and len(first) == 1:
            composites[first, d[-1]] = c
    return _Tables(decompositions, classes, composites)


class NormalFormC(tf.Module):
    """Composes characters of many pieces of text, each on its own."""

    def __init__(self):
        super().__init__(name="normal_form_c")
        tables = engine_tables()
        seconds = {second for _, second in tables.composites}
        firsts = {first for first, _ in tables.composites}
        if any(tables.classes[ord(c)] == 0 for c in firsts & seconds):
            raise ValueError("A starter that composes both ways has no counterpart in the graph.")
        # Row 0 of the decompositions stands for characters that have none.
        rows = np.zeros(CODE_POINTS, np.uint16)
        rows[[ord(c) for c in tables.decompositions]] = 1 + np.arange(len(tables.decompositions))
        spelled = ["\0", *tables.decompositions.values()]
        sizes = np.array([len(d) for d in spelled], np.int32)
        moved = tables.classes > 0
        moved[[ord(c) for c in seconds]] = True
        moved[[ord(c) for c in tables.decompositions if not _is_stable(c)]] = True
        self._moved = tf.constant(moved)  # whether a character alone can change a text
        self._rows, self._sizes = tf.constant(rows), tf.constant(sizes)
        self._begins = tf.constant(np.cumsum(sizes) - sizes, tf.int32)
        self._decomposed = tf.constant([ord(c) for d in spelled for c in d], tf.int32)
        self._classes = tf.constant(tables.classes)
        self._composites = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant([_pair(ord(a), ord(b)) for a, b in tables.composites], tf.int64),
                tf.constant([ord(c) for c in tables.composites.values()], tf.int64),
            ),
            -1,
        )

    def __call__(self, codes, owners, places):
        """The normal form of code points (C,).

        Args:
            codes: code points (C,), int32.
            owners: the piece that each is of (C,), in order.
            places: where it stands in the text (C,).

        Returns:
            The same three of the normal form; a place is that of the character which the engine
            aligns with.
        """
        return tf.cond(
            tf.reduce_any(tf.gather(self._moved, codes)),
            lambda: self._normalized(codes, owners, places),
            lambda: (codes, owners, places),
        )

    def _normalized(self, codes, owners, places):
        codes, owners, taken = self._reordered(*self._decompose(codes, owners))
        order = tf.range(tf.size(codes))
        state = (True, codes, owners, taken, order, tf.fill(tf.shape(order), -1))
        flat = tf.TensorShape([None])
        _, codes, owners, taken, _, _ = tf.while_loop(
            lambda more, *state: more,
            lambda more, *state: self._compose(*state),
            state,
            (tf.TensorShape([]), *[flat] * 5),
        )
        # One that took none stands where the one before it does.
        source = tf.cumsum(taken, exclusive=True) - tf.cast(taken < 1, tf.int32)
        return codes, owners, tf.gather(places, source)

    def _decompose(self, codes, owners):
        rows = tf.cast(tf.gather(self._rows, codes), tf.int32)
        sizes, begins = tf.gather(self._sizes, rows), tf.gather(self._begins, rows)
        source = tf.repeat(tf.range(tf.size(codes)), sizes)  # (N,)
        where = tf.ragged.range(begins, begins + sizes).flat_values
        spelled = tf.where(
            tf.gather(rows, source) == 0,
            tf.gather(codes, source),
            tf.gather(self._decomposed, where),
        )
        taken = tf.cast(where == tf.gather(begins, source), tf.int32)
        return spelled, tf.gather(owners, source), taken

    def _reordered(self, codes, owners, taken):
        """Marks in the order of their classes, between starters."""
        classes = tf.cast(tf.gather(self._classes, codes), tf.int64)
        begins = (classes == 0) | tf.concat([[True], owners[1:] != owners[:-1]], axis=0)
        key = tf.cumsum(tf.cast(begins, tf.int64)) * 256 + classes
        order = tf.cond(
            tf.reduce_all(key[:-1] <= key[1:]),
            lambda: tf.range(tf.size(key)),
            lambda: tf.argsort(key, stable=True),
        )
        return tuple(tf.gather(x, order) for x in (codes, owners, taken))

    def _compose(self, codes, owners, taken, order, reached):
        """Joins each starter with the next character that it composes with."""
        classes = tf.gather(self._classes, codes)
        index = tf.range(tf.size(codes))
        starter = classes == 0
        starters = tf.cast(tf.where(starter)[:, 0], tf.int32)
        # The starter before each character: none where it is the first of its piece.
        count = tf.cumsum(tf.cast(starter, tf.int32)) - 1 - tf.cast(starter, tf.int32)
        base = tf.gather(tf.concat([starters, [0]], axis=0), tf.maximum(count, 0))
        joined = tf.gather(codes, base), codes
        composites = tf.cast(
            self._composites.lookup(_pair(*(tf.cast(c, tf.int64) for c in joined))), tf.int32
        )
        class_before = tf.concat([classes[:1], classes[:-1]], axis=0)
        free = (base == index - 1) | (class_before < classes)
        chosen = (count >= 0) & (tf.gather(owners, base) == owners) & free & (composites >= 0)
        chosen &= order > tf.gather(reached, base)
        first = tf.math.unsorted_segment_min(
            tf.where(chosen, index, tf.int32.max), count, tf.size(starters)
        )
        chosen &= index == tf.gather(tf.concat([first, [0]], axis=0), tf.maximum(count, 0))

        where = tf.boolean_mask(base, chosen)[:, None]
        codes = tf.tensor_scatter_nd_update(codes, where, tf.boolean_mask(composites, chosen))
        taken = tf.tensor_scatter_nd_add(taken, where, tf.boolean_mask(taken, chosen))
        reached = tf.tensor_scatter_nd_update(reached, where, tf.boolean_mask(order, chosen))
        kept = [tf.boolean_mask(x, ~chosen) for x in (codes, owners, taken, order, reached)]
        return tf.reduce_any(chosen), *kept


def _pair(first, second):
    return first * CODE_POINTS + second


def _is_stable(text):
    return normalizers.NFC().normalize_str(text) == text
