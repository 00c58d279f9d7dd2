"""Scores are what a few lines by hand, and published examples, give."""

import types

import numpy as np
import pytest

from keras_transformer import tasks
from keras_transformer.tasks import evaluation


def stand_in(kind, answers, **attributes):
    """A task of a kind that answers so whatever it is asked."""

    class Stub(kind):
        def __init__(self):
            vars(self).update(attributes)

        def __call__(self, *texts, **settings):
            return answers

    return Stub()


def labelled(*labels):
    return [tasks.Classification(label, 1.0, {}) for label in labels]


def test_accuracy_and_f1():
    task = stand_in(
        tasks.TextClassifier, labelled("a", "a", "b", "c"), labels=("a", "b", "c"),
        model=types.SimpleNamespace(problem="single_label"),
    )  # fmt: skip
    found = evaluation.evaluate(task, [{"text": "", "label": x} for x in "abbb"])
    assert found["accuracy"] == 0.5
    # a: 1 of 2 and 1; b: 1 of 1 and 3; c: none
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    with pytest.raises(ValueError, match=r"labels must be of \['a', 'b', 'c'\]; got \['x'\]"):
        evaluation.evaluate(task, [{"text": "", "label": "x"}] * 4)


def test_several_labels():
    answers = [tasks.LabelSet(("a", "b"), {}), tasks.LabelSet((), {})]
    task = stand_in(
        tasks.TextClassifier, answers, labels=("a", "b"),
        model=types.SimpleNamespace(problem="multi_label"),
    )  # fmt: skip
    found = evaluation.evaluate(task, [{"text": "", "labels": ["a"]}, {"text": "", "labels": []}])
    assert found == {"examples": 2, "exact_match": 0.5, "micro_f1": pytest.approx(2 / 3)}


def test_entities_must_agree_in_type_and_place():
    entity = tasks.Entity("LOC", "Rome", 1.0, 3, 7)
    task = stand_in(tasks.EntityTagger, [[entity], [entity], []])
    right = {"type": "LOC", "start": 3, "end": 7}
    examples = [
        {"text": "", "entities": [right]},
        {"text": "", "entities": [{**right, "end": 8}, {**right, "type": "PER"}]},
        {"text": "", "entities": []},
    ]
    found = evaluation.evaluate(task, examples)
    assert (found["precision"], found["recall"]) == (0.5, pytest.approx(1 / 3))
    assert found["f1"] == pytest.approx(0.4)


def test_squads_scores():
    texts = ["the Normans!", "in the 10th century", "", "Paris"]
    task = stand_in(tasks.QuestionAnswerer, [tasks.Answer(t, 1.0, 0, 0, 0.0) for t in texts])
    wanted = [["Normans", "x"], ["10th century"], [], []]
    examples = [{"question": "", "context": "", "answers": answers} for answers in wanted]
    found = evaluation.evaluate(task, examples)
    assert found["exact_match"] == 0.5
    assert found["f1"] == pytest.approx((1 + 4 / 5 + 1 + 0) / 4)


def test_correlations():
    x, y = np.array([1.0, 2.0, 4.0, 3.0]), np.array([1.0, 4.0, 9.0, 16.0])
    assert evaluation.correlation(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert evaluation.correlation(evaluation.ranks(x), evaluation.ranks(y)) == pytest.approx(0.8)
    assert np.isnan(evaluation.correlation(np.ones(3), np.arange(3.0)))


def test_what_cannot_be_scored_is_named():
    task = stand_in(tasks.EntityTagger, [])
    with pytest.raises(ValueError, match="examples must be at least one"):
        evaluation.evaluate(task, [])
    with pytest.raises(ValueError, match=r"examples\[1\] lacks 'text'; it has \['entities'\]"):
        evaluation.evaluate(task, [{"text": ""}, {"entities": []}])
    with pytest.raises(TypeError, match="no score for str"):
        evaluation.evaluate("task", [{}])


@pytest.mark.parametrize("x, y", [(2.6, 0.1), (0.1, None), (None, 2.6)])
def test_constants_have_no_correlation(x, y):
    rng = np.random.default_rng(0)
    for size in (3, 100, 1000):
        sides = [rng.normal(size=size) if side is None else np.full(size, side) for side in (x, y)]
        assert np.isnan(evaluation.correlation(*sides))
