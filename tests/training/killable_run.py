"""A short run that another process kills and starts again: `killable_run.py FOLDER [DIE_AT]`.

With DIE_AT, the process kills itself just before its n-th file operation that has a lasting
effect. The last line it prints is the sha256 of the final weights and averages.
"""

import hashlib
import os
import pathlib
import signal
import sys

import keras
import numpy as np

from keras_transformer import training
from keras_transformer.checkpoints import model_weights

B, T, V, STEPS_PER_EPOCH, EPOCHS = 3, 5, 11, 4, 60


class Stream(keras.utils.PyDataset):
    """Batches that are a pure function of the step."""

    def __init__(self, start):
        super().__init__()
        self.start = start

    def __len__(self):
        return STEPS_PER_EPOCH * EPOCHS - self.start

    def __getitem__(self, place):
        rng = np.random.default_rng([13, self.start + place])
        tokens = rng.integers(1, V, (B, T)).astype("int32")
        return tokens, np.where(rng.random((B, T)) < 0.2, -100, tokens[:, ::-1]).astype("int32")


def build(width=64):
    # Named, since Keras numbers what is not, and several models are built in one process.
    tokens = keras.Input((T,), dtype="int32")
    x = keras.layers.Embedding(V, width, name="embedding")(tokens)
    x = keras.layers.Flatten()(keras.layers.Dropout(0.3)(x))
    x = keras.layers.Dense(width, activation="relu", name="hidden")(x)
    x = keras.layers.Dense(T * V, name="logits")(keras.layers.Dropout(0.3)(x))
    x = keras.layers.Reshape((T, V))(x)
    model = keras.Model(tokens, x)
    adam = keras.optimizers.Adam(training.InverseSquareRoot(1e-2, 10), clipnorm=1.0)
    model.compile(adam, training.TokenCrossEntropy(0.1), metrics=[training.TokenAccuracy()])
    return model


def run(folder, epochs=EPOCHS, callbacks=(), **settings):
    """Trains to `epochs` from wherever the folder's run is. Returns model, callbacks, start."""
    folder = pathlib.Path(folder)
    model = build()
    averages = training.AverageCheckpoints(folder / "averages", last=3)
    best = training.BestCheckpoint(folder / "best.safetensors", "accuracy")
    stopping = keras.callbacks.EarlyStopping("loss", patience=100)
    state = [averages, best, stopping]
    checkpoints = training.RunCheckpoints(
        folder / "checkpoints", {"vocab_size": V, **settings}, callbacks=state
    )
    start = checkpoints.restore(model)
    log = training.MetricsLog(folder / "metrics.jsonl")
    model.fit(
        Stream(start.step),
        steps_per_epoch=STEPS_PER_EPOCH,
        initial_epoch=start.epoch,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[*callbacks, *state, log, checkpoints],
    )
    return model, state, start


def digest(model, averages):
    arrays = {**model_weights(model), **{f"mean/{k}": v for k, v in averages.average().items()}}
    return hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()


def die_at(count):
    """SIGKILLs this process just before its `count`-th fsync, rename or removal."""
    left = [count]

    def dying(function):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    for name in ("fsync", "replace", "rename", "unlink", "rmdir"):
        setattr(os, name, dying(getattr(os, name)))


if __name__ == "__main__":
    keras.utils.set_random_seed(5)
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()
    if len(sys.argv) > 2:
        die_at(int(sys.argv[2]))
    print("started", flush=True)
    model, state, _ = run(sys.argv[1])
    print(digest(model, state[0]))
