"""WordPiece inside a TensorFlow graph. Imported by `graph_twin()` alone: needs TensorFlow.

B strings, N characters, W words, P pieces
"""

import json

import numpy as np
import tensorflow as tf

from keras_transformer.text.code_points import (
    ALONE,
    LETTER,
    NUM_CODE_POINTS,
    SPACE,
    bert_classes,
    bert_normalization,
)
from keras_transformer.text.graph_characters import (
    AddedTokens,
    Characters,
    CodePointTable,
    Normalizer,
    byte_lengths,
    clean_strings,
    tensorflow_text,
)
from keras_transformer.text.graph_ragged import owners_of

MAX_PIECE_BYTES = 256  # of tensorflow-text's table, without the ## before


class GraphWordPieceTokenizer(tf.Module):
    """A `WordPieceTokenizer` as TensorFlow operations: the same ids, places and text.

    It owns its tables, so that a `tf.Module` that holds it can be saved as a SavedModel that needs
    tensorflow and tensorflow-text only.

    Args:
        tokenizer: the `WordPieceTokenizer`.

    Raises:
        ValueError: the tokenizer normalises or splits in another way than BERT, or has an added
            token that the graph cannot find.

    Example:

    >>> from keras_transformer import text
    >>> lines = ["a dog runs", "a dog eats"]
    >>> twin = text.WordPieceTokenizer.train([lines], vocab_size=30).graph_twin()
    >>> twin.detokenize(twin.tokenize(["A dog"])).numpy()
    array([b'a dog'], dtype=object)
    """

    def __init__(self, tokenizer):
        super().__init__(name="tokenizer")
        engine = tokenizer.engine
        self._normalizer = Normalizer(bert_normalization(*_normalizer_settings(engine)))
        _check_parts(engine)
        self._classes = CodePointTable(bert_classes(), beyond=ALONE)
        added = engine.get_added_tokens_decoder()
        self._added_ids = tf.constant(list(added) or [0], tf.int32)
        split = engine.encode_special_tokens
        found = {id: token for id, token in added.items() if not (split and token.special)}
        self._verbatim, self._normalized = _added_tokens(engine, found)
        self._max_chars = engine.model.max_input_chars_per_word
        pieces = {p: i for p, i in engine.get_vocab(with_added_tokens=False).items() if p}
        self._placeholder = _unused_character([*pieces, *(t.content for t in added.values())])
        self._piece_ids = tf.constant(list(pieces.values()), tf.int32)
        self._word_piece = _word_piece(engine, list(pieces))
        first, later = _texts(engine, tokenizer.vocab_size)
        self._first_texts, self._later_texts = tf.constant(first), tf.constant(later)
        self._special = tf.constant(np.isin(np.arange(tokenizer.vocab_size), tokenizer.special_ids))

    def tokenize(self, strings):
        """Strings (B,) to a RaggedTensor (B, None) of int32 ids, without special tokens around.

        A malformed UTF-8 sequence stands for U+FFFD.
        """
        return self._tokenize(strings)[0]

    def tokenize_with_offsets(self, strings):
        """The same ids, and the (start, end) of each in characters of its string, end excluded.

        Returns:
            `ids, starts, ends`: RaggedTensors (B, None) of int32.
        """
        ids, found, words = self._tokenize(strings)
        codes = words.characters.codes
        lengths = byte_lengths(codes)
        of_byte = owners_of(tf.cast(lengths, tf.int32))  # the character of each byte
        word_bytes = tf.gather(tf.cumsum(lengths, exclusive=True), words.firsts)  # (W,)
        place = tf.gather(word_bytes, found.word)
        first = tf.gather(of_byte, place + found.begin)
        last = tf.gather(of_byte, place + found.end - 1)
        starts = ids.with_flat_values(tf.gather(words.characters.starts, first))
        return ids, starts, ids.with_flat_values(tf.gather(words.characters.ends, last))

    def detokenize(self, ids):
        """Ids (B, L), dense or ragged, to strings (B,); special ids are dropped."""
        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(tf.convert_to_tensor(ids))
        ids = tf.cast(ids, tf.int32)
        num_rows = ids.nrows(tf.int32)
        kept = ~tf.gather(self._special, ids.flat_values)
        rows = tf.boolean_mask(owners_of(tf.cast(ids.row_lengths(), tf.int32)), kept)
        ids = tf.boolean_mask(ids.flat_values, kept)
        goes_on = tf.concat([[False], rows[1:] == rows[:-1]], axis=0)[: tf.size(rows)]
        texts = tf.where(
            goes_on, tf.gather(self._later_texts, ids), tf.gather(self._first_texts, ids)
        )
        return tf.strings.unsorted_segment_join(texts, rows, num_rows)

    def _tokenize(self, strings):
        """The ids, the `Pieces` they stand for, and the `Words` that those were cut from."""
        strings = clean_strings(strings)
        num_strings = tf.size(strings, tf.int64)
        words = self._cut(self._normalize(strings, num_strings))
        spelled = tf.RaggedTensor.from_value_rowids(
            words.characters.codes, words.word, tf.size(words.firsts, tf.int64), validate=False
        )
        found, begin, end = self._word_piece.tokenize_with_offsets(
            tf.strings.unicode_encode(spelled, "UTF-8")
        )  # (W, None) each
        pieces = Pieces(
            owners_of(tf.cast(found.row_lengths(), tf.int32)),
            tf.cast(begin.flat_values, tf.int32),
            tf.cast(end.flat_values, tf.int32),
        )
        added = tf.gather(words.added, pieces.word)
        ids = tf.where(
            added < 0,
            tf.gather(self._piece_ids, found.flat_values),
            tf.gather(self._added_ids, tf.maximum(added, 0)),
        )
        rows = tf.gather(tf.gather(words.characters.rows, words.firsts), pieces.word)
        ids = tf.RaggedTensor.from_value_rowids(ids, rows, num_strings, validate=False)
        return ids, pieces, words

    def _normalize(self, strings, num_strings):
        """The normalised characters of the strings, and the added tokens among them."""
        characters = Characters.of(strings)
        if self._verbatim is not None:
            characters = self._verbatim(characters, strings, characters.codes)
        characters = self._normalizer(characters)
        if self._normalized is not None:
            again, codes = characters.strings(num_strings, self._placeholder)
            characters = self._normalized(characters, again, codes)
        return characters

    def _cut(self, characters):
        """The `Words` of normalised characters."""
        classes = self._classes(characters.codes)
        behind = tf.concat([[SPACE], classes[:-1]], axis=0)[: tf.size(classes)]
        begins = characters.begin_rows() | (behind != LETTER) | (classes == ALONE)
        kept = classes != SPACE
        characters, begins = characters.keep(kept), tf.boolean_mask(begins, kept)
        word = tf.cumsum(tf.cast(begins, tf.int64)) - 1  # (N,)
        first = tf.boolean_mask(tf.range(tf.size(word)), begins)  # (W,)
        stop = tf.concat([first[1:], [tf.size(word)]], axis=0)[: tf.size(first)]
        added = tf.gather(characters.codes, first) - NUM_CODE_POINTS
        # What is one token whatever its characters are shrinks to one, which no piece spells.
        shrinks = tf.gather((added >= 0) | (stop - first > self._max_chars), word)  # (N,)
        last = tf.gather(tf.gather(characters.ends, stop - 1), word)
        characters = Characters(
            tf.where(shrinks, self._placeholder, characters.codes),
            characters.rows,
            characters.starts,
            tf.where(shrinks, last, characters.ends),
        )
        kept = begins | tf.logical_not(shrinks)
        begins = tf.boolean_mask(begins, kept)
        first = tf.boolean_mask(tf.range(tf.size(begins)), begins)
        return Words(characters.keep(kept), tf.boolean_mask(word, kept), first, added)


