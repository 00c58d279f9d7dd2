"""Batches of tokenised records: what is in them, in which order, at what cost."""

import pickle
import re

import keras
import numpy as np
import pytest

from keras_transformer import data

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(2, 24, 151)
IDS = [RNG.integers(5, 61, n).tolist() for n in LENGTHS]
BUDGET = 101
PAD = 1  # not 0: nothing may rely on it


def make(**kwargs):
    size = {} if "batch_size" in kwargs else {"tokens_per_batch": BUDGET}
    return data.RecordBatches(**{"ids": IDS, "pad_id": PAD, **size, **kwargs})


def epoch_of(batches, epoch=0):
    return [batches.batch(epoch, step) for step in range(len(batches))]


def equal(batch, other):
    leaves = zip(keras.tree.flatten(batch), keras.tree.flatten(other), strict=True)
    return all(np.array_equal(a, b) for a, b in leaves)


# What is in a batch


@pytest.mark.parametrize("size", [{"tokens_per_batch": BUDGET}, {"batch_size": 13}])
@pytest.mark.parametrize("epoch, shuffle", [(0, True), (5, True), (5, False)])
def test_an_epoch_is_the_corpus(size, epoch, shuffle):
    batches = make(shuffle=shuffle, **size)
    found, num_holes = {}, []
    for step, (x,) in enumerate(epoch_of(batches, epoch)):
        ids, mask = x["token_ids"], x["padding_mask"]
        assert (ids.dtype, mask.dtype, ids.shape) == (np.int32, bool, mask.shape)
        assert (ids[~mask] == PAD).all() and (mask[:, :-1] >= mask[:, 1:]).all()
        assert (len(ids), 0, ids.shape[1]) in batches.shapes
        expected = size.get("batch_size", BUDGET // ids.shape[1])
        assert len(ids) == expected
        records = batches.records(epoch, step)
        num_holes.append(int((records < 0).sum()))
        for row, record in enumerate(records):
            if record < 0:
                assert not mask[row].any()
            else:
                assert record not in found
                found[record] = ids[row][mask[row]].tolist()
    assert [found[n] for n in range(len(IDS))] == IDS
    assert sum(n > 0 for n in num_holes) <= 1
    slots = sum(x["token_ids"].size for (x,) in epoch_of(batches, epoch))
    assert batches.padding_share == pytest.approx(1 - LENGTHS.sum() / slots, abs=1e-12)
    assert (batches.num_records, batches.num_tokens) == (151, LENGTHS.sum())
    described = batches.describe()
    assert f"padding {100 * batches.padding_share:.1f} %" in described
    assert "151 records" in described


@pytest.mark.parametrize(
    "labels",
    [np.arange(151), RNG.normal(size=151), RNG.integers(0, 2, (151, 5)) * 1.0, LENGTHS[:, None]],
    ids=["classes", "numbers", "indicators", "spans"],
)
def test_a_label_goes_with_its_record_and_empty_rows_weigh_nothing(labels):
    batches = make(labels=labels, weights=np.arange(151) + 1, batch_size=13)
    for step, (_, y, w) in enumerate(epoch_of(batches)):
        records = batches.records(0, step)
        assert y.dtype == ("float32" if labels.dtype.kind == "f" else "int32")
        assert w.dtype == np.float32
        assert (y[records >= 0] == labels[records[records >= 0]].astype(y.dtype)).all()
        assert w.tolist() == (records + 1).tolist()  # -1, an empty row, becomes 0
    ones = [w for _, _, w in epoch_of(make(labels=labels, batch_size=13))]
    assert set(np.concatenate(ones)) == {0.0, 1.0}


def test_labels_and_segments_of_tokens_stand_where_their_tokens_do():
    labels = [[-100] + [10 * i for i in ids[1:]] for ids in IDS]
    segments = [[i % 2 for i in ids] for ids in IDS]
    for x, y in epoch_of(make(token_labels=labels, segment_ids=segments)):
        ids, mask = x["token_ids"], x["padding_mask"]
        assert (y[~mask] == -100).all() and (y[:, 0] == -100).all()
        assert (y[:, 1:] == np.where(mask, 10 * ids, -100)[:, 1:]).all()
        assert (x["segment_ids"] == np.where(mask, ids % 2, 0)).all()
        assert y.dtype == x["segment_ids"].dtype == np.int32
    x, y, w = make(token_labels=labels, weights=np.full(151, 0.5)).batch(0, 0)
    assert set(w) <= {0.0, 0.5}


def test_a_token_weighs_what_its_label_does():
    labels = [[-100] + [i % 3 for i in ids[1:]] for ids in IDS]
    options = {"token_labels": labels, "label_weights": [1.0, 0.25, 3.0]}
    expected = {-100: 0.0, 0: 1.0, 1: 0.25, 2: 3.0}
    for x, y, w in epoch_of(make(**options)):
        assert w.dtype == np.float32 and w.shape == x["token_ids"].shape
        assert w.tolist() == [[expected[label] for label in row] for row in y.tolist()]
    for _, y, w in epoch_of(make(**options, weights=np.full(151, 0.5))):
        assert w.tolist() == [[expected[label] / 2 for label in row] for row in y.tolist()]


# Order


def test_a_batch_depends_on_seed_epoch_and_step_alone():
    first, second = make(labels=np.arange(151), seed=5), make(labels=np.arange(151), seed=5)
    order = [(e, s) for e in (0, 7, 2) for s in range(len(first))]
    forwards = {key: first.batch(*key) for key in order}
    assert all(equal(second.batch(*key), forwards[key]) for key in reversed(order))
    assert not equal(epoch_of(first, 0), epoch_of(first, 1))
    stream = first.stream(4)
    for i in (0, 1, 2 * len(first)):
        assert equal(stream[i], first.batch(*divmod(4 + i, len(first))))
    assert equal(pickle.loads(pickle.dumps(first)).batch(4, 2), first.batch(4, 2))


def test_without_shuffling_all_epochs_are_one():
    batches = make(shuffle=False)
    assert equal(epoch_of(batches, 0), epoch_of(batches, 3))


# Shapes


def test_few_shapes_spare_most_of_the_padding():
    whole = make(batch_size=16, num_shapes=1)
    few = make(batch_size=16, num_shapes=4)
    assert len(whole.shapes) == 1 and len(few.shapes) <= 4
    assert few.padding_share < 0.6 * whole.padding_share
    enough = make(batch_size=16, max_padding=0.3)
    assert enough.padding_share <= 0.3 and len(enough.shapes) < len(make(batch_size=16).shapes)


# What comes in


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"ids": []}, "ids must have at least one record; got none"),
        ({"ids": [[1], []]}, "ids[1]: no tokens"),
        ({"ids": [[1], [2, -3]]}, "ids[1]: ids must be 0 to 2**31 - 1; got -3"),
        ({"ids": [[1], [2.5]]}, "ids[1]: ids must be a list of int; got [2.5]"),
        ({"ids": [[1], 2]}, "ids[1]: ids must be a list of int; got 2"),
        ({"ids": [[1], [1] * 102]}, "ids[1]: 102 tokens, tokens_per_batch is 101"),
        ({"max_length": 7}, "tokens, max_length is 7"),
        ({"labels": [1, 2]}, "labels must be numbers, one for each of the 151 records"),
        ({"labels": ["a"] * 151}, "labels must be numbers"),
        ({"labels": LENGTHS, "token_labels": IDS}, "must not both be given"),
        ({"token_labels": IDS[:-1]}, "token_labels must be as many as ids; got 150 for 151"),
        ({"ids": [[1, 2]], "token_labels": [[1]]}, "ids[0]: 1 token_labels for 2 tokens"),
        ({"ids": [[1, 2]], "segment_ids": [[0]]}, "ids[0]: 1 segment_ids for 2 tokens"),
        ({"weights": np.ones((151, 2))}, "weights must be (N,); got shape (151, 2)"),
        ({"label_weights": [1.0]}, "label_weights must come with token_labels"),
        ({"token_labels": IDS, "label_weights": [-1.0]}, "must be (C,) numbers of 0 or more"),
        ({"token_labels": IDS, "label_weights": [1.0]}, "one for each label; 1 for"),
        ({"tokens_per_batch": None}, "one of tokens_per_batch and batch_size must be given"),
        ({"batch_size": 3, "tokens_per_batch": 5}, "one of tokens_per_batch and batch_size"),
        ({"batch_size": 0}, "batch_size must be an int of at least 1"),
        ({"tokens_per_batch": 0}, "tokens_per_batch must be an int of at least 1"),
        ({"num_shapes": 0}, "num_shapes must be an int of at least 1"),
        ({"max_padding": 1}, "max_padding must be at least 0 and less than 1"),
        ({"seed": -1}, "seed must be an int of at least 0"),
    ],
)
def test_wrong_arguments_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(**kwargs)


