"""Byte-level BPE in a TensorFlow graph. Imported by `graph_twin()` alone: needs TensorFlow.

B strings, P pieces of them (added tokens and what is between), C characters, W words, T tokens
"""

import json
from dataclasses import dataclass

import tensorflow as tf

from keras_transformer.text.byte_pair import GPT2_PATTERN
from keras_transformer.text.graph_merges import Merges
from keras_transformer.text.graph_nfc import NormalFormC
from keras_transformer.text.graph_pieces import (
    AddedTokens,
    code_points,
    num_leading_spaces,
    num_trailing_spaces,
    valid_utf8,
)
from keras_transformer.text.graph_ragged import joined, owners_of, repeated
from keras_transformer.text.graph_words import RULES, character_classes

# GPT-2's printable characters for bytes: those that are printable, and 256 + n for the n-th other.
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHER = [b for b in range(256) if b not in _PRINTABLE]
BYTE_CHARACTERS = {b: chr(b) for b in _PRINTABLE} | {b: chr(256 + n) for n, b in enumerate(_OTHER)}
CHARACTER_BYTES = {character: byte for byte, character in BYTE_CHARACTERS.items()}
NEVER_IN_UTF8 = (0xC0, 0xC1, *range(0xF5, 0x100))


@dataclass(frozen=True)
class _Words:
    """The words of strings.

    text (W,); rows (W,) the string of each; added (W,) whether it is an added token;
    num_rows B; sizes (C,) the bytes of each character; places (C,) where it stands in its string.
    """

    text: tf.Tensor
    rows: tf.Tensor
    added: tf.Tensor
    num_rows: tf.Tensor
    sizes: tf.Tensor
    places: tf.Tensor


