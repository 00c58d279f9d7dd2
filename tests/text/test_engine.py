"""Tokenizers on the `tokenizers` engine: folders, special tokens, templates, files."""

import copy
import json
import os
import pickle

import pytest
import tokenizers
from tokenizers import AddedToken, processors

from keras_transformer.text import Template, Tokenizer, WordPieceTokenizer
from keras_transformer.text.engine import template_of

LINES = ["a dog runs", "the dog eats", "Ünïcödé, a dog!"]


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer.train([LINES], 47)


def engine_of(tokenizer):
    return tokenizers.Tokenizer.from_str(tokenizer.get_config()["definition"])


def write(folder, engine, **settings):
    folder.mkdir(exist_ok=True)
    engine.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


SEP, CLS = ("[SEP]", 3), ("[CLS]", 2)
PROCESSORS = {
    "none": None,
    "bert": processors.BertProcessing(SEP, CLS),
    "roberta": processors.RobertaProcessing(SEP, CLS),
    "bytes": processors.ByteLevel(trim_offsets=False),
    "template": processors.TemplateProcessing(
        "[CLS] $A [SEP]:5", "$A:2 [SEP] [CLS]:3 $B:1 [SEP]:1", [SEP, CLS]
    ),
    "second_first": processors.TemplateProcessing("$A", "[CLS] $B $A:1", [CLS]),
    "sequence": processors.Sequence(
        [processors.ByteLevel(), processors.TemplateProcessing("[CLS] $A", "[CLS] $A $B", [CLS])]
    ),
}


@pytest.mark.parametrize("kind", PROCESSORS)
def test_special_tokens_stand_where_the_post_processor_puts_them(tokenizer, kind):
    engine = engine_of(tokenizer)
    if PROCESSORS[kind]:
        engine.post_processor = PROCESSORS[kind]
    else:  # this attribute cannot be set to None
        engine = tokenizers.Tokenizer.from_str(
            json.dumps(json.loads(engine.to_str()) | {"post_processor": None})
        )
    made = WordPieceTokenizer(engine.to_str())
    for pair in (None, "the dog"):
        [ours] = made(["a dog runs"], pair and [pair])
        theirs = engine.encode("a dog runs", pair)
        assert ours.ids == theirs.ids
        assert ours.segments == theirs.type_ids
        assert ours.sources == [-1 if s is None else s for s in theirs.sequence_ids]


def test_the_template_of_bert(tokenizer):
    bert = Template.of([2, "A", 3], [2, "A", 3, "B:1", "3:1"])
    assert tokenizer.template == template_of(tokenizer.engine) == bert


def test_padding_and_truncation_of_the_file_are_left_out(tokenizer, tmp_path):
    engine = engine_of(tokenizer)
    engine.enable_padding(length=13)
    engine.enable_truncation(3)
    loaded = Tokenizer.load(write(tmp_path, engine))
    assert loaded.encode("a dog runs") == tokenizer.encode("a dog runs")
    assert loaded.get_config()["definition"] == tokenizer.get_config()["definition"]


def test_the_roles_come_from_the_settings_or_the_usual_names(tokenizer, tmp_path):
    engine = engine_of(tokenizer)
    plain = Tokenizer.load(write(tmp_path / "plain", engine))
    assert [plain.pad_id, plain.unk_id, plain.cls_id, plain.sep_id, plain.mask_id] == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert plain.bos_id == plain.eos_id == -1
    folder = write(tmp_path / "named", engine, bos_token="[CLS]", pad_token={"content": "[MASK]"})
    (folder / "special_tokens_map.json").write_text('{"eos_token": "[SEP]", "bos_token": "[PAD]"}')
    named = Tokenizer.load(folder)
    assert (named.bos_id, named.pad_id, named.eos_id, named.cls_id) == (2, 4, 3, -1)


def test_named_tokens_that_are_missing_are_added(tokenizer, tmp_path):
    flags = {"content": "<new>", "lstrip": True, "special": True, "normalized": False}
    folder = write(
        tmp_path,
        engine_of(tokenizer),
        eos_token="</s>",
        additional_special_tokens=["<extra>"],
        added_tokens_decoder={"47": flags},
    )
    loaded = Tokenizer.load(folder)
    assert loaded.pieces([47, 48, 49]) == ["<new>", "</s>", "<extra>"]
    assert loaded.eos_id == 48 and loaded.vocab_size == 50
    assert loaded.encode_with_offsets("dog  <new>")[1][-1] == (3, 10)  # with the space before it
    assert {47, 48, 49} <= set(loaded.special_ids)
    assert Tokenizer.load(loaded.save(tmp_path / "again")) == loaded


