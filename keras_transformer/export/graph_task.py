"""What the graphs of all tasks over encoders share. Imported on export: needs TensorFlow.

B texts, R inputs of the model, T tokens, N tokens of a text
"""

import functools

import tensorflow as tf

from keras_transformer.tasks.long_texts import in_words
from keras_transformer.tasks.task import model_inputs
from keras_transformer.text.graph_template import GraphTemplate

ROWS_AT_ONCE = 32


class GraphTask(tf.Module):
    """A task's tokenizer and model as functions of tensors, ready to be saved. Not used by itself.

    A subclass says in `functions` which signatures it has.

    Args:
        task: the `tasks.Task`.
        max_length: tokens of an input of the model at most; by default the task's.
    """

    def __init__(self, task, max_length=None):
        super().__init__(name="task")
        model = task.model
        self.tokenizer = task.tokenizer.graph_twin()
        self.model_weights = [variable.value for variable in model.weights]
        self.max_length = task.check_max_length(
            task.max_length if max_length is None else max_length
        )
        self.template = task.tokenizer.template
        self.apply_template = GraphTemplate(self.template, task.tokenizer.pad_id)
        self._vocab_size = model.config.vocab_size
        self._names = model_inputs(model)
        self._num_segments = getattr(model.config, "num_segments", 0)
        # A function hides the model from TensorFlow, which would save all of its Keras objects.
        self._model = lambda inputs: tf.cast(model(inputs, training=False), tf.float32)

    def functions(self):
        """`{name of the signature: (function, specs of its arguments)}`."""
        raise NotImplementedError

    def settings(self):
        """What the export is said to have been made with."""
        return {"max_length": self.max_length}

    def signatures(self):
        """The concrete functions by the name of their signature."""
        return {
            name: tf.function(function, autograph=False).get_concrete_function(*specs)
            for name, (function, *specs) in self.functions().items()
        }

    def inputs_of(self, texts):
        """Strings (B,) as inputs of the model, cut to `max_length`."""
        return self.apply_template(self.tokenizer.tokenize(texts), max_length=self.max_length)

    def outputs(self, inputs):
        """The model's outputs for inputs (R, T), float32."""
        return self._model({name: inputs[name] for name in self._names})

    def outputs_in_parts(self, inputs):
        """As `outputs`, some rows at a time: a long text has many windows."""
        inputs = {name: inputs[name] for name in self._names}
        rows = tf.shape(inputs["token_ids"])[0]
        parts = tf.maximum(-(-rows // ROWS_AT_ONCE), 1)
        found = tf.TensorArray(tf.float32, size=parts, infer_shape=False)

        def step(i, found):
            part = slice(i * ROWS_AT_ONCE, (i + 1) * ROWS_AT_ONCE)
            return i + 1, found.write(i, self._model({k: x[part] for k, x in inputs.items()}))

        _, found = tf.while_loop(lambda i, _: i < parts, step, [0, found], parallel_iterations=1)
        return found.concat()

    def token_specs(self):
        """The specs of the token-level signature's arguments."""
        dtypes = {"token_ids": tf.int32, "padding_mask": tf.bool, "segment_ids": tf.int32}
        return [tf.TensorSpec([None, None], dtypes[name], name) for name in self._names]

    def checked_tokens(self, *arguments):
        """The arguments of the token-level signature as inputs; ids outside are an error."""
        inputs = dict(zip(self._names, arguments, strict=True))
        inputs = self.cut(inputs)
        limits = {"token_ids": self._vocab_size, "segment_ids": self._num_segments}
        for name, limit in limits.items():
            if name in inputs:
                inputs[name] = _checked(inputs[name], name, limit)
        return {name: with_a_column(x) for name, x in inputs.items()}

    def cut(self, inputs):
        """Inputs of the token-level signature, none longer than `max_length`."""
        return {name: x[:, : self.max_length] for name, x in inputs.items()}

    def logits_of_tokens(self, *arguments):
        """The model's outputs for token ids (R, T): the token-level signature."""
        return {"logits": self.outputs(self.checked_tokens(*arguments))}


def _checked(ids, name, limit):
    inside = tf.reduce_all((ids >= 0) & (ids < limit))
    check = tf.debugging.Assert(inside, [f"{name} must be from 0 to {limit - 1}; got", ids])
    with tf.control_dependencies([check]):  # before anything looks them up
        return tf.identity(ids)


def with_a_column(x):
    """A matrix, with one column of zeros where it has none."""
    missing = tf.maximum(1 - tf.shape(x)[1], 0)
    return tf.pad(x, [[0, 0], [0, missing]], constant_values=tf.zeros((), x.dtype))


def looked_at(inputs, source, sizes, overlap):
    """Which tokens are looked at in which window: (R, T), each of a text's tokens once.

    Args:
        inputs: what `GraphTemplate` made of texts with an overlap.
        source: 0 or 1, the text in question.
        sizes: (B,) tokens of a window of each text.
        overlap: tokens that two windows share.
    """
    index, places = inputs["index"], inputs["places"]
    counts = tf.math.segment_sum(tf.ones_like(index), index)  # (B,) windows of each text
    numbers = tf.range(tf.size(index)) - tf.gather(tf.cumsum(counts, exclusive=True), index)
    sizes = tf.gather(sizes, index)[:, None]
    # as tasks.long_texts.window_of
    chosen = (places - (sizes - overlap // 2)) // (sizes - overlap) + 1
    chosen = tf.clip_by_value(chosen, 0, tf.gather(counts, index)[:, None] - 1)
    return (inputs["source_ids"] == source) & (chosen == numbers[:, None])


class Characters:
    """The characters of texts, and where tokens stand among them.

    Args:
        texts: strings (B,), valid UTF-8.
    """

    def __init__(self, texts):
        self.codes = tf.strings.unicode_decode(texts, "UTF-8")  # (B, None)
        self.row_starts = tf.cast(self.codes.row_starts(), tf.int32)
        codes = self.codes.flat_values
        solid = tf.logical_not(_member(codes, _boundaries(str.isspace)))
        # how many characters that are no white space stand before each
        self._before = tf.concat([[0], tf.cumsum(tf.cast(solid, tf.int32))], axis=0)
        self._places = tf.concat([tf.cast(tf.where(solid)[:, 0], tf.int32), [0]], axis=0)
        self._in_words = tf.concat([_member(codes, _boundaries(in_words)), [False]], axis=0)

    def trimmed(self, rows, starts, ends):
        """Spans of characters without white space at their ends, and whether anything is left.

        Args:
            rows: (N,) the texts.
            starts, ends: (N,).

        Returns:
            starts, ends, real: each (N,).
        """
        base = tf.gather(self.row_starts, rows)
        low, high = (tf.gather(self._before, base + place) for place in (starts, ends))
        real = low < high
        first = tf.gather(self._places, low) - base
        last = tf.gather(self._places, tf.maximum(high - 1, 0)) - base
        return tf.where(real, first, ends), tf.where(real, last + 1, ends), real

    def go_on(self, rows, starts):
        """Whether the characters at `starts` (N,) continue the words of those before them."""
        places = tf.gather(self.row_starts, rows) + starts
        before = tf.gather(self._in_words, tf.maximum(places - 1, 0))
        return (starts > 0) & before & tf.gather(self._in_words, places)

    def substrings(self, rows, starts, ends):
        """Characters `starts` to `ends` (N,) of texts `rows` (N,), as strings (N,).

        Nothing is copied but they: of a long text there may be as many as it has words.
        """
        base = tf.gather(self.row_starts, rows)
        places = tf.ragged.range(base + starts, base + ends)
        codes = tf.gather(self.codes.flat_values, places.flat_values)
        return tf.strings.unicode_encode(places.with_flat_values(codes), "UTF-8")


def _member(codes, boundaries):
    """Whether code points are in the class whose ranges begin and end at the boundaries."""
    return tf.searchsorted(boundaries, codes, side="right") % 2 == 1


@functools.cache
def _boundaries(function):
    """The code points at which a class of characters begins or ends, in turn."""
    found, inside = [], False
    for code in range(0x110000):
        if function(chr(code)) != inside:
            inside = not inside
            found.append(code)
    return found
