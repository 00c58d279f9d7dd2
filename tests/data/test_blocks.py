"""Blocks of a long row of tokens."""

import pickle

import numpy as np
import pytest

from keras_transformer import data

LENGTH, ROWS = 7, 3


def tokens(n=151, seed=0, high=61):
    return np.random.default_rng(seed).integers(0, high, n).astype("uint16")


def make(corpus=None, **kwargs):
    corpus = tokens() if corpus is None else corpus
    return data.PackedBlocks(corpus, LENGTH, ROWS, **kwargs)


def equal(batch, other):
    (x, y), (x2, y2) = batch, other
    same = [np.array_equal(x[key], x2[key]) for key in x]
    return x.keys() == x2.keys() and all(same) and np.array_equal(y, y2)


def epoch_of(batches, epoch=0):
    return [batches.batch(epoch, step) for step in range(len(batches))]


@pytest.mark.parametrize("n", [2, 7, 8, 9, 21, 22, 23, 43, 151])
def test_in_sequential_order_every_token_but_the_first_is_predicted_once(n):
    corpus = tokens(n)
    batches = make(corpus, order="sequential")
    predicted = np.concatenate([y[y != -100] for _, y in epoch_of(batches)])
    read = np.concatenate([x["token_ids"][y != -100] for x, y in epoch_of(batches)])
    assert predicted.tolist() == corpus[1:].tolist()
    assert read.tolist() == corpus[:-1].tolist()
    assert batches.num_predicted == n - 1
    slots = sum(y.size for _, y in epoch_of(batches))
    assert batches.padding_share == pytest.approx(1 - (n - 1) / slots)
    assert f"padding {100 * batches.padding_share:.1f} %" in batches.describe()


def test_all_batches_have_one_shape():
    for order in data.blocks.ORDERS:
        for x, y in epoch_of(make(order=order)):
            assert x["token_ids"].shape == y.shape == (ROWS, LENGTH)
            assert x["token_ids"].dtype == y.dtype == np.int32


def test_random_blocks_begin_anywhere_and_nowhere_else():
    corpus = np.arange(23)
    batches = make(corpus)
    starts = []
    for epoch in range(200):
        for x, y in epoch_of(batches, epoch):
            starts += x["token_ids"][:, 0].tolist()
            assert (x["token_ids"] == x["token_ids"][:, :1] + np.arange(LENGTH)).all()
            assert (y == x["token_ids"] + 1).all()
    assert set(starts) == set(range(23 - LENGTH))  # the last begins at 15 and predicts 22
    counts = np.bincount(starts)
    assert counts.min() > 0.6 * counts.mean() and counts.max() < 1.5 * counts.mean()


def test_an_epoch_is_about_the_corpus():
    assert len(make(tokens(21 * 5 + 20))) == 5
    assert len(make(tokens(LENGTH + 1))) == 1


def test_a_batch_depends_on_seed_epoch_and_step_alone():
    first, second = make(seed=5), make(seed=5)
    order = [(e, s) for e in (0, 7, 2) for s in range(len(first))]
    forwards = {key: first.batch(*key) for key in order}
    assert all(equal(second.batch(*key), forwards[key]) for key in reversed(order))
    others = [first.batch(1, 0), first.batch(0, 1), make(seed=6).batch(0, 0)]
    assert not any(equal(first.batch(0, 0), other) for other in others)
    assert equal(make(order="sequential").batch(3, 2), make(order="sequential").batch(0, 2))


def test_the_stream_and_the_items_are_those_batches():
    batches = make(seed=5)
    stream = batches.stream(4)
    for i in (0, 3, 2 * len(batches)):
        assert equal(stream[i], batches.batch(*divmod(4 + i, len(batches))))
    for epoch in range(2):
        batches.on_epoch_begin()
        assert all(equal(batches[i], batches.batch(epoch, i)) for i in range(len(batches)))
        batches.on_epoch_end()
    assert equal(pickle.loads(pickle.dumps(batches)).batch(4, 2), batches.batch(4, 2))
    with pytest.raises(IndexError, match="step must be 0 to 6; got 7"):
        batches.batch(0, 7)


@pytest.mark.parametrize("order", data.blocks.ORDERS)
def test_arrays_files_and_shards_are_the_same_corpus(tmp_path, order):
    corpus = tokens()
    expected = epoch_of(make(corpus, order=order), 1)
    shards = data.write_shards(tmp_path / "shards", [corpus], 61, tokens_per_shard=11)
    corpus.tofile(tmp_path / "tokens.bin")
    mapped = np.memmap(tmp_path / "tokens.bin", "uint16", "r")
    for other in (shards, mapped, corpus.tolist(), corpus.astype("int64")):
        found = epoch_of(make(other, order=order), 1)
        assert all(equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("order", data.blocks.ORDERS)
def test_documents_are_segments_that_do_not_predict_each_other(order):
    end, documents = 60, [np.arange(k, k + n) for k, n in ((0, 3), (10, 11), (30, 1), (40, 5))]
    corpus = np.concatenate([np.append(document, end) for document in documents])
    document_of = np.repeat(np.arange(4), [4, 12, 2, 6])
    for x, y in epoch_of(make(corpus, order=order, end_id=end)):
        for ids, segments, labels in zip(x["token_ids"], x["segment_ids"], y, strict=True):
            n = int((segments > 0).sum())
            if not n:
                assert (labels == -100).all()
                continue
            assert (segments[n:] == 0).all() and (labels[n:] == -100).all()
            [start] = [
                s
                for s in range(len(corpus) - n + 1)
                if (corpus[s : s + n] == ids[:n]).all()
                and (order == "random" or s % LENGTH == 0)
            ][:1]
            own = document_of[start : start + n]
            assert segments[:n].tolist() == (own - own[0] + 1).tolist()
            following = np.append(corpus, -100)[start + 1 : start + n + 1]
            expected = np.where(ids[:n] == end, -100, following)
            assert labels[:n].tolist() == expected.tolist()


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"tokens": np.arange(7)}, "tokens must be at least 8 for one block; got 7"),
        ({"tokens": np.arange(1), "order": "sequential"}, "tokens must be at least 2"),
        ({"tokens": np.zeros(50)}, "tokens must be TokenShards or an array .N,. of int"),
        ({"tokens": np.zeros((5, 9), int)}, "got shape .5, 9. of int64"),
        ({"block_length": 0}, "block_length must be an int of at least 1"),
        ({"batch_size": 1.0}, "batch_size must be an int"),
        ({"seed": -1}, "seed must be an int of at least 0"),
        ({"end_id": -1}, "end_id must be an int"),
        ({"order": "shuffled"}, "order must be one of random, sequential; got 'shuffled'"),
    ],
)
def test_wrong_arguments_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        data.PackedBlocks(**{"tokens": tokens(), "block_length": 7, "batch_size": 3, **kwargs})


@pytest.mark.parametrize("order", ["random", "sequential"])
def test_tokens_that_are_no_ids_are_refused(order):
    tokens = np.array([2**32 + 1, -5, 3, 4])
    blocks = data.PackedBlocks(tokens, block_length=3, batch_size=1, order=order)
    with pytest.raises(ValueError, match="tokens must be 0 to"):
        blocks.batch(0, 0)
