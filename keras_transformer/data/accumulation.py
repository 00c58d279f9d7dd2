"""Weights that make sums of losses the mean over all targets of an optimizer step.

Letters: k batches of a step, R rows of a batch, L its length.
"""

import numpy as np
from keras import tree

from keras_transformer.data.batches import IGNORED, EpochBatches, check_int


class AccumulatedBatches(EpochBatches):
    """Batches with weights by which k of them learn as one large batch would.

    The mean loss over a large batch is not the mean of its parts' means where these have unequal
    numbers of targets. So each weight w is divided by the sum W of those of the k batches that
    make one step of the optimizer, and multiplied by k, which the optimizer divides by:

        loss of a batch = Σ (k w / W)·loss,  mean of k of them = Σ w·loss / W

    Compile with losses that sum (`reduction="sum"`) and `gradient_accumulation_steps=k`. With k = 1
    a batch's loss is the mean over its real targets, empty rows and padding left out. With k the
    number of batches, of equally many rows, the loss that `evaluate` gives is the mean over all.

    With k above 1 pass `shuffle=False` to `fit`, or a `stream`: permuted once more, the batches of
    a step would not be those whose W was summed.

    Args:
        batches: items (x, y, w) with w (R,), or of y's shape where y are labels of tokens; or
            (x, y), where y has -100 for what is not learned.
            y may be a dict of several kinds of targets, and w one of their weights; each kind has
            a W of its own.
        steps: k; batches `k·i` to `k·i + k - 1` of all epochs in a row are step i.
        **kwargs: `workers`, `use_multiprocessing`, `max_queue_size` of `keras.utils.PyDataset`.

    Returns:
        Item: (x, y, w) with w float32 of y's shape where y are labels of tokens, else (R,); a dict
        where y is one.

    Raises:
        ValueError: `steps` is below 1, the batches have no targets, or `fit` would permute them.

    Example:

    >>> from keras_transformer.data import RecordBatches
    >>> batches = RecordBatches([[5], [6], [7]], labels=[0, 1, 1], batch_size=2, shuffle=False)
    >>> for x, y, w in AccumulatedBatches(batches, steps=2):        # 3 records, k = 2
    ...     print([round(float(weight), 3) for weight in w])
    [0.667, 0.667]
    [0.667, 0.0]
    """

    def __init__(self, batches, steps=1, **kwargs):
        super().__init__(**kwargs)
        check_int("steps", steps, 1)
        self.batches, self.steps = batches, steps
        self._totals = {}
        self._begin()

    @property
    def num_batches(self):
        return self.batches.num_batches

    def _start(self, will_permute):
        if will_permute and self.steps > 1:
            raise ValueError(
                "shuffle must be False in fit: batches that are accumulated must keep their order "
                "(they are shuffled already)"
            )
        super()._start(will_permute)

    def _weights(self, item):
        return target_weights(item, getattr(self.batches, "has_token_labels", None))

    def _make_batch(self, epoch, step):
        item = self.batches.batch(epoch, step)
        weights = self._weights(item)
        total = _sums(weights)
        if self.steps > 1:
            total = self._total((epoch * self.num_batches + step) // self.steps)
        return item[0], item[1], tree.map_structure(self._scaled, weights, total)

    def _scaled(self, weights, total):
        scale = self.steps / total if total else 0.0
        return (weights * scale).astype("float32")

    def _total(self, group):
        """The sum of all weights of a step of the optimizer, for each kind of target."""
        totals = self._totals
        if group not in totals:
            numbers = range(group * self.steps, (group + 1) * self.steps)
            items = (self.batches.batch(*divmod(n, self.num_batches)) for n in numbers)
            each = [_sums(self._weights(item)) for item in items]
            total = tree.map_structure(lambda *sums: sum(sums), *each)
            # A new dict, as other threads may read the old one; two steps meet at a border.
            self._totals = totals = dict([*totals.items()][-1:]) | {group: total}
        return totals[group]

    def _samples(self):
        return [(item[0], item[1], self._weights(item)) for item in self.batches._samples()]


def target_weights(item, of_tokens=None):
    """What each target of a batch counts: 0 where there is nothing to learn.

    Args:
        item: (x, y) or (x, y, w).
        of_tokens: whether y are labels of tokens; None: if they are int, and without weights or
            as many as there are tokens.

    Returns:
        float32: y's shape where y are labels of tokens, else (R,); a dict where y is one.

    Raises:
        ValueError: the item has no targets.
    """
    if len(item) < 2:
        raise ValueError("batches must have targets, items (x, y) or (x, y, w); got items (x,)")
    x, y, *weights = item
    if isinstance(y, dict):
        given = weights[0] if weights else dict.fromkeys(y)
        return {name: _where_learned(labels, given[name]) for name, labels in y.items()}
    if of_tokens is None:
        of_tokens = y.dtype.kind in "iu" and (not weights or y.shape == x["token_ids"].shape)
    if not of_tokens:
        return weights[0].astype("float32") if weights else np.ones(len(y), "float32")
    return _where_learned(y, weights[0] if weights else None)


def _where_learned(labels, weights):
    """The weights (R,) or (R, ...) of labels (R, ...), 0 where a label says to learn nothing."""
    counted = (labels != IGNORED).astype("float32")
    if weights is None:
        return counted
    weights = weights.astype("float32")
    return counted * weights.reshape(weights.shape + (1,) * (labels.ndim - weights.ndim))


def _sums(weights):
    return tree.map_structure(lambda each: each.sum(), weights)
