"""SentencePieceTokenizer: text comes back, models are reproducible, and bad input is named."""

import copy
import gzip
import os
import pickle

import numpy as np
import pytest

from keras_transformer.text import SentencePieceTokenizer

LINES = [
    "ein hund läuft über die wiese .",
    "zwei hunde spielen am strand .",
    "a dog runs across the meadow .",
    "two dogs are playing on the beach .",
]


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def model_type(request):
    return request.param


@pytest.fixture(scope="module")
def tokenizer(model_type):
    return SentencePieceTokenizer.train([LINES], 43, model_type)


def test_text_comes_back(tokenizer):
    assert tokenizer.decode(tokenizer.encode(LINES)) == LINES
    assert tokenizer.decode(tokenizer.encode(LINES[0])) == LINES[0]


def test_special_ids_are_the_first_four(tokenizer):
    ids = (tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id)
    assert ids == (0, 1, 2, 3)
    assert tokenizer.pieces(ids) == ["<pad>", "<unk>", "<s>", "</s>"]
    assert tokenizer.vocab_size == 43


def test_special_tokens_cannot_be_written_in_text(tokenizer):
    ids = tokenizer.encode("<s> a dog </s> <pad>")
    assert not set(ids) & {0, 2, 3}


def test_decoding_drops_the_special_ids(tokenizer):
    ids = tokenizer.encode("a dog")
    assert tokenizer.decode([2, *ids, 3, 0, 0]) == "a dog"
    assert tokenizer.decode(np.array([[2, *ids, 3, 0]])) == ["a dog"]
    assert tokenizer.decode(np.array(ids)) == "a dog"
    assert tokenizer.decode(list(np.array(ids))) == "a dog"
    assert tokenizer.decode([np.array(ids), np.array(ids[:1])]) == ["a dog", "a"]


def test_nothing_gives_nothing(tokenizer):
    assert tokenizer.encode([]) == []
    assert tokenizer.encode("") == []
    assert tokenizer.encode(["", "  "]) == [[], []]
    assert tokenizer.decode([]) == ""
    assert tokenizer.decode([[], []]) == ["", ""]
    assert tokenizer.decode(np.zeros((0, 3), "int32")) == []


def test_malformed_text_stands_for_the_replacement_character(tokenizer):
    expected = tokenizer.encode("a \N{REPLACEMENT CHARACTER} dog")
    assert tokenizer.encode("a \ud800 dog") == expected
    assert tokenizer.encode(b"a \xff dog") == expected
    # Two surrogates that make a pair are their character.
    assert tokenizer.encode("\ud83d\ude00") == tokenizer.encode("\U0001f600")


def test_training_is_reproducible(tokenizer, model_type):
    again = SentencePieceTokenizer.train([LINES], 43, model_type)
    assert again.model_proto == tokenizer.model_proto
    assert again.fingerprint == tokenizer.fingerprint
    assert again == tokenizer and hash(again) == hash(tokenizer)


def test_files_and_lines_train_alike(tmp_path, tokenizer, model_type):
    plain, packed = tmp_path / "a.txt", tmp_path / "b.txt.gz"
    # A byte order mark, CRLF and blank lines are no text.
    plain.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(LINES[:2]).encode() + b"\r\n\r\n")
    packed.write_bytes(gzip.compress((LINES[2] + "\n\n").encode()))
    mixed = SentencePieceTokenizer.train([str(plain), packed, LINES[3:]], 43, model_type)
    assert mixed.fingerprint == tokenizer.fingerprint


def test_a_long_line_is_trained_on(model_type):
    # SentencePiece by itself drops lines of more than 4,192 bytes.
    long = " ".join(LINES * 100)
    tokenizer = SentencePieceTokenizer.train([[long]], 36, model_type)
    assert tokenizer.decode(tokenizer.encode(LINES[0])) == LINES[0]


@pytest.mark.parametrize("byte_fallback", [False, True])
def test_the_largest_vocabulary_is_the_one_the_error_names(model_type, byte_fallback):
    settings = {"model_type": model_type, "byte_fallback": byte_fallback}
    with pytest.raises(ValueError, match=r"vocab_size=5000 .* largest possible is (\d+)") as error:
        SentencePieceTokenizer.train([LINES], 5000, **settings)
    largest = int(str(error.value).rstrip(".").split()[-1])
    assert SentencePieceTokenizer.train([LINES], largest, **settings).vocab_size == largest
    with pytest.raises(ValueError, match="largest possible"):
        SentencePieceTokenizer.train([LINES], largest + 1, **settings)


def test_the_smallest_vocabulary_is_the_one_the_error_names(model_type):
    with pytest.raises(ValueError, match=r"vocab_size=5 cannot hold .* smallest possible is (\d+)"):
        SentencePieceTokenizer.train([LINES], 5, model_type)


