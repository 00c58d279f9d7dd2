"""A text generator as a TensorFlow graph. Imported on export.

B prompts, P tokens of a prompt, L new tokens
"""

import copy

import numpy as np
import tensorflow as tf

from keras_transformer.export.graph_task import GraphTask
from keras_transformer.generation import Sampling
from keras_transformer.generation.chance import seed_alone
from keras_transformer.generation.generate import check_method
from keras_transformer.generation.inputs import check_ends
from keras_transformer.models.language_heads import left_padded
from keras_transformer.text.graph_ragged import keep, repeated

TEXTS = tf.TensorSpec([None], tf.string, "texts")
NEW_TOKENS = tf.TensorSpec([None], tf.int32, "max_new_tokens")
TEMPERATURES = tf.TensorSpec([None], tf.float32, "temperatures")
SEEDS = tf.TensorSpec([None], tf.int32, "seeds")
LOWEST_TEMPERATURE = 1e-3


class GraphGenerator(GraphTask):
    """A `tasks.TextGenerator`.

    Args:
        task, max_length: as in `GraphTask`.
        max_new_tokens, method: as in `TextGenerator`.
    """

    def __init__(self, task, max_length=None, max_new_tokens=None, method=None):
        super().__init__(task, max_length)
        limited = copy.copy(task)
        limited.max_length = self.max_length
        self._new_tokens = int(limited.check_max_new_tokens(max_new_tokens))
        self._method = task.method(method)
        self._num_known = task.tokenizer.vocab_size
        if isinstance(self._method, type) or not hasattr(self._method, "decode"):
            raise TypeError(f"method must be Greedy(), Sampling(...) or alike; got {method!r}.")
        check_ends(task.model.config)
        check_method(self._method, task.model.config, np.array([self._new_tokens], "int32"))
        for other in getattr(self._method, "models", ()):
            self.model_weights += [variable.value for variable in other.weights]
        self._start_id = max(task.start_id(), 0)
        model, method, length = task.model, self._method, self._new_tokens
        self._is_drawn = isinstance(method, Sampling)
        self._by = lambda method, inputs, **options: method.decode(model, inputs, length, **options)

    def functions(self):
        drawn = (TEMPERATURES, SEEDS) if self._is_drawn else ()
        return {
            "serving_default": (self.generate, TEXTS),
            "generate_with": (self.generate_with, TEXTS, NEW_TOKENS, *drawn),
            "generate_tokens": (self.generate_tokens, *self.token_specs()),
        }

    def settings(self):
        return {
            **super().settings(),
            "max_new_tokens": self._new_tokens,
            "method": repr(self._method),
        }

    def generate(self, texts):
        """Prompts (B,) to texts and scores (B, n)."""
        inputs = self.inputs_of(texts)
        return self.answers(inputs, self.decode(inputs))

    def generate_with(self, texts, max_new_tokens, temperatures=None, seeds=None):
        """As `generate`, with settings (B,) of each prompt."""
        inputs = self.inputs_of(texts)
        limits = tf.clip_by_value(max_new_tokens, 1, self._new_tokens)
        if seeds is None:
            return self.answers(inputs, self.decode(inputs, limits=limits))
        method = copy.copy(self._method)
        temperatures = tf.repeat(tf.maximum(temperatures, LOWEST_TEMPERATURE), method.rows)
        # Not by `replace`, which would check a number that there is none of yet.
        object.__setattr__(method, "temperature", temperatures[:, None])
        seeds = seed_alone(seeds)  # as that of a prompt that is asked alone in Python
        return self.answers(inputs, self._by(method, inputs, limits=limits, seeds=seeds))

    def decode(self, inputs, **options):
        """What the method generates; a `Sampling` without seed draws anew at each call."""
        if self._is_drawn and self._method.seed is None:
            rows = tf.shape(inputs["token_ids"])[:1]
            options["seeds"] = tf.random.uniform(rows, -(2**31), 2**31 - 1, tf.int32)
        return self._by(self._method, inputs, **options)

    def answers(self, inputs, found):
        """What was generated after prompts as the outputs of the signature."""
        prompts = tf.ragged.boolean_mask(inputs["token_ids"], inputs["padding_mask"])
        n = found.sequences.shape[1]
        rows = tf.repeat(tf.range(tf.shape(inputs["token_ids"])[0]), n)
        prompts = tf.gather(prompts, rows)
        lengths = tf.reshape(found.lengths, [-1])
        sequences = tf.reshape(found.sequences, [tf.size(rows), self._new_tokens])
        kept = tf.sequence_mask(lengths, self._new_tokens)
        kept &= sequences < self._num_known  # an end of the model's own may be beyond them
        new = tf.ragged.boolean_mask(sequences, kept)
        before = self.tokenizer.detokenize(prompts)
        whole = self.tokenizer.detokenize(tf.concat([prompts, new], axis=1))
        size = tf.strings.length(before)
        # Decoded together, since a first piece is decoded without the space before it.
        size = tf.minimum(size, tf.strings.length(whole))
        same = tf.strings.substr(whole, tf.zeros_like(size), size) == before
        rest = tf.strings.substr(whole, size, tf.strings.length(whole) - size)
        found_texts = tf.where(same, rest, self.tokenizer.detokenize(new))
        found_texts = tf.where(lengths > 0, found_texts, "")
        return {"generated": tf.reshape(found_texts, [-1, n]), "scores": found.scores}

    def generate_tokens(self, *arguments):
        """Prompts (B, P) of token ids to sequences (B, n, L), lengths and scores (B, n)."""
        return self.decode(self.checked_tokens(*arguments))._asdict()

    def cut(self, inputs):
        """Prompts with their padding on the left, the last tokens of those that are too long.

        One without any token is an error.
        """
        tokens, mask = left_padded(inputs["token_ids"], inputs["padding_mask"])
        real = tf.reduce_all(tf.reduce_any(mask, axis=1))
        check = tf.debugging.Assert(real, ["padding_mask must have a token in each row; got", mask])
        with tf.control_dependencies([check]):
            room = self.max_length - self._new_tokens
            return {"token_ids": tokens[:, -room:], "padding_mask": mask[:, -room:]}

    def inputs_of(self, texts):
        ids = self.tokenizer.tokenize(texts)
        added = self.template.num_added()
        ids = _last(ids, self.max_length - self._new_tokens - added)
        if not added:  # where a prompt may be nothing at all
            none = tf.cast(ids.row_lengths() == 0, tf.int64)
            starts = tf.fill([tf.reduce_sum(none)], self._start_id)
            ids = tf.concat([tf.RaggedTensor.from_row_lengths(starts, none), ids], axis=1)
        inputs = self.apply_template(ids)
        return {name: inputs[name] for name in self._names}


def _last(ids, room):
    """The last `room` tokens of each ragged row."""
    lengths = tf.cast(ids.row_lengths(), tf.int32)
    places = tf.ragged.range(lengths)
    kept = places.flat_values >= repeated(lengths, lengths) - room
    return keep(ids, kept)
