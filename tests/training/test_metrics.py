import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.training import (
    Perplexity,
    TokenAccuracy,
    TokenCrossEntropy,
    TokenCrossEntropyMetric,
)

V = 7


def batches():
    """Batches of unequal rows, lengths and numbers of real tokens."""
    rng = np.random.default_rng(4)
    for rows, length, ignored in ((3, 5, 0.1), (2, 11, 0.8), (13, 2, 0.5), (1, 3, 1.1)):
        labels = rng.integers(0, V, (rows, length)).astype("int32")
        labels[rng.random(labels.shape) < ignored] = -100
        yield labels, rng.normal(size=(rows, length, V)).astype("float32")


def tokens():
    """All real tokens of the batches in one row: (1, N) labels, (1, N, V) logits."""
    labels = np.concatenate([y.ravel() for y, _ in batches()])
    logits = np.concatenate([z.reshape(-1, V) for _, z in batches()])
    return labels[labels != -100][None], logits[labels != -100][None]


def after_all(metric):
    for labels, logits in batches():
        metric.update_state(labels, logits)
    return float(metric.result())


def test_every_token_counts_once_whatever_its_batch():
    labels, logits = tokens()
    nll = float(TokenCrossEntropy()(labels, logits))
    assert after_all(TokenCrossEntropyMetric()) == pytest.approx(nll, rel=1e-6)
    assert after_all(Perplexity()) == pytest.approx(np.exp(nll), rel=1e-6)
    accuracy = (logits.argmax(-1) == labels).mean()
    assert after_all(TokenAccuracy()) == pytest.approx(accuracy, rel=1e-6)
    smoothed = float(TokenCrossEntropy(0.1)(labels, logits))
    metric = TokenCrossEntropyMetric(label_smoothing=0.1)
    assert after_all(metric) == pytest.approx(smoothed, rel=1e-6)


def test_accuracy_takes_the_first_of_equal_logits_as_argmax_does():
    logits = np.zeros((1, 3, V), "float32")
    metric = TokenAccuracy()
    metric.update_state(np.array([[0, 1, -100]]), logits)
    assert float(metric.result()) == 0.5
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 3, (11, 13, V)).astype("float16")  # ties in nearly every row
    labels = rng.integers(0, V, (11, 13))
    metric.reset_state()
    metric.update_state(labels, ops.cast(coarse, "bfloat16"))
    assert float(metric.result()) == pytest.approx((coarse.argmax(-1) == labels).mean(), rel=1e-6)


def test_weights_count():
    labels, logits = next(batches())
    weights = np.random.default_rng(1).random(labels.shape) * (labels != -100)
    metric = TokenAccuracy()
    metric.update_state(labels, logits, weights)
    right = logits.argmax(-1) == labels
    assert float(metric.result()) == pytest.approx((right * weights).sum() / weights.sum())


@pytest.mark.parametrize(
    "metric, empty", [(TokenCrossEntropyMetric, 0.0), (Perplexity, 1.0), (TokenAccuracy, 0.0)]
)
def test_before_the_first_token_and_after_a_reset_it_is_no_nan(metric, empty):
    metric = metric()
    assert float(metric.result()) == empty
    after_all(metric)
    metric.reset_state()
    assert float(metric.result()) == empty
    metric.update_state(np.full((2, 3), -100), np.zeros((2, 3, V), "float32"))
    assert float(metric.result()) == empty


@pytest.mark.parametrize(
    "metric",
    [
        TokenCrossEntropyMetric(0.1, ignore_index=-7, name="a"),
        Perplexity(ignore_index=-7),
        TokenAccuracy(ignore_index=-7),
    ],
)
def test_the_configuration_round_trips(metric):
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(again) is type(metric) and again.get_config() == metric.get_config()


def test_validation_through_fit_is_exact_over_unequal_batches():
    labels, logits = tokens()

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, place):
            labels, logits = list(batches())[place]
            return logits, labels

    inputs = keras.Input((None, V))
    model = keras.Model(inputs, Scale()(inputs))
    metrics = [TokenCrossEntropyMetric(), Perplexity(), TokenAccuracy()]
    model.compile("sgd", TokenCrossEntropy(0.1), metrics=metrics, jit_compile=True)
    logs = model.evaluate(Batches(), return_dict=True, verbose=0)
    assert logs["nll"] == pytest.approx(float(TokenCrossEntropy()(labels, logits)), rel=1e-6)
    assert logs["perplexity"] == pytest.approx(np.exp(logs["nll"]), rel=1e-6)
    assert logs["accuracy"] == pytest.approx((logits.argmax(-1) == labels).mean(), rel=1e-6)


class Scale(keras.layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, x):
        return x * self.scale