class GraphBytePairTokenizer(tf.Module):
    """A `BytePairTokenizer` as TensorFlow operations: the same ids, offsets and text.

    It owns its tables, so that a `tf.Module` that holds it can be saved as a SavedModel that needs
    TensorFlow only. A malformed UTF-8 sequence stands for U+FFFD.

    Args:
        tokenizer: the `BytePairTokenizer`.

    Raises:
        ValueError: a part of the tokenizer has no counterpart here.

    Example:

    >>> from keras_transformer import text
    >>> tokenizer = text.BytePairTokenizer.train([["a dog runs", "a dog eats"]], vocab_size=260)
    >>> twin = tokenizer.graph_twin()
    >>> twin.detokenize(twin.tokenize(["a dog"])).numpy()
    array([b'a dog'], dtype=object)
    """

    def __init__(self, tokenizer):
        super().__init__(name="tokenizer")
        definition = json.loads(tokenizer.get_config()["definition"])
        model, vocabulary = definition["model"], definition["model"]["vocab"]
        _check_model(model)
        pattern, self._adds_blank = _read_pre_tokenizer(definition["pre_tokenizer"])
        self._starts, ignore_case = RULES[pattern]
        self._classes = tf.constant(character_classes(ignore_case))
        self._normalize = _read_normalizer(definition["normalizer"], definition["added_tokens"])
        self._trims = _read_trims(definition["post_processor"])
        split = tokenizer.engine.encode_special_tokens
        added = [t for t in definition["added_tokens"] if not (split and t["special"])]
        self._added = AddedTokens(added)
        self._known = _known_words(tokenizer.engine.model, vocabulary)
        pairs = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
        self._merges = Merges(
            [vocabulary.get(BYTE_CHARACTERS[b], tokenizer.vocab_size) for b in range(256)],
            [(vocabulary[a], vocabulary[b], vocabulary[a + b]) for a, b in pairs],
        )
        # (V,) each: what an id stands for, and whether decoding drops it.
        pieces = [tokenizer.engine.id_to_token(i) or "" for i in range(tokenizer.vocab_size)]
        dropped = set(tokenizer.special_ids)
        self._bytes = tf.constant([_to_bytes(piece) for piece in pieces])
        self._leading, self._trailing = num_leading_spaces(pieces), num_trailing_spaces(pieces)
        self._dropped = tf.constant([i in dropped for i in range(tokenizer.vocab_size)])

    @tf.autograph.experimental.do_not_convert
    def tokenize(self, strings):
        """Strings (B,) to a RaggedTensor (B, None) of int32 ids, without a template's tokens."""
        words = self._cut(strings)
        ids, lengths = self._spell(words)
        return _ragged(ids, tf.gather(words.rows, owners_of(lengths)), words.num_rows)

    @tf.autograph.experimental.do_not_convert
    def tokenize_with_offsets(self, strings):
        """Strings (B,) to ids, starts and ends, each a RaggedTensor (B, None) of int32.

        Starts and ends (excluded) are characters of the string; a malformed UTF-8 sequence counts
        as the U+FFFD that it stands for.
        """
        words = self._cut(strings)
        ids, lengths = self._spell(words)
        owners = owners_of(lengths)  # (T,)
        rows = tf.gather(words.rows, owners)
        added = tf.gather(words.added, owners)
        sizes = tf.where(
            added,
            tf.gather(tf.strings.length(words.text), owners),
            tf.strings.length(tf.gather(self._bytes, ids)),
        )
        byte_ends = tf.cumsum(sizes)
        places = repeated(words.places, words.sizes)  # of each byte
        starts = tf.gather(places, byte_ends - sizes)
        ends = tf.gather(places, byte_ends - 1) + 1
        added_text = tf.where(words.added, words.text, "")
        leading = tf.where(
            added,
            tf.gather(num_leading_spaces(added_text), owners),
            tf.gather(self._leading, ids),
        )
        trailing = tf.where(
            added,
            tf.gather(num_trailing_spaces(added_text), owners),
            tf.gather(self._trailing, ids),
        )
        first = tf.concat([[True], rows[1:] != rows[:-1]], axis=0)[: tf.size(rows)]
        for adds_blank in self._trims:
            starts, ends = _trim(starts, ends, leading, trailing, first, adds_blank)
        return tuple(_ragged(values, rows, words.num_rows) for values in (ids, starts, ends))

    @tf.autograph.experimental.do_not_convert
    def detokenize(self, ids):
        """Ids (B, L), dense or ragged, to strings (B,); special ids are dropped."""
        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(tf.convert_to_tensor(ids))
        flat = ids.flat_values
        pieces = tf.where(tf.gather(self._dropped, flat), "", tf.gather(self._bytes, flat))
        return valid_utf8(joined(ids.with_flat_values(pieces)))

    def _cut(self, strings) -> _Words:
        strings = tf.convert_to_tensor(strings, tf.string)
        pieces = self._added.split(valid_utf8(strings))
        text = pieces.text
        if self._adds_blank:
            text = tf.where(pieces.added, text, tf.strings.regex_replace(text, "^([^ ])", r" \1"))
        grown = tf.strings.length(text) - tf.strings.length(pieces.text)  # (P,) 0 or 1
        codes, owners = code_points(text)  # (C,)
        places = _places(tf.strings.length(text, "UTF8_CHAR"), owners, grown, pieces.rows)
        codes, owners, places = self._normalize(codes, owners, places)

        first = tf.concat([[True], owners[1:] != owners[:-1]], axis=0)[: tf.size(owners)]
        starts = self._starts(tf.gather(self._classes, codes), first)
        starts = tf.where(tf.gather(pieces.added, owners), first, starts)
        where = tf.where(starts)[:, 0]
        words = tf.raw_ops.UnicodeEncode(
            input_values=codes,
            input_splits=tf.concat([where, [tf.size(codes, tf.int64)]], axis=0),
            output_encoding="UTF-8",
        )
        word_pieces = tf.gather(owners, where)
        return _Words(
            text=words,
            rows=tf.gather(pieces.rows, word_pieces),
            added=tf.gather(pieces.added, word_pieces),
            num_rows=tf.size(strings),
            sizes=1 + sum(tf.cast(codes >= least, tf.int32) for least in (0x80, 0x800, 0x10000)),
            places=places,
        )

    def _spell(self, words):
        """The ids (T,) of words, and how many each has (W,)."""
        ids = self._known.lookup(words.text)
        ids = tf.where(words.added, self._added.ids(words.text), ids)
        missing = ids < 0
        unknown, which = tf.unique(tf.boolean_mask(words.text, missing))
        symbols, sizes = self._merges(unknown)
        # Known words are their own id; the others' stand behind all these, once each.
        rank = tf.cumsum(tf.cast(missing, tf.int32), exclusive=True)
        which = tf.gather(tf.concat([which, [0]], axis=0), rank)  # (W,) right where missing
        sizes, begins = (
            tf.gather(tf.concat([x, [0]], axis=0), which)
            for x in (sizes, tf.cumsum(sizes, exclusive=True))
        )
        lengths = tf.where(missing, sizes, 1)
        num_words = tf.size(ids)
        begins = tf.where(missing, num_words + begins, tf.range(num_words))
        places = tf.ragged.range(begins, begins + lengths).flat_values
        spelled = tf.gather(tf.concat([ids, symbols], axis=0), places)
        return tf.cast(spelled, tf.int32), lengths


