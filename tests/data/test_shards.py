"""Token ids on disk."""

import json
import pickle
import re

import numpy as np
import pytest

from keras_transformer import data

VOCAB = 61


def documents(n=23, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, VOCAB - 1, rng.integers(1, 13)) for _ in range(n)]


@pytest.mark.parametrize("tokens_per_shard", [1, 7, 31, 10**6])
def test_what_is_written_is_read_wherever_files_end(tmp_path, tokens_per_shard):
    written = data.write_shards(tmp_path, documents(), VOCAB, tokens_per_shard=tokens_per_shard)
    expected = np.concatenate(documents())
    shards = data.TokenShards(tmp_path)
    assert len(shards) == len(written) == len(expected)
    assert len(shards.paths) == -(-len(expected) // tokens_per_shard)
    assert shards[:].tolist() == expected.tolist() and shards[:].dtype == np.int32
    assert shards[5:5].tolist() == [] and shards[-3:].tolist() == expected[-3:].tolist()
    starts = [0, 3, 29, len(expected) - 11]
    for row, start in zip(shards.rows(starts, 11), starts, strict=True):
        assert row.tolist() == expected[start : start + 11].tolist()
    assert (shards.num_documents, shards.vocab_size, shards.end_id) == (23, VOCAB, None)
    shards.verify()


def test_an_end_stands_behind_every_document(tmp_path):
    shards = data.write_shards(tmp_path, [[1, 2], [], [3]], VOCAB, end_id=60)
    assert shards[:].tolist() == [1, 2, 60, 60, 3, 60]
    assert (shards.end_id, shards.num_documents) == (60, 3)


@pytest.mark.parametrize("vocab_size, bytes_each", [(65_536, 2), (65_537, 4)])
def test_large_vocabularies_take_four_bytes(tmp_path, vocab_size, bytes_each):
    shards = data.write_shards(tmp_path, [[0, vocab_size - 1]], vocab_size)
    assert shards[:].tolist() == [0, vocab_size - 1]
    assert (tmp_path / "tokens-00000.bin").stat().st_size == 2 * bytes_each


def test_documents_may_be_more_than_memory_holds(tmp_path):
    """No more than a shard and a document are held at a time."""
    alive = []

    def stream():
        for i in range(50):
            alive.append(len(list(tmp_path.glob("*.bin"))))
            yield np.full(10, i % VOCAB)

    data.write_shards(tmp_path, stream(), VOCAB, tokens_per_shard=100)
    assert alive == [i // 10 for i in range(50)]


def test_a_copy_for_another_process_reads_the_files_anew(tmp_path):
    shards = data.write_shards(tmp_path, documents(), VOCAB)
    pickled = pickle.dumps(shards)
    assert len(pickled) < 500
    assert pickle.loads(pickled)[:].tolist() == shards[:].tolist()


@pytest.mark.parametrize(
    "document, message",
    [
        ([VOCAB], "document 2: token ids must be 0 to 60; got 61"),
        ([3, -1], "document 2: token ids must be 0 to 60; got -1"),
        ([1.5], "document 2: expected a list of int; got [1.5]"),
        (["a"], "document 2: expected a list of int"),
        ([[1]], "document 2: expected a list of int"),
    ],
)
def test_wrong_ids_name_the_document_and_leave_no_corpus(tmp_path, document, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        data.write_shards(tmp_path, [[1], [], document], VOCAB, tokens_per_shard=1)
    with pytest.raises(FileNotFoundError, match="tokens.json"):
        data.TokenShards(tmp_path)
    assert len(data.write_shards(tmp_path, [[5]], VOCAB)) == 1  # so the next try may go on


def test_wrong_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one token; got none"):
        data.write_shards(tmp_path, [[], []], VOCAB)
    with pytest.raises(ValueError, match="end_id must be 0 to 60; got 61"):
        data.write_shards(tmp_path, [[1]], VOCAB, end_id=61)
    shards = data.write_shards(tmp_path, [[1, 2, 3]], VOCAB)
    with pytest.raises(FileExistsError, match="tokens.json is there"):
        data.write_shards(tmp_path, [[1]], VOCAB)
    with pytest.raises(IndexError, match="starts must be 0 to 1; got"):
        shards.rows([2], 2)
    for item in (0, slice(0, 3, 2)):
        with pytest.raises(TypeError, match="slices without step"):
            shards[item]


def change(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format": "other"}, "expected the format 'keras_transformer token shards 1'"),
        ({"dtype": "int8"}, "'dtype' must be one of uint16, uint32; got 'int8'"),
        ({"shards": []}, "'shards' must be a list of at least one"),
        ({"shards": [{"num_tokens": 3}]}, "no key 'sha256'"),
        ({"shards": [{"num_tokens": 0, "sha256": ""}]}, "'num_tokens' must be an int of at least"),
        ({"vocab_size": "61"}, "'vocab_size' must be an int of at least 1; got '61'"),
        ({"dtype": "uint32"}, "6 bytes, expected 12 for 3 tokens of uint32"),
        ({"shards": [{"num_tokens": 4, "sha256": ""}]}, "6 bytes, expected 8 for 4 tokens"),
    ],
)
def test_damaged_shards_are_refused(tmp_path, changes, message):
    data.write_shards(tmp_path, [[1, 2, 3]], VOCAB)
    change(tmp_path / "tokens.json", **changes)
    with pytest.raises(ValueError, match=re.escape(message)):
        data.TokenShards(tmp_path)


def test_missing_and_changed_files_are_named(tmp_path):
    shards = data.write_shards(tmp_path, [[1, 2, 3]], VOCAB)
    path = tmp_path / "tokens-00000.bin"
    path.write_bytes(bytes(6))
    with pytest.raises(ValueError, match="tokens-00000.bin has sha256 .*, expected"):
        data.TokenShards(tmp_path).verify()
    path.unlink()
    with pytest.raises(FileNotFoundError, match="tokens-00000.bin, which .*tokens.json names"):
        data.TokenShards(shards.folder)
    (tmp_path / "tokens.json").write_text("{")
    with pytest.raises(ValueError, match="tokens.json:1: not JSON"):
        data.TokenShards(tmp_path)
