"""Masked language modelling: what is hidden, how often, and as what."""

import re
import time

import numpy as np
import pytest

from keras_transformer.data import MaskedBatches, Masking

VOCAB, MASK, CLS, SEP, PAD = 997, 4, 2, 3, 1
SPECIAL = (PAD, CLS, SEP, MASK)
CONTINUES = np.arange(VOCAB) % 3 == 0  # every third piece continues a word


def rows(num_rows=61, length=43, seed=0):
    """Rows of [CLS] pieces [SEP], padded."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, VOCAB, (num_rows, length))
    lengths = rng.integers(3, length + 1, (num_rows, 1))
    lengths[0] = length
    position = np.arange(length)
    ids[:, 0] = CLS
    ids = np.where(position == lengths - 1, SEP, ids)
    mask = position < lengths
    return np.where(mask, ids, PAD).astype("int32"), mask


def masking(**kwargs):
    return Masking(**{"vocab_size": VOCAB, "mask_id": MASK, "special_ids": SPECIAL, **kwargs})


def applied(seed=0, ids=None, mask=None, **kwargs):
    if ids is None:
        ids, mask = rows()
    return masking(**kwargs)(ids, mask, np.random.default_rng(seed))


def positions_of(positions, labels):
    """The set of hidden positions of each row."""
    return [set(p[y != -100].tolist()) for p, y in zip(positions, labels, strict=True)]


@pytest.mark.parametrize("continues", [None, CONTINUES], ids=["pieces", "words"])
def test_labels_say_what_stood_at_the_hidden_positions(continues):
    ids, mask = rows()
    hidden, positions, labels = applied(continues_word=continues)
    assert positions.shape == labels.shape == (61, round(0.15 * 43))
    assert hidden.dtype == positions.dtype == labels.dtype == np.int32
    restored = hidden.copy()
    for row, (p, y) in enumerate(zip(positions, labels, strict=True)):
        real = y != -100
        assert (real[:-1] >= real[1:]).all() and (p[~real] == 0).all()
        assert (np.diff(p[real]) > 0).all()
        restored[row, p[real]] = y[real]
        assert not np.isin(y[real], SPECIAL).any() and mask[row, p[real]].all()
    assert (restored == ids).all()


@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_a_row_has_its_share_of_hidden_tokens(rate):
    _, mask = rows()
    _, positions, labels = applied(rate=rate)
    wanted = [max(1, round(rate * n)) for n in mask.sum(1).tolist()]
    room = (mask.sum(1) - 2).tolist()
    expected = [min(a, b) for a, b in zip(wanted, room, strict=True)]
    assert (labels != -100).sum(1).tolist() == expected


def test_hidden_tokens_are_80_10_10():
    hidden_as = {"mask": 0, "same": 0, "random": 0}
    drawn = []
    for seed in range(60):
        hidden, positions, labels = applied(seed)
        real = labels != -100
        shown = np.take_along_axis(hidden, positions, 1)[real]
        hidden_as["mask"] += (shown == MASK).sum()
        hidden_as["same"] += (shown == labels[real]).sum()
        is_random = (shown != MASK) & (shown != labels[real])
        hidden_as["random"] += is_random.sum()
        drawn += shown[is_random].tolist()
    total = sum(hidden_as.values())
    deviation = 4 * np.sqrt(0.16 / total)  # four standard deviations of a share of 0.8
    for kind, share in (("mask", 0.8), ("same", 0.1), ("random", 0.1)):
        assert hidden_as[kind] / total == pytest.approx(share, abs=deviation)
    assert not set(drawn) & set(SPECIAL)
    assert min(drawn) < 20 and max(drawn) > VOCAB - 20 and 0 not in SPECIAL


def test_all_tokens_are_hidden_equally_often():
    ids, mask = np.arange(5, 36)[None].astype("int32"), np.ones((1, 31), bool)
    counts = np.zeros(31)
    for seed in range(2000):
        [hidden] = positions_of(*applied(seed, ids, mask)[1:])
        counts[list(hidden)] += 1
    expected = 2000 * 5 / 31  # round(0.15 * 31) = 5
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_electras_generator_hides_all_as_the_mask():
    hidden, positions, labels = applied(mask_share=1.0, random_share=0.0)
    assert (np.take_along_axis(hidden, positions, 1)[labels != -100] == MASK).all()


# Whole words


def words_of(ids):
    """Lists of positions, one a word, of one row; special tokens are in none."""
    words, before_is_word = [], False
    for i, piece in enumerate(ids.tolist()):
        if piece in SPECIAL:
            before_is_word = False
        elif CONTINUES[piece] and before_is_word:
            words[-1].append(i)
        else:
            words.append([i])
            before_is_word = True
    return words


def test_words_are_hidden_whole():
    ids, mask = rows()
    num_hidden = num_wanted = 0
    for seed in range(5):
        _, positions, labels = applied(seed, continues_word=CONTINUES)
        hidden = positions_of(positions, labels)
        for row, own in zip(ids, hidden, strict=True):
            for word in words_of(row):
                assert len(own & set(word)) in (0, len(word))
        num_hidden += sum(map(len, hidden))
        num_wanted += sum(max(1, round(0.15 * n)) for n in mask.sum(1).tolist())
    assert 0.9 * num_wanted < num_hidden <= num_wanted


def test_without_pieces_that_continue_words_a_word_is_a_piece():
    _, positions, labels = applied(continues_word=np.zeros(VOCAB, bool))
    _, mask = rows()
    wanted = [min(max(1, round(0.15 * n)), n - 2) for n in mask.sum(1).tolist()]
    assert (labels != -100).sum(1).tolist() == wanted


def test_a_word_longer_than_its_share_is_passed_over():
    ids = np.array([[CLS, 5, 6, 9, 12, 15, 18, 21, 24, SEP]])  # 5, and a word of seven pieces
    hidden = [
        positions_of(*applied(s, ids, ids > 0, rate=0.3, continues_word=CONTINUES)[1:])[0]
        for s in range(7)
    ]
    assert CONTINUES[ids[0, 2:-1]].all() and not CONTINUES[5]
    assert hidden == [set()] * 7  # here all are one word, which is longer than three
    ids[0, 2] = 7
    hidden = [
        positions_of(*applied(s, ids, ids > 0, rate=0.3, continues_word=CONTINUES)[1:])[0]
        for s in range(7)
    ]
    assert hidden == [{1}] * 7


def test_what_ends_a_word_begins_another():
    ids = np.array([[CLS, 5, 6, 8, 6, 9, SEP]])  # 5 6 is one word; 8, a line break; 6 9 the next
    ends = np.arange(VOCAB) == 8
    words = [{1, 2}, {3}, {4, 5}]
    for seed in range(9):
        _, positions, labels = applied(
            seed, ids, ids > 0, rate=0.5, continues_word=CONTINUES, ends_word=ends
        )
        [hidden] = positions_of(positions, labels)
        assert all(len(hidden & word) in (0, len(word)) for word in words)
        assert len(hidden) in (3, 4)  # with 8 in the word of its next line, 4 could not be


# Batches


IDS = [[CLS, *np.random.default_rng(n).integers(5, VOCAB, 3 + n % 23), SEP] for n in range(83)]


def batches(**kwargs):
    size = {} if "batch_size" in kwargs else {"tokens_per_batch": 151}
    return MaskedBatches(IDS, masking(), pad_id=PAD, **size, **kwargs)


def epoch_of(data_set, epoch=0):
    return [data_set.batch(epoch, step) for step in range(len(data_set))]


def equal(batch, other):
    (x, y), (x2, y2) = batch, other
    same = [np.array_equal(x[key], x2[key]) for key in x]
    return x.keys() == x2.keys() and all(same) and np.array_equal(y, y2)


def test_an_epoch_is_the_corpus_once_the_labels_are_put_back():
    found = []
    for x, y in epoch_of(batches(), 2):
        ids = x["token_ids"].copy()
        assert x["mask_positions"].shape == y.shape == (len(ids), round(0.15 * ids.shape[1]) or 1)
        for row, (p, labels) in enumerate(zip(x["mask_positions"], y, strict=True)):
            ids[row, p[labels != -100]] = labels[labels != -100]
            found.append(ids[row][x["padding_mask"][row]].tolist())
    assert sorted(filter(None, found)) == sorted(list(map(int, ids)) for ids in IDS)


def test_masks_are_new_in_every_epoch_and_a_function_of_seed_epoch_and_step():
    first, second = batches(seed=3), batches(seed=3)
    keys = [(e, s) for e in (0, 5) for s in range(len(first))]
    forwards = {key: first.batch(*key) for key in keys}
    assert all(equal(second.batch(*key), forwards[key]) for key in reversed(keys))
    stream = first.stream(5)
    assert equal(stream[len(first)], first.batch(1, 5))

    def hidden(data_set, epoch):
        """Where something is hidden in each record."""
        found = {}
        for step, (x, y) in enumerate(epoch_of(data_set, epoch)):
            sets = positions_of(x["mask_positions"], y)
            found |= dict(zip(data_set.records(epoch, step).tolist(), sets, strict=True))
        return [found[n] for n in range(len(IDS))]

    base = hidden(first, 0)
    for other in (hidden(first, 1), hidden(batches(seed=4), 0)):
        assert np.mean([a == b for a, b in zip(base, other, strict=True)]) < 0.3
    still = batches(shuffle=False)
    assert hidden(still, 0) == hidden(still, 7)
    assert all(equal(a, b) for a, b in zip(epoch_of(still, 0), epoch_of(still, 7), strict=True))


def test_segments_go_with_their_tokens():
    segments = [[i % 2 for i in ids] for ids in IDS]
    for x, y in epoch_of(batches(segment_ids=segments)):
        ids = x["token_ids"].copy()
        rows, columns = np.nonzero(y != -100)
        ids[rows, x["mask_positions"][rows, columns]] = y[rows, columns]
        assert (x["segment_ids"] == np.where(x["padding_mask"], ids % 2, 0)).all()


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"mask_id": VOCAB}, "mask_id must be 0 to 996; got 997"),
        ({"special_ids": (-1,)}, "special_ids must be 0 to 996; got -1"),
        ({"rate": 0}, "rate must be more than 0 and less than 1"),
        ({"rate": 1}, "rate must be more than 0 and less than 1"),
        ({"mask_share": 0.95}, "at most 1 together; got 0.95 and 0.1"),
        ({"random_share": -0.1}, "must be at least 0"),
        ({"continues_word": np.zeros(5, bool)}, "continues_word must have shape (997,); got (5,)"),
        ({"ends_word": np.zeros(5, bool)}, "ends_word must have shape (997,); got (5,)"),
        ({"vocab_size": 5, "special_ids": range(5)}, "must leave some of the vocabulary"),
    ],
)
def test_wrong_arguments_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        masking(**kwargs)


def test_ids_outside_the_vocabulary_are_refused():
    with pytest.raises(ValueError, match="token_ids must be 0 to 996; got 997"):
        applied(ids=np.array([[5, VOCAB]]), mask=np.ones((1, 2), bool))
    with pytest.raises(ValueError, match=r"ids\[1\]: token id 1000, the vocabulary has 997"):
        MaskedBatches([[5, 6], [7, 1000], [8]], masking(), batch_size=2)
    with pytest.raises(ValueError, match="labels must not be given"):
        MaskedBatches(IDS, masking(), batch_size=2, labels=np.zeros(83))


def test_masking_is_fast():
    ids, mask = rows(32, 128)
    for kwargs in ({}, {"continues_word": CONTINUES}):
        rule = masking(**kwargs)

        def seconds(rule=rule):
            start = time.perf_counter()
            rule(ids, mask, np.random.default_rng(0))
            return time.perf_counter() - start

        assert min(seconds() for _ in range(20)) < 10e-3


def test_a_mask_of_ints_is_one_of_bools():
    masking = Masking(99, 3, iter((0, 1, 2, 3)), mask_share=1.0, random_share=0.0)
    ids = [[1, 7, 8, 9, 10, 11, 12, 2], [1, 17, 18, 19, 20, 21, 22, 2]]
    found = [
        masking(ids, np.ones((2, 8), kind), np.random.default_rng(1)) for kind in (bool, "int32")
    ]
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="padding_mask must have the shape"):
        masking(ids, np.ones((2, 7), bool), np.random.default_rng(1))


def test_special_ids_may_be_an_iterator():
    assert Masking(9, mask_id=3, special_ids=iter((0, 1))).special_ids == (0, 1)
