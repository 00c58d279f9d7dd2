"""A translator as a TensorFlow graph. Imported when one is exported: needs TensorFlow.

B texts, S source tokens, L target tokens at most
"""

import tensorflow as tf

from keras_transformer.generation.inputs import MASK, TOKENS


class GraphTranslator(tf.Module):
    """Tokenizer, model and search as functions of tensors, ready to be saved.

    Args:
        translator: a `tasks.Translator`.
        best: the decoding method that finds the best translation.
        several: the one that finds the n best.
        limits: (max_length + 1,) int32, how long the target may be for each length of the source.
    """

    def __init__(self, translator, best, several, limits):
        super().__init__(name="translator")
        model = translator.model
        self.tokenizer = translator.tokenizer.graph_twin()
        self.model_weights = [variable.value for variable in model.weights]
        self._config = model.config
        self._limits = tuple(limits.tolist())
        self._max_length = translator.max_length
        # Functions hide the model from TensorFlow, which would save all of its Keras objects.
        self._best = lambda *source: _decode(best, model, *source)
        self._several = lambda *source: _decode(several, model, *source)

    def signatures(self):
        """The concrete functions by the name of their signature."""
        texts = tf.TensorSpec([None], tf.string, "texts")
        tokens = tf.TensorSpec([None, None], tf.int32, TOKENS)
        new_tokens = tf.TensorSpec([None], tf.int32, "max_new_tokens")
        found = {
            "serving_default": (self.translate, texts),
            "translate_n_best": (self.translate_n_best, texts),
            "translate_with": (self.translate_with, texts, new_tokens),
            "translate_tokens": (self.translate_tokens, tokens),
        }
        return {
            name: tf.function(function, autograph=False).get_concrete_function(*specs)
            for name, (function, *specs) in found.items()
        }

    def translate(self, texts):
        """The best translation of each text: (B,) strings to (B,) strings and scores."""
        found = self._best(*self.encode(texts))
        return {
            "translations": self.decode(found.sequences)[:, 0],
            "scores": found.scores[:, 0],
        }

    def translate_n_best(self, texts):
        """The n best translations of each text: (B,) strings to (B, n_best) strings and scores."""
        found = self._several(*self.encode(texts))
        return {"translations": self.decode(found.sequences), "scores": found.scores}

    def translate_with(self, texts, max_new_tokens):
        """As `translate_n_best`, with the tokens (B,) that each translation may have at most."""
        tokens, mask, limits = self.encode(texts)
        wanted = tf.clip_by_value(max_new_tokens, 1, self._config.max_length)
        found = self._several(tokens, mask, tf.where(limits > 0, wanted, 0))
        return {"translations": self.decode(found.sequences), "scores": found.scores}

    def translate_tokens(self, encoder_token_ids):
        """The n best targets of rows of token ids (B, S)."""
        tokens = _with_a_column(encoder_token_ids[:, : self._max_length], self._config.pad_id)
        inside = (tokens >= 0) & (tokens < self._config.vocab_size)
        check = tf.debugging.Assert(
            tf.reduce_all(inside),
            [f"{TOKENS} must be from 0 to {self._config.vocab_size - 1}; got", tokens],
        )
        with tf.control_dependencies([check]):  # before anything looks them up
            tokens = tf.identity(tokens)
        mask = tf.not_equal(tokens, self._config.pad_id)  # (B, S)
        positions = tf.range(1, tf.shape(tokens)[1] + 1)
        lengths = tf.reduce_max(tf.where(mask, positions, 0), axis=1)  # (B,)
        limits = tf.where(lengths > 0, tf.gather(self._limits, lengths), 0)
        return self._several(tokens, mask, limits)._asdict()

    def encode(self, texts):
        """Texts (B,) to ids (B, S) with their end, mask (B, S), and limits (B,) of the targets."""
        ids = self.tokenizer.tokenize(texts)  # ragged (B, None)
        empty = ids.row_lengths() == 0
        end = tf.fill([tf.shape(texts)[0], 1], self._config.eos_id)
        ids = tf.concat([ids[:, : self._max_length - 1], end], axis=1)
        lengths = tf.cast(ids.row_lengths(), tf.int32)  # (B,)
        tokens = _with_a_column(ids.to_tensor(self._config.pad_id), self._config.pad_id)
        mask = tf.sequence_mask(lengths, tf.shape(tokens)[1])
        # A limit of 0 is no step: an empty translation of score 0.
        return tokens, mask, tf.where(empty, 0, tf.gather(self._limits, lengths))

    def decode(self, sequences):
        """Ids (B, n_best, L) to texts (B, n_best)."""
        shape = tf.shape(sequences)
        rows = tf.reshape(sequences, [shape[0] * shape[1], shape[2]])
        texts = tf.reshape(self.tokenizer.detokenize(rows), shape[:2])
        return tf.ensure_shape(texts, [None, sequences.shape[1]])


def _decode(method, model, tokens, mask, limits):
    length = tf.maximum(tf.reduce_max(limits), 1)  # of no texts the maximum is negative
    return method.decode(model, {TOKENS: tokens, MASK: mask}, length, limits)


def _with_a_column(tokens, pad_id):
    """The tokens, with one column of padding where they have none: (B, S), S at least 1."""
    missing = tf.maximum(1 - tf.shape(tokens)[1], 0)
    return tf.pad(tokens, [[0, 0], [0, missing]], constant_values=pad_id)