@pytest.mark.parametrize("told, wanted", [(512, 512), (1e30, None), (10**30, None), (None, None)])
def test_an_absurd_longest_input_is_none(tokenizer, tmp_path, told, wanted):
    folder = write(tmp_path, engine_of(tokenizer), model_max_length=told)
    assert Tokenizer.load(folder).max_length == wanted


def test_special_tokens_are_found_in_text(tokenizer):
    ids, offsets = tokenizer.encode_with_offsets("a [MASK]dog[SEP]")
    assert tokenizer.pieces(ids) == ["a", "[MASK]", "dog", "[SEP]"]
    assert offsets == [(0, 1), (2, 8), (8, 11), (11, 16)]
    assert tokenizer.decode(ids) == "a dog"


def test_flags_of_added_tokens_hold(tokenizer):
    engine = engine_of(tokenizer)
    engine.add_tokens([AddedToken("do", single_word=True), AddedToken("Run", normalized=True)])
    made = WordPieceTokenizer(engine.to_str())
    assert "do" not in made.pieces(made.encode("dog")) and "do" in made.pieces(made.encode("a do"))
    assert made.encode("a rUNs")[1] == made.id_of("Run") == 48


def test_a_saved_tokenizer_is_read_to_an_equal_one(tokenizer, tmp_path):
    folder = tokenizer.save(tmp_path / "deep" / "er")
    assert {path.name for path in folder.iterdir()} == {
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.txt",
    }
    assert Tokenizer.load(folder) == tokenizer == WordPieceTokenizer.load(folder)
    read = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert read.to_str() == tokenizer.engine.to_str()


def test_a_write_that_fails_leaves_what_was_there(tokenizer, tmp_path, monkeypatch):
    tokenizer.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        WordPieceTokenizer.train([["quite another text"]], 31).save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_config_pickle_and_copy_give_an_equal_tokenizer(tokenizer):
    config = json.loads(json.dumps(tokenizer.get_config()))
    for again in (
        WordPieceTokenizer.from_config(config),
        pickle.loads(pickle.dumps(tokenizer)),
        copy.deepcopy(tokenizer),
    ):
        assert again == tokenizer and hash(again) == hash(tokenizer)
        assert again.encode(LINES) == tokenizer.encode(LINES)
    other = WordPieceTokenizer(config["definition"], config["settings"] | {"bos_token": "[CLS]"})
    assert other != tokenizer and other.bos_id == 2


def test_malformed_text_stands_for_the_replacement_character(tokenizer):
    expected = tokenizer.encode_with_offsets("a \N{REPLACEMENT CHARACTER} dog")
    assert tokenizer.encode_with_offsets("a \ud800 dog") == expected
    assert tokenizer.encode_with_offsets(b"a \xff dog") == expected


def test_nothing_gives_nothing(tokenizer):
    assert tokenizer.encode([]) == [] and tokenizer.encode("") == []
    assert tokenizer.encode_with_offsets(["", " "]) == [([], []), ([], [])]
    assert tokenizer.decode([]) == "" and tokenizer.decode([[], [0, 3]]) == ["", ""]
    assert tokenizer([]) == [] and tokenizer([""])[0].ids == [2, 3]


def test_unknown_pieces_and_ids(tokenizer):
    assert tokenizer.id_of("dog") == tokenizer.encode("dog")[0]
    assert tokenizer.id_of("cat") == tokenizer.unk_id == 1
    with pytest.raises(ValueError, match=r"ids must be in \[0, 47\), got 47"):
        tokenizer.decode([47])


def test_broken_definitions_are_named(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="definition is no tokenizer.json"):
        WordPieceTokenizer("{}")
    with pytest.raises(TypeError, match="definition must be a string, got dict"):
        WordPieceTokenizer({})
    unigram = tokenizers.Tokenizer(tokenizers.models.Unigram())
    with pytest.raises(ValueError, match="has a Unigram model; WordPieceTokenizer is WordPiece"):
        WordPieceTokenizer(unigram.to_str())
    folder = write(tmp_path, engine_of(tokenizer))
    (folder / "tokenizer_config.json").write_text("[1]")
    with pytest.raises(
        ValueError, match=r"tokenizer_config.json must hold a JSON object, got list"
    ):
        WordPieceTokenizer.load(folder)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        WordPieceTokenizer.load(tmp_path / "absent")
