"""A stream of documents."""

import gzip
import itertools
import re

import pytest

from keras_transformer import data


def texts(*args, **kwargs):
    return [document.text for document in data.read_documents(*args, **kwargs)]


@pytest.mark.parametrize("name", ["a.txt", "a.py", "a.txt.gz"])
@pytest.mark.parametrize("content", ["a\n\nb\n", "a\n\nb", "\n深\u2028\n"])
def test_a_text_is_one_document_to_the_last_character(write, name, content):
    [document] = data.read_documents(write(name, content))
    assert document.text == content and document.line == 1


def test_ends_of_lines_and_a_byte_order_mark_are_no_text(write):
    assert texts(write("a.txt", "\ufeffa\r\nb\r\n")) == ["a\nb\n"]


def test_a_text_is_split_as_asked_for(write):
    path = write("a.txt", "\na\nb\n\n \nc\n")
    found = list(data.read_documents(path, split="paragraph"))
    assert [(d.text, d.line) for d in found] == [("a\nb", 2), ("c", 6)]
    found = list(data.read_documents(path, split="line"))
    assert [(d.text, d.line) for d in found] == [("a", 2), ("b", 3), ("c", 6)]
    assert found[2].where == f"{path}:6"


@pytest.mark.parametrize("split", ["file", "paragraph", "line"])
def test_jsonl_has_one_document_a_line(write, split):
    path = write("a.jsonl.gz", '{"text": "a\\n\\nb"}\n\n{"text": " "}\n{"text": "c", "id": 1}\n')
    found = list(data.read_documents(path, split))
    assert [(d.text, d.line) for d in found] == [("a\n\nb", 1), ("c", 4)]
    assert texts(write("b.ndjson", '{"body": "a"}\n'), text_key="body") == ["a"]


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path):
    for name in ("b.txt", "a/z.md", "a/b.jsonl", "c.bin", ".git/a.txt", "a/.b.txt", "d.TXT"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"text": "json"}' if name.endswith("jsonl") else name)
    (tmp_path / "e.txt.gz").write_bytes(gzip.compress(b"e.txt.gz"))
    assert texts(tmp_path) == ["json", "a/z.md", "b.txt", "d.TXT", "e.txt.gz"]
    assert texts([tmp_path / "c.bin", tmp_path / "a"]) == ["c.bin", "json", "a/z.md"]
    assert texts(tmp_path, suffixes=[".bin"]) == ["c.bin"]


def test_documents_come_one_by_one(write):
    """What is wrong far behind is no matter for the first documents."""
    path = write("a.txt", b"one\ntwo\n" + b"three\n" * 100_000 + b"\xff\n")
    first = list(itertools.islice(data.read_documents(path, "line"), 2))
    assert [document.text for document in first] == ["one", "two"]
    with pytest.raises(ValueError, match=re.escape(f"{path}:100003: not UTF-8")):
        texts(path, split="line")


def test_wrong_paths_are_refused_before_anything_is_read(write, tmp_path):
    good = write("a.txt", "a")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no such file or folder: .*none.txt"):
        data.read_documents([good, tmp_path / "none.txt"])
    with pytest.raises(ValueError, match="empty: no file there ends with .txt, .text, .md, .rst"):
        data.read_documents([good, tmp_path / "empty"])
    with pytest.raises(ValueError, match="paths must name at least one"):
        data.read_documents([])
    with pytest.raises(ValueError, match="split must be one of file, paragraph, line"):
        data.read_documents(good, split="word")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.txt", " \n\n", ": no text, the file is blank"),
        ("a.txt", b"a\n\xe4\n", ":2: not UTF-8 (byte 0xe4 at position 0)"),
        ("a.jsonl", '{"text": "a"}\n{"txet": "a"}\n', ":2: no key 'text'; its keys are 'txet'"),
        ("a.jsonl", '{"text": 3}\n', ":1: 'text' must be a text; got int"),
        ("a.jsonl", "text\n", ":1: expected one JSON object a line"),
    ],
)
def test_wrong_files_name_file_and_line(write, name, content, message):
    path = write(name, content)
    with pytest.raises(ValueError, match=re.escape(f"{path}{message}")):
        texts(path)


def test_tinyshakespeare_is_read_to_the_last_character(data_dir):
    path = data_dir / "tinyshakespeare" / "input.txt"
    [document] = data.read_documents(path)
    assert document.text == path.read_text("utf-8") and len(document.text) == 1_115_394
