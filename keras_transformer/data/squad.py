"""Extractive question answering in the format of SQuAD 1.1 and 2.0.

Reference: Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text";
Rajpurkar et al. 2018, "Know What You Don't Know: Unanswerable Questions for SQuAD".
"""

import os
from typing import NamedTuple

from keras_transformer.data.json_lines import read_json, require, require_text


class Answer(NamedTuple):
    """An answer, and the character of the context that it starts at, from 0.

    Example:

    >>> answer = Answer("New York", 3)
    >>> "in New York"[answer.start : answer.end]
    'New York'
    """

    text: str
    start: int

    @property
    def end(self):
        """The character behind the last."""
        return self.start + len(self.text)


class Question(NamedTuple):
    """A question about a text.

    Attributes:
        id: str.
        question, context: str.
        answers: tuple of `Answer`; none where the text does not answer the question.
        is_impossible: bool, whether that is so.
        title: str, of the article; "" where there is none.

    Example:

    >>> question = Question("q1", "Where?", "in New York", (Answer("New York", 3),))
    >>> question.is_impossible
    False
    """

    id: str
    question: str
    context: str
    answers: tuple
    is_impossible: bool = False
    title: str = ""


def read_squad(path):
    """The questions of a SQuAD file, 1.1 or 2.0.

    Args:
        path: a JSON file, plain or `.gz`.

    Returns:
        list of `Question`, in the order of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: naming the file and the question: a key that is missing, an id twice, an answer
            that does not stand where it is said to, none though the question is not marked as
            impossible, or some though it is; naming the line of what is no JSON; no question.

    Example:

    >>> import json, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "dev.json"
    >>> answer = {"text": "New York", "answer_start": 3}
    >>> qas = [{"id": "q1", "question": "Where?", "answers": [answer]}]
    >>> paragraphs = [{"context": "in New York", "qas": qas}]
    >>> _ = path.write_text(json.dumps({"version": "1.1", "data": [{"paragraphs": paragraphs}]}))
    >>> [question] = read_squad(path)
    >>> question.id, question.answers
    ('q1', (Answer(text='New York', start=3),))
    """
    path = os.fspath(path)
    questions, seen = [], set()
    for number, article in enumerate(_list(read_json(path), "data", path)):
        where = f"{path}: article {number}"
        for k, paragraph in enumerate(_list(article, "paragraphs", where)):
            place = f"{where}, paragraph {k}"
            title = article.get("title", "")
            for question in _questions(paragraph, str(title), path, place):
                if question.id in seen:
                    raise ValueError(f"{path}: question id {question.id!r} comes twice")
                seen.add(question.id)
                questions.append(question)
    if not questions:
        raise ValueError(f"{path}: no questions")
    return questions


def _questions(paragraph, title, path, place):
    entries = _list(paragraph, "qas", place)
    context = require_text(paragraph, "context", place)
    for entry in entries:
        _check_object(entry, f"{place}, 'qas'")
        (id,) = require(entry, ["id"], f"{place}, 'qas'")
        if not isinstance(id, str | int) or isinstance(id, bool):
            raise ValueError(f"{place}: the id of a question must be a text; got {id!r}")
        where = f"{path}: question {str(id)!r}"
        question = require_text(entry, "question", where)
        is_impossible = entry.get("is_impossible", False)
        if not isinstance(is_impossible, bool):
            raise ValueError(f"{where}: 'is_impossible' must be true or false")
        answers = tuple(_answer(a, context, where) for a in _list(entry, "answers", where))
        if is_impossible == bool(answers):
            found = f"{len(answers)} answers" if answers else "no answer"
            raise ValueError(f"{where}: {found}, though is_impossible is {is_impossible}")
        yield Question(str(id), question, context, answers, is_impossible, title)


def _answer(answer, context, where):
    _check_object(answer, f"{where}, 'answers'")
    text = require_text(answer, "text", where)
    (start,) = require(answer, ["answer_start"], where)
    if isinstance(start, bool) or not isinstance(start, int):
        raise ValueError(f"{where}: 'answer_start' must be a whole number; got {start!r}")
    if not text:
        raise ValueError(f"{where}: an answer is empty")
    there = context[start : start + len(text)] if start >= 0 else ""
    if there != text:
        raise ValueError(
            f"{where}: answer {text!r} is said to start at character {start} of the context, "
            f"where {there!r} stands"
        )
    return Answer(text, start)


def _list(record, key, where):
    _check_object(record, where)
    (value,) = require(record, [key], where)
    if not isinstance(value, list):
        raise ValueError(f"{where}: {key!r} must be a list; got {type(value).__name__}")
    return value


def _check_object(value, where):
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object; got {type(value).__name__}")
