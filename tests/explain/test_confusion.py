"""What was taken for what, and texts with spans in colour."""

import numpy as np
import pytest

from keras_transformer import explain


def test_rows_are_what_it_is_and_columns_what_was_said():
    matrix = explain.confusion_matrix(["a", "b", "b", "b"], ["c", "b", "c", "c"], ["a", "b", "c"])
    assert matrix.tolist() == [[0, 0, 1], [0, 1, 2], [0, 0, 0]]
    assert explain.confusions(matrix, ["a", "b", "c"]) == [("b", "c", 2), ("a", "c", 1)]


def test_a_label_that_is_no_class_is_named():
    with pytest.raises(ValueError, match="'d' is none of them"):
        explain.confusion_matrix(["a"], ["d"], ["a"])


def test_of_many_classes_the_most_mistaken_are_shown():
    matrix = 5 * np.eye(53, dtype=int)
    matrix[7, 11] = 3
    figure = explain.confusion_heatmap(matrix, [f"c{i}" for i in range(53)])
    assert figure.data[0].z.shape == (40, 40)
    assert {"c7", "c11"} <= set(figure.data[0].x)


def test_spans_are_marked_and_text_is_escaped():
    html = explain.marked_text("<b> in Rome & Oslo", [("CITY", 14, 18), ("CITY", 7, 11)])
    assert html.startswith("&lt;b&gt; in <mark")
    assert html.count("<mark") == 2 and "<small> CITY</small></mark> &amp; <mark" in html


@pytest.mark.parametrize("spans", [[("A", 0, 3), ("B", 2, 4)], [("A", 3, 9)], [("A", 2, 2)]])
def test_spans_that_overlap_or_leave_the_text_are_refused(spans):
    with pytest.raises(ValueError, match="overlaps another or leaves the text"):
        explain.marked_text("hello", spans)


def test_report_shows_confusions_and_records():
    report = explain.Report("Title")
    report.add_confusion(["a", "b"], ["b", "b"], ["a", "b"])
    report.add_records("Worst", ["Text", "Score"], [["<i>", 0.5], [("Rome", [("LOC", 0, 4)]), 1]])
    html = report.html()
    assert "&lt;i&gt;" in html and "<small> LOC</small>" in html and "taken for" in html
    with pytest.raises(ValueError):
        report.add_records("Worst", ["Text", "Score"], [["one"]])


def test_names_of_classes_are_no_markup():
    figure = explain.confusion_heatmap([[5, 2], [3, 7]], ["a<b>c", "d"])
    assert figure.data[0].x[0] == "a&lt;b&gt;c"
