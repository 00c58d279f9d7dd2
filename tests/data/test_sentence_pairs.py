"""Pairs of texts: what follows what, how often, and that nothing else tells."""

import re

import numpy as np
import pytest

from keras_transformer.data import AccumulatedBatches, Masking, SentencePairBatches
from keras_transformer.text import Template

VOCAB, PAD, CLS, SEP, MASK = 997, 0, 1, 2, 3
TEMPLATE = Template.of([CLS, "A", SEP], [CLS, "A", SEP, "B:1", "2:1"])


def make_documents(count=37, seed=0):
    """Documents whose ids rise by 1, so that a text tells where it is from."""
    rng = np.random.default_rng(seed)
    documents = []
    for number in range(count):
        token, sentences = 5 + 25 * number, []
        for _ in range(rng.integers(1, 7)):
            size = int(rng.integers(1, 5))
            sentences.append(list(range(token, token + size)))
            token += size
        documents.append(sentences)
    return documents


DOCUMENTS = make_documents()


def batches(documents=DOCUMENTS, **kwargs):
    masking = Masking(VOCAB, MASK, (PAD, CLS, SEP, MASK))
    options = dict(max_length=17, batch_size=7, num_shapes=3, **kwargs)
    return SentencePairBatches(documents, masking, TEMPLATE, **options)


def pairs_of(data_set, epoch=0):
    """(first text, second text, label) of an epoch's rows, what was hidden put back."""
    found = []
    for step in range(len(data_set)):
        x, y = data_set.batch(epoch, step)
        ids = x["token_ids"].copy()
        for row, (p, tokens) in enumerate(zip(x["mask_positions"], y["tokens"], strict=True)):
            ids[row, p[tokens >= 0]] = tokens[tokens >= 0]
        for row, mask, segments, label in zip(
            ids, x["padding_mask"], x["segment_ids"], y["pair"][:, 0], strict=True
        ):
            if not mask.any():
                assert label == -100
                continue
            assert row[0] == CLS and (row[~mask] == PAD).all() and not segments[~mask].any()
            first, second = (row[mask & (segments == s)].tolist() for s in (0, 1))
            assert first[-1] == second[-1] == SEP
            found.append((first[1:-1], second[:-1], int(label)))
    return found


def document_of(text):
    return (text[0] - 5) // 25


@pytest.mark.parametrize("objective", ["next", "order"])
def test_right_pairs_follow_each_other_in_their_document(objective):
    found = [pair for epoch in range(3) for pair in pairs_of(batches(objective=objective), epoch)]
    starts = {sentence[0] for document in DOCUMENTS for sentence in document}
    for first, second, label in found:
        assert {first[0], second[0]} <= starts and first == list(range(first[0], first[-1] + 1))
        if label == 0:
            assert second[0] == first[-1] + 1 and document_of(first) == document_of(second)
    assert {label for *_, label in found} == {0, 1}


def test_wrong_pairs_are_of_two_documents():
    for first, second, label in pairs_of(batches(objective="next"), 1):
        assert (document_of(first) != document_of(second)) == label
        assert second == list(range(second[0], second[-1] + 1))
        assert document_of(second) == document_of(second[-1:])  # of one document alone


def test_wrong_order_is_the_right_one_exchanged():
    for first, second, label in pairs_of(batches(objective="order"), 1):
        if label:
            assert first[0] == second[-1] + 1


def test_an_epoch_has_every_pair_of_sentences_once():
    exact = pairs_of(batches(objective="order"), 2)
    texts = sorted(min(a, b) + max(a, b) for a, b, _ in exact)
    assert len(texts) == batches().num_records == len({tuple(each) for each in texts})
    long = [sum(document, []) for document in DOCUMENTS if len(document) > 1]
    alone = [each for each in long if len(each) <= 14]  # the room of 17
    assert [each for each in texts if each in alone] == sorted(alone)


@pytest.mark.parametrize("objective", ["next", "order"])
def test_half_of_the_pairs_are_wrong(objective):
    data_set = batches(objective=objective)
    labels = [label for epoch in range(60) for *_, label in pairs_of(data_set, epoch)]
    assert np.mean(labels) == pytest.approx(0.5, abs=4 * 0.5 / len(labels) ** 0.5)


def test_no_epoch_has_the_pairs_of_another_and_each_is_a_function_of_its_step():
    first, second = batches(seed=3), batches(seed=3)
    keys = [(epoch, step) for epoch in (0, 5) for step in range(len(first))]
    forwards = {key: first.batch(*key) for key in keys}
    for key in reversed(keys):
        equal(second.batch(*key), forwards[key])
    equal(first.stream(3)[len(first)], first.batch(1, 3))
    assert sorted(pairs_of(first)) != sorted(pairs_of(first, 1))
    assert sorted(pairs_of(first)) != sorted(pairs_of(batches(seed=4)))
    still = batches(shuffle=False)
    for step in range(len(still)):
        equal(still.batch(0, step), still.batch(7, step))


def equal(batch, other):
    for part, same in zip(batch, other, strict=True):
        assert part.keys() == same.keys()
        for name in part:
            np.testing.assert_array_equal(part[name], same[name])


def test_long_sentences_are_parted_and_rows_stay_within_their_length():
    data_set = batches([[list(range(5, 100))], [[200], [201]], [[300]]])
    for first, second, _ in pairs_of(data_set):
        assert len(first) + len(second) <= 14
    assert "1 sentences without another" in data_set.describe()


def test_each_kind_of_target_has_its_own_divisor():
    data_set = batches()
    steps = len(data_set)
    sums = {"tokens": 0.0, "pair": 0.0}
    for step in range(steps):
        _, y, w = AccumulatedBatches(data_set, steps).batch(0, step)
        for name in sums:
            assert w[name].dtype == np.float32 and not w[name][y[name] == -100].any()
            sums[name] += w[name].sum() / steps
    assert sums == pytest.approx({"tokens": 1.0, "pair": 1.0}, rel=1e-5)


@pytest.mark.parametrize(
    "documents, kwargs, message",
    [
        (
            DOCUMENTS,
            {"objective": "last"},
            "objective must be one of ('next', 'order'); got 'last'",
        ),
        ([[[5, 6]], [[7]]], {}, "documents must hold one of at least two sentences; got none"),
        ([[[5, 6], [7]], []], {}, "documents must be at least two for objective 'next'; got one"),
        ([[[5]], [[6], [VOCAB]]], {}, "documents[1]: token id 997, the vocabulary has 997"),
        (DOCUMENTS, {"seed": -1}, "seed must be an int of at least 0; got -1"),
    ],
)
def test_wrong_arguments_are_refused(documents, kwargs, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        batches(documents, **kwargs)


def test_a_length_without_room_for_two_texts_is_refused():
    masking = Masking(VOCAB, MASK, (PAD, CLS, SEP, MASK))
    with pytest.raises(ValueError, match="max_length must be an int of at least 5; got 4"):
        SentencePairBatches(DOCUMENTS, masking, TEMPLATE, max_length=4, batch_size=2)