def test_a_record_too_long_names_its_file_and_line(write):
    path = write("a.tsv", "text\ty\nab\t1\n\nabcdef\t0\n")
    table = data.read_table(path)
    ids = [list(map(ord, text)) for text in table.texts("text")]
    with pytest.raises(ValueError, match=re.escape(f"{path}:4: 6 tokens, max_length is 5")):
        data.RecordBatches(ids, batch_size=2, max_length=5, where=table.where)


def test_bad_steps_are_refused():
    for method in (make().batch, make().records):
        with pytest.raises(IndexError, match="step"):
            method(0, -1)


# Training


def test_fit_learns_and_empty_rows_change_nothing():
    labels = np.array([ids[0] % 2 for ids in IDS])
    batches = make(labels=labels, batch_size=13, num_shapes=3)

    class Averages(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = keras.layers.Embedding(61, 8)
            self.classes = keras.layers.Dense(2)

        def call(self, x):
            return self.classes(self.embedding(x["token_ids"])[:, 0])

    model = Averages()
    loss = keras.losses.SparseCategoricalCrossentropy(True, reduction="mean_with_sample_weight")
    model.compile(keras.optimizers.Adam(0.05), loss, weighted_metrics=["accuracy"])
    model.fit(batches, epochs=3, verbose=0, shuffle=False)
    measured = model.evaluate(batches, verbose=0, return_dict=True)
    right = [model(x)[row] for x, row in ((b[0], r) for b, r in first_rows(batches))]
    predicted = np.array([int(np.argmax(keras.ops.convert_to_numpy(logits))) for logits in right])
    accuracy = (predicted == labels).mean()
    assert measured["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert accuracy > 0.9
    assert batches.epoch == 3 + 1  # `evaluate` went through one


def first_rows(batches):
    """For each record the batch and the row that it is in, in the order of the records."""
    found = {}
    for step in range(len(batches)):
        batch = batches.batch(0, step)
        found |= {r: (batch, row) for row, r in enumerate(batches.records(0, step)) if r >= 0}
    return [found[n] for n in range(batches.num_records)]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"labels": [np.nan, 1.0]}, "labels must be finite; got nan for record 0"),
        ({"labels": [2**32 + 1, 1]}, "labels must fit int32; got 4294967297"),
        ({"labels": [0, 1], "weights": [1.0, np.inf]}, "weights must be finite"),
        ({"labels": [0, 1], "weights": [1.0, -1.0]}, "weights must be 0 or more; got -1"),
    ],
    ids=str,
)
def test_numbers_that_would_train_wrongly_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        data.RecordBatches([[5], [6]], batch_size=2, **changes)
