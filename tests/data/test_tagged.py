"""Text with entities, in columns and with spans of characters."""

import collections
import re

import numpy as np
import pytest

from keras_transformer import data

CONLL2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

-DOCSTART- -X- -X- O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER
"""


def test_conll_2003_is_read_without_its_document_marks(write):
    text = data.read_conll(write("train.txt", CONLL2003), scheme="IOB2")
    assert text.tokens == [["EU", "rejects"], ["Peter", "Blackburn"]]
    assert text.tags == [["B-ORG", "O"], ["B-PER", "I-PER"]]
    assert text.lines == [[3, 4], [8, 9]] and len(text) == 2
    assert text.where(1).endswith("train.txt:8")
    speech = data.read_conll(write("train.txt", CONLL2003), tag_column=1)
    assert speech.tags[0] == ["NNP", "VBZ"]


@pytest.mark.parametrize("name", ["a.conll", "a.conll.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("blank", ["", "\t", " "])
def test_encodings_of_one_corpus_read_alike(write, name, end, blank):
    lines = ["New\tB-LOC", "Yörk\tI-LOC", blank, blank, "深\tO", "\u2028\tO", blank]
    text = data.read_conll(write(name, end.join(lines)))
    assert text.tokens == [["New", "Yörk"], ["深", "\u2028"]]
    assert text.lines == [[1, 2], [5, 6]]


def test_tabs_leave_spaces_within_a_token(write):
    text = data.read_conll(write("a.conll", "New York\tB-LOC\nis\tO\n"))
    assert text.tokens == [["New York", "is"]]
    assert data.read_conll(write("b.conll", "New   B-LOC\nYork I-LOC \n")).tags == [
        ["B-LOC", "I-LOC"]
    ]


@pytest.mark.parametrize(
    "content, kwargs, message",
    [
        ("a\tO\nb\n", {}, ":2: 1 columns, expected 2 as in line 1"),
        ("a\tO\nb\tx\tO\n", {}, ":2: 3 columns, expected 2 as in line 1"),
        ("a\tO\n\tO\n", {}, ":2: expected a token and a tag; got '' and 'O'"),
        ("a\tO\nb\t\n", {}, ":2: expected a token and a tag; got 'b' and ''"),
        ("a\tO\n\nb\tI-LOC\n", {"scheme": "IOB2"}, ":3: I-LOC after O is not IOB2"),
        ("a\tB-LOC\n\nb\tO\n", {"scheme": "IOBES"}, ":1: the end after B-LOC is not IOBES"),
        ("a\tO\nb\tlocation\n", {"scheme": "IOB2"}, ":2: tag 'location' is not IOB2"),
        ("a\n", {}, ":1: 1 columns, parted by spaces; expected at least 2"),
        ("a\tO\n", {"tag_column": 2}, ":1: 2 columns, parted by tabs; expected at least 2, and"),
        ("\n\n", {}, ": no sentences, the file is blank"),
        (b"a\tO\nb\xff\tO\n", {}, ":2: not UTF-8 (byte 0xff at position 1)"),
        ("a\tO\n", {"scheme": "BIO"}, "scheme must be one of IOB1, IOB2, IOBES, BILOU or None"),
    ],
)
def test_wrong_columns_name_file_and_line(write, content, kwargs, message):
    path = write("a.conll", content)
    with pytest.raises(ValueError) as error:
        data.read_conll(path, **kwargs)
    assert (f"{path}{message}" if message[0] == ":" else message) in str(error.value)


def test_an_unseen_tag_names_file_line_and_the_known_ones(write):
    path = write("a.conll", "a\tO\n\nb\tO\nc\tB-LOC\n")
    text = data.read_conll(path)
    ids = text.tag_ids(data.Labels(["B-LOC", "O"]))
    assert [row.tolist() for row in ids] == [[1], [1, 0]] and ids[0].dtype == np.int32
    message = f"{path}:4: unknown label 'B-LOC'; expected one of 'O', 'B-PER'"
    with pytest.raises(ValueError, match=re.escape(message)):
        text.tag_ids(data.Labels(["O", "B-PER"]))


# Spans of characters


def test_both_ways_to_write_spans_are_read(write):
    path = write(
        "a.jsonl",
        '{"text": "in New York", "spans": [{"start": 3, "end": 11, "label": "LOC", "id": 1}]}\n\n'
        '{"text": "May 1, Größe", "spans": [[7, 12, "X"], [0, 5, "DATE"]]}\n'
        '{"text": "", "spans": []}\n',
    )
    text = data.read_spans(path)
    pairs = zip(text.texts, text.spans, strict=True)
    found = [[(s.label, t[s.start : s.end]) for s in own] for t, own in pairs]
    assert found == [[("LOC", "New York")], [("DATE", "May 1"), ("X", "Größe")], []]
    assert text.lines == [1, 3, 4] and text.where(1) == f"{path}:3" and len(text) == 3
    other = write("b.jsonl", '{"data": "in New York", "label": [[3, 11, "LOC"]]}\n')
    assert data.read_spans(other, "data", "label").spans == text.spans[:1]


@pytest.mark.parametrize(
    "line, message",
    [
        ('{"text": "abc"}', "no key 'spans'; its keys are 'text'"),
        ('{"spans": []}', "no key 'text'; its keys are 'spans'"),
        ('{"text": 7, "spans": []}', "'text' must be a text; got int"),
        ('{"text": "abc", "spans": {}}', "'spans' must be a list; got dict"),
        ('{"text": "abc", "spans": [[0, 4, "A"]]}', "span ('A', 0, 4) must have 0 <= start"),
        ('{"text": "abc", "spans": [[1, 1, "A"]]}', "span ('A', 1, 1) must have 0 <= start"),
        ('{"text": "abc", "spans": [[0, 2, "A"], [1, 3, "B"]]}', "spans must not overlap"),
        ('{"text": "abc", "spans": [[0, 1.0, "A"]]}', "start and end of a span must be whole"),
        ('{"text": "abc", "spans": [[0, 1, null]]}', "the label of a span must be a text"),
        ('{"text": "abc", "spans": [[0, 1]]}', "a span must be an object or [start, end, label]"),
        ('{"text": "abc", "spans": [{"start": 0, "end": 1}]}', "no key 'label'; its keys are"),
    ],
)
def test_wrong_spans_name_file_and_line(write, line, message):
    path = write("a.jsonl", f'{{"text": "abc", "spans": []}}\n{line}\n')
    with pytest.raises(ValueError, match=re.escape(f"{path}:2: {message}")) as error:
        data.read_spans(path)
    assert str(error.value).count(str(path)) == 1
    with pytest.raises(ValueError, match="no texts, the file is blank"):
        data.read_spans(write("b.jsonl", "\n"))


# A real set


@pytest.mark.parametrize(
    "name, number", [("wnut17train.conll", 3394), ("emerging.dev.conll", 1009)]
)
def test_wnut17_is_iob2_and_whole(data_dir, name, number):
    path = data_dir / "wnut17" / name
    text = data.read_conll(path, scheme="IOB2")
    assert len(text) == number
    assert data.tags.find_scheme(text.tags) == "IOB2"
    rows = [line.split("\t") for line in path.read_text("utf-8").split("\n") if line.strip()]
    assert [list(row) for row in flat(text)] == rows
    starts = collections.Counter(tag[2:] for _, tag in rows if tag.startswith("B-"))
    spans = [span for tags in text.tags for span in data.tags.tags_to_spans(tags, "IOB2")]
    assert collections.Counter(span.label for span in spans) == starts


def flat(text):
    for tokens, tags in zip(text.tokens, text.tags, strict=True):
        yield from zip(tokens, tags, strict=True)


def test_the_start_of_a_document_is_looked_for_among_the_tokens(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("1\tthe\tO\n\n1\t-DOCSTART-\tO\n\n1\tdog\tB-X\n", "utf-8")
    assert data.read_conll(path, token_column=1).tokens == [["the"], ["dog"]]
