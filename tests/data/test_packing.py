"""Several records in one row."""

import re
import time

import numpy as np
import pytest

from keras_transformer import data


def records(n=151, longest=29, seed=0):
    rng = np.random.default_rng(seed)
    ids = [rng.integers(1, 61, rng.integers(1, longest + 1)).tolist() for _ in range(n)]
    return ids, [[-100] + own[1:] for own in ids]


def test_every_record_is_in_one_row_in_a_segment_of_its_own():
    ids, labels = records()
    packed = data.pack_records(ids, labels, length=31)
    assert sorted(n for row in packed.members for n in row) == list(range(151))
    for row, members in enumerate(packed.members):
        assert len(packed.ids[row]) == len(packed.token_labels[row]) <= 31
        segments = packed.segment_ids[row]
        assert segments.tolist() == sorted(segments.tolist())
        for k, record in enumerate(members):
            own = segments == k + 1
            assert packed.ids[row][own].tolist() == ids[record]
            assert packed.token_labels[row][own].tolist() == labels[record]


def test_rows_are_almost_full():
    ids, labels = records(1999)
    packed = data.pack_records(ids, labels, length=64)
    least = -(-sum(map(len, ids)) // 64)
    assert least <= len(packed.ids) <= 1.01 * least
    batches = data.RecordBatches(
        packed.ids,
        token_labels=packed.token_labels,
        segment_ids=packed.segment_ids,
        batch_size=7,
        num_shapes=1,
    )
    assert batches.padding_share < 0.03
    x, y = batches.batch(0, 0)
    assert (x["segment_ids"] > 0).tolist() == x["padding_mask"].tolist()


def test_packing_is_fast():
    ids = [range(n) for n in np.random.default_rng(0).integers(1, 1025, 20_000).tolist()]
    start = time.perf_counter()
    data.packing._best_fit([len(own) for own in ids], 1024)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    "ids, labels, message",
    [
        ([[1], [1] * 6], [[1], [1] * 6], "ids[1]: 6 tokens, a row has 5"),
        ([[1, 2]], [[1]], "ids[0]: 1 token_labels for 2 tokens"),
        ([[1]], [], "token_labels must be as many as ids; got 0 for 1"),
    ],
)
def test_wrong_records_are_named(ids, labels, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        data.pack_records(ids, labels, length=5)
    with pytest.raises(ValueError, match="length must be an int of at least 1"):
        data.pack_records(ids, labels, length=0)


def test_only_the_answers_are_learned():
    prompt, answer, more, last = [5, 6], [7, 8, 3], [9], [10, 3]
    ids = prompt + answer + more + last
    is_learned = [False] * 2 + [True] * 3 + [False] + [True] * 2
    inputs, labels = data.next_tokens(ids, is_learned)
    assert inputs.tolist() == [5, 6, 7, 8, 3, 9, 10]
    assert labels.tolist() == [-100, 7, 8, 3, -100, 10, 3]
    for wrong in ([True], [[True] * 8]):
        with pytest.raises(ValueError, match="ids and is_learned must have the same length"):
            data.next_tokens(ids, wrong)


@pytest.mark.parametrize("ids", [[5.9, 6.2], [2**32 + 5, 6], [-1, 6]], ids=str)
def test_what_is_no_id_is_refused(ids):
    with pytest.raises(ValueError, match=r"ids"):
        data.next_tokens(ids, [True, True])
    with pytest.raises(ValueError, match=r"ids\[0\]"):
        data.pack_records([np.array(ids)], [[1, 1]], length=4)