class Words(tf.experimental.ExtensionType):
    """Characters, cut into words.

    Attributes:
        characters: the N `Characters` of all words.
        word: (N,) int64, the word of each.
        firsts: (W,) int32, the first character of each word.
        added: (W,) int32, which of the added tokens a word is, negative for none.
    """

    characters: Characters
    word: tf.Tensor
    firsts: tf.Tensor
    added: tf.Tensor


class Pieces(tf.experimental.ExtensionType):
    """Words, cut into pieces.

    Attributes:
        word: (P,) int32, the word of each.
        begin, end: (P,) int32, the bytes of the word.
    """

    word: tf.Tensor
    begin: tf.Tensor
    end: tf.Tensor


def _word_piece(engine, pieces):
    longest = max(
        (piece.removeprefix(engine.model.continuing_subword_prefix) for piece in pieces),
        key=lambda piece: len(piece.encode()),
    )
    if len(longest.encode()) > MAX_PIECE_BYTES:
        raise ValueError(
            f"The graph twin takes pieces of at most {MAX_PIECE_BYTES} bytes; got {longest!r:.60}."
        )
    return tensorflow_text.FastWordpieceTokenizer(
        vocab=pieces,
        suffix_indicator=engine.model.continuing_subword_prefix,
        unknown_token=engine.model.unk_token,
        # the limit of words is ours, in characters
        max_bytes_per_word=4 * engine.model.max_input_chars_per_word + 1,
        token_out_type=tf.int32,
        no_pretokenization=True,
    )


