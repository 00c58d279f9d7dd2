"""Texts as tokens on disk."""

import doctest
import itertools
import json
import types

import numpy as np
import pytest

from keras_transformer import data, text
from recipes import running_text

CODE = "def one(two):\n    if two:\n        return  3\n\n\n\tété = 'ﬁ'\n" * 40


def settings(run_dir, data_dir, **changes):
    values = dict(validation=0.1, tokens="subwords", vocab_size=300, from_checkpoint=None)
    return types.SimpleNamespace(run_dir=run_dir, data_dir=data_dir, **values | changes)


def written(path, content):
    path.write_text(content, "utf-8")
    return path


def ids(corpus):
    return corpus.train[:].tolist(), corpus.valid[:].tolist()


def test_examples_run():
    assert doctest.testmod(running_text).failed == 0


@pytest.mark.parametrize("tokens", ["characters", "bytes", "subwords"])
def test_nothing_of_a_text_is_lost(tokens, tmp_path):
    path = written(tmp_path / "code.py", CODE)
    corpus = running_text.prepare(settings(tmp_path / "run", path, tokens=tokens, vocab_size=None))
    train, valid = map(corpus.tokenizer.decode, ids(corpus))
    assert train + valid == CODE
    assert len(train) == int(0.9 * len(CODE)) and corpus.characters == len(CODE)
    assert corpus.valid_characters == len(valid)


def test_pieces_are_cut_at_lines_and_make_up_the_text(tmp_path, monkeypatch):
    path = written(tmp_path / "text.txt", CODE)
    whole = running_text.prepare(settings(tmp_path / "a", path, tokens="characters"))
    monkeypatch.setattr(running_text, "PIECE", 7)
    parts = running_text.prepare(settings(tmp_path / "b", path, tokens="characters"))
    assert ids(parts) == ids(whole)
    assert ids(whole)[0] == whole.tokenizer.encode(CODE[: int(0.9 * len(CODE))])


def test_no_more_of_a_text_is_read_than_is_asked_for(monkeypatch):
    monkeypatch.setattr(running_text, "PIECE", 12)
    endless = running_text.pieces(itertools.repeat("to be,\n"), 3)
    assert next(endless) == "be,\nto be,\nto be,\n"
    assert "".join(running_text.pieces(itertools.repeat("or\n"), 4, 9)) == "r\nor\n"


def test_documents_are_joined_with_a_line_feed(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    written(folder / "a.txt", "to be,\n")
    written(folder / "b.jsonl", json.dumps({"text": "or\n\nnot"}))
    written(folder / "c.md", "to be")
    assert "".join(running_text.read_lines(folder)) == "to be,\n\nor\n\nnot\nto be"
    assert list(running_text.read_lines(folder / "b.jsonl")) == ["or\n", "\n", "not"]


def test_a_vocabulary_is_as_large_as_the_text_can_fill(tmp_path, capsys):
    path = written(tmp_path / "text.txt", CODE)
    corpus = running_text.prepare(settings(tmp_path / "run", path, vocab_size=5000))
    assert 257 < corpus.tokenizer.vocab_size < 5000
    assert isinstance(corpus.tokenizer, text.BytePairTokenizer)
    assert f"{corpus.tokenizer.vocab_size}, not of 5000" in capsys.readouterr().out


def test_a_text_is_encoded_once_until_something_changes(tmp_path, monkeypatch):
    path = written(tmp_path / "text.txt", CODE)
    first = running_text.prepare(settings(tmp_path / "run", path))
    with monkeypatch.context() as patch:
        patch.setattr(data, "write_shards", None)
        again = running_text.prepare(settings(tmp_path / "run", path))
    assert ids(again) == ids(first)
    assert again.tokenizer.fingerprint == first.tokenizer.fingerprint
    other = running_text.prepare(settings(tmp_path / "run", written(path, CODE + "x = 1\n")))
    assert other.sha256 != first.sha256 and other.characters == first.characters + 6
    # as if it had been killed
    (tmp_path / "run" / "cache" / "text.json").write_text('{"sha256": null}')
    np.testing.assert_array_equal(
        running_text.prepare(settings(tmp_path / "run", path)).train[:], other.train[:]
    )


def test_a_checkpoints_tokenizer_is_taken(tmp_path):
    path = written(tmp_path / "text.txt", CODE)
    text.ByteTokenizer(extra_ids=0).save(tmp_path / "checkpoint")
    chosen = settings(tmp_path / "run", path, from_checkpoint=str(tmp_path / "checkpoint"))
    assert isinstance(running_text.prepare(chosen).tokenizer, text.ByteTokenizer)


@pytest.mark.parametrize(
    "content, changes, message",
    [
        ("", {}, "no text, all of it is blank"),
        (" \n\n", {}, "no text, all of it is blank"),
        ("a", {}, "1 characters are too few to part them"),
        (" " * 90 + "a" * 10, {}, "sources has no text to train on"),
        (CODE, {"vocab_size": 200}, "vocab_size must be an integer of at least 257"),
    ],
)
def test_too_little_text_is_said_with_its_file(content, changes, message, tmp_path):
    path = written(tmp_path / "tiny.txt", content)
    with pytest.raises(ValueError, match=rf"tiny\.txt: {message}"):
        running_text.prepare(settings(tmp_path / "run", path, **changes))


def test_somebodys_folder_is_left_as_it_is(tmp_path):
    path = written(tmp_path / "code.py", CODE)
    mine = tmp_path / "run" / "cache" / "precious.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(ValueError, match="cache is not empty, and no folder of tokens"):
        running_text.prepare(settings(tmp_path / "run", path))
    assert mine.read_text() == "mine"


def test_what_an_interrupted_run_left_is_written_anew(tmp_path, monkeypatch):
    path = written(tmp_path / "code.py", CODE)
    expected = ids(running_text.prepare(settings(tmp_path / "whole", path)))
    with monkeypatch.context() as patch:
        patch.setattr(data, "write_shards", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            running_text.prepare(settings(tmp_path / "run", path))
    assert ids(running_text.prepare(settings(tmp_path / "run", path))) == expected
