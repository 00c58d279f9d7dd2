"""Readers of parallel text."""

import gzip
import re

import pytest

from keras_transformer import data

# Everything at which str.splitlines splits, but for the ends of lines that we know.
SEPARATORS = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r"]


@pytest.mark.parametrize("separator", SEPARATORS, ids=ascii)
def test_only_line_feeds_end_lines(write, separator):
    line = f"one{separator}two"
    assert data.read_lines(write("a", f"{line}\n{line}\r\n".encode())) == [line, line]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("is_ended", [True, False])
def test_encodings_of_one_text_read_alike(write, name, end, start, is_ended):
    lines = ["Größe", "", "深い", "\ufeffinside"]
    content = start + end.join(line.encode() for line in lines) + (end if is_ended else b"")
    assert data.read_lines(write(name, content)) == lines


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_invalid_utf8_names_file_and_line(write, name):
    path = write(name, b"good\n\nbad \xff byte\n")
    with pytest.raises(ValueError, match=re.escape(f"{path}:3: not UTF-8 (byte 0xff")):
        data.read_lines(path)


def test_cut_gzip_file_is_refused(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"text\n" * 999)[:-9])
    with pytest.raises(ValueError, match="a.gz: not a whole gzip file"):
        data.read_lines(path)
    path.write_bytes(b"no gzip at all")
    with pytest.raises(ValueError, match="a.gz: not a whole gzip file"):
        data.read_lines(path)


def test_pairs_keep_their_order_and_lines(write):
    text = data.read_parallel(write("de", b"eins\nzwei\ndrei\n"), write("en", b"one\ntwo\nthree\n"))
    source, target = text
    assert source == ["eins", "zwei", "drei"]
    assert target == ["one", "two", "three"]
    assert text.lines == [1, 2, 3]
    assert text.num_blank == 0
    assert len(text) == 3


def test_pairs_with_a_blank_side_are_left_out_and_counted(write):
    de = write("de", "eins\n\n \t\nvier\n\u2028\nsechs\n".encode())
    en = write("en", b"one\ntwo\n\n\nfive\nsix\n")
    text = data.read_parallel(de, en)
    assert list(text) == [["eins", "sechs"], ["one", "six"]]
    assert text.lines == [1, 6]
    assert text.num_blank == 4


def test_unequal_line_counts_are_refused_with_both(write):
    de, en = write("de", b"a\nb\nc\n"), write("en", b"a\nb\n")
    with pytest.raises(ValueError) as error:
        data.read_parallel(de, en)
    assert f"{de} has 3" in str(error.value) and f"{en} has 2" in str(error.value)


def test_missing_file_is_named(write, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.en"):
        data.read_parallel(write("de", b"a\n"), tmp_path / "nowhere.en")
    with pytest.raises(FileNotFoundError):
        data.read_lines(tmp_path)  # a folder


@pytest.mark.parametrize("content", [b"", b"\n \n"], ids=["empty", "blank"])
def test_corpus_without_pairs_is_refused(write, content):
    with pytest.raises(ValueError, match="no sentence pairs"):
        data.read_parallel(write("de", content), write("en", content))


def test_tsv_takes_the_columns_asked_for(write):
    path = write("a.tsv", b'id\t"ein\tone\n\n7\tzwei\ttwo\textra\n8\t\tthree\n')
    text = data.read_tsv(path, source_column=2, target_column=1)
    assert list(text) == [["one", "two"], ['"ein', "zwei"]]
    assert text.lines == [1, 3]
    assert text.num_blank == 2


def test_tsv_with_too_few_columns_names_the_line(write):
    path = write("a.tsv", b"a\tb\nonly one\n")
    with pytest.raises(ValueError, match=re.escape(f"{path}:2: 1 columns, at least 2")):
        data.read_tsv(path)
    with pytest.raises(ValueError, match="source_column"):
        data.read_tsv(path, source_column=-1)


def test_the_end_of_a_name_may_be_in_capitals(tmp_path):
    path = tmp_path / "a.tsv.GZ"
    path.write_bytes(gzip.compress(b"text\tlabel\na dog\tx\n"))
    assert data.read_lines(path) == ["text\tlabel", "a dog\tx"]
    assert data.read_table(path).texts("text") == ["a dog"]


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"\(it is a folder\)"):
        data.read_lines(tmp_path)