def _ragged(values, rows, num_rows):
    return tf.RaggedTensor.from_value_rowids(
        values, tf.cast(rows, tf.int64), tf.cast(num_rows, tf.int64), validate=False
    )


def _places(lengths, owners, grown, rows):
    """Where each character (C,) of pieces stands in its string; an added blank at the next."""
    index = tf.range(tf.size(owners)) - tf.gather(tf.cumsum(lengths, exclusive=True), owners)
    begins = tf.cumsum(lengths - grown, exclusive=True)  # (P,)
    begins -= tf.gather(tf.math.segment_min(begins, rows), rows)
    return tf.maximum(index - tf.gather(grown, owners), 0) + tf.gather(begins, owners)


def _trim(starts, ends, leading, trailing, first, adds_blank):
    """Offsets without the spaces of tokens, as the engine's processors of bytes trim them."""
    own = adds_blank & (first | (starts == 0)) & (leading == 1)  # no space of the text
    starts = tf.minimum(starts + tf.where(own, 0, leading), ends)
    shorter = tf.maximum(ends - trailing, starts)
    return starts, tf.where((trailing > 0) & (ends >= trailing), shorter, ends)


def _known_words(model, vocabulary):
    """A table of the words that the engine's model spells with one token."""
    known = {}
    for piece, i in vocabulary.items():
        content = _to_bytes(piece)
        if (
            _is_spelled(piece)
            and _is_utf8(content)
            and [t.id for t in model.tokenize(piece)] == [i]
        ):
            known[content] = i
    return tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant(list(known), tf.string), tf.constant(list(known.values()), tf.int64)
        ),
        -1,
    )


def _is_spelled(piece):
    return bool(piece) and all(c in CHARACTER_BYTES for c in piece)


def _to_bytes(piece):
    """The bytes of a token; an added token may be text of other characters."""
    return bytes(CHARACTER_BYTES[c] for c in piece) if _is_spelled(piece) else piece.encode()


def _is_utf8(content):
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_model(model):
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            raise ValueError(f"A graph twin needs a BPE without {name}; got {model[name]!r}.")
    missing = [
        b for b, c in BYTE_CHARACTERS.items() if c not in model["vocab"] and b not in NEVER_IN_UTF8
    ]
    if missing:
        raise ValueError(f"A graph twin needs a token for every byte; there is none for {missing}.")


def _read_pre_tokenizer(part):
    """The pattern of words, and whether a blank is added in front."""
    steps = (part or {}).get("pretokenizers", [part])
    kinds = [step and step["type"] for step in steps]
    if kinds == ["ByteLevel"] and steps[0]["use_regex"]:
        return GPT2_PATTERN, steps[0]["add_prefix_space"]
    plain = {"behavior": "Isolated", "invert": False, "use_regex": False, "add_prefix_space": False}
    if kinds == ["Split", "ByteLevel"]:
        pattern = steps[0]["pattern"].get("Regex")
        if pattern in RULES and not any((steps[0] | steps[1])[k] != v for k, v in plain.items()):
            return pattern, False
    raise ValueError(
        "A graph twin knows the patterns of GPT-2, Llama 3 and Qwen 2 alone: a ByteLevel, or a "
        f"Split and a ByteLevel that adds no space. Got {json.dumps(part)}."
    )


def _read_normalizer(part, added_tokens):
    """What makes the normal form of code points, their pieces and their places."""
    if part is None:
        return lambda codes, owners, places: (codes, owners, places)
    if part["type"] != "NFC":
        raise ValueError(f"A graph twin knows no normalizer but NFC; got {json.dumps(part)}.")
    for token in added_tokens:
        if token["normalized"] or not token["content"].isascii():
            raise ValueError(
                "A graph twin with a normalizer has no added tokens that are normalized, or not "
                f"ASCII; got {token['content']!r}."
            )
    return NormalFormC()


def _read_trims(part):
    """For each processor that trims offsets, whether it takes a first blank for an added one."""
    if part is None:
        return []
    if part["type"] == "Sequence":
        return [trim for step in part["processors"] for trim in _read_trims(step)]
    return [part["add_prefix_space"]] if part.get("trim_offsets") else []
