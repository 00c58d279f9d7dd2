"""The template in the graph gives the inputs that the Python side gives."""

import random

import numpy as np
import pytest

from keras_transformer.text import Template, Tokenizer, pad_encodings
from keras_transformer.text.template import truncated_lengths, windows

pytestmark = pytest.mark.tensorflow
PAD = 89
TEMPLATES = {
    "none": Template(),
    "bert": Template.of([71, "A", 73], [71, "A", 73, "B:1", "73:1"]),
    "t5": Template.of(["A", 73], ["A", 73, "B", 73]),
    "mbart": Template.of([79, "A", 73], [79, "A", "B", 73]),
}


class Ids(Tokenizer):
    """Texts that are rows of ids already."""

    vocab_size, _decode, pieces, id_of = 97, None, None, None
    graph_twin, save, get_config = None, None, None

    def __init__(self, template):
        self.template = template

    def _encode(self, lines):
        return [[int(word) for word in line.split()] for line in lines]

    def _encode_with_offsets(self, lines):
        return [(ids, [(i, i) for i in range(len(ids))]) for ids in self._encode(lines)]


def check_equal(template, firsts, seconds, **settings):
    import tensorflow as tf

    from keras_transformer.text.graph_template import GraphTemplate

    def ragged(rows):
        return None if rows is None else tf.ragged.constant(rows, tf.int32, ragged_rank=1)

    def lines(rows):
        return None if rows is None else [" ".join(map(str, row)) for row in rows]

    found = GraphTemplate(template, PAD)(ragged(firsts), ragged(seconds), **settings)
    expected = Ids(template)(lines(firsts), lines(seconds), offsets=True, **settings)
    for name, value in pad_encodings(expected, PAD).items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype.name == value.dtype.name
    assert found["index"].numpy().tolist() == [e.index for e in expected]
    length = found["token_ids"].shape[1]
    for name, value in (
        ("source_ids", [e.sources for e in expected]),
        (
            "places",
            [
                [p if s >= 0 else -1 for (p, _), s in zip(e.offsets, e.sources, strict=True)]
                for e in expected
            ],
        ),
    ):
        assert found[name].numpy().tolist() == [row + [-1] * (length - len(row)) for row in value]


def rows(rng, number, most):
    return [[rng.randrange(70) for _ in range(rng.randrange(most))] for _ in range(number)]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("pair", [False, True])
def test_inputs_are_cut_alike(name, pair):
    rng, template = random.Random(3), TEMPLATES[name]
    for max_length in (None, 5, 8, 13, 14, 29):
        firsts, seconds = rows(rng, 31, 23), rows(rng, 31, 23) if pair else None
        check_equal(template, firsts, seconds, max_length=max_length)


@pytest.mark.parametrize("truncation", ["only_first", "only_second"])
def test_one_text_is_cut_alike(truncation):
    rng, template = random.Random(5), TEMPLATES["bert"]
    for max_length in (13, 17, 23):
        texts = rows(rng, 31, 10), rows(rng, 31, 31)
        firsts, seconds = texts if truncation == "only_second" else texts[::-1]
        check_equal(template, firsts, seconds, max_length=max_length, truncation=truncation)
    check_equal(template, firsts, None, max_length=7, truncation="only_first")


@pytest.mark.parametrize("truncation", ["only_first", "only_second"])
def test_windows_are_alike(truncation):
    rng, template = random.Random(7), TEMPLATES["bert"]
    for max_length, overlap in ((17, 0), (19, 3), (23, 5)):
        texts = rows(rng, 31, 9), rows(rng, 31, 61)
        firsts, seconds = texts if truncation == "only_second" else texts[::-1]
        settings = {"max_length": max_length, "truncation": truncation, "overlap": overlap}
        check_equal(template, firsts, seconds, **settings)


def test_nothing_gives_one_column_of_padding():
    check_equal(TEMPLATES["none"], [[]], None)
    check_equal(TEMPLATES["none"], [[], []], [[], []], max_length=3)
    check_equal(TEMPLATES["bert"], [], None)
    check_equal(TEMPLATES["bert"], [], [], max_length=9, truncation="only_second", overlap=2)


def test_any_lengths_are_cut_alike():
    from keras_transformer.text import graph_template

    rng = np.random.default_rng(11)
    sizes = rng.integers(0, 50, (2, 10_000)).astype("int32")
    for truncation in ("longest_first", "only_first", "only_second"):
        room = 53  # above either text alone
        found = graph_template.truncated_lengths(*sizes, room=room, truncation=truncation)
        expected = [truncated_lengths(*pair, room, truncation) for pair in sizes.T.tolist()]
        np.testing.assert_array_equal(np.stack(found, axis=1), expected)
    for room in (0, 1, 7, 24):
        found = graph_template.truncated_lengths(*sizes, room=room, truncation="longest_first")
        expected = [truncated_lengths(*pair, room, "longest_first") for pair in sizes.T.tolist()]
        np.testing.assert_array_equal(np.stack(found, axis=1), expected)
    for overlap in (0, 1, 5):
        lengths, least = sizes[0], np.maximum(sizes[1], overlap + 1)
        expected = [
            (i, *span)
            for i, pair in enumerate(zip(lengths.tolist(), least.tolist(), strict=True))
            for span in windows(*pair, overlap)
        ]
        found = graph_template.windows(lengths, least, overlap)
        np.testing.assert_array_equal(np.stack(found, axis=1), expected)


def test_what_cannot_be_is_refused():
    import tensorflow as tf

    from keras_transformer.text.graph_template import GraphTemplate

    template = GraphTemplate(TEMPLATES["bert"], PAD)
    ids = tf.ragged.constant([[1, 2, 3, 4, 5, 6, 7]], tf.int32)
    with pytest.raises(tf.errors.InvalidArgumentError, match="cannot help"):
        template(ids, ids, max_length=9, truncation="only_second")
    with pytest.raises(tf.errors.InvalidArgumentError, match="overlap must be below"):
        template(ids, ids, max_length=12, truncation="only_second", overlap=2)
    with pytest.raises(ValueError, match="truncation must be one of"):
        template(ids, max_length=9, truncation="longest")
    with pytest.raises(ValueError, match="max_length must be at least 3"):
        template(ids, max_length=2)
    with pytest.raises(ValueError, match="overlap needs max_length"):
        template(ids, max_length=9, overlap=2)
    with pytest.raises(ValueError, match="needs a second text"):
        template(ids, max_length=9, truncation="only_second")
