"""A translator as a TensorFlow graph. Imported when one is exported: needs TensorFlow.

B texts, S source tokens, L target tokens at most
"""

import tensorflow as tf

from keras_transformer.generation.inputs import MASK, TOKENS
from keras_transformer.text.graph_template import GraphTemplate


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
        self.apply_template = GraphTemplate(translator.template, model.config.pad_id)
        self._num_known = translator.tokenizer.vocab_size
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
            "translations": self.decode(found)[:, 0],
            "scores": found.scores[:, 0],
        }

    def translate_n_best(self, texts):
        """The n best translations of each text: (B,) strings to (B, n_best) strings and scores."""
        found = self._several(*self.encode(texts))
        return {"translations": self.decode(found), "scores": found.scores}

    def translate_with(self, texts, max_new_tokens):
        """As `translate_n_best`, with the tokens (B,) that each translation may have at most."""
        tokens, mask, limits = self.encode(texts)
        wanted = tf.clip_by_value(max_new_tokens, 1, self._config.max_length)
        found = self._several(tokens, mask, tf.where(limits > 0, wanted, 0))
        return {"translations": self.decode(found), "scores": found.scores}

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
        """Texts (B,) to ids (B, S) with special tokens, mask (B, S), and limits (B,) of targets."""
        ids = self.tokenizer.tokenize(texts)  # ragged (B, None)
        inputs = self.apply_template(ids, max_length=self._max_length)
        mask = inputs["padding_mask"]  # (B, S)
        lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)  # (B,)
        # A limit of 0 is no step: an empty translation of score 0.
        limits = tf.where(ids.row_lengths() == 0, 0, tf.gather(self._limits, lengths))
        return inputs["token_ids"], mask, limits

    def decode(self, found):
        """The texts (B, n_best) of what was `Generated`."""
        shape = tf.shape(found.sequences)
        rows = tf.reshape(found.sequences, [shape[0] * shape[1], shape[2]])
        kept = tf.sequence_mask(tf.reshape(found.lengths, [-1]), shape[2])
        kept &= rows < self._num_known  # a model may have room for more than its tokenizer has
        texts = self.tokenizer.detokenize(tf.ragged.boolean_mask(rows, kept))
        return tf.ensure_shape(tf.reshape(texts, shape[:2]), [None, found.sequences.shape[1]])


def _decode(method, model, tokens, mask, limits):
    length = tf.maximum(tf.reduce_max(limits), 1)  # of no texts the maximum is negative
    return method.decode(model, {TOKENS: tokens, MASK: mask}, length, limits)


def _with_a_column(tokens, pad_id):
    """The tokens, with one column of padding where they have none: (B, S), S at least 1."""
    missing = tf.maximum(1 - tf.shape(tokens)[1], 0)
    return tf.pad(tokens, [[0, 0], [0, missing]], constant_values=pad_id)
