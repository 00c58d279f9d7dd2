"""`fit` on batches of several shapes, and its exact resumption."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest

from keras_transformer import data

_spec = importlib.util.spec_from_file_location("toy", pathlib.Path(__file__).with_name("toy.py"))
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)

STEPS = 5  # an epoch of fit; not that of the data


@pytest.fixture(scope="module")
def batches():
    return data.ParallelBatches(*toy.pairs(61), toy.Letters(), 97, num_shapes=4, seed=3)


class Averages(keras.Model):
    """A toy that reads all inputs and has dropout, but no attention."""

    def __init__(self):
        super().__init__()
        self.embedding = keras.layers.Embedding(toy.Letters.vocab_size, 5)
        self.dropout = keras.layers.Dropout(0.2, seed=1)
        self.output_layer = keras.layers.Dense(toy.Letters.vocab_size)

    def call(self, x, training=False):
        mask = keras.ops.cast(x["encoder_padding_mask"], "float32")[..., None]
        source = keras.ops.sum(self.embedding(x["encoder_token_ids"]) * mask, 1, keepdims=True)
        x = self.embedding(x["decoder_token_ids"]) + source
        return self.output_layer(self.dropout(x, training=training))


class Steps(keras.callbacks.Callback):
    """The loss of every step since `fit` began."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(float(logs["loss"]))


def compiled():
    keras.utils.set_random_seed(11)
    model = Averages()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-100)
    model.compile("adam", loss, jit_compile=False)
    return model


def weights(model):
    optimizer = [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables]
    return [*model.get_weights(), *optimizer]


def test_resuming_in_the_middle_is_exact(batches):
    whole, parts = compiled(), compiled()
    whole.fit(batches.stream(), steps_per_epoch=STEPS, epochs=6, verbose=0, shuffle=False)
    parts.fit(batches.stream(), steps_per_epoch=STEPS, epochs=2, verbose=0, shuffle=False)
    rest = batches.stream(2 * STEPS)
    parts.fit(rest, steps_per_epoch=STEPS, initial_epoch=2, epochs=6, verbose=0, shuffle=False)
    for a, b in zip(weights(whole), weights(parts), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fit_sees_the_batches_of_the_stream(batches):
    """Step for step, also where the first batches have one shape: at every step of an epoch."""
    model = compiled()
    model.fit(batches.stream(), steps_per_epoch=1, verbose=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-100)
    model.compile(keras.optimizers.SGD(0.0), loss, jit_compile=False)
    model.dropout.rate = 0.0
    model.make_train_function(force=True)
    steps = Steps()
    for start in range(len(batches)):
        model.fit(
            batches.stream(start), steps_per_epoch=3, verbose=0, callbacks=[steps], shuffle=False
        )
        # Keras shows the running mean of the losses, weighted by rows.
        expected, rows = [], []
        for i in range(3):
            x, y = batches.stream(start)[i]
            expected.append(float(loss(y, model(x))))
            rows.append(len(y))
        means = np.cumsum(np.multiply(expected, rows)) / np.cumsum(rows)
        np.testing.assert_allclose(steps.seen, means, rtol=1e-5)


def test_data_set_trains_and_validates_epoch_by_epoch(batches):
    train = data.ParallelBatches(*toy.pairs(61), toy.Letters(), 97, num_shapes=4, seed=3)
    model = compiled()
    history = model.fit(train, epochs=3, validation_data=batches, verbose=0).history
    assert len(history["val_loss"]) == 3
    assert history["loss"][-1] < history["loss"][0]
    assert train.epoch == 3


@pytest.mark.tensorflow
def test_tensorflow_is_shown_lengths_that_differ(batches):
    """What Keras samples for its signature has both lengths vary; what it trains on is real."""
    stream = batches.stream()
    real = [stream[0], stream[1]]
    _ = stream.workers  # Keras asks this first
    (x, y), (x2, y2) = stream[0], stream[1]
    assert x["encoder_token_ids"].shape[1] != x2["encoder_token_ids"].shape[1]
    assert y.shape[1] != y2.shape[1]
    stream.on_epoch_begin()
    for (x, y), i in zip(real, (0, 1), strict=True):
        np.testing.assert_array_equal(stream[i][1], y)
        np.testing.assert_array_equal(stream[i][0]["decoder_token_ids"], x["decoder_token_ids"])
