"""Few fixed batch shapes with little padding, chosen from the lengths of a corpus.

Letters: N pairs, K shapes, R rows of a batch, S source length, T target length, G grid points.
"""

from typing import NamedTuple

import numpy as np

GRID = 40  # candidate lengths a side: about all of them in a corpus of sentences, else quantiles


class Shape(NamedTuple):
    """The shape of a batch: `rows` pairs of up to `source` and `target` tokens."""

    rows: int
    source: int
    target: int

    @property
    def slots(self):
        """Token slots of one row."""
        return self.source + self.target

    def fits(self, other):
        """Whether every pair of the shape `other` fits into this one."""
        return other.source <= self.source and other.target <= self.target


class Plan(NamedTuple):
    """Which pairs belong to which shape, and what becomes of those that fill no batch.

    Attributes:
        shapes: tuple of `Shape`, by growing `slots`; each has at least one batch.
        bucket: (N,) int64, each pair's own shape.
        promoted_to: tuple of int, where the leftovers of a shape go; -1: an incomplete batch of it.
        num_batches: tuple of int, the batches of each shape in an epoch.
    """

    shapes: tuple
    bucket: np.ndarray
    promoted_to: tuple
    num_batches: tuple

    @property
    def num_slots(self):
        """Token slots of an epoch, source and target, empty rows included."""
        return _num_slots(self.shapes, self.num_batches)


def make_plan(
    source_lengths,
    target_lengths,
    tokens_per_batch,
    num_shapes,
    max_padding=0.0,
    batch_size=None,
    count="target",
):
    """The plan of at most `num_shapes` shapes with the fewest token slots in an epoch.

    A pair goes to the cheapest shape that it fits into, and costs `S + T` slots there. The shapes
    are found greedily: beginning with the one that fits everything, the shape that saves most is
    added, then all are moved in turn to where they save most. What leftovers cost is known only
    once all shapes stand; a last round moves shapes by a few grid points as long as the batches
    of an epoch get fewer slots. Fewer shapes may do better on a small corpus, where leftovers
    weigh more, so every number of shapes is tried.

    Args:
        source_lengths, target_lengths: (N,) int arrays, N at least 1.
        tokens_per_batch: slots of a batch; a shape has `tokens_per_batch // T` rows.
        num_shapes: the most shapes allowed.
        max_padding: the share of slots that may be padding; no shape is added once it is reached.
        batch_size: rows of every shape, in place of `tokens_per_batch`.
        count: which slots `tokens_per_batch` counts, "target" or "both", which has
            `tokens_per_batch // (S + T)` rows.

    Returns:
        `Plan`.
    """
    enough = (source_lengths.sum() + target_lengths.sum()) / (1 - max_padding)
    grid = _Grid(source_lengths, target_lengths, tokens_per_batch, batch_size, count)
    solutions = []
    chosen = [grid.largest]
    while True:
        solutions.append(grid.polish(chosen))
        if len(chosen) == num_shapes or grid.num_slots(solutions[-1]) <= enough:
            break
        candidate, saved = grid.best_addition(chosen)
        if saved <= 0:
            break
        chosen = grid.settle([*chosen, candidate])
    chosen = min(solutions, key=grid.num_slots)
    shapes, bucket, promoted_to, num_batches = grid.assign(chosen)
    return Plan(shapes, bucket[grid.cell_of_pair], promoted_to, num_batches)


class _Grid:
    """The pairs counted on a grid of (S, T), and the search for shapes among its points."""

    def __init__(self, source_lengths, target_lengths, tokens_per_batch, batch_size, count):
        axes = [_axis(source_lengths), _axis(target_lengths)]
        source, target = (x.ravel() for x in np.meshgrid(*axes, indexing="ij"))  # (G*G,)
        self.width = len(axes[1])
        point = np.searchsorted(axes[0], source_lengths) * self.width
        point += np.searchsorted(axes[1], target_lengths)
        # Only the points that hold pairs need a home: C cells.
        cells, self.cell_of_pair, self.count = np.unique(
            point, return_inverse=True, return_counts=True
        )
        self.slots = source + target
        self.fits = (source[cells] <= source[:, None]) & (target[cells] <= target[:, None])
        counted = self.slots if count == "both" else target
        self.shapes = [
            Shape(batch_size or tokens_per_batch // int(n), int(s), int(t))
            for s, t, n in zip(source, target, counted, strict=True)
        ]
        self.largest = len(source) - 1

    def cost(self, chosen):
        """The slots that each cell's pairs take in the cheapest of the chosen shapes: (C,)."""
        return np.where(self.fits[chosen], self.slots[chosen, None], np.inf).min(0)

    def best_addition(self, chosen):
        """The point that saves most slots as a further shape, and how many."""
        saved = np.maximum(self.cost(chosen) - self.slots[:, None], 0)  # (G*G, C)
        saved = np.where(self.fits, saved, 0) @ self.count
        best = int(saved.argmax())
        return best, saved[best]

    def settle(self, chosen):
        """Moves one shape after the other to its best place until none moves; never the first."""
        total, before = self.cost(chosen) @ self.count, np.inf
        while total < before:
            before = total
            for i in range(1, len(chosen)):
                others = chosen[:i] + chosen[i + 1 :]
                chosen = [*chosen[:i], self.best_addition(others)[0], *chosen[i + 1 :]]
            total = self.cost(chosen) @ self.count
        return chosen

    def polish(self, chosen, reach=2):
        """Moves shapes by up to `reach` grid points as long as an epoch's batches get smaller."""
        best, before = self.num_slots(chosen), np.inf
        while best < before:
            before = best
            for i in range(1, len(chosen)):
                row, column = divmod(chosen[i], self.width)
                for r in range(max(row - reach, 0), row + reach + 1):
                    for c in range(max(column - reach, 0), min(column + reach + 1, self.width)):
                        point = min(r * self.width + c, self.largest)
                        moved = [*chosen[:i], point, *chosen[i + 1 :]]
                        slots = self.num_slots(moved)
                        if slots < best:
                            best, chosen = slots, moved
        return chosen

    def num_slots(self, chosen):
        shapes, _, _, num_batches = self.assign(chosen)
        return _num_slots(shapes, num_batches)

    def assign(self, chosen):
        """The fields of `Plan`, `bucket` by cell. A shape without a full batch is left out."""
        points = sorted(set(chosen), key=lambda point: (self.slots[point], point))
        while True:
            shapes = tuple(self.shapes[point] for point in points)
            bucket = self.fits[points].argmax(0)  # the first that fits is the cheapest
            sizes = np.bincount(bucket, self.count, len(points)).astype(int).tolist()
            promoted_to, num_batches = [], []
            for i, shape in enumerate(shapes):
                larger = (j for j in range(i + 1, len(shapes)) if shapes[j].fits(shape))
                larger = next(larger, -1)
                full, left = divmod(sizes[i], shape.rows)
                if larger >= 0:
                    sizes[larger] += left
                promoted_to.append(larger)
                num_batches.append(full + (larger < 0 and left > 0))
            if all(num_batches):
                return shapes, bucket, tuple(promoted_to), tuple(num_batches)
            points = [point for point, n in zip(points, num_batches, strict=True) if n]


def _axis(lengths):
    values = np.unique(lengths)
    if len(values) > GRID:
        values = np.unique(np.quantile(lengths, np.linspace(0, 1, GRID), method="higher"))
    return values.astype("int64")


def _num_slots(shapes, num_batches):
    return sum(n * s.rows * s.slots for s, n in zip(shapes, num_batches, strict=True))
