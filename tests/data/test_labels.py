"""Names of classes and their ids."""

import numpy as np
import pytest

from keras_transformer.data import Labels, balanced_weights, read_table

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


def test_balanced_classes_weigh_the_same():
    ids = np.array([0] * 7 + [1] * 2 + [3])
    weights = balanced_weights(ids, num_classes=4)
    sums = [weights[ids == i].sum() for i in range(4)]
    np.testing.assert_allclose(sums, [2.5, 2.5, 0, 2.5], rtol=1e-6)
    assert balanced_weights([1, 0, 1, 0], 2).tolist() == [1, 1, 1, 1]
    with pytest.raises(ValueError, match="ids must be 0 to 1; got 2"):
        balanced_weights([0, 2], 2)


def test_one_str_is_no_list_of_labels():
    labels = Labels(("a", "b", "ab"))
    with pytest.raises(TypeError, match="train.csv:1: name_lists must hold lists of str; got 'ab'"):
        labels.indicators(["ab"], where=lambda n: f"train.csv:{n + 1}")
    with pytest.raises(TypeError, match="the one str 'positive'"):
        Labels.of("positive")
    with pytest.raises(TypeError, match="values must be str, or lists of str; got 0"):
        Labels.of([0, 1])
