"""`Template` in TensorFlow graphs: ragged ids of one text or two become a model's input.

B texts, W windows of all of them (W = B without overlap), N parts of a template, T tokens
"""

import tensorflow as tf

from keras_transformer.text.graph_ragged import owners_of, repeated
from keras_transformer.text.template import FIRST, TRUNCATIONS


class GraphTemplate(tf.Module):
    """The graph's counterpart of a tokenizer's call: special tokens around, cut to a length.

    Args:
        template: a `Template`.
        pad_id: the id that fills up; -1, for none, fills up with 0.

    Call:
        first: the ids of the texts, a RaggedTensor (B, None) of int32.
        second: those of the second texts, or None.
        max_length: T at most, special tokens included; None does not cut.
        truncation: as in `Tokenizer.__call__`, but not None: a graph refuses no text.
        overlap: where not None, a text too long comes in several windows that share this many
            tokens.

    Returns:
        A dictionary of `token_ids` (W, T) int32, `padding_mask` (W, T) bool and `segment_ids`
        (W, T) int32, T at least 1; and of `index` (W,), the text of each, `source_ids` (W, T), 0 or
        1, the text that each token comes from, -1 for special tokens and padding, and `places`
        (W, T), its place among that text's tokens, -1 likewise, all int32.

    Raises:
        InvalidArgumentError: when run, where `"only_first"` or `"only_second"` cannot help, the
            other text being too long, or `overlap` is not less than a window.

    Example:

    >>> import tensorflow as tf
    >>> from keras_transformer import text
    >>> from keras_transformer.text.graph_template import GraphTemplate
    >>> bert = text.Template.of([101, "A", 102], [101, "A", 102, "B:1", "102:1"])
    >>> template = GraphTemplate(bert, pad_id=0)
    >>> template(tf.ragged.constant([[7, 8, 9], [7]]), max_length=4)["token_ids"].numpy()
    array([[101,   7,   8, 102],
           [101,   7, 102,   0]], dtype=int32)
    """

    def __init__(self, template, pad_id):
        super().__init__(name="template")
        self._template, self._pad_id = template, max(pad_id, 0)

    def __call__(
        self, first, second=None, *, max_length=None, truncation="longest_first", overlap=None
    ):
        self._check(second, max_length, truncation, overlap)
        parts = self._template.single if second is None else self._template.pair
        texts = [first] if second is None else [first, second]
        sizes = [tf.cast(ids.row_lengths(), tf.int32) for ids in texts]  # (B,) each
        index = tf.range(tf.size(sizes[0]))
        spans = [(tf.zeros_like(size), size) for size in sizes]  # starts and ends (B,)
        if max_length is not None:
            room = max_length - self._template.num_added(second is not None)
            kept = truncated_lengths(*sizes, room=room, truncation=truncation)
            if overlap is None:
                spans = [(tf.zeros_like(size), size) for size in kept]
            else:
                which = 1 if truncation == "only_second" else 0
                # Only a text that is cut comes in windows.
                index, starts, ends = windows(sizes[which], kept[which], overlap)
                spans = [(tf.zeros_like(index), tf.gather(size, index)) for size in sizes]
                spans[which] = starts, ends
        return self._joined(parts, texts, spans, index)

    def _joined(self, parts, texts, spans, index):
        """The parts of the template side by side, cut to their spans."""
        columns, sources, segments, places = [], [], [], []
        for part, segment in parts:
            if isinstance(part, str):
                source = 0 if part == FIRST else 1
                starts, ends = spans[source]
                where = tf.ragged.range(starts, ends)  # (W, None)
                flat = tf.gather(texts[source].row_starts(), repeated(index, ends - starts))
                flat += tf.cast(where.flat_values, flat.dtype)
                ids = tf.cast(tf.gather(texts[source].flat_values, flat), tf.int32)
                columns.append(where.with_flat_values(ids))
            else:
                source = -1
                ones = tf.ones_like(index)
                where = tf.RaggedTensor.from_row_lengths(-ones, tf.cast(ones, tf.int64))
                columns.append(where.with_flat_values(ones * part))
            places.append(tf.cast(where, tf.int32))
            sources.append(places[-1].with_flat_values(tf.fill(_size(where), source)))
            segments.append(places[-1].with_flat_values(tf.fill(_size(where), segment)))
        tokens = _dense(columns, self._pad_id)
        return {
            "token_ids": tokens,
            "padding_mask": _dense(
                [c.with_flat_values(c.flat_values >= 0) for c in columns], False
            ),
            "segment_ids": _dense(segments, 0),
            "index": index,
            "source_ids": _dense(sources, -1),
            "places": _dense(places, -1),
        }

    def _check(self, second, max_length, truncation, overlap):
        if truncation not in TRUNCATIONS:
            raise ValueError(f"truncation must be one of {TRUNCATIONS}; got {truncation!r}.")
        if overlap is not None and (max_length is None or truncation == "longest_first"):
            raise ValueError(
                "overlap needs max_length and truncation='only_first' or 'only_second'; "
                f"got {max_length} and {truncation!r}."
            )
        if second is None and truncation == "only_second":
            raise ValueError("truncation='only_second' needs a second text.")
        least = self._template.num_added(second is not None) + 1
        if max_length is not None and max_length < least:
            raise ValueError(
                f"max_length must be at least {least}, the special tokens and one more; "
                f"got {max_length}."
            )