def _state(part):
    """A part of an engine as the JSON object that `tokenizer.json` has for it."""
    return {} if part is None else json.loads(part.__getstate__())


def _normalizer_settings(engine):
    found = _state(engine.normalizer)
    if found.get("type") != "BertNormalizer":
        raise ValueError(
            f"The graph twin normalises as BertNormalizer does; got {found.get('type')}."
        )
    strip = found["lowercase"] if found["strip_accents"] is None else found["strip_accents"]
    return found["clean_text"], found["handle_chinese_chars"], strip, found["lowercase"]


def _check_parts(engine):
    known = {"pre_tokenizer": ("BertPreTokenizer",), "decoder": ("WordPiece", None)}
    for name, kinds in known.items():
        found = _state(getattr(engine, name)).get("type")
        if found not in kinds:
            raise ValueError(f"The graph twin's {name} must be {kinds[0]}; got {found}.")


def _added_tokens(engine, added):
    """What finds those in the text as it is, and those in the normalised text; None for none."""
    found = ({}, {})
    # special ones first, as the engine has them: the first of equal contents is found
    in_order = sorted(enumerate(added.values()), key=lambda item: not item[1].special)
    for number, token in in_order:
        content = token.content
        if token.normalized:
            content = engine.normalizer.normalize_str(content)
        if content:
            found[token.normalized].setdefault(content, (NUM_CODE_POINTS + number, token))
    trims = _trims(engine, added.values())
    return (
        AddedTokens(list(contents), *zip(*contents.values(), strict=True), trims)
        if contents
        else None
        for contents in found
    )


def _trims(engine, added):
    """Whether the post-processor takes white space out of the places of tokens."""
    parts = _state(engine.post_processor)
    trimming = [p for p in parts.get("processors", [parts]) if p.get("trim_offsets")]
    if any(p.get("add_prefix_space") for p in trimming) and any(t.lstrip for t in added):
        # it would leave one space at the beginning of a text, and take two
        raise ValueError("The graph twin cannot place tokens as a post-processor with a prefix.")
    return bool(trimming)


def _unused_character(texts):
    used = set().union(*texts)
    return next(code for code in range(0xE000, 0xF900) if chr(code) not in used)


def _texts(engine, vocab_size):
    """What each id stands for as the first of a row, and as a later one."""
    first = engine.decode_batch([[i] for i in range(vocab_size)], skip_special_tokens=False)
    later = engine.decode_batch([[0, i] for i in range(vocab_size)], skip_special_tokens=False)
    return first, [text[len(first[0]) :] for text in later]