def test_settings_do_what_they_say():
    bytes_ = SentencePieceTokenizer.train([LINES], 300, byte_fallback=True)
    assert bytes_.decode(bytes_.encode("犬 \N{BLACK STAR}")) == "犬 \N{BLACK STAR}"
    symbols = SentencePieceTokenizer.train([LINES], 70, user_defined_symbols=["<2de>", "<2en>"])
    assert "<2de>" in symbols.pieces(symbols.encode("<2de> a dog"))
    assert symbols.decode(symbols.encode("<2de> a dog")) == "<2de> a dog"
    exact = SentencePieceTokenizer.train([["ﬁne²", "a"]], 13, normalization="identity")
    assert exact.decode(exact.encode("ﬁne²")) == "ﬁne²"
    folded = SentencePieceTokenizer.train([["ﬁne²", "a"]], 13)
    assert folded.decode(folded.encode("ﬁne²\tﬁ")) == "fine2 fi"


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_a_copy_is_equal(tokenizer, copier):
    copied = copier(tokenizer)
    assert copied == tokenizer
    assert copied.encode(LINES) == tokenizer.encode(LINES)


def test_config_round_trip(tokenizer):
    assert SentencePieceTokenizer.from_config(tokenizer.get_config()) == tokenizer


def test_saved_equals_loaded(tmp_path, tokenizer):
    folder = tmp_path / "run-1.5"
    assert tokenizer.save(folder) == folder / "tokenizer.model"
    assert tokenizer.save(tmp_path / "spm.model") == tmp_path / "spm.model"
    for path in (folder, folder / "tokenizer.model", str(tmp_path / "spm.model")):
        assert SentencePieceTokenizer.load(path) == tokenizer
    assert os.listdir(folder) == ["tokenizer.model"]


def test_a_failed_save_keeps_what_was_there(tmp_path, tokenizer, monkeypatch):
    path = tokenizer.save(tmp_path)
    other = SentencePieceTokenizer.train([LINES], 40)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        other.save(tmp_path)
    assert path.read_bytes() == tokenizer.model_proto
    assert os.listdir(tmp_path) == ["tokenizer.model"]


def test_bad_files_are_named(tmp_path, tokenizer):
    with pytest.raises(FileNotFoundError, match="absent"):
        SentencePieceTokenizer.load(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="tokenizer.model"):
        SentencePieceTokenizer.load(tmp_path)
    proto = tokenizer.model_proto
    for content in (b"", b"hello", proto[:100], proto[: len(proto) // 2], os.urandom(1000)):
        path = tmp_path / "bad.model"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="bad.model is no SentencePiece model"):
            SentencePieceTokenizer.load(path)


def test_bad_training_text_is_named(tmp_path):
    path = tmp_path / "train.de"
    path.write_bytes(b"ein hund\nzwei \xff hunde\n")
    with pytest.raises(ValueError, match=r"train\.de:2 is not valid UTF-8"):
        SentencePieceTokenizer.train([path], 30)
    with pytest.raises(FileNotFoundError, match=r"sources\[1\] is no file: .*absent"):
        SentencePieceTokenizer.train([LINES, tmp_path / "absent"], 30)
    # Lines by mistake where paths belong: the error says how to give lines.
    for line in ("ein hund", "ein hund " * 1000, "\0"):
        with pytest.raises(FileNotFoundError, match=r"train\(\[lines\]"):
            SentencePieceTokenizer.train([line], 30)
    path.with_suffix(".gz").write_bytes(gzip.compress(b"ein hund\n" * 1000)[:-10])
    with pytest.raises(ValueError, match="no whole gzip file"):
        SentencePieceTokenizer.train([path.with_suffix(".gz")], 30)
    for empty in ([], [[]], [["", " "]]):
        with pytest.raises(ValueError, match="no text to train on"):
            SentencePieceTokenizer.train(empty, 30)
    with pytest.raises(TypeError, match=r"sources\[0\]\[1\] must be a line"):
        SentencePieceTokenizer.train([["a", 5]], 30)
    with pytest.raises(TypeError, match=r"sources\[0\] must be a path or a list"):
        SentencePieceTokenizer.train([7], 30)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("vocab_size", {"vocab_size": 0}),
        ("vocab_size", {"vocab_size": 30.0}),
        ("model_type", {"model_type": "word"}),
        ("normalization", {"normalization": "nfd"}),
        ("character_coverage", {"character_coverage": 1.5}),
    ],
)
def test_bad_settings_are_named(name, setting):
    with pytest.raises(ValueError, match=f"{name} must be"):
        SentencePieceTokenizer.train([LINES], **{"vocab_size": 40, **setting})


def test_bad_arguments_are_named(tokenizer):
    with pytest.raises(TypeError, match=r"text\[1\] must be a string, got int"):
        tokenizer.encode(["a", 3])
    with pytest.raises(TypeError, match="text must be a string or a list"):
        tokenizer.encode(3)
    for bad in (-1, 43):
        with pytest.raises(ValueError, match=rf"ids must be in \[0, 43\), got {bad}"):
            tokenizer.decode([5, bad])
    with pytest.raises(TypeError, match="ids must be"):
        tokenizer.decode([5.0])
    with pytest.raises(TypeError, match="model_proto must be bytes"):
        SentencePieceTokenizer("text")
