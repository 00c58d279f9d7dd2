"""Names of classes and their ids."""

import numpy as np
import pytest

from keras_transformer.data import Labels, read_table

NAMES = ("negative", "neutral", "positive")


def test_ids_are_places_and_names_come_back():
    labels = Labels(NAMES)
    ids = labels.ids(["positive", "negative", "positive"])
    assert ids.tolist() == [2, 0, 2] and ids.dtype == np.int32
    assert tuple(labels.name(i) for i in range(len(labels))) == tuple(labels) == NAMES
    assert "neutral" in labels and "other" not in labels


def test_the_order_does_not_depend_on_that_of_the_records():
    assert Labels.of(["b", "a", "c", "a"]) == Labels.of(["c", "b", "a"]) == Labels(["a", "b", "c"])
    assert Labels.of([["x"], [], ["y", "x"]]).names == ("x", "y")


def test_whole_numbers_are_in_the_order_of_their_size():
    assert Labels.of(["10", "9", "-1", "0"]).names == ("-1", "0", "9", "10")
    assert Labels.of(["10", "9", "a"]).names == ("10", "9", "a")


def test_an_unseen_label_names_file_line_and_the_known_ones(write):
    path = write("dev.tsv", "x\ty\n-\tneutral\n-\tneutrl\n")
    table = read_table(path)
    expected = f"{path}:3: unknown label 'neutrl'; expected one of 'negative', 'neutral', 'positiv"
    with pytest.raises(ValueError) as error:
        Labels(NAMES).ids(table.labels("y"), table.where)
    assert str(error.value).startswith(expected)
    with pytest.raises(ValueError) as error:
        Labels(NAMES).indicators(table.label_lists("y"), table.where)
    assert str(error.value).startswith(expected)


def test_an_error_lists_some_of_many_labels():
    labels = Labels([f"{i:03}" for i in range(151)])
    with pytest.raises(ValueError, match="unknown label '151'; .*'019' and 131 more$"):
        labels.id("151")


def test_indicators_hold_every_label_of_a_record():
    rows = Labels(NAMES).indicators([["positive", "negative"], [], ["neutral"]])
    assert rows.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]] and rows.dtype == np.float32


@pytest.mark.parametrize(
    "names, error, message",
    [
        ((), ValueError, "at least one"),
        (("a", "b", "a"), ValueError, "'a' comes more than once"),
        (("a", " "), ValueError, "blank"),
        (("a", 3), TypeError, "must be str; got 3"),
        ("ab", TypeError, "several str"),
    ],
)
def test_wrong_names_are_refused(names, error, message):
    with pytest.raises(error, match=message):
        Labels(names)
    with pytest.raises(ValueError, match="id must be 0 to 2; got 3"):
        Labels(NAMES).name(3)
