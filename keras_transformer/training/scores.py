"""Scores of tagging and of retrieval as their fields define them, and a callback for any score.

Q queries, N candidates
"""

import collections

import keras
import numpy as np


class Scores(keras.callbacks.Callback):
    """Writes the scores of a function to the logs after fit-epochs, as `val_...`.

    Place it before callbacks that read them.

    Args:
        score: function without arguments to a dict of names to numbers.
        every: fit-epochs between two scores. After the last fit-epoch there always is one.
        prefix: before each name.

    Raises:
        ValueError: `every` is below 1.

    Example:

    >>> import keras, numpy as np
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0,
    ...                     callbacks=[Scores(lambda: {"f1": 0.5})])
    >>> history.history["val_f1"]
    [0.5]
    """

    def __init__(self, score, every=1, prefix="val_"):
        super().__init__()
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every!r}")
        self.score, self.every, self.prefix = score, every, prefix

    def on_epoch_end(self, epoch, logs=None):
        is_last = epoch + 1 == self.params.get("epochs")
        if logs is None or ((epoch + 1) % self.every and not is_last):
            return
        logs.update({f"{self.prefix}{name}": value for name, value in self.score().items()})


def entity_scores(predicted, expected):
    """Precision, recall and F1 of entities, in percent: right are those of right type and place.

    As `conlleval` and seqeval count them: over all texts together ("micro"), each entity once.

    Args:
        predicted: for each text a list of spans (label, start, end).
        expected: likewise.

    Returns:
        dict of "precision", "recall", "f1", of "support", the number of those expected, and of
        "types": {label: dict of the same four}.

    Raises:
        ValueError: there are not as many texts of each, or a span is not (label, start, end).

    Example:

    >>> scores = entity_scores([[("LOC", 0, 2), ("PER", 4, 5)]], [[("LOC", 0, 2), ("PER", 4, 6)]])
    >>> scores["f1"], scores["types"]["LOC"]["f1"], scores["types"]["PER"]["f1"]
    (50.0, 100.0, 0.0)

    Reference: Tjong Kim Sang and De Meulder 2003, "Introduction to the CoNLL-2003 Shared Task",
        section 2.3; [seqeval](https://github.com/chakki-works/seqeval).
    """
    if len(predicted) != len(expected):
        raise ValueError(
            f"predicted must be as many as expected, {len(expected)}; got {len(predicted)}"
        )
    counts = collections.defaultdict(collections.Counter)
    for own, wanted in zip(predicted, expected, strict=True):
        own, wanted = ({_checked(span) for span in spans} for spans in (own, wanted))
        for kind, spans in (("found", own), ("wanted", wanted), ("right", own & wanted)):
            for label, *_ in spans:
                counts[label][kind] += 1
    total = sum(counts.values(), collections.Counter())
    types = {label: _f1(counts[label]) for label in sorted(counts)}
    return {**_f1(total), "types": types}


def retrieval_scores(queries, candidates, expected=None):
    """How well the vectors that are nearest by cosine are those that belong together.

    Args:
        queries: (Q, D).
        candidates: (N, D).
        expected: (Q,) the number of the candidate that belongs to each query; by default its own.

    Returns:
        dict of "accuracy_at_1" and "mrr", the mean of 1 / rank, in percent. A candidate that is
        as near as the right one counts as nearer.

    Raises:
        ValueError: the widths differ, or the numbers of queries and of what is expected; there is
            no query, a vector is not finite, or what is expected is no number of a candidate.

    Example:

    >>> retrieval_scores([[1, 0], [0, 1], [1, 1]], [[2, 0], [0, 3], [0, 1]])
    {'accuracy_at_1': 33.333, 'mrr': 61.111}

    Reference: Voorhees 1999, "The TREC-8 Question Answering Track Report", section 3.
    """
    queries, candidates = (np.asarray(x, "float32") for x in (queries, candidates))
    expected = np.arange(len(queries)) if expected is None else np.asarray(expected)
    shapes = queries.shape, candidates.shape
    if queries.ndim != 2 or shapes[0][1:] != shapes[1][1:] or expected.shape != (len(queries),):
        raise ValueError(
            "queries (Q, D), candidates (N, D) and expected (Q,) do not fit: got "
            f"{queries.shape}, {candidates.shape} and {expected.shape}"
        )
    if not len(queries):
        raise ValueError("queries must be at least one; got none")
    for name, vectors in (("queries", queries), ("candidates", candidates)):
        if not np.isfinite(vectors).all():
            raise ValueError(f"{name} must be finite; got NaN or infinity")
    outside = (expected < 0) | (expected >= len(candidates))
    if outside.any():
        raise ValueError(
            f"expected must be 0 to {len(candidates) - 1}, numbers of candidates; "
            f"got {expected[outside][0]}"
        )
    queries, candidates = _unit(queries), _unit(candidates)
    ranks = []
    for start in range(0, len(queries), 1024):  # not all Q·N at once
        cosines = queries[start : start + 1024] @ candidates.T  # (q, N)
        right = np.take_along_axis(cosines, expected[start : start + 1024, None], axis=1)
        ranks.append((cosines >= right).sum(axis=1))
    ranks = np.concatenate(ranks)
    return {
        "accuracy_at_1": round(100 * float(np.mean(ranks == 1)), 3),
        "mrr": round(100 * float(np.mean(1 / ranks)), 3),
    }


def _checked(span):
    if isinstance(span, str | dict) or len(span) != 3:
        raise ValueError(f"spans must be (label, start, end); got {span!r}")
    return tuple(span)


def _f1(counts):
    found, wanted, right = (counts[kind] for kind in ("found", "wanted", "right"))
    return {
        "precision": 100 * right / max(found, 1),
        "recall": 100 * right / max(wanted, 1),
        "f1": 200 * right / max(found + wanted, 1),
        "support": wanted,
    }


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
