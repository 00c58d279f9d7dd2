"""What a `Translator` answers with."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Alternative:
    """Another translation of the same text.

    Args:
        text: the translation.
        score: log-probability over the length penalty, as in `Translation`.

    Example:

    >>> print(Alternative("A dog runs.", -0.5))
    A dog runs.
    """

    text: str
    score: float

    def __str__(self):
        return self.text

    def to_dict(self) -> dict:
        """`text` and `score`."""
        return {"text": self.text, "score": self.score}


@dataclass(frozen=True)
class Alignment:
    """Which source pieces each target piece was written from.

    Args:
        scores: (T, S) float32 cross-attention, averaged over the heads of the last decoder block
            but one, where it comes nearest to an alignment of words. Each row sums to 1.
        source: the S pieces of the source, the end of sentence included.
        target: the T pieces of the translation, the end of sentence included.

    Example:

    >>> alignment = Alignment(np.eye(2), ("▁Hund", "</s>"), ("▁dog", "</s>"))
    >>> alignment.links()
    [('▁dog', '▁Hund'), ('</s>', '</s>')]

    Reference:
        Garg et al., Jointly Learning to Align and Translate with Transformer Models (2019).
    """

    scores: np.ndarray = field(repr=False, compare=False)
    source: tuple[str, ...]
    target: tuple[str, ...]

    def links(self) -> list[tuple[str, str]]:
        """Each target piece with the source piece that it attends to most."""
        best = np.argmax(self.scores, axis=1)
        return [(piece, self.source[i]) for piece, i in zip(self.target, best, strict=True)]

    def to_dict(self) -> dict:
        """`source`, `target` and `scores`, as lists."""
        return {
            "source": list(self.source),
            "target": list(self.target),
            "scores": np.asarray(self.scores, "float64").tolist(),
        }


@dataclass(frozen=True)
class Translation:
    """The translation of one text; printed, it is its text.

    Args:
        text: the best translation.
        score: its total log-probability divided by length ** length_penalty; higher is better.
        alternatives: the others of the n best, best first.
        alignment: where it was asked for.

    Example:

    >>> translation = Translation("A dog runs.", -0.5, (Alternative("One dog runs.", -0.75),))
    >>> print(translation, *translation.alternatives)
    A dog runs. One dog runs.
    >>> translation.to_dict()["alternatives"]
    [{'text': 'One dog runs.', 'score': -0.75}]
    """

    text: str
    score: float
    alternatives: tuple[Alternative, ...] = ()
    alignment: Alignment | None = None

    def __str__(self):
        return self.text

    def to_dict(self) -> dict:
        """All of it as JSON can hold it; what was not asked for is left out."""
        result = {"text": self.text, "score": self.score}
        if self.alternatives:
            result["alternatives"] = [other.to_dict() for other in self.alternatives]
        if self.alignment is not None:
            result["alignment"] = self.alignment.to_dict()
        return result
