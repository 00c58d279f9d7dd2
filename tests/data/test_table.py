"""Records in columns, and what is said about wrong ones."""

import csv
import io
import json
import re

import numpy as np
import pytest

from keras_transformer import data

RECORDS = [  # everything that quotes are for
    ("A plain one", "a"),
    ('He said "no", twice', "b"),
    ("two\nlines", "a"),
    (" spaces, tabs\tand Größe ", "ö"),
    ("line separator \u2028 inside", "深"),
]


def as_csv(records, header=("text", "label"), **kwargs):
    file = io.StringIO()
    csv.writer(file, **kwargs).writerows([header, *records] if header else records)
    return file.getvalue()


def error_of(function, *args, **kwargs):
    with pytest.raises(ValueError) as error:
        function(*args, **kwargs)
    return str(error.value)


# CSV


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["plain", "bom"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_what_python_writes_as_csv_is_read_back(write, name, start, quoting):
    path = write(name, start + as_csv(RECORDS, quoting=quoting))
    table = data.read_table(path)
    assert list(zip(table.texts("text"), table.labels("label"), strict=True)) == RECORDS
    assert table.lines == [2, 3, 4, 6, 7]  # one of them has two lines
    assert len(table) == 5 and table.where(3) == f"{path}:6"


def test_columns_go_by_name_by_number_and_under_other_names(write):
    path = write("a.csv", "id,text,label\n1,good,x\n2,bad,y\n")
    assert data.read_table(path, ["label", "text"]).columns == {
        "label": ["x", "y"],
        "text": ["good", "bad"],
    }
    assert data.read_table(path, [1]).columns == {1: ["good", "bad"]}
    assert data.read_table(path, {"text": "label", "number": 0}).columns == {
        "text": ["x", "y"],
        "number": ["1", "2"],
    }
    without = write("b.csv", "1,good,x\n2,bad,y\n")
    assert data.read_table(without, header=False).columns[1] == ["good", "bad"]
    named = data.read_table(without, ["text"], header=["id", "text", "label"])
    assert named.columns == {"text": ["good", "bad"]} and named.lines == [1, 2]


def test_csv_may_have_another_delimiter(write):
    path = write("a.csv", 'text;label\n"a;b";x\n')
    assert data.read_table(path, delimiter=";").columns == {"text": ["a;b"], "label": ["x"]}
    path = write("quoted.tsv", 'text\tlabel\n"a\tb"\tx\n')
    table = data.read_table(path, format="csv", delimiter="\t")
    assert table.columns == {"text": ["a\tb"], "label": ["x"]}


def test_a_field_may_be_a_book_and_pythons_limit_stays_as_it_was(write):
    before = csv.field_size_limit()
    book = "word " * 50_000
    assert data.read_table(write("a.csv", as_csv([(book, "x")]))).texts("text") == [book]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    "content, message",
    [
        ('text,label\na,b\n"open,c\nd,e\n', "{path}:3: not CSV, the record that begins here"),
        ('text,label\n"a"b,c\n', "{path}:2: not CSV"),
        ("text,label\na,b\na,b,c\n", "{path}:3: 3 columns, expected 2 as in line 1"),
        ('text,label\n"a\nb",c\nd\n', "{path}:4: 1 columns, expected 2 as in line 1"),
        ("text,label\n", "{path}: no records, only the line of column names"),
        ("\n \n", "{path}: no records, the file is blank"),
    ],
)
def test_wrong_csv_names_file_and_line(write, content, message):
    path = write("a.csv", content)
    assert message.format(path=path) in error_of(data.read_table, path)


def test_invalid_utf8_names_file_and_line(write):
    path = write("a.csv", b"text,label\ngood,x\nb\xe4d,y\n")
    assert f"{path}:3: not UTF-8 (byte 0xe4 at position 1)" in error_of(data.read_table, path)


def test_a_missing_column_lists_those_there(write):
    path = write("a.csv", "text,label\na,b\n")
    message = error_of(data.read_table, path, ["sentence"])
    assert f"{path}:1: no column 'sentence'; its columns are 'text', 'label'" in message
    assert "header=False" in message  # the file may have none
    assert "no column 2; its columns are" in error_of(data.read_table, path, [2])
    message = error_of(data.read_table, path, ["text"], header=False)
    assert "its columns are 0, 1" in message
    assert "2 columns, header names 1" in error_of(data.read_table, path, header=["text"])
    twice = write("b.csv", "text,text\na,b\n")
    assert "2 columns are called 'text'" in error_of(data.read_table, twice, ["text"])
    assert "no column 'label'; its columns are 'text'" in error_of(
        data.read_table(path, ["text"]).labels, "label"
    )


# TSV


def test_tsv_has_no_quoting(write):
    path = write("a.tsv", '"quoted" here\t1\n"open\t0\n\n')
    table = data.read_table(path, header=False)
    assert table.texts(0) == ['"quoted" here', '"open'] and table.labels(1) == ["1", "0"]


# JSONL


def test_jsonl_is_read_by_key(write):
    records = [{"text": t, "label": label, "id": 7} for t, label in RECORDS]
    content = "\n\n".join(json.dumps(record) for record in records)
    table = data.read_table(write("a.jsonl.gz", content), {"text": "text", "class": "label"})
    assert list(zip(table.texts("text"), table.labels("class"), strict=True)) == RECORDS
    assert table.lines == [1, 3, 5, 7, 9]
    assert set(data.read_table(write("b.ndjson", content)).columns) == {"text", "label", "id"}


