"""Heatmaps: the words stand where their scores stand, and wrong scores are refused."""

import doctest
import sys

import numpy as np
import pytest

pytest.importorskip("plotly")

from keras_transformer.explain import attention, plots  # noqa: E402
from keras_transformer.explain.attention import (  # noqa: E402
    attention_heatmap,
    attention_of_words,
    select_heads,
)

ROWS, COLUMNS = ["a", "dog", "</s>"], ["ein", "Hund", "ein", "<b>", "</s>"]


def weights(heads=7, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(5), size=(heads, 3)).astype("float32")


def test_docstrings():
    assert doctest.testmod(attention).failed == 0


def test_a_cell_is_the_mean_over_heads():
    scores = weights()
    figure = attention_heatmap(scores, ROWS, COLUMNS)
    assert len(figure.data) == 1
    np.testing.assert_allclose(figure.data[0].z, scores.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(np.sum(figure.data[0].z, axis=-1), 1, rtol=1e-5)


def test_words_label_their_own_rows_and_columns():
    figure = attention_heatmap(weights(), ROWS, COLUMNS, title="Ein <i>Titel</i>")
    x, y = figure.layout.xaxis, figure.layout.yaxis
    assert list(y.ticktext) == ["a", "dog", "&lt;/s&gt;"] and list(y.tickvals) == [0, 1, 2]
    assert list(x.ticktext) == ["ein", "Hund", "ein", "&lt;b&gt;", "&lt;/s&gt;"]
    assert list(x.tickvals) == [0, 1, 2, 3, 4]
    assert y.autorange == "reversed"  # the first word is at the top
    assert figure.layout.title.text == "Ein &lt;i&gt;Titel&lt;/i&gt;"
    assert figure.data[0].customdata[1][2] == "dog → ein"


def test_cells_are_square():
    for heads in ("mean", "each"):
        layout = attention_heatmap(weights(), ROWS, COLUMNS, heads=heads).layout
        inner_wide = layout.width - layout.margin.l - layout.margin.r
        inner_high = layout.height - layout.margin.t - layout.margin.b
        panels = 1 if heads == "mean" else 7
        for i in range(panels):
            number = "" if i == 0 else str(i + 1)
            left, right = layout[f"xaxis{number}"].domain
            bottom, top = layout[f"yaxis{number}"].domain
            assert (right - left) * inner_wide / 5 == pytest.approx(attention.CELL)
            assert (top - bottom) * inner_high / 3 == pytest.approx(attention.CELL)


def test_each_head_has_its_panel():
    scores = weights()
    figure = attention_heatmap(scores, ROWS, COLUMNS, heads="each")
    assert len(figure.data) == 7
    for head, trace in enumerate(figure.data):
        np.testing.assert_array_equal(trace.z, scores[head])
    assert [note.text for note in figure.layout.annotations] == [f"head {i}" for i in range(7)]
    one = attention_heatmap(scores, ROWS, COLUMNS, heads=3)
    np.testing.assert_array_equal(one.data[0].z, scores[3])


@pytest.mark.parametrize(
    "scores, rows, heads, message",
    [
        (weights(), ROWS[:2], "mean", r"scores: got shape \(7, 3, 5\), but 2 rows and 5 columns"),
        (np.zeros((2, 7, 3, 5)), ROWS, "mean", "scores: got shape"),
        (np.zeros((0, 5)), [], "mean", "all at least 1"),
        (3 * weights(), ROWS, "mean", "scores: got values from"),
        (np.full((3, 5), np.nan), ROWS, "mean", "scores: got values from nan"),
        (weights(), ROWS, 7, "heads: got 7, allowed are 'mean', 'each' and 0 to 6"),
        (weights(), ROWS, "max", "heads: got 'max'"),
    ],
)
def test_what_does_not_fit_is_refused(scores, rows, heads, message):
    with pytest.raises(ValueError, match=message):
        attention_heatmap(scores, rows, COLUMNS, heads=heads)


def test_a_query_with_nothing_to_attend_to_may_be_drawn():
    assert select_heads(np.zeros((3, 5)), ROWS, COLUMNS).max() == 0


def test_words_receive_the_sum_and_give_the_mean_of_their_pieces():
    pieces_in = ["▁Ein", "▁klein", "er", "▁Hund", "</s>"]
    pieces_out = ["<s>", "▁A", "▁lit", "tle", "▁dog"]
    scores = np.random.default_rng(1).dirichlet(np.ones(5), size=(2, 3, 5)).astype("float32")
    words, rows, columns = attention_of_words(scores, pieces_out, pieces_in)
    assert rows == ["<s>", "A", "little", "dog"] and columns == ["Ein", "kleiner", "Hund", "</s>"]
    assert words.shape == (2, 3, 4, 4)
    np.testing.assert_allclose(words.sum(axis=-1), 1, rtol=1e-5)
    expected = scores[..., 2:4, 1:3].sum(axis=-1).mean(axis=-1)
    np.testing.assert_allclose(words[..., 2, 1], expected, rtol=1e-5)
    with pytest.raises(ValueError, match="scores: got shape"):
        attention_of_words(scores, pieces_out[1:], pieces_in)


def test_without_plotly_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(ImportError, match=r"keras-transformer-zoo\[recipes\]"):
        plots.graph_objects()


def test_special_tokens_are_no_markup_in_what_a_pointer_shows():
    figure = attention_heatmap(np.eye(2), ["<s>", "dog"], ["<s>", "</s>"])
    assert figure.data[0].customdata[1][1] == "dog → &lt;/s&gt;"
