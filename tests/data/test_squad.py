"""Questions in SQuAD's format."""

import copy
import json
import re

import pytest

from keras_transformer import data

CONTEXT = "Größe zählt in New York, said the mayor of New York."
DATA = {
    "version": "v2.0",
    "data": [
        {
            "title": "New York",
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [
                        {
                            "id": "q1",
                            "question": "Where?",
                            "answers": [
                                {"text": "New York", "answer_start": 15},
                                {"text": "in New York", "answer_start": 12},
                            ],
                            "is_impossible": False,
                        },
                        {
                            "id": "q2",
                            "question": "When?",
                            "answers": [],
                            "plausible_answers": [{"text": "New", "answer_start": 15}],
                            "is_impossible": True,
                        },
                    ],
                }
            ],
        }
    ],
}


def written(write, change=lambda entry: None, name="dev.json"):
    """The file with its first question changed."""
    content = copy.deepcopy(DATA)
    change(content["data"][0]["paragraphs"][0]["qas"][0])
    return write(name, json.dumps(content))


@pytest.mark.parametrize("name", ["dev.json", "dev.json.gz"])
def test_questions_are_read_with_all_their_answers(write, name):
    first, second = data.read_squad(written(write, name=name))
    assert (first.id, first.question, first.context) == ("q1", "Where?", CONTEXT)
    assert [CONTEXT[a.start : a.end] for a in first.answers] == ["New York", "in New York"]
    assert first.title == "New York" and not first.is_impossible
    assert second.is_impossible and second.answers == ()


def test_version_1_has_no_impossible_questions(write):
    def change(entry):
        del entry["is_impossible"]

    assert not data.read_squad(written(write, change))[0].is_impossible


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"answers": [{"text": "New York", "answer_start": 16}]},
            "answer 'New York' is said to start at character 16 of the context, where 'ew York,'",
        ),
        ({"answers": [{"text": "New York", "answer_start": -9}]}, "at character -9"),
        ({"answers": [{"text": "mayor", "answer_start": 4711}]}, "where '' stands"),
        ({"answers": [{"text": "", "answer_start": 0}]}, "an answer is empty"),
        ({"answers": [{"text": "New", "answer_start": "15"}]}, "'answer_start' must be a whole"),
        ({"answers": [{"text": "New"}]}, "no key 'answer_start'; its keys are 'text'"),
        ({"answers": [{"text": None, "answer_start": 1}]}, "'text' must be a text; got NoneType"),
        ({"answers": ["New"]}, "'answers': expected an object; got str"),
        ({"answers": {}}, "'answers' must be a list; got dict"),
        ({"answers": []}, "no answer, though is_impossible is False"),
        ({"is_impossible": True}, "2 answers, though is_impossible is True"),
        ({"is_impossible": "no"}, "'is_impossible' must be true or false"),
        ({"question": 7}, "'question' must be a text; got int"),
    ],
)
def test_a_wrong_question_names_file_and_id(write, change, message):
    path = written(write, lambda entry: entry.update(change))
    with pytest.raises(ValueError, match=re.escape(f"{path}: question 'q1'")) as error:
        data.read_squad(path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"data": [\n{]}', ":2: not JSON"),
        ("[]", ": expected an object; got list"),
        ("{}", ": no key 'data'; its keys are none"),
        ('{"data": []}', ": no questions"),
        ('{"data": [{"paragraphs": 1}]}', ": article 0: 'paragraphs' must be a list; got int"),
        ('{"data": [{"paragraphs": [{}]}]}', ": article 0, paragraph 0: no key 'qas'"),
        ('{"data": [{"paragraphs": [{"qas": [{}]}]}]}', "paragraph 0: no key 'context'"),
        (
            '{"data": [{"paragraphs": [{"context": "", "qas": [{}]}]}]}',
            ": article 0, paragraph 0, 'qas': no key 'id'; its keys are none",
        ),
    ],
)
def test_what_is_no_squad_is_refused(write, content, message):
    path = write("dev.json", content)
    with pytest.raises(ValueError) as error:
        data.read_squad(path)
    assert message in str(error.value) and str(path) in str(error.value)


def test_an_id_that_comes_twice_is_refused(write):
    with pytest.raises(ValueError, match="question id 'q2' comes twice"):
        data.read_squad(written(write, lambda entry: entry.update(id="q2")))


def test_xquad_is_read_whole(data_dir):
    path = data_dir / "xquad" / "xquad.en.json"
    questions = data.read_squad(path)
    assert len(questions) == 1190
    assert all(len(question.answers) == 1 for question in questions)
    assert len({question.context for question in questions}) == 240
    for question in questions:
        [answer] = question.answers
        assert question.context[answer.start : answer.end] == answer.text
