"""Accumulating over unequal micro-batches equals the single large batch."""

import keras
import numpy as np
import pytest

from keras_transformer import data, models, training
from keras_transformer.data.accumulation import target_weights

CONFIG = dict(vocab_size=23, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16, dropout=0.0)


def records(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(1, 23, n).tolist() for n in (3, 11, 5, 2, 7, 13)]


def tagger(accumulate):
    keras.utils.set_random_seed(3)
    config = models.EncoderConfig(**CONFIG, attention_dropout=0.0)
    model = models.TokenClassifier(config, num_classes=3)
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=accumulate)
    model.compile(optimizer, loss=training.TokenCrossEntropy(reduction="sum"))
    return model


def test_unequal_micro_batches_equal_the_large_batch():
    ids = records()
    tags = [[i % 3 if i % 4 else -100 for i in own] for own in ids]

    def batches(size):
        return data.RecordBatches(
            ids, token_labels=tags, batch_size=size, num_shapes=1, shuffle=False
        )

    results = []
    for accumulate in (None, 3):
        model = tagger(accumulate)
        weighted = data.AccumulatedBatches(batches(6 // (accumulate or 1)), accumulate or 1)
        model.fit(weighted.stream(), steps_per_epoch=2 * (accumulate or 1), verbose=0)
        results.append([np.asarray(v.numpy()) for v in model.weights])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=0)


def test_weights_of_a_step_sum_to_its_number_of_batches():
    ids = records()
    batches = data.RecordBatches(ids, labels=[0, 1, 0, 1, 1, 0], batch_size=4, weights=range(1, 7))
    weighted = data.AccumulatedBatches(batches, steps=2)
    for group in range(3):
        items = [weighted.batch(*divmod(n, 2)) for n in (2 * group, 2 * group + 1)]
        assert sum(w.sum() for _, _, w in items) == pytest.approx(2)


def test_steps_may_cross_the_end_of_an_epoch():
    batches = data.RecordBatches(records(), labels=range(6), batch_size=2)  # 3 an epoch
    weighted = data.AccumulatedBatches(batches, steps=2)
    items = [weighted.batch(0, 2), weighted.batch(1, 0)]
    assert sum(w.sum() for _, _, w in items) == pytest.approx(2)


def test_ignored_labels_and_padding_weigh_nothing():
    x = {"token_ids": np.zeros((2, 3), "int32")}
    y = np.array([[1, -100, 0], [2, -100, -100]], "int32")
    assert target_weights((x, y)).tolist() == [[1, 0, 1], [1, 0, 0]]
    assert target_weights((x, y, np.array([2.0, 3.0]))).tolist() == [[2, 0, 2], [3, 0, 0]]
    of_tokens = np.array([[2.0, 5.0, 3.0], [4.0, 5.0, 5.0]])
    assert target_weights((x, y, of_tokens)).tolist() == [[2, 0, 3], [4, 0, 0]]


def test_labels_of_records_keep_their_weights():
    x = {"token_ids": np.zeros((2, 5), "int32")}
    spans, w = np.array([[1, 3], [0, 2]], "int32"), np.array([1.0, 0.0], "float32")
    assert target_weights((x, spans, w)).tolist() == [1, 0]


def test_nothing_to_learn_gives_weights_of_zero():
    batches = data.RecordBatches([[5, 6]], token_labels=[[-100, -100]], batch_size=2)
    assert not data.AccumulatedBatches(batches).batch(0, 0)[2].any()


def test_mean_of_validation_batches_is_the_mean_over_all_targets():
    batches = data.RecordBatches(records(), labels=range(6), batch_size=4, shuffle=False)
    weighted = data.AccumulatedBatches(batches, steps=len(batches))
    losses = np.arange(6.0)  # of record i
    of_batches = [
        (w * np.where(w > 0, losses[batches.records(0, step)], 0)).sum()
        for step, (_, _, w) in enumerate(weighted)
    ]
    assert np.mean(of_batches) == pytest.approx(losses.mean())


def test_steps_below_one_are_refused():
    batches = data.RecordBatches([[5]], labels=[0], batch_size=1)
    with pytest.raises(ValueError, match="steps must be an int of at least 1; got 0"):
        data.AccumulatedBatches(batches, 0)


def test_fit_must_not_permute_what_is_accumulated():
    batches = data.RecordBatches(records(), labels=range(6), batch_size=2)
    weighted = data.AccumulatedBatches(batches, steps=2)
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="shuffle must be False"):
        model.fit(weighted, verbose=0)


def test_int_indicators_are_no_labels_of_tokens_whatever_the_length():
    ids = [[5, 6, 7], [6, 7, 8], [7, 8, 9]]
    labels = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 1]])
    found = []
    for kind in ("int64", "float32"):
        batches = data.RecordBatches(ids, labels=labels.astype(kind), batch_size=2, shuffle=False)
        found.append(data.AccumulatedBatches(batches).batch(0, 0)[2].tolist())
    assert found[0] == found[1] == [0.5, 0.5]


def test_weights_of_several_targets_are_kept():
    y = {"a": np.array([1, 2]), "b": np.array([[1, -100], [2, 3]])}
    w = {"a": np.array([1.0, 0.0]), "b": np.array([2.0, 3.0])}
    weights = target_weights(({}, y, w))
    assert weights["a"].tolist() == [1, 0]
    assert weights["b"].tolist() == [[2, 0], [3, 3]]


def test_targets_of_numbers_without_weights_count_one_each():
    assert target_weights(({}, np.array([[0.5], [1.5]], "float32"))).tolist() == [1, 1]


def test_batches_without_targets_are_refused():
    with pytest.raises(ValueError, match="batches must have targets"):
        data.AccumulatedBatches(data.RecordBatches([[5], [6]], batch_size=2)).batch(0, 0)