@pytest.mark.parametrize(
    "line, message",
    [
        ('{"text": "a"', "expected one JSON object a line; Expecting ',' delimiter"),
        ("[]", "expected one JSON object a line; got list"),
        ('{"text": "a", "lable": 1}', "no key 'label'; its keys are 'text', 'lable'"),
        ("{}", "no key 'text'; its keys are none"),
        ("[" * 100_000, "expected one JSON object a line"),
    ],
    ids=["cut", "list", "key", "empty", "deep"],
)
def test_wrong_jsonl_names_file_and_line(write, line, message):
    path = write("a.jsonl", f'{{"text": "a", "label": "b"}}\n{line}\n')
    assert f"{path}:2: {message}" in error_of(data.read_table, path, ["text", "label"])


# Values


def test_labels_are_words_whatever_json_made_of_them(write):
    path = write("a.jsonl", '{"y": 1}\n{"y": true}\n{"y": " two "}\n')
    assert data.read_table(path).labels("y") == ["1", "true", "two"]


@pytest.mark.parametrize("value", ["null", '" "', "1.5", "[1]"])
def test_no_label_names_file_and_line(write, value):
    path = write("a.jsonl", f'{{"y": 1}}\n{{"y": {value}}}\n')
    message = error_of(data.read_table(path).labels, "y")
    assert message.startswith(f"{path}:2: column 'y' must be a label; got")


def test_several_labels_are_parted_or_lists(write):
    table = data.read_table(write("a.csv", 'y\na\n"b, a"\n"[""c"", 1]"\n'))
    assert table.label_lists("y") == [["a"], ["b", "a"], ["c", "1"]]
    table = data.read_table(write("b.tsv", "x\ty\n-\ta|b\n-\t\n"))
    assert table.label_lists("y", "|") == [["a", "b"], []]
    table = data.read_table(write("c.jsonl", '{"y": ["a, b", "c"]}\n{"y": []}\n'))
    assert table.label_lists("y") == [["a, b", "c"], []]


@pytest.mark.parametrize(
    "value, expected",
    [("a,,b", "a label"), ("[a]", "a list of labels"), ("a,b,a", "labels that differ")],
)
def test_wrong_lists_of_labels_name_file_and_line(write, value, expected):
    path = write("a.tsv", f"x\ty\n-\ta\n-\t{value}\n")
    message = error_of(data.read_table(path).label_lists, "y")
    assert message.startswith(f"{path}:3: column 'y' must be {expected}; got")


def test_numbers_are_finite(write):
    table = data.read_table(write("a.csv", "y\n1\n-2.5e3\n 0 \n"))
    assert table.numbers("y").tolist() == [1, -2500, 0]
    assert table.numbers("y").dtype == np.float32
    for value in ("", "nan", "inf", "1,5", "one", "1_000", "1e39", "-1e300"):
        path = write("b.tsv", f"x\ty\n-\t1\n-\t{value}\n")
        message = error_of(data.read_table(path).numbers, "y")
        assert message.startswith(f"{path}:3: column 'y' must be a finite number; got '{value}'")
    path = write("c.jsonl", '{"y": 1}\n{"y": true}\n')
    assert f"{path}:2: column 'y'" in error_of(data.read_table(path).numbers, "y")


def test_texts_are_texts_and_not_all_blank(write):
    path = write("a.jsonl", '{"x": "a"}\n{"x": 3}\n')
    message = error_of(data.read_table(path).texts, "x")
    assert message == f"{path}:2: column 'x' must be a text; got 3"
    table = data.read_table(write("b.tsv", "x\ty\n\ta\n \tb\n"))
    assert "column 'x' is blank in all 2 records" in error_of(table.texts, "x")
    assert data.read_table(write("c.tsv", "x\ty\n\ta\nz\tb\n")).texts("x") == ["", "z"]


# Arguments


def test_wrong_arguments_are_refused(write, tmp_path):
    path = write("a.csv", "text,label\na,b\n")
    with pytest.raises(FileNotFoundError, match="none.csv"):
        data.read_table(tmp_path / "none.csv")
    assert "cannot tell the format from the name" in error_of(data.read_table, write("a.xls", "a"))
    assert "format must be one of" in error_of(data.read_table, path, format="xls")
    assert "columns are numbered from 0" in error_of(data.read_table, path, [-1])
    assert "at least one column" in error_of(data.read_table, path, [])
    assert "separator" in error_of(data.read_table(path).label_lists, "label", "")
    for columns in ("text", 3, [True], [1.0]):
        with pytest.raises(TypeError, match="columns must be"):
            data.read_table(path, columns)


# Real sets


def test_banking77_is_read_as_pythons_csv_reads_it(data_dir):
    path = data_dir / "banking77" / "train.csv"
    table = data.read_table(path, ["text", "category"])
    with open(path, encoding="utf-8", newline="") as file:
        expected = [row for row in csv.reader(file) if row][1:]
    texts = [text.replace("\r\n", "\n") for text, _ in expected]
    assert table.texts("text") == texts and len(texts) == 10_003
    assert table.labels("category") == [label for _, label in expected]
    known = json.loads((data_dir / "banking77" / "categories.json").read_text())
    assert sorted(data.Labels.of(table.labels("category"))) == sorted(known)
    lines = path.read_text("utf-8").split("\n")
    for text, line in zip(table.texts("text"), table.lines, strict=True):
        assert lines[line - 1].lstrip('"').startswith(text.split("\n")[0].split('"')[0])


@pytest.mark.parametrize("name, size", [("train", 6920), ("dev", 872)])
def test_sst2_has_two_columns_and_no_header(data_dir, name, size):
    table = data.read_table(data_dir / "sst2" / f"{name}.tsv", header=False)
    assert len(table) == len(table.texts(0)) == size
    assert set(table.labels(1)) == {"0", "1"}
    with pytest.raises(ValueError, match=re.escape("pass header=False")):
        data.read_table(data_dir / "sst2" / f"{name}.tsv", ["sentence", "label"])
