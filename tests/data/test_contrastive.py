"""Batches of texts that belong together."""

import re

import numpy as np
import pytest

from keras_transformer import data

RNG = np.random.default_rng(0)
SIDES = [[RNG.integers(5, 61, RNG.integers(2, 14)).tolist() for _ in range(97)] for _ in range(3)]
SIZE = 11


def make(num_sides=2, **kwargs):
    return data.ContrastiveBatches(SIDES[:num_sides], SIZE, pad_id=1, **kwargs)


def epoch_of(batches, epoch=0):
    return [batches.batch(epoch, step) for step in range(len(batches))]


@pytest.mark.parametrize("num_sides", [2, 3])
def test_an_epoch_holds_every_pair_with_its_sides_in_the_same_place(num_sides):
    batches = make(num_sides)
    found = []
    for x, y in epoch_of(batches, 3):
        ids, mask = x["token_ids"], x["padding_mask"]
        assert len(ids) == len(y) == num_sides * SIZE and (ids[~mask] == 1).all()
        assert ((y >= 0) == mask.any(1)).all()
        for row in range(SIZE):
            texts = [ids[row + k * SIZE] for k in range(num_sides)]
            masks = [mask[row + k * SIZE] for k in range(num_sides)]
            found.append(tuple(t[m].tolist() for t, m in zip(texts, masks, strict=True)))
    expected = sorted(zip(*SIDES[:num_sides], strict=True))
    assert sorted(pair for pair in found if pair[0]) == expected
    slots = sum(x["token_ids"].size for x, _ in epoch_of(batches))
    tokens = sum(len(text) for side in SIDES[:num_sides] for text in side)
    assert batches.padding_share == pytest.approx(1 - tokens / slots, abs=1e-12)
    assert f"padding {100 * batches.padding_share:.1f} %" in batches.describe()


def test_equal_texts_have_equal_labels_wherever_they_stand():
    sides = [[[5], [6, 7], [5]], [[8], [5], [8]], [[9], [6], [6, 7]]]
    x, y = data.ContrastiveBatches(sides, 3, num_shapes=1).batch(0, 0)
    texts = [tuple(i[m]) for i, m in zip(x["token_ids"], x["padding_mask"], strict=True)]
    assert (y[:, None] == y).tolist() == [[a == b for b in texts] for a in texts]


def test_a_batch_depends_on_seed_epoch_and_step_alone():
    first, second = make(seed=5), make(seed=5)
    for key in ((4, 2), (0, 0), (4, 1)):
        (x, y), (x2, y2) = first.batch(*key), second.batch(*key)
        assert (x["token_ids"] == x2["token_ids"]).all() and (y == y2).all()
    assert not np.array_equal(first.batch(0, 0)[1], first.batch(1, 0)[1])
    stream = first.stream(len(first))
    assert (stream[2][1] == first.batch(1, 2)[1]).all()


@pytest.mark.parametrize(
    "sides, kwargs, message",
    [
        (SIDES[:1], {}, "sides must be two or three lists of one length; got lengths [97]"),
        ([SIDES[0], SIDES[1][:5]], {}, "got lengths [97, 5]"),
        ([[[5], [6]], [[7], []]], {}, "pair 1: no tokens"),
        ([[[5], [6]], [[7], [8] * 4]], {"max_length": 3}, "pair 1: 4 tokens, max_length is 3"),
        ([[], []], {}, "at least one record"),
        (SIDES, {"batch_size": 0}, "batch_size must be an int of at least 1"),
        (SIDES, {"pad_id": -1}, "pad_id must be an int of at least 0"),
    ],
)
def test_wrong_arguments_are_refused(sides, kwargs, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        data.ContrastiveBatches(sides, **{"batch_size": 3, **kwargs})
