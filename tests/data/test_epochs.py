"""Epochs of batches as Keras counts them: each has an order of its own, and none is skipped."""

import os
import subprocess
import sys

import keras
import pytest

from keras_transformer import data


class Seen(keras.Model):
    """Keeps the token ids that training has seen."""

    def __init__(self):
        super().__init__()
        self.dense, self.seen = keras.layers.Dense(1), []

    def call(self, x):
        return self.dense(keras.ops.cast(x["token_ids"], "float32"))

    def train_on(self, batches, **options):
        self.compile("sgd", "mse", run_eagerly=True)
        kept = []

        class Keep(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                kept.append(batches.epoch)

        self.fit(batches, verbose=0, shuffle=False, callbacks=[Keep()], **options)
        return kept


def batches_of(number, **options):
    ids = [[n] for n in range(5, 5 + number)]
    return data.RecordBatches(ids, labels=[0.0] * number, batch_size=4, seed=1, **options)


@pytest.mark.parametrize("number", [4, 8, 12])
def test_every_fit_epoch_is_an_epoch(number):
    batches = batches_of(number)
    assert Seen().train_on(batches, epochs=3) == [1, 2, 3]
    assert batches.epoch == 3


def test_a_second_fit_goes_on():
    batches, model = batches_of(8), Seen()
    model.train_on(batches, epochs=2)
    model.train_on(batches, epochs=2)
    assert batches.epoch == 4


SERVED = """
import sys
import numpy as np
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter
from keras_transformer import data

def epochs_served(**options):
    ids = [[n] for n in range(5, 17)]
    batches = data.RecordBatches(ids, labels=[0.0] * 12, batch_size=4, seed=1, **options)
    adapter, served = PyDatasetAdapter(batches), []
    adapter.on_epoch_end()  # as `fit` does before it begins
    for _ in range(3):
        adapter.on_epoch_begin()
        rows = [np.asarray(x["token_ids"])[:, 0].tolist() for x, *_ in adapter._get_iterator()]
        served.append(rows)
        adapter.on_epoch_end()
    return served, batches.epoch

served, epoch = epochs_served()
assert served[0] != served[1] != served[2] != served[0]
assert epochs_served(workers=2, use_multiprocessing=True) == (served, epoch) == (served, 3)
"""


def test_worker_processes_serve_what_one_does():
    env = os.environ | {"KERAS_BACKEND": "numpy"}  # a process with TensorFlow is not to be forked
    run = subprocess.run([sys.executable, "-c", SERVED], env=env, capture_output=True, timeout=120)
    assert run.returncode == 0, run.stderr.decode()


def test_looking_at_the_number_of_workers_changes_nothing():
    batches = batches_of(8)
    first = batches.batch(0, 0)[0]["token_ids"].tolist()
    assert batches.workers == 1
    assert batches[0][0]["token_ids"].tolist() == first
