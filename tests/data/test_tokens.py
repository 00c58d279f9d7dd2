"""Token ids of a corpus, and their cache."""

import os
import time

import numpy as np
import pytest

from keras_transformer.data.tokens import Tokens, tokenize

LINES = ["ab", "", "cde", "f"]


class Letters:
    fingerprint = "letters"
    calls = 0

    def encode(self, lines):
        self.calls += 1
        return [[ord(letter) for letter in line] for line in lines]


def as_lists(tokens):
    ends = np.cumsum(tokens.lengths)
    return [ids.tolist() for ids in np.split(tokens.ids, ends[:-1])]


def expected(lines=LINES):
    return Letters().encode(lines)


def test_what_is_encoded_is_what_is_read_back(tmp_path):
    tokenizer = Letters()
    for _ in range(3):
        tokens = tokenize(LINES, tokenizer, tmp_path)
        assert as_lists(tokens) == expected()
        assert tokens.ids.dtype == tokens.lengths.dtype == np.int32
    assert tokenizer.calls == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_other_text_or_tokenizer_is_another_entry(tmp_path):
    tokenizer = Letters()
    tokenize(LINES, tokenizer, tmp_path)
    for lines in (["ab", "cde", "f"], ["ab", "", "cde", "g"], ["a", "b", "cde", "f"], ["abcdef"]):
        assert as_lists(tokenize(lines, tokenizer, tmp_path)) == expected(lines)
    other = Letters()
    other.fingerprint = "other letters"
    tokenize(LINES, other, tmp_path)
    assert (tokenizer.calls, other.calls) == (5, 1)
    assert len(list(tmp_path.iterdir())) == 6


def damage_cut(content):
    return content[:-3]


def damage_bit(content):
    middle = len(content) - 6
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def damage_head(content):
    return b"\x93NUMPY" + content[6:]


@pytest.mark.parametrize(
    "damage", [damage_cut, damage_bit, damage_head, lambda c: b"", lambda c: c[:30]]
)
def test_damaged_cache_is_rebuilt(tmp_path, damage):
    tokenizer = Letters()
    tokenize(LINES, tokenizer, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert as_lists(tokenize(LINES, tokenizer, tmp_path)) == expected()
    assert tokenizer.calls == 2
    assert path.read_bytes() == whole


def test_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left on device: .*tokens-"):
            tokenize(LINES, Letters(), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert as_lists(tokenize(LINES, Letters(), tmp_path)) == expected()


def test_ids_around_and_truncation():
    tokens = tokenize(LINES, Letters())
    ended = tokens.between([], [3])
    assert as_lists(ended) == [[97, 98, 3], [3], [99, 100, 101, 3], [102, 3]]
    both = [[1, 2, 97, 98, 3, 4], [1, 2, 3, 4], [1, 2, 99, 100, 101, 3, 4], [1, 2, 102, 3, 4]]
    assert as_lists(tokens.between([1, 2], [3, 4])) == both
    assert as_lists(tokens.truncate(2)) == [[97, 98], [], [99, 100], [102]]
    assert as_lists(ended.truncate(4)) == as_lists(ended)


def test_rows_are_the_sequences_asked_for():
    tokens = tokenize(LINES, Letters())
    ids, mask = tokens.rows(np.array([3, 1, 2]), 5, 7)
    assert ids.shape == mask.shape == (5, 7)
    assert [ids[i][mask[i]].tolist() for i in range(5)] == [[102], [], [99, 100, 101], [], []]
    assert mask.sum(1).tolist() == [1, 0, 3, 0, 0]


def test_rows_are_fast():
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 30, 20_000).astype("int32")
    tokens = Tokens(rng.integers(0, 99, lengths.sum(), dtype="int32"), lengths)

    def seconds():
        start = time.perf_counter()
        tokens.rows(rng.integers(0, 20_000, 550), 550, 30)  # 16,500 slots
        return time.perf_counter() - start

    assert min(seconds() for _ in range(20)) < 2e-3
