"""Very long texts for SentencePiece's unigram models, inside a TensorFlow graph.

tensorflow-text's SentencePiece adds up the scores of a text's pieces in float32: after some hundred
thousand of them the sum no longer tells near cuts apart. SentencePiece in Python does. So the graph
cuts long texts between words first, across which no piece reaches, and their sums stay small.

B texts, N parts of all of them
"""

import tensorflow as tf
from sentencepiece import sentencepiece_model_pb2

from keras_transformer.text.graph_ragged import owners_of
from keras_transformer.text.graph_strings import in_rows

LIMIT = 2**15  # bytes from one place to cut to the next
WINDOW = 2**11  # bytes in which such a place is looked for
# A single space between letters or digits of ASCII: no normalisation reaches across it.
BETWEEN_WORDS = r"(?s)^(\C*?[0-9A-Za-z]) [0-9A-Za-z]\C*$"
UNIGRAM = 1


class LongTexts:
    """The `tensorflow_text.SentencepieceTokenizer` of a unigram model, exact for any length.

    Args:
        model: the tokenizer.
        prefixed: that which puts a space before a text, for the parts behind the first; perhaps
            the same.
        limit: bytes of a part at least.
    """

    def __init__(self, model, prefixed, limit=LIMIT):
        self._model, self._prefixed, self._limit = model, prefixed, limit

    def __getattr__(self, name):
        return getattr(self._model, name)

    def tokenize(self, strings):
        """Strings (B,) to a RaggedTensor of pieces (B, None)."""
        return self._if_long(strings, self._model.tokenize, self._of_parts)

    def tokenize_with_offsets(self, strings):
        """Strings (B,) to pieces, starts and ends in bytes, each a RaggedTensor (B, None)."""
        return self._if_long(
            strings, self._model.tokenize_with_offsets, self._of_parts_with_offsets
        )

    def _if_long(self, strings, at_once, in_parts):
        strings = tf.convert_to_tensor(strings)
        longest = tf.reduce_max(tf.concat([[0], tf.strings.length(strings)], 0))
        return tf.cond(longest > self._limit, lambda: in_parts(strings), lambda: at_once(strings))

    def _of_parts(self, strings):
        parts, starts = self._parts(strings)
        return in_rows([model.tokenize(t) for model, t in self._by_place(parts, starts)], parts)

    def _of_parts_with_offsets(self, strings):
        parts, starts = self._parts(strings)
        columns = []
        for model, texts in self._by_place(parts, starts):
            pieces, begins, ends = model.tokenize_with_offsets(texts)
            owners = owners_of(pieces.row_lengths())
            shift = tf.cast(tf.gather(starts, owners), begins.dtype)
            # The first piece begins with the space, which is no longer in the text.
            opens = tf.concat([[True], owners[1:] != owners[:-1]], 0)[: tf.size(owners)]
            space = tf.cast(opens & (shift > 0), begins.dtype)
            columns.append(
                [
                    pieces,
                    begins.with_flat_values(begins.flat_values + shift - space),
                    ends.with_flat_values(ends.flat_values + shift),
                ]
            )
        return tuple(in_rows(column, parts) for column in zip(*columns, strict=True))

    def _by_place(self, parts, starts):
        """The models, each with the texts that it cuts, in the rows of the parts."""
        if self._model is self._prefixed:
            return [(self._model, parts.flat_values)]
        is_first = starts == 0
        return [
            (self._model, tf.where(is_first, parts.flat_values, "")),
            (self._prefixed, tf.where(is_first, "", parts.flat_values)),
        ]

    def _parts(self, strings):
        """The parts of each text (B, None), and where each starts in it, in bytes: (N,) int32."""
        lengths = tf.strings.length(strings)  # (B,)
        counts = lengths // self._limit
        owners = owners_of(counts)
        place = tf.range(tf.size(owners)) - tf.gather(tf.cumsum(counts, exclusive=True), owners)
        place = (place + 1) * self._limit
        window = tf.minimum(WINDOW, self._limit)
        near = tf.strings.substr(
            tf.gather(strings, owners), place, tf.fill(tf.shape(place), window)
        )
        kept = tf.strings.regex_full_match(near, BETWEEN_WORDS)
        before = tf.strings.regex_replace(near, BETWEEN_WORDS, r"\1")
        spaces = tf.boolean_mask(place + tf.strings.length(before), kept)
        counts = tf.math.unsorted_segment_sum(tf.cast(kept, tf.int64), owners, tf.size(lengths))
        spaces = tf.RaggedTensor.from_row_lengths(spaces, counts)
        starts = tf.concat([tf.zeros_like(lengths)[:, None], spaces + 1], 1)
        sizes = tf.concat([spaces, lengths[:, None]], 1) - starts
        texts = tf.gather(strings, owners_of(starts.row_lengths()))
        texts = tf.strings.substr(texts, starts.flat_values, sizes.flat_values)
        return starts.with_flat_values(texts), starts.flat_values


def can_be_cut(proto):
    """Whether a serialized model is one that `LongTexts` is for: no piece reaches across a space.

    Example:

    >>> from keras_transformer import text
    >>> lines = ["a dog runs", "a dog eats"]
    >>> for kind in ("unigram", "bpe"):
    ...     tokenizer = text.SentencePieceTokenizer.train([lines], 15, kind)
    ...     print(kind, can_be_cut(tokenizer.model_proto))
    unigram True
    bpe False
    """
    model = sentencepiece_model_pb2.ModelProto.FromString(proto)
    normalizer, trainer = model.normalizer_spec, model.trainer_spec
    return (
        trainer.model_type == UNIGRAM
        and normalizer.add_dummy_prefix
        and normalizer.remove_extra_whitespaces
        and normalizer.escape_whitespaces
        and not trainer.treat_whitespace_as_suffix
        and not any("\N{LOWER ONE EIGHTH BLOCK}" in piece.piece[1:] for piece in model.pieces)
    )
