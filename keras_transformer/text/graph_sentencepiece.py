"""SentencePiece inside a TensorFlow graph. Imported by `graph_twin()` alone: needs TensorFlow.

B texts, N parts of all of them, at added tokens and between
"""

import hashlib

import numpy as np
import tensorflow as tf

try:
    import tensorflow_text
    from tensorflow_text.python.ops import sentencepiece_tokenizer as tf_sentencepiece
except ImportError as error:
    raise ImportError(
        "A tokenizer inside a TensorFlow graph needs tensorflow-text: "
        "pip install tensorflow-text, of the same version as tensorflow."
    ) from error

# After the check above: they need tensorflow-text too.
from keras_transformer.text.graph_long_texts import LongTexts, can_be_cut
from keras_transformer.text.graph_ragged import joined, owners_of
from keras_transformer.text.graph_strings import (  # noqa: E402
    as_ragged,
    clean_strings,
    in_rows,
    lookup_table,
    optional,
    parts_of,
    to_characters,
    without_ids,
    without_spaces,
)
from keras_transformer.text.sentencepiece import SPACE, TRIMS  # noqa: E402

CODE = r"(?s)^>>.*?<<"  # one of Marian's language codes


class GraphSentencePieceTokenizer(tf.Module):
    """A `SentencePieceTokenizer` as TensorFlow operations: the same ids and the same text.

    It owns the model, so that a `tf.Module` that holds it can be saved as a SavedModel that needs
    tensorflow and tensorflow-text only.

    Args:
        tokenizer: the `SentencePieceTokenizer`.

    Example:

    >>> from keras_transformer import text
    >>> tokenizer = text.SentencePieceTokenizer.train([["a dog runs", "a dog eats"]], vocab_size=22)
    >>> twin = tokenizer.graph_twin()
    >>> twin.detokenize(twin.tokenize(["a dog"])).numpy()
    array([b'a dog'], dtype=object)
    """

    def __init__(self, tokenizer):
        super().__init__(name="tokenizer")
        layout, added = tokenizer.layout, tokenizer.added_tokens
        out_type = tf.string if layout.words else tf.int32
        model, bare = (_model(proto, out_type) for proto in tokenizer.model_protos)
        self._model, self._bare = model, bare
        if can_be_cut(tokenizer.model_proto):
            self._model, self._bare = LongTexts(model, model), LongTexts(bare, model)
        self._owned = model, bare  # what a SavedModel has to hold
        self._layout, self._added = layout, added
        self._contents = lookup_table(added.ids, -1)
        self._words = None
        if layout.words:
            ids = {word: i for i, word in enumerate(layout.words)}
            self._words = lookup_table(ids, tokenizer.unk_id)
        self._takes_spaces = np.zeros(tokenizer.vocab_size, bool)
        self._takes_spaces[[token.id for token in layout.added if token.lstrip]] = True
        self._special_ids = tokenizer.special_ids
        self._piece_ids = np.array(layout.piece_ids, np.int32)
        self._pieces_of = np.array(tokenizer.pieces_of_ids, np.int32)
        self._spelled, self._trim = tokenizer.spelled, TRIMS[tokenizer.trim][1]

    def tokenize(self, strings):
        """Strings (B,) to a RaggedTensor (B, None) of int32 ids, without bos and eos.

        A malformed UTF-8 sequence stands for U+FFFD.
        """
        strings = clean_strings(strings)
        if not (self._layout.added or self._words):
            return self._ids(self._model.tokenize(strings))
        parts, starts, ids = parts_of(strings, self._added, self._contents)
        texts = tf.where(ids >= 0, "", parts.flat_values)
        columns = [optional(ids, ids >= 0)]
        if self._words:
            codes, texts = self._without_code(texts)
            columns.append(optional(self._words.lookup(codes), tf.strings.length(codes) > 0))
        for model, chosen in self._by_prefix(texts, starts):
            columns.append(self._ids(model.tokenize(chosen)))
        return in_rows(columns, parts)

    def tokenize_with_offsets(self, strings):
        """Strings (B,) to ids, starts and ends, each a RaggedTensor (B, None) of int32.

        Starts and ends are in characters of the string, ends excluded.
        """
        strings = clean_strings(strings)
        parts, starts, ids = parts_of(strings, self._added, self._contents)
        ends = starts + tf.strings.length(parts.flat_values)
        texts = tf.where(ids >= 0, "", parts.flat_values)
        columns = [[optional(column, ids >= 0) for column in (ids, starts, ends)]]
        first = starts  # where the text starts in the string
        if self._words:
            codes, texts = self._without_code(texts)
            first = starts + tf.strings.length(codes)
            found, kept = self._words.lookup(codes), first > starts
            columns.append([optional(column, kept) for column in (found, starts, first)])
        for model, chosen in self._by_prefix(texts, starts):
            found, *places = model.tokenize_with_offsets(chosen)
            shift = tf.gather(first, owners_of(found.row_lengths()))
            places = [p.with_flat_values(tf.cast(p.flat_values, tf.int32) + shift) for p in places]
            columns.append([self._ids(found), *places])
        ids, starts, ends = (in_rows(column, parts) for column in zip(*columns, strict=True))
        starts, ends = to_characters(strings, starts), to_characters(strings, ends)
        if not self._layout.bare_offsets:
            return ids, starts, ends
        whole = tf.gather(self._takes_spaces, ids.flat_values)
        return ids, *without_spaces(strings, starts, ends, whole)

    def detokenize(self, ids):
        """Ids (B, L), dense or ragged, to strings (B,); special ids are dropped."""
        ids = without_ids(as_ragged(ids), self._special_ids)
        if self._spelled:
            spelled = ids.with_flat_values(tf.gather(self._spelled, ids.flat_values))
            texts = clean_strings(joined(spelled))
            return tf.strings.regex_replace(texts, self._trim, "")
        pieces = tf.gather(self._pieces_of, ids.flat_values)
        return self._model.detokenize(ids.with_flat_values(pieces))

    def _ids(self, pieces):
        """What SentencePiece has found, as ids of the layout."""
        if self._words:
            return pieces.with_flat_values(self._words.lookup(pieces.flat_values))
        return pieces.with_flat_values(tf.gather(self._piece_ids, pieces.flat_values))

    def _without_code(self, texts):
        """The language codes at the beginning of texts, and the texts without them."""
        rest = tf.strings.regex_replace(texts, CODE, "", replace_global=False)
        lengths = tf.strings.length(texts) - tf.strings.length(rest)
        return tf.strings.substr(texts, tf.zeros_like(lengths), lengths), rest

    def _by_prefix(self, texts, starts):
        """The model that puts a space before, with its texts, and the one that does not."""
        scheme = self._layout.prefix
        if scheme is None:
            return [(self._model, texts)]
        possible = {"always": starts >= 0, "first": starts == 0, "never": starts < 0}[scheme]
        prefixed = possible & ~tf.strings.regex_full_match(texts, f"(?s)[ {SPACE}].*")
        return [
            (self._model, tf.where(prefixed, texts, "")),
            (self._bare, tf.where(prefixed, "", texts)),
        ]


def _model(proto, out_type):
    """tensorflow-text's tokenizer of a model."""
    tokenizer = tensorflow_text.SentencepieceTokenizer(model=proto, out_type=out_type)
    tokenizer._model_resource = _SharedModel(proto)
    return tokenizer


class _SharedModel(tf.saved_model.experimental.TrackableResource):
    """The SentencePiece model in TensorFlow's memory, under its sha256 as its name.

    tensorflow-text leaves it to the operation that made it, and so loses it when TensorFlow drops
    its compiled operations, as `tf.random.set_seed` makes it do: every later call then fails. A
    model with a name stays, and equal tokenizers share it.
    """

    def __init__(self, proto):
        super().__init__()
        self._proto, self._hash = proto, hashlib.sha256(proto).hexdigest()
        _ = self.resource_handle  # made by the first access

    def _create_resource(self):
        return tf_sentencepiece.gen_sentencepiece_tokenizer.sentencepiece_op(
            model=self._proto, shared_name=f"sentencepiece-{self._hash}"
        )
