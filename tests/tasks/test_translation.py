"""A Translation prints as its text, turns into JSON, and stays as it is."""

import dataclasses
import json

import numpy as np
import pytest

from keras_transformer.tasks import Alignment, Alternative, Translation

ALIGNMENT = Alignment(
    np.array([[0.75, 0.25, 0.0], [0.0, 0.5, 0.5]], "float32"),
    ("▁ein", "▁Hund", "</s>"),
    ("▁a", "</s>"),
)
FULL = Translation("a dog", -0.25, (Alternative("one dog", -0.5),), ALIGNMENT)


def test_it_prints_as_its_text():
    assert f"{FULL} | {FULL.alternatives[0]}" == "a dog | one dog"


def test_it_turns_into_json_and_back():
    found = json.loads(json.dumps(FULL.to_dict()))
    assert found["text"] == "a dog" and found["score"] == -0.25
    assert found["alternatives"] == [{"text": "one dog", "score": -0.5}]
    assert found["alignment"]["scores"] == ALIGNMENT.scores.tolist()
    assert found["alignment"]["source"] == ["▁ein", "▁Hund", "</s>"]


def test_what_was_not_asked_for_is_left_out():
    assert Translation("a", -1.0).to_dict() == {"text": "a", "score": -1.0}


def test_the_repr_leaves_the_array_out():
    assert "array" not in repr(FULL) and "▁Hund" in repr(FULL)


def test_equal_answers_are_equal():
    same = Alignment(ALIGNMENT.scores.copy(), ALIGNMENT.source, ALIGNMENT.target)
    assert FULL == dataclasses.replace(FULL, alignment=same)
    assert FULL != dataclasses.replace(FULL, text="two dogs")


def test_it_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.text = "another"


def test_links_name_the_piece_attended_to_most():
    assert ALIGNMENT.links() == [("▁a", "▁ein"), ("</s>", "▁Hund")]
