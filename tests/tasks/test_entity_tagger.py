"""Entities are those of the words' labels, in one window or in many."""

import numpy as np
import pytest
from toy_encoders import BIO, LINES, outputs, softmax, tagger

from keras_transformer.tasks.entity_tagger import entity_spans, split_label
from keras_transformer.tasks.long_texts import group_words, window_of
from keras_transformer.text.template import windows


def words_of(line):
    """The (start, end) of words, by hand."""
    found = []
    for place, c in enumerate(line):
        joins = c.isalnum() and not "一" <= c <= "鿿"
        if c.isspace():
            continue
        before = line[place - 1] if place else " "
        if joins and found and before.isalnum() and not "一" <= before <= "鿿":
            found[-1] = (found[-1][0], place + 1)
        else:
            found.append((place, place + 1))
    return found


def by_hand(words, labels, scores, line):
    """Entities of labelled words, one word at a time."""
    found, before = [], "O"
    for (start, end), label, score in zip(words, labels, scores, strict=True):
        if label != "O":
            kind = label[2:]
            if label[0] == "I" and before != "O" and before[2:] == kind:
                found[-1][2] = end
                found[-1][3].append(score)
            else:
                found.append([kind, start, end, [score]])
        before = label
    return [(kind, line[s:e], pytest.approx(np.mean(p), abs=1e-5), s, e) for kind, s, e, p in found]


def as_tuples(entities):
    return [(e.type, e.text, e.score, e.start, e.end) for e in entities]


def test_entities_are_those_of_the_first_tokens():
    task = tagger()
    number = 0
    for line, answer in zip(LINES, task(LINES), strict=True):
        (ids, offsets) = task.tokenizer.encode_with_offsets(line)
        probabilities = softmax(outputs(task, ids))[1:-1]
        words = words_of(line)
        first = [next(i for i, (s, _) in enumerate(offsets) if s == start) for start, _ in words]
        labels = [BIO[probabilities[i].argmax()] for i in first]
        scores = [probabilities[i].max() for i in first]
        assert as_tuples(answer) == by_hand(words, labels, scores, line)
        number += len(answer)
    assert number > 5


@pytest.mark.parametrize(("max_length", "overlap"), [(9, 0), (9, 3), (11, 6), (13, None)])
def test_long_texts_come_in_windows(max_length, overlap):
    task = tagger(max_length)
    line = " ".join([*LINES, *LINES[:3]])
    ids, offsets = task.tokenizer.encode_with_offsets(line)
    size = max_length - 2
    shared = min(max_length // 3, size - 1) if overlap is None else overlap
    spans = windows(len(ids), size, shared)
    seen = [softmax(outputs(task, ids[s:e]))[1:-1] for s, e in spans]
    probabilities = []
    for number in range(len(ids)):
        # of the windows that show the token, the one whose nearer edge is farthest away
        near = [min(number - s, e - 1 - number) for s, e in spans]
        allowed = {
            w
            for w, room in enumerate(near)
            if room >= min(shared // 2, max(near)) and (spans[w][0] <= number < spans[w][1])
        }
        chosen = int(window_of(np.array([number]), len(spans), size, shared)[0])
        start, end = spans[chosen]
        assert start <= number < end
        assert chosen in allowed or number < shared or number >= len(ids) - size
        probabilities.append(seen[chosen][number - start])
    words = words_of(line)
    first = [next(i for i, (s, _) in enumerate(offsets) if s == start) for start, _ in words]
    labels = [BIO[probabilities[i].argmax()] for i in first]
    scores = [probabilities[i].max() for i in first]
    found = task(line, overlap=overlap, batch_size=4)
    assert as_tuples(found) == by_hand(words, labels, scores, line)


@pytest.mark.parametrize(
    ("labels", "spans"),
    [
        ("B-A I-A O B-B", [(0, 1), (3, 3)]),
        ("I-A I-A B-A I-B", [(0, 1), (2, 2), (3, 3)]),  # IOB1: B where two of a type meet
        ("B-A I-A E-A S-A S-A O", [(0, 2), (3, 3), (4, 4)]),
        ("B-A L-A U-B I-B", [(0, 1), (2, 2), (3, 3)]),
        ("B-A M-A E-A E-A", [(0, 2), (3, 3)]),
        ("A A B O A", [(0, 1), (2, 2), (4, 4)]),
        ("O O", []),
        ("", []),
    ],
)
def test_every_scheme_is_understood(labels, spans):
    assert entity_spans([split_label(label) for label in labels.split()]) == spans


def test_words_are_letters_in_a_row():
    line = "don't naïve-ish 東京 x_1"
    offsets = [(0, 2), (2, 3), (3, 4), (4, 5), (6, 8), (8, 11), (11, 12), (12, 15)]
    offsets += [(16, 17), (17, 18), (18, 18), (19, 20), (20, 22)]
    words = group_words(line, offsets)
    assert words == [[0, 1], [2], [3], [4, 5], [6], [7], [8], [9], [11, 12]]


def test_bytes_of_one_character_are_one_word():
    assert group_words("日a", [(0, 1), (0, 1), (0, 1), (1, 2)]) == [[0, 1, 2], [3]]


@pytest.mark.parametrize("bad", [-1, 7, 100])
def test_a_bad_overlap_is_named(bad):
    with pytest.raises(ValueError, match=f"overlap must be from 0 to 6; got {bad}"):
        tagger(9)("a", overlap=bad)


def test_a_character_of_two_surrogates_shifts_no_entity():
    task, line = tagger(), "\ud83d\ude00 " + LINES[0]
    found, expected = task(line), task("\N{GRINNING FACE} " + LINES[0])
    assert [e.text for e in found] == [line[e.start : e.end] for e in found]
    of_words = [(e.text, e.type, e.start + 1, e.end + 1) for e in expected if e.start > 1]
    assert [(e.text, e.type, e.start, e.end) for e in found if e.start > 1] == of_words != []
