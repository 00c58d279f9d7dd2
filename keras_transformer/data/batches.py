"""What all batches share: each is a pure function of (data, seed, epoch, step)."""

import functools
import sys

import keras
import numpy as np

IGNORED = -100  # the label that the loss leaves out


class Batches(keras.utils.PyDataset):
    """A data set whose batches have several shapes. Not used by itself.

    On TensorFlow, Keras takes the signature of a data set from its first two items: a length that
    they share is taken as fixed, and the first batch of another length ends the training. So while
    Keras asks, that is once its adapter has looked at `workers` and until the first epoch begins,
    these two items are samples that differ in every length in which any two batches do.
    """

    _to_sample = frozenset()
    _is_starting = False  # from the adapter's start to the end of Keras's look at the data

    @property
    def workers(self):
        caller = sys._getframe(1)
        if caller.f_globals.get("__name__", "").endswith("py_dataset_adapter"):
            self._start(will_permute=bool(caller.f_locals.get("shuffle")))
        return super().workers

    def _start(self, will_permute):
        """Called when `fit`, `evaluate` or `predict` starts; `fit` permutes unless told not to."""
        del will_permute
        self._is_starting = True
        if keras.backend.backend() == "tensorflow":
            self._to_sample = frozenset((0, 1))

    def on_epoch_begin(self):
        self._to_sample = frozenset()

    def on_epoch_end(self):
        self._is_starting = False

    def __getitem__(self, index):
        if index in self._to_sample:
            self._to_sample -= {index}
            return self._samples()[index]
        return self._item(index)

    def __iter__(self):
        self._to_sample = frozenset()
        return super().__iter__()


class EpochBatches(Batches):
    """Batches by epoch and step. Not used by itself.

    A subclass has `num_batches`, `_make_batch(epoch, step)` and perhaps `_samples()`; it calls
    `_begin` in its constructor.
    """

    def _begin(self):
        self.epoch = 0
        self._is_last_served = self._has_begun = False

    @property
    def num_batches(self):
        """Batches of an epoch, the same in every one."""
        raise NotImplementedError

    def __len__(self):
        return self.num_batches

    def batch(self, epoch, step):
        """Batch `step` of epoch `epoch`, both from 0: a pure function of (data, seed, epoch, step).

        Returns:
            An item, see the class.
        """
        self._check_step(step)
        return self._make_batch(int(epoch), int(step))

    def stream(self, start_step=0):
        """The batches of all epochs in one endless row, from global step `start_step` on.

        Item i is batch `start_step + i`, whatever the epoch: so a run that stopped after n steps
        resumes exactly with `fit(batches.stream(n), steps_per_epoch=..., initial_epoch=...)`.

        Returns:
            `keras.utils.PyDataset` without end (`num_batches` is `None`), of one worker whatever
            these batches have: of several, Keras loses the batch that it looks at first.
        """
        check_int("start_step", start_step, 0)
        return _Stream(self, start_step)

    def on_epoch_begin(self):
        super().on_epoch_begin()
        self._has_begun = True

    def on_epoch_end(self):
        # Keras ends what is no epoch too: its first look at the data, and a part of an epoch where
        # `steps_per_epoch` says so. Processes serve from copies, which begin anew with each part.
        is_over = self._is_last_served or (self.use_multiprocessing and self._has_begun)
        if is_over and not self._is_starting:
            self.epoch += 1
        self._is_last_served = self._has_begun = False
        super().on_epoch_end()

    def _item(self, index):
        if index == self.num_batches - 1:
            self._is_last_served = True
        return self.batch(self.epoch, index)

    def _check_step(self, step):
        if not 0 <= step < self.num_batches:
            raise IndexError(f"step must be 0 to {self.num_batches - 1}; got {step}")

    def _samples(self):
        return [self.batch(0, 0)] * 2  # of one shape


class PlannedBatches(EpochBatches):
    """Batches in the shapes of a `Plan`. Not used by itself.

    Every epoch shuffles the records of each shape anew and fills whole batches; leftovers are
    promoted to a larger shape, so that one batch an epoch at most has empty rows. The batches of an
    epoch are shuffled. A subclass has `_assemble(shape, records)`, and `seed` and `shuffle` before
    it calls `_begin(plan)`.
    """

    def _begin(self, plan):
        super()._begin()
        self._plan = plan
        self._members = [np.flatnonzero(plan.bucket == i) for i in range(len(plan.shapes))]
        self._orders = {}

    @property
    def shapes(self):
        """The batches' shapes: tuple of `Shape(rows, source, target)`."""
        return self._plan.shapes

    @property
    def num_batches(self):
        """Batches of an epoch, the same in every one."""
        return sum(self._plan.num_batches)

    def _make_batch(self, epoch, step):
        shape, records = self._place(epoch, step)
        return self._assemble(shape, records)

    def _place(self, epoch, step):
        """The shape of a batch, and the records of its first rows; the others are empty."""
        shape, records = self._order(epoch if self.shuffle else 0)[step]
        return self.shapes[shape], records

    def _order(self, epoch):
        """The batches of an epoch: list of (shape, records of its rows)."""
        orders = self._orders
        if epoch not in orders:
            # A new dict, as other threads may read the old one; two epochs meet at a border.
            self._orders = orders = dict([*orders.items()][-1:]) | {epoch: self._make_order(epoch)}
        return orders[epoch]

    def _make_order(self, epoch):
        rng = np.random.default_rng([self.seed, epoch])
        pools = [[members] for members in self._members]
        batches = []
        for i, (shape, to) in enumerate(zip(self.shapes, self._plan.promoted_to, strict=True)):
            pool = np.concatenate(pools[i])
            if self.shuffle:
                pool = rng.permutation(pool)
            full = len(pool) - len(pool) % shape.rows
            batches += [(i, pool[k : k + shape.rows]) for k in range(0, full, shape.rows)]
            if to >= 0:
                pools[to].append(pool[full:])
            elif full < len(pool):
                batches.append((i, pool[full:]))
        if self.shuffle:
            batches = [batches[k] for k in rng.permutation(len(batches))]
        return batches

    @functools.cached_property
    def _differing_shapes(self):
        """Two shapes that differ in every length in which any two do, and as far as can be."""

        def differences(pair):
            lengths = [abs(x - y) for x, y in zip(*(shape[1:] for shape in pair), strict=True)]
            return sum(map(bool, lengths)), sum(lengths)

        return max(((a, b) for a in self.shapes for b in self.shapes), key=differences)

    def _samples(self):
        return [self._assemble(shape, np.arange(0)) for shape in self._differing_shapes]


class _Stream(Batches):
    def __init__(self, batches, start_step):
        super().__init__()
        self._batches, self.start_step = batches, start_step

    @property
    def num_batches(self):
        return None

    def _item(self, index):
        return self._batches.batch(*divmod(self.start_step + index, self._batches.num_batches))

    def _samples(self):
        return self._batches._samples()


def check_int(name, value, least):
    """Refuses what is no int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be an int of at least {least}; got {value!r}")


def check_share(name, value):
    """Refuses what is not in [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and less than 1; got {value!r}")
