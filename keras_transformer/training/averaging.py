"""The average of the last weights of a run."""

import contextlib
import pathlib
import re

import keras
import numpy as np

from keras_transformer.checkpoints.files import sha256_of
from keras_transformer.checkpoints.safetensors import load_weights, save_weights
from keras_transformer.checkpoints.weights import assign_weights, model_weights

_SNAPSHOT = re.compile(r"epoch-\d{6,}\.safetensors")


class AverageCheckpoints(keras.callbacks.Callback):
    """Keeps the weights of the last fit-epochs and gives their average.

    Each snapshot is a safetensors file of its own, written once. Given to `RunCheckpoints` among
    its `callbacks`, the checkpoints name the snapshots with their sha256, those that a kept
    checkpoint names stay, and a resumed run has exactly the same average.

    Args:
        folder: where the snapshots are.
        last: number of snapshots that are averaged.
        every: fit-epochs between two snapshots.

    Example:

    >>> import keras, numpy as np, tempfile
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="top")])
    >>> model.compile("sgd", "mse")
    >>> averages = AverageCheckpoints(tempfile.mkdtemp(), last=2)
    >>> _ = model.fit(np.ones((4, 3)), np.ones((4, 2)), epochs=3, verbose=0, callbacks=[averages])
    >>> averages.average()["top/kernel"].shape
    (3, 2)
    >>> with averages.applied(model):
    ...     score = model.evaluate(np.ones((4, 3)), np.ones((4, 2)), verbose=0)

    Reference: [Attention is all you need](https://arxiv.org/abs/1706.03762), §6.1.
    """

    def __init__(self, folder, last=10, every=1):
        super().__init__()
        if last < 1 or every < 1:
            raise ValueError(f"last and every must be at least 1, got {last!r} and {every!r}")
        self.folder = pathlib.Path(folder)
        self.last = last
        self.every = every
        self.snapshots = {}  # {file name: sha256}, oldest first
        self._written = set()
        self.releases_alone = True  # RunCheckpoints sets False: it knows what else is needed

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        path = self.folder / f"epoch-{epoch + 1:06d}.safetensors"
        save_weights(path, model_weights(self.model))
        self._written.add(path.name)
        self.snapshots.pop(path.name, None)
        self.snapshots[path.name] = sha256_of(path)
        self.snapshots = dict(list(self.snapshots.items())[-self.last :])
        if self.releases_alone:  # what an earlier process has written stays
            self._remove(self._written - self.snapshots.keys())
            self._written &= self.snapshots.keys()

    def average(self):
        """Mean of the snapshots, taken in float64 and cast to each weight's dtype.

        Returns:
            {name: NumPy array}, names as of `checkpoints.named_weights`.

        Raises:
            ValueError: there is no snapshot yet, one is damaged, or they are of several models.
        """
        if not self.snapshots:
            raise ValueError("there is nothing to average before the first snapshot")
        sums, dtypes = {}, {}
        for name, digest in self.snapshots.items():
            if problem := self._problem(name, digest):
                raise ValueError(problem)
            weights = load_weights(self.folder / name)
            if sums and sums.keys() != weights.keys():
                differing = sorted(sums.keys() ^ weights.keys())
                raise ValueError(f"{self.folder / name} has other weights: {differing}")
            for key, array in weights.items():
                dtypes[key] = array.dtype
                sums[key] = sums.get(key, 0.0) + array.astype("float64")
        count = len(self.snapshots)
        return {key: np.asarray(total / count).astype(dtypes[key]) for key, total in sums.items()}

    @contextlib.contextmanager
    def applied(self, model=None):
        """Inside the block the model has the average as its weights; after it, its own again."""
        model = model or self.model
        own = model_weights(model)
        assign_weights(model, self.average(), "the average")
        try:
            yield model
        finally:
            assign_weights(model, own, "the own weights")

    # What RunCheckpoints calls

    def get_state(self):
        """What `set_state` needs to go on as if nothing had happened, as JSON."""
        return {"snapshots": list(self.snapshots.items())}

    def set_state(self, state):
        """Takes over what `get_state` gave."""
        self.snapshots = dict(state["snapshots"])

    def check_state(self, state):
        """What is amiss with the files that a state names, as a list of messages."""
        return [p for name, digest in state["snapshots"] if (p := self._problem(name, digest))]

    def without_damaged(self, state):
        """The state without the snapshots that are damaged or missing."""
        whole = [[name, sha] for name, sha in state["snapshots"] if not self._problem(name, sha)]
        return {**state, "snapshots": whole}

    def _problem(self, name, digest):
        path = self.folder / name
        if not path.is_file():
            return f"{path} is missing"
        if sha256_of(path) != digest:
            return f"{path} is not as it was written (sha256)"
        return None

    def release(self, states):
        """Removes the snapshots that neither the average nor one of the states needs."""
        needed = set(self.snapshots).union(*(dict(state["snapshots"]) for state in states))
        there = {path.name for path in self.folder.glob("epoch-*.safetensors")}
        self._remove(name for name in there - needed if _SNAPSHOT.fullmatch(name))

    def _remove(self, names):
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
