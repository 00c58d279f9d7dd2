"""Which classes are taken for which.

C classes
"""

from collections.abc import Sequence

import numpy as np

from keras_transformer.explain import plots

LARGEST = 40  # classes that a heatmap has room for


def confusion_matrix(expected: Sequence[str], predicted: Sequence[str], labels: Sequence[str]):
    """How often a class was taken for another: rows are what it is, columns what was said.

    Args:
        expected, predicted: a label for each record.
        labels: the C classes.

    Returns:
        (C, C) int array.

    Raises:
        ValueError: the lists differ in length, or a label is none of the classes.

    Example:
        >>> confusion_matrix(["a", "a", "b"], ["a", "b", "b"], ["a", "b"]).tolist()
        [[1, 1], [0, 1]]
    """
    if len(expected) != len(predicted):
        raise ValueError(f"predicted: got {len(predicted)}, expected {len(expected)}")
    number = {label: i for i, label in enumerate(labels)}
    unknown = sorted({*expected, *predicted} - number.keys())
    if unknown:
        raise ValueError(f"labels: {unknown[0]!r} is none of them")
    matrix = np.zeros((len(labels), len(labels)), int)
    rows, columns = ([number[label] for label in side] for side in (expected, predicted))
    np.add.at(matrix, (rows, columns), 1)
    return matrix


def confusions(matrix, labels: Sequence[str], limit: int = 20) -> list[tuple]:
    """The most frequent mistakes: (what it is, what was said, how often), most frequent first.

    Example:
        >>> confusions([[5, 2], [3, 7]], ["a", "b"])
        [('b', 'a', 3), ('a', 'b', 2)]
    """
    wrong = np.array(matrix)
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    places = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [(labels[i], labels[j], int(wrong[i, j])) for i, j in places if wrong[i, j]]


def confusion_heatmap(matrix, labels: Sequence[str]):
    """The matrix as a figure: each row in shares of its class.

    Args:
        matrix: (C, C), as `confusion_matrix` gives it.
        labels: the C classes; of more than 40 those that are mistaken most often are shown.

    Returns:
        A `plotly.graph_objects.Figure`.

    Raises:
        ValueError: matrix and labels do not fit.
        ImportError: plotly is not installed (extra `recipes`).

    Example:
        >>> confusion_heatmap([[5, 2], [3, 7]], ["a", "b"]).data[0].z.shape
        (2, 2)
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (len(labels),) * 2:
        raise ValueError(f"labels: got {len(labels)} for a matrix of shape {matrix.shape}")
    if len(labels) > LARGEST:
        mistakes = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * np.diag(matrix)
        shown = np.sort(np.argsort(-mistakes, kind="stable")[:LARGEST])
    else:
        shown = np.arange(len(labels))
    shares = matrix[shown] / np.maximum(matrix[shown].sum(axis=1, keepdims=True), 1)
    names = [plots.plain(labels[i]) for i in shown]
    go = plots.graph_objects()
    axis = {"type": "category", "automargin": True, "showgrid": False, "tickvals": names}
    return go.Figure(
        go.Heatmap(
            z=shares[:, shown],
            x=names,
            y=names,
            customdata=matrix[np.ix_(shown, shown)],
            zmin=0,
            zmax=1,
            colorscale=plots.SEQUENTIAL,
            hovertemplate="%{y} taken for %{x}: %{customdata} (%{z:.0%})<extra></extra>",
        ),
        layout=plots.layout(
            height=max(260, 120 + 16 * len(names)),
            xaxis=axis | {"title": {"text": "said"}, "tickangle": -45},
            yaxis=axis | {"title": {"text": "is"}, "autorange": "reversed"},
        ),
    )
