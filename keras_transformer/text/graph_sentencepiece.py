"""Tokenizers inside a TensorFlow graph. Imported by `graph_twin()` alone: needs TensorFlow."""

import tensorflow as tf

try:
    import tensorflow_text
    from tensorflow_text.python.ops import sentencepiece_tokenizer as tf_sentencepiece
except ImportError as error:
    raise ImportError(
        "A tokenizer inside a TensorFlow graph needs tensorflow-text: "
        "pip install tensorflow-text, of the same version as tensorflow."
    ) from error


class GraphTokenizer(tf.Module):
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
        self._tokenizer = tensorflow_text.SentencepieceTokenizer(
            model=tokenizer.model_proto, out_type=tf.int32
        )
        self._tokenizer._model_resource = _SharedModel(tokenizer)
        self._special_ids = tokenizer.special_ids

    def tokenize(self, strings):
        """Strings (B,) to a RaggedTensor (B, None) of int32 ids, without bos and eos.

        A malformed UTF-8 sequence stands for U+FFFD.
        """
        strings = tf.convert_to_tensor(strings, tf.string)
        strings = tf.strings.unicode_transcode(
            strings, "UTF-8", "UTF-8", errors="replace", replacement_char=0xFFFD
        )
        return self._tokenizer.tokenize(strings)

    def detokenize(self, ids):
        """Ids (B, L), dense or ragged, to strings (B,); pad, bos and eos are dropped."""
        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(tf.convert_to_tensor(ids))
        ids = tf.cast(ids, tf.int32)
        known = tf.reduce_all(
            tf.not_equal(ids.flat_values[:, None], tf.constant(self._special_ids, tf.int32)), axis=1
        )
        return self._tokenizer.detokenize(tf.ragged.boolean_mask(ids, ids.with_flat_values(known)))


class _SharedModel(tf.saved_model.experimental.TrackableResource):
    """The SentencePiece model in TensorFlow's memory, under its fingerprint as its name.

    tensorflow-text leaves it to the operation that made it, and so loses it when TensorFlow drops
    its compiled operations, as `tf.random.set_seed` makes it do: every later call then fails. A
    model with a name stays, and equal tokenizers share it.
    """

    def __init__(self, tokenizer):
        super().__init__()
        self._model_proto, self._model_name = tokenizer.model_proto, tokenizer.fingerprint
        _ = self.resource_handle  # made by the first access

    def _create_resource(self):
        return tf_sentencepiece.gen_sentencepiece_tokenizer.sentencepiece_op(
            model=self._model_proto, shared_name=f"sentencepiece-{self._model_name}"
        )
