"""Exact match and F1 of answers."""

import pytest

from keras_transformer import data, training
from keras_transformer.training.squad import answer_f1, exact_match, normalize_answer


@pytest.mark.parametrize(
    "text, normal",
    [
        ("The  Cat", "cat"),
        ("a, an... the!", ""),
        ("anthem of a theatre", "anthem of theatre"),
        ("U.S. $1,000", "us 1000"),
        ("rock-'n'-roll", "rocknroll"),
        ("“Größe”\u00a0\tder", "“größe” der"),  # punctuation is ASCII's
        ("the-the", "thethe"),  # punctuation goes first
    ],
)
def test_answers_are_normalised(text, normal):
    assert normalize_answer(text) == normal


@pytest.mark.parametrize(
    "prediction, answer, exact, f1",
    [
        ("the Denver Broncos", "Denver Broncos!", 1, 1),
        ("Denver", "Denver Broncos", 0, 2 / 3),  # precision 1, recall 1/2
        ("Broncos of Denver", "Denver Broncos", 0, 0.8),  # precision 2/3, recall 1
        ("no no no", "no", 0, 0.5),  # a word counts as often as it is in both
        ("Carolina", "Denver", 0, 0),
        ("", "Denver", 0, 0),
        ("", "", 1, 1),
        ("the", "", 1, 1),
    ],
)
def test_words_count_as_a_bag(prediction, answer, exact, f1):
    assert exact_match(prediction, answer) == exact
    assert answer_f1(prediction, answer) == pytest.approx(f1, abs=1e-12)
    assert answer_f1(answer, prediction) == answer_f1(prediction, answer)


def test_a_question_counts_its_best_answer():
    references = {"q": ["Denver Broncos", "Broncos", "the"]}
    assert training.squad_scores({"q": "broncos"}, references)["exact"] == 100
    # F1 1/2 with the first and 0 with the second: the best, not the mean
    scores = training.squad_scores({"q": "Denver won"}, {"q": ["Denver Broncos", "x"]})
    assert scores == {"exact": 0, "f1": pytest.approx(50), "total": 1}


def test_no_answer_is_an_empty_one():
    references = {"a": ["Denver"], "b": [], "c": [], "d": ["x", "y z"]}
    predictions = {"a": "", "b": "", "c": "Denver", "d": "Y, z"}
    scores = training.squad_scores(predictions, references)
    assert scores == {
        "exact": 50,
        "f1": 50,
        "total": 4,
        "has_answer_exact": 50,
        "has_answer_f1": 50,
        "has_answer_total": 2,
        "no_answer_exact": 50,
        "no_answer_f1": 50,
        "no_answer_total": 2,
    }


def test_questions_as_they_are_read_are_references():
    answers = (data.Answer("Denver", 0), data.Answer("Denver Broncos", 0))
    question = data.Question("q", "Who?", "Denver Broncos", answers)
    assert training.squad_scores({"q": "denver"}, [question])["exact"] == 100


def test_every_question_needs_a_prediction_and_every_prediction_a_question():
    with pytest.raises(ValueError, match="predictions lack 2 of the questions, such as 'b'"):
        training.squad_scores({"a": ""}, {"a": [], "b": [], "c": []})
    with pytest.raises(ValueError, match="references lack 1 of the questions, such as 'b'"):
        training.squad_scores({"a": "", "b": ""}, {"a": []})
    with pytest.raises(ValueError, match="references must have at least one"):
        training.squad_scores({}, {})


def test_the_right_answers_of_xquad_score_all(data_dir):
    questions = data.read_squad(data_dir / "xquad" / "xquad.en.json")
    right = {question.id: question.answers[0].text for question in questions}
    scores = training.squad_scores(right, questions)
    assert scores == {"exact": 100, "f1": 100, "total": 1190}
    cut = {id: " ".join(text.split()[:1]) for id, text in right.items()}
    scores = training.squad_scores(cut, questions)
    assert scores["exact"] < scores["f1"] < 100


def test_what_is_no_answer_is_refused():
    with pytest.raises(ValueError, match="answers to question 'q' must be a list; got 'Denver'"):
        training.squad_scores({"q": "Denver"}, {"q": "Denver"})
    with pytest.raises(ValueError, match="the prediction of question 'q' must be str; got None"):
        training.squad_scores({"q": None}, {"q": ["Denver"]})