def truncated_lengths(first, second=None, *, room, truncation):
    """`template.truncated_lengths` of many texts at once.

    Args:
        first, second: tokens of the texts (B,) int32; `second` is None where there is one text.
        room, truncation: as there.

    Returns:
        A list of the new lengths, one or two (B,).
    """
    if second is None:
        return [tf.minimum(first, room)]
    fits = first + second <= room
    if truncation == "longest_first":
        short, long = tf.minimum(first, second), tf.maximum(first, second)
        long = tf.where(short > room, short, tf.maximum(short, room - short))
        both = short + long > room
        short, long = tf.where(both, room // 2, short), tf.where(both, room // 2 + room % 2, long)
        swapped = first > second
        found = tf.where(swapped, long, short), tf.where(swapped, short, long)
    else:
        found = (room - second, second) if truncation == "only_first" else (first, room - first)
        least = found[0] if truncation == "only_first" else found[1]
        check = tf.debugging.Assert(
            tf.reduce_all(fits | (least > 0)),
            [f"truncation={truncation!r} cannot help: the other text alone fills max_length."],
        )
        with tf.control_dependencies([check]):
            found = [tf.identity(size) for size in found]
    return [
        tf.where(fits, before, after) for before, after in zip((first, second), found, strict=True)
    ]


def windows(lengths, sizes, overlap):
    """`template.windows` of many texts at once.

    Args:
        lengths, sizes: tokens of the texts, and of their windows (B,) int32.
        overlap: tokens that neighbours share.

    Returns:
        The text of each window, its start and its end, each (W,) int32.
    """
    check = tf.debugging.Assert(
        tf.reduce_all((lengths <= sizes) | (sizes > overlap)),
        [f"overlap must be below the window's size; got {overlap} and", sizes],
    )
    with tf.control_dependencies([check]):
        steps = tf.maximum(sizes - overlap, 1)
    further = tf.maximum(lengths - sizes, 0)
    counts = 1 + (further + steps - 1) // steps
    index = owners_of(counts)
    number = tf.ragged.range(counts).flat_values
    starts = number * tf.gather(steps, index)
    return index, starts, tf.minimum(starts + tf.gather(sizes, index), tf.gather(lengths, index))


def _dense(columns, fill):
    """Ragged (W, None) columns side by side, filled up: (W, T), T at least 1."""
    dense = tf.concat(columns, axis=1).to_tensor(fill)
    missing = tf.maximum(1 - tf.shape(dense)[1], 0)
    return tf.pad(dense, [[0, 0], [0, missing]], constant_values=fill)


def _size(ragged):
    return [tf.size(ragged.flat_values)]
