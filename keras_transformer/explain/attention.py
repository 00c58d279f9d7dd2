"""Attention drawn as a heatmap, with the words on both axes.

Letters: H heads, T rows (queries), S columns (keys).
"""

import math
from collections.abc import Sequence

import numpy as np

from keras_transformer.explain import plots

CELL = 30  # pixels


def attention_heatmap(
    scores, rows: Sequence[str], columns: Sequence[str], title: str = "", heads: str | int = "mean"
):
    """Draws who looks at whom: one row per query, one column per key, darker where it looks more.

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
    across = min(len(panels), 4)
    down = math.ceil(len(panels) / across)
    figure = go.Figure(
        layout=plots.layout(
            title={"text": title} if title else None,
            width=across * (CELL * len(columns) + 90) + 90,
            height=down * (CELL * len(rows) + 110) + (60 if title else 10),
            margin={"l": 90, "r": 20, "t": 110 if title else 70, "b": 10},
            grid={"rows": down, "columns": across, "pattern": "independent", "ygap": 0.3},
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
                customdata=[[f"{row} → {column}" for column in columns] for row in rows],
                hovertemplate="%{customdata}: %{z:.2f}<extra></extra>",
            )
        )
        axis = {"showgrid": False, "zeroline": False, "ticks": "", "automargin": True}
        head = {"text": f"head {i}"} if len(panels) > 1 else None
        figure.layout[f"xaxis{number}"] = axis | {
            "tickvals": list(range(len(columns))),
            "ticktext": [_plain(word) for word in columns],
            "side": "top",
            "tickangle": -45,
            "title": head,
        }
        figure.layout[f"yaxis{number}"] = axis | {
            "tickvals": list(range(len(rows))),
            "ticktext": [_plain(word) for word in rows],
            "autorange": "reversed",
        }
    return figure


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


def _plain(word: str) -> str:
    """Text that plotly shows as it is: it would take <b> and the like for markup."""
    return word.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") or " "
