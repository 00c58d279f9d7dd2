"""Answers are the best of all spans, which are counted one by one here."""

import json

import numpy as np
import pytest
from toy_encoders import answerer, outputs, softmax

from keras_transformer.tasks.long_texts import window_of
from keras_transformer.text.template import windows

CONTEXTS = [
    "the dog sat on the mat .",
    "Berlin and Rome, 1919? the cat eats",
    "a dog in Rome sat on the mat and the cat eats a dog runs 1919 in Berlin , 日本 ? é .",
    "a",
]
QUESTION = "the dog?"
ADDED = 3


def brute_force(task, question, context, overlap, longest):
    """All spans as {(start, end): p}, and p of no answer."""
    asked = task.tokenizer.encode(question)
    ids, offsets = task.tokenizer.encode_with_offsets(context)
    size = task.max_length - ADDED - len(asked)
    begin = len(asked) + 2
    found, none = {}, []
    spans = windows(len(ids), size, overlap)
    for row, (start, end) in enumerate(spans):
        logits = outputs(task, asked, ids[start:end])
        allowed = [0, *range(begin, begin + end - start)]
        p = softmax(logits[allowed], axis=0)
        none.append(p[0, 0] * p[0, 1])
        for i in range(start, end):
            if window_of(np.array([i]), len(spans), size, overlap)[0] != row:
                continue
            for j in range(i, min(end, i + longest)):
                place = offsets[i][0], offsets[j][1]
                found[place] = p[1 + i - start, 0] * p[1 + j - start, 1]
    return found, min(none)


@pytest.mark.parametrize(("max_length", "overlap", "longest"), [
    (61, 5, 30), (61, 5, 2), (17, 0, 4), (17, 6, 4), (19, 9, 13),
])  # fmt: skip
def test_the_answers_are_the_best_of_all_spans(max_length, overlap, longest):
    task = answerer(max_length)
    task_question = "dog?" if max_length < 20 else QUESTION
    answers = task(
        [task_question] * 4, CONTEXTS, n_best=5, overlap=overlap, max_answer_length=longest,
        batch_size=3,
    )  # fmt: skip
    for context, answer in zip(CONTEXTS, answers, strict=True):
        expected, none = brute_force(task, task_question, context, overlap, longest)
        best = sorted(expected.items(), key=lambda item: -item[1])[:5]
        found = [answer, *answer.alternatives]
        assert [(a.start, a.end) for a in found] == [place for place, _ in best]
        np.testing.assert_allclose([a.score for a in found], [p for _, p in best], rtol=1e-4)
        assert [a.text for a in found] == [context[a.start : a.end] for a in found]
        assert answer.no_answer_score == pytest.approx(none, rel=1e-4)


def test_no_answer_needs_a_margin():
    task = answerer()
    answer = task(QUESTION, CONTEXTS[0])
    margin = np.log(answer.no_answer_score) - np.log(answer.score)
    assert task(QUESTION, CONTEXTS[0], no_answer_threshold=margin + 0.01).text == answer.text
    nothing = task(QUESTION, CONTEXTS[0], no_answer_threshold=margin - 0.01)
    assert (nothing.text, nothing.start, nothing.end) == ("", 0, 0)
    assert nothing.score == nothing.no_answer_score
    assert nothing.alternatives[0].text == answer.text  # what it would have been


def test_a_context_without_tokens_has_no_answer():
    for context in ("", " \t "):
        answer = answerer()(QUESTION, context)
        assert (answer.text, answer.start, answer.end) == ("", 0, 0)
        assert answer.score == answer.no_answer_score == pytest.approx(1.0)


def test_a_question_may_be_empty():
    answer = answerer()("", CONTEXTS[0])
    assert answer.text == CONTEXTS[0][answer.start : answer.end] != ""


def test_a_question_too_long_is_named_or_cut():
    task = answerer()
    limit = task.max_question_length
    long = "the dog " * limit
    with pytest.raises(ValueError, match=rf"questions\[1\] has {2 * limit} tokens.* {limit}\."):
        task(["a", long], ["a", "a"])
    with pytest.warns(UserWarning, match="1 of 1 questions were cut"):
        found = task(long, CONTEXTS[0], truncate=True)
    kept = task.tokenizer.decode(task.tokenizer.encode(long)[:limit])
    assert found == task(kept, CONTEXTS[0])


def test_answers_turn_into_json():
    answer = answerer()(QUESTION, CONTEXTS[0], n_best=2)
    found = json.loads(json.dumps(answer.to_dict()))
    assert found["alternatives"][0]["text"] == answer.alternatives[0].text
    assert str(answer) == answer.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_best": 0}, "n_best must be"),
        ({"max_answer_length": 0}, "max_answer_length must be"),
        ({"no_answer_threshold": "low"}, "no_answer_threshold must be a number or None"),
        ({"no_answer_threshold": float("nan")}, "no_answer_threshold must be .* got NaN"),
        ({"overlap": 60}, "overlap must be from 0 to 47; got 60"),
    ],
)
def test_a_bad_setting_is_named(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        answerer()("a", "a", **settings)


def test_a_character_of_two_surrogates_shifts_no_answer():
    task, context = answerer(), "\ud83d\ude00 " + CONTEXTS[0]
    settings = {"n_best": 5, "max_answer_length": 2}
    found = task(QUESTION, context, **settings)
    expected = task(QUESTION, "\N{GRINNING FACE} " + CONTEXTS[0], **settings)
    spans, others = ((answer, *answer.alternatives) for answer in (found, expected))
    for ours, other in zip(spans, others, strict=True):
        assert ours.text == context[ours.start : ours.end]
        if other.start > 1:
            assert (ours.text, ours.start, ours.end) == (other.text, other.start + 1, other.end + 1)
