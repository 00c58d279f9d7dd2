"""Attention drawn as a heatmap, with the words on both axes.

Letters: H heads, T rows (queries), S columns (keys).
"""

import math
import unicodedata
from collections.abc import Sequence

import numpy as np

from keras_transformer.explain import plots

CELL, HEAD = 30, 24  # pixels: the side of a cell, the height of a head's number


def attention_heatmap(
    scores, rows: Sequence[str], columns: Sequence[str], title: str = "", heads: str | int = "mean"
):
    """Draws who looks at whom: one row per query, one column per key.

    With `heads="mean"` a cell is the mean of softmax(Q Kᵀ / sqrt(d)) over the heads, and each row
    still sums to 1.

    Args:
        scores: attention weights, (T, S) or (H, T, S), each row summing to 1 or, for a query with
            nothing to attend to, 0. One sentence without its padding.
        rows: T words that look. Words may repeat.
        columns: S words that are looked at.
        title: written above the figure; empty for none.
        heads: "mean" of the heads, "each" head in its own panel, or the number of one head.

    Returns:
        A `plotly.graph_objects.Figure`: `.show()`, `.to_html()`, or a part of a `Report`.

    Raises:
        ValueError: shapes and words that do not fit, weights outside 0..1, or no such head.
        ImportError: plotly is not installed (extra `recipes`).

    Example:
        >>> scores = [[0.9, 0.1, 0.0], [0.1, 0.2, 0.7]]
        >>> figure = attention_heatmap(scores, ["a", "dog"], ["ein", "klein", "Hund"])
        >>> figure.data[0].z.shape
        (2, 3)

    Reference: Bahdanau, Cho and Bengio 2015, Neural Machine Translation by Jointly Learning to
    Align and Translate, figure 3.
    """
    panels = select_heads(scores, rows, columns, heads)
    go = plots.graph_objects()
    # All in pixels, so that cells are square whatever the number of words and panels.
    wide, high = CELL * len(columns), CELL * len(rows)
    left = 18 + max(_pixels(word) for word in rows)
    top = 18 + round(0.71 * max(_pixels(word) for word in columns))  # turned by 45 degrees
    right = max(16, top - CELL)  # the last column's word leans out
    top += HEAD if len(panels) > 1 else 0
    across = min(len(panels), 4)
    down = math.ceil(len(panels) / across)
    title_high = 40 if title else 0
    inner_wide = across * wide + (across - 1) * (left + right)
    inner_high = down * high + (down - 1) * (top + 16)
    figure = go.Figure(
        layout=plots.layout(
            title={"text": plots.plain(title), "x": 0, "xref": "container", "pad": {"l": 8}}
            if title
            else None,
            width=left + inner_wide + right,
            height=title_high + top + inner_high + 16,
            margin={"l": left, "r": right, "t": title_high + top, "b": 16},
        )
    )
    for i, panel in enumerate(panels):
        number = "" if i == 0 else str(i + 1)
        figure.add_trace(
            go.Heatmap(
                z=panel,
                zmin=0.0,
                zmax=1.0,
                colorscale=plots.SEQUENTIAL,
                showscale=False,
                xgap=1,
                ygap=1,
                xaxis=f"x{number}",
                yaxis=f"y{number}",
                # Positions, not words, are the coordinates: a word that occurs twice has two rows.
                customdata=[
                    [plots.plain(f"{row} → {column}") for column in columns] for row in rows
                ],
                hovertemplate="%{customdata}: %{z:.2f}<extra></extra>",
            )
        )
        x = (i % across) * (wide + left + right) / inner_wide
        y = 1 - (i // across) * (high + top + 16) / inner_high
        axis = {"showgrid": False, "zeroline": False, "showline": False}
        axis |= {"ticks": "outside", "ticklen": 4, "tickcolor": "rgba(0,0,0,0)"}
        figure.layout[f"xaxis{number}"] = axis | {
            "tickvals": list(range(len(columns))),
            "ticktext": [plots.plain(word) for word in columns],
            "domain": [x, min(1.0, x + wide / inner_wide)],
            "anchor": f"y{number}",
            "side": "top",
            "tickangle": -45,
        }
        figure.layout[f"yaxis{number}"] = axis | {
            "tickvals": list(range(len(rows))),
            "ticktext": [plots.plain(word) for word in rows],
            "domain": [max(0.0, y - high / inner_high), y],
            "anchor": f"x{number}",
            "autorange": "reversed",
        }
        if len(panels) > 1:
            figure.add_annotation(
                text=f"head {i}",
                x=x,
                y=y,
                xref="paper",
                yref="paper",
                xanchor="left",
                yanchor="bottom",
                yshift=top - HEAD,
                showarrow=False,
            )
    return figure


def attention_of_words(scores, rows: Sequence[str], columns: Sequence[str], mark: str = "▁"):
    """Attention between pieces of words made attention between words.

    What the pieces of a word receive is added up, what they give is averaged: each row sums to
    what it summed to before.

    Args:
        scores: (..., T, S) attention weights.
        rows, columns: T and S pieces; one that starts with `mark` starts a word, and so does one
            in angle brackets, such as </s>.
        mark: of a word's start, SentencePiece's by default.

    Returns:
        Scores (..., words, words) float32, the words of the rows and those of the columns.

    Example:
        >>> scores, rows, columns = attention_of_words(
        ...     [[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]], ["▁dog", "</s>"], ["▁Hu", "nd", "</s>"])
        >>> np.allclose(scores, [[0.9, 0.1], [0.3, 0.7]]), rows, columns
        (True, ['dog', '</s>'], ['Hund', '</s>'])

    Reference: Clark et al. 2019, What Does BERT Look At?, section 4.1.
    """
    scores = np.asarray(scores, "float32")
    if scores.shape[-2:] != (len(rows), len(columns)):
        raise ValueError(
            f"scores: got shape {scores.shape}, but {len(rows)} rows and {len(columns)} columns "
            f"need (..., {len(rows)}, {len(columns)})"
        )
    row_starts, row_words = _words(rows, mark)
    column_starts, column_words = _words(columns, mark)
    sizes = np.diff([*row_starts, len(rows)]).astype("float32")
    scores = np.add.reduceat(scores, column_starts, axis=-1)
    scores = np.add.reduceat(scores, row_starts, axis=-2) / sizes[:, None]
    return scores, row_words, column_words


def select_heads(scores, rows, columns, heads="mean") -> np.ndarray:
    """Checks scores against their words; the panels to draw, (N, T, S) float32."""
    scores = np.asarray(scores, "float32")
    expected = (len(rows), len(columns))
    if scores.ndim not in (2, 3) or scores.shape[-2:] != expected or not scores.size:
        raise ValueError(
            f"scores: got shape {scores.shape}, but {len(rows)} rows and {len(columns)} columns "
            f"need (T, S) = {expected} or (H, T, S), all at least 1"
        )
    if not (scores.min() >= -1e-3 and scores.max() <= 1 + 1e-3):  # also refuses NaN
        raise ValueError(
            f"scores: got values from {scores.min()} to {scores.max()}, allowed are attention "
            f"weights, 0 to 1"
        )
    scores = scores.reshape(-1, *expected)
    if heads == "mean":
        return scores.mean(axis=0, keepdims=True)
    if heads == "each":
        return scores
    if not isinstance(heads, int) or not 0 <= heads < len(scores):
        raise ValueError(
            f"heads: got {heads!r}, allowed are 'mean', 'each' and 0 to {len(scores) - 1}"
        )
    return scores[heads : heads + 1]


def _words(pieces: Sequence[str], mark: str) -> tuple[list[int], list[str]]:
    """The positions at which words start, and the words."""
    starts, words, last_is_special = [], [], True
    for i, piece in enumerate(pieces):
        special = piece.startswith("<") and piece.endswith(">") and len(piece) > 2
        if piece.startswith(mark) or special or last_is_special:
            starts.append(i)
            words.append("")
        words[-1] += piece.removeprefix(mark)
        last_is_special = special
    return starts, words


def _pixels(word: str) -> int:
    """About the width of a word at 13 pixels; Chinese and Japanese letters are twice as wide."""
    return round(sum(13 if unicodedata.east_asian_width(c) in "WF" else 7.5 for c in word))
