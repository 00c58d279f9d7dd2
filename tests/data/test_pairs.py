"""Pairs, triples and conversations."""

import json
import re

import pytest

from keras_transformer import data
from keras_transformer.data import Message


def lines_of(*records):
    return "\n".join(json.dumps(record) for record in records) + "\n"


@pytest.mark.parametrize(
    "name, content, kwargs",
    [
        ("a.tsv", "one\teins\n\ntwo\t\nthree\tdrei\n", {"columns": [0, 1], "header": False}),
        ("a.csv.gz", "en,de\none,eins\ntwo,\nthree,drei\n", {"columns": ["en", "de"]}),
        (
            "a.jsonl",
            lines_of(
                {"de": "eins", "en": "one"},
                {"de": " ", "en": "two"},
                {"de": "drei", "en": "three", "n": 3},
            ),
            {"columns": ["en", "de"]},
        ),
    ],
)
def test_pairs_are_read_from_every_format(write, name, content, kwargs):
    text = data.read_pairs(write(name, content), **kwargs)
    source, target = text
    assert source == ["one", "three"] and target == ["eins", "drei"]
    assert text.num_blank == 1
    assert text.lines == {"a.tsv": [1, 4], "a.csv.gz": [2, 4], "a.jsonl": [1, 3]}[name]


def test_pairs_go_to_parallel_batches_which_name_their_lines(write):
    class Words:
        pad_id, bos_id, eos_id = 0, 1, 2

        def encode(self, lines):
            return [[3 + len(word) for word in line.split()] for line in lines]

    path = write("a.tsv", "\ta\nx\ty\na b c d\tx\n")
    text = data.read_pairs(path, [0, 1], header=False)
    assert data.ParallelBatches(text, None, Words(), 16).num_pairs == 2
    with pytest.raises(ValueError, match=re.escape(f"{path}:3: 5 tokens with the end")):
        data.ParallelBatches(text, None, Words(), 16, max_length=4)


def test_triples_are_read_and_blank_ones_counted(write):
    path = write("a.tsv", "q\tp\tn\na\tb\tc\nd\te\t \nf\tg\th\n")
    triples = data.read_triples(path, ["q", "p", "n"])
    anchors, positives, negatives = triples
    assert (anchors, positives, negatives) == (["a", "f"], ["b", "g"], ["c", "h"])
    assert triples.lines == [2, 4] and triples.num_blank == 1 and len(triples) == 2


@pytest.mark.parametrize(
    "function, content, columns, message",
    [
        (data.read_pairs, "a\tb\n", [0], "columns must be 2 different ones; got [0]"),
        (data.read_pairs, "a\tb\n", [0, 0], "columns must be 2 different ones; got [0, 0]"),
        (data.read_pairs, "a\tb\n", [0, 2], "a.tsv:1: no column 2; its columns are 0, 1"),
        (data.read_pairs, "a\tb\nc\n", [0, 1], "a.tsv:2: 1 columns, expected 2"),
        (data.read_pairs, "a\t \n \tb\n", [0, 1], "no sentence pairs (2 lines"),
        (data.read_pairs, "a\t \n", [0, 1], "column 1 is blank in all 1 records"),
        (data.read_triples, "a\tb\tc\n", [0, 1], "columns must be 3 different ones"),
        (data.read_triples, "a\tb\t\n\tb\tc\n", [0, 1, 2], "no triples (2 records, all with"),
    ],
)
def test_wrong_pairs_are_refused(write, function, content, columns, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        function(write("a.tsv", content), columns, header=False)


# Conversations


def test_both_forms_of_conversations_are_read(write):
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "2", "name": "more keys"},
        {"role": "user", "content": ""},
        {"role": "assistant", "content": " 3\n"},
    ]
    path = write(
        "a.jsonl",
        "\n" + lines_of({"messages": talk}, {"prompt": " a ", "completion": " b", "id": 1}),
    )
    conversations = data.read_messages(path)
    first, second = conversations.messages
    assert first == tuple(Message(m["role"], m["content"]) for m in talk)
    assert second == (Message("user", " a "), Message("assistant", " b"))
    assert conversations.lines == [2, 3] and len(conversations) == 2
    assert conversations.where(1) == f"{path}:3"


def talk(*roles):
    return {"messages": [{"role": role, "content": "x"} for role in roles]}


@pytest.mark.parametrize(
    "record, message",
    [
        ({"text": "a"}, "expected 'messages', or 'prompt' and 'completion'; its keys are 'text'"),
        ({"prompt": "a"}, "no key 'completion'; its keys are 'prompt'"),
        ({"completion": "a"}, "no key 'prompt'; its keys are 'completion'"),
        ({"prompt": ["a"], "completion": "b"}, "'prompt' must be a text; got list"),
        ({"prompt": "a", "completion": " "}, "message 1: the answer is blank"),
        ({"messages": "a"}, "'messages' must be a list of objects"),
        ({"messages": ["a"]}, "'messages' must be a list of objects"),
        ({"messages": [{"role": "user"}]}, "message 0: no key 'content'; its keys are 'role'"),
        (talk("user", "bot"), "message 1: role must be one of system, user, assistant; got 'bot'"),
        (talk("user", "user"), "message 1: expected assistant; got user"),
        (talk("assistant"), "message 0: expected user; got assistant"),
        (talk("system", "assistant"), "message 1: expected user; got assistant"),
        (talk("user", "system"), "message 1: expected assistant; got system"),
        (talk("user", "assistant", "user"), "the assistant must have the last word; got user"),
        (talk("system"), "the assistant must have the last word; got system"),
        (talk(), "the assistant must have the last word; got nothing"),
    ],
)
def test_wrong_conversations_name_file_and_line(write, record, message):
    path = write("a.jsonl", lines_of(talk("user", "assistant"), record))
    with pytest.raises(ValueError, match=re.escape(f"{path}:2: {message}")):
        data.read_messages(path)
    with pytest.raises(ValueError, match="no conversations, the file is blank"):
        data.read_messages(write("b.jsonl", ""))
