"""A folder's tokenizer is told by its files."""

import itertools
import json
import os

import families
import pytest

from keras_transformer.text import (
    BytePairTokenizer,
    ByteTokenizer,
    CharacterTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    WordPieceTokenizer,
    files,
)
from keras_transformer.text.loading import KINDS, Contents


def kind_of(folder):
    contents = Contents.of(folder)
    return next((kind.name for kind in KINDS if kind.fits(contents)), None)


BYTES = {"type": "ByteLevel"}
FOLDERS = {
    "word_piece": ({"model": {"type": "WordPiece"}}, [], "WordPieceTokenizer"),
    "untyped": ({"model": {"max_input_chars_per_word": 100}}, [], "WordPieceTokenizer"),
    "bytes": ({"model": {"type": "BPE"}, "pre_tokenizer": BYTES}, [], "BytePairTokenizer"),
    "bytes_within": (
        {
            "model": {"type": "BPE"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split"}, BYTES]},
        },
        ["tokenizer.model"],
        "BytePairTokenizer",
    ),
    "llama": ({"model": {"type": "BPE"}}, ["tokenizer.model"], "SentencePieceTokenizer"),
    "unigram": ({"model": {"type": "Unigram"}}, ["spiece.model"], "SentencePieceTokenizer"),
    "unigram_alone": ({"model": {"type": "Unigram"}}, [], "SentencePieceTokenizer"),
    "characters": ({"model": {"type": "WordLevel"}}, [], "CharacterTokenizer"),
    "vocabulary": (None, ["vocab.txt"], "WordPieceTokenizer"),
    "merges": (None, ["vocab.json", "merges.txt"], "BytePairTokenizer"),
    "marian": (None, ["vocab.json", "source.spm", "target.spm"], "SentencePieceTokenizer"),
    "xlm": (None, ["sentencepiece.bpe.model"], "SentencePieceTokenizer"),
    "empty": (None, [], None),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_the_kind_follows_from_the_files(tmp_path, name):
    definition, names, kind = FOLDERS[name]
    if definition:
        (tmp_path / "tokenizer.json").write_text(json.dumps(definition))
    for name in names:
        (tmp_path / name).touch()
    assert kind_of(tmp_path) == kind


def test_an_unknown_folder_is_described(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "Words"}}')
    with pytest.raises(ValueError) as error:
        Tokenizer.load(tmp_path)
    for part in (str(tmp_path), "tokenizer.json", "Words", "vocab.txt", "spiece.model"):
        assert part in str(error.value)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        Tokenizer.load(tmp_path / "absent")


@pytest.mark.parametrize(
    "tokenizer", [ByteTokenizer(), CharacterTokenizer("abc")], ids=lambda x: type(x).__name__
)
def test_bytes_and_characters_are_known_again(tmp_path, tokenizer):
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path) == tokenizer


@pytest.fixture(scope="module")
def each_kind(tmp_path_factory):
    """A tokenizer of each kind, and some of other files."""
    lines = ["a dog runs in rome", "a dog eats the house"]
    root = tmp_path_factory.mktemp("kinds")
    names = ("T5Tokenizer", "XLMRobertaTokenizer", "MarianTokenizer")
    return [
        ByteTokenizer(),
        CharacterTokenizer("abc"),
        WordPieceTokenizer.train([lines], 46),
        BytePairTokenizer.train([lines], 261),
        SentencePieceTokenizer.train([lines], 30),
        *(Tokenizer.load(families.write(root, name)) for name in names),
    ]


def test_what_is_saved_last_is_loaded(each_kind, tmp_path):
    """Whichever kind was in the folder; and nothing goes that is no tokenizer's."""
    others = {"config.json": "{}", "model.safetensors": "", "chat_template.jinja": "x"}
    for name, content in others.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "vocab").mkdir()
    for before, after in itertools.permutations(each_kind, 2):
        before.save(tmp_path)
        (tmp_path / "added_tokens.json").write_text('{"stale": 7}')
        after.save(tmp_path)
        assert Tokenizer.load(tmp_path) == after
        assert others.keys() | {"vocab"} <= {path.name for path in tmp_path.iterdir()}


def test_a_save_that_fails_takes_nothing_away(each_kind, tmp_path, monkeypatch):
    byte, *_, marian = each_kind
    marian.save(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        byte.save(tmp_path)
    assert Tokenizer.load(tmp_path) == marian


def test_a_broken_file_is_named(tmp_path):
    path = tmp_path / "tokenizer.json"
    for content in (b"{", b"\xff", b"[" * 10**5):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="tokenizer.json is not valid"):
            Tokenizer.load(tmp_path)


def test_a_file_too_large_is_not_read(tmp_path, monkeypatch):
    WordPieceTokenizer.train([["a dog"]], 12).save(tmp_path)
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 10)
    with pytest.raises(ValueError, match="at most 10 are read"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "special_tokens_map.json").unlink()
    with pytest.raises(ValueError, match="vocab.txt is no file of a tokenizer"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    "names, kind",
    [
        (["vocab.txt"], "BertJapaneseTokenizer"),
        (["vocab.txt"], "BertweetTokenizer"),
        (["vocab.json", "merges.txt"], "CLIPTokenizer"),
        (["vocab.json", "merges.txt"], "DebertaTokenizer"),
    ],
)
@pytest.mark.parametrize("place", ["tokenizer_config.json", "config.json"])
def test_files_that_another_class_reads_otherwise_are_refused(tmp_path, names, kind, place):
    for name in names:
        (tmp_path / name).write_text({"vocab.json": '{"a": 0}'}.get(name, "[UNK]\na\n"))
    (tmp_path / place).write_text(json.dumps({"tokenizer_class": kind}))
    with pytest.raises(ValueError, match=f"names a {kind}, whose vocabulary"):
        Tokenizer.load(tmp_path)


def test_a_vocabulary_without_its_unknown_token_is_refused():
    tokenizer = WordPieceTokenizer.train([["the dog"]], vocab_size=19)
    content = json.loads(tokenizer.get_config()["definition"])
    del content["model"]["vocab"]["[UNK]"]
    content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] != "[UNK]"]
    with pytest.raises(ValueError, match=r"has no '\[UNK\]' in its vocabulary"):
        WordPieceTokenizer(json.dumps(content))


@pytest.mark.parametrize(
    "model",
    [
        {"type": "BPE"},
        {"type": "BPE", "vocab": {"a": 0}},
        {"type": "Unigram"},
        {"type": "Unigram", "vocab": [["a"]]},
        {"type": "Unigram", "vocab": {"a": 1}},
    ],
    ids=str,
)
def test_a_damaged_definition_is_named(tmp_path, model):
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model}))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer"}')
    with pytest.raises(ValueError, match="tokenizer.json"):
        Tokenizer.load(tmp_path)
