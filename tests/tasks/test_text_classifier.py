"""Labels and their probabilities are those of the model's logits."""

import json

import numpy as np
import pytest
from toy_encoders import LINES, classifier, outputs, softmax

from keras_transformer import models
from keras_transformer.tasks import Classification, LabelSet, Regression

LABELS = ("bad", "fair", "good")


def logits(task, line, pair=None):
    return outputs(
        task, task.tokenizer.encode(line), None if pair is None else task.tokenizer.encode(pair)
    )


def test_the_label_is_the_most_probable_one():
    task = classifier(labels=LABELS)
    answers = task(LINES)
    for line, answer in zip(LINES, answers, strict=True):
        expected = softmax(logits(task, line))
        np.testing.assert_allclose(list(answer.scores.values()), expected, rtol=1e-5, atol=1e-6)
        assert list(answer.scores) == list(LABELS)
        assert answer.label == LABELS[expected.argmax()]
        assert answer.score == answer.scores[answer.label]
    assert len({answer.label for answer in answers}) > 1


def test_pairs_are_joined():
    task = classifier()
    pairs = LINES[::-1]
    answers = task(LINES, pairs)
    for line, pair, answer in zip(LINES, pairs, answers, strict=True):
        expected = softmax(logits(task, line, pair))
        np.testing.assert_allclose(list(answer.scores.values()), expected, rtol=1e-5, atol=1e-6)
    assert task(LINES[0], pairs[0]).label == answers[0].label


def test_of_a_long_pair_the_longer_text_is_cut():
    task = classifier(max_length=13)
    first, second = "the dog sat on the mat", "a cat runs in Rome and eats"  # 6 and 9 tokens
    with pytest.warns(UserWarning, match="1 of 1"):
        found = task(first, second, truncate=True)
    tokenizer = task.tokenizer
    expected = softmax(outputs(task, tokenizer.encode(first)[:5], tokenizer.encode(second)[:5]))
    np.testing.assert_allclose(list(found.scores.values()), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
def test_several_labels_reach_the_threshold(threshold):
    task = classifier(problem="multi_label", labels=LABELS)
    for line, answer in zip(LINES, task(LINES, threshold=threshold), strict=True):
        expected = 1 / (1 + np.exp(-logits(task, line)))
        np.testing.assert_allclose(list(answer.scores.values()), expected, rtol=1e-5, atol=1e-6)
        assert set(answer.labels) == {
            name for name, p in zip(LABELS, expected, strict=True) if p >= threshold
        }
        ranked = [answer.scores[label] for label in answer.labels]
        assert ranked == sorted(ranked, reverse=True)


def test_a_regression_gives_the_number():
    task = classifier(problem="regression", num_classes=1)
    for line, answer in zip(LINES, task(LINES), strict=True):
        assert answer.value == pytest.approx(float(logits(task, line)[0]), rel=1e-4, abs=1e-5)
        assert list(answer.scores) == ["LABEL_0"]


def test_answers_turn_into_json():
    answers = [
        Classification("good", 0.75, {"bad": 0.25, "good": 0.75}),
        LabelSet(("good",), {"bad": 0.25, "good": 0.75}),
        Regression({"similarity": 2.5}),
    ]
    found = json.loads(json.dumps([answer.to_dict() for answer in answers]))
    assert found[0] == {"label": "good", "score": 0.75, "scores": {"bad": 0.25, "good": 0.75}}
    assert found[1]["labels"] == ["good"]
    assert found[2] == {"value": 2.5, "scores": {"similarity": 2.5}}
    assert [str(a) for a in answers] == ["good (0.750)", "good (0.750)", "similarity 2.500"]


def test_bad_arguments_are_named():
    task = classifier()
    with pytest.raises(ValueError, match="threshold must be from 0 to 1, got 2"):
        task("a", threshold=2)
    with pytest.raises(TypeError, match="texts and pairs must both be"):
        task("a", ["b"])
    with pytest.raises(ValueError, match="pairs must be as many as texts, 2; got 1"):
        task(["a", "b"], ["c"])
    with pytest.raises(ValueError, match="labels must be 2 different names"):
        models.SequenceClassifier(task.model.config, 2, labels=["same", "same"])
