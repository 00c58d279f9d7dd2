"""What the small files of a folder say is read from all of them, and refused where it is wrong."""

import json
import os
import pickle
import shutil

import families
import pytest

from keras_transformer.text import (
    BytePairTokenizer,
    ByteTokenizer,
    CharacterTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    WordPieceTokenizer,
)

LINES = ["a dog runs in rome", "a dog eats the house"]
TEXTS = ["newtok dog", "a dognewtok runs", "NEWTOK the", "a<x>dog", "a <mask> newtok"]
KINDS = {
    "WordPiece": ("BertTokenizer", WordPieceTokenizer, 46),
    "BytePair": ("GPT2Tokenizer", BytePairTokenizer, 261),
}
FAMILIES = ("T5Tokenizer", "XLMRobertaTokenizer", "LlamaTokenizer")


def edit(folder, **changes):
    """Changes fields of `tokenizer_config.json`."""
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(settings | changes))
    return folder


def vocabulary_alone(folder, kind):
    """A folder with the vocabulary's own files, and a class for transformers."""
    class_name, tokenizer, size = KINDS[kind]
    tokenizer.train([LINES], size).save(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink()
    return edit(folder, tokenizer_class=class_name), size


@pytest.fixture(scope="module", params=[*KINDS, *FAMILIES])
def folder(request, tmp_path_factory):
    """A folder with two added tokens in `added_tokens.json`, one of them special."""
    folder, name = tmp_path_factory.mktemp("added"), request.param
    if name in KINDS:
        folder, size = vocabulary_alone(folder, name)
    else:
        folder = families.write(folder, name)
        size = Tokenizer.load(folder).vocab_size
    (folder / "added_tokens.json").write_text(json.dumps({"newtok": size, "<x>": size + 1}))
    return edit(folder, additional_special_tokens=["<x>"], extra_ids=100)


def test_added_tokens_json_is_read_as_transformers_reads_it(folder):
    os.environ["HF_HUB_OFFLINE"] = "1"
    transformers = pytest.importorskip("transformers")
    name = json.loads((folder / "tokenizer_config.json").read_text())["tokenizer_class"]
    theirs = getattr(transformers, name).from_pretrained(str(folder))
    ours = Tokenizer.load(folder)
    assert ours.vocab_size == len(theirs)
    assert theirs.convert_tokens_to_ids("newtok") == ours.id_of("newtok") == ours.vocab_size - 2
    for text in TEXTS:
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"], text
    assert ours.id_of("<x>") in ours.special_ids and ours.id_of("newtok") not in ours.special_ids


def test_what_is_saved_has_them_too(folder, tmp_path):
    ours = Tokenizer.load(folder)
    ours.save(tmp_path)
    assert Tokenizer.load(tmp_path).encode(TEXTS) == ours.encode(TEXTS)


@pytest.mark.tensorflow
def test_the_graph_twin_has_them_too(folder):
    pytest.importorskip("tensorflow_text")
    ours = Tokenizer.load(folder)
    assert ours.graph_twin().tokenize(TEXTS).to_list() == ours.encode(TEXTS)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_beside_tokenizer_json_has_the_tokens_of_both(tmp_path, name):
    transformers = pytest.importorskip("transformers")
    folder = families.write(tmp_path, name)
    theirs = getattr(transformers, name).from_pretrained(str(folder))
    theirs.add_tokens(["newtok", transformers.AddedToken("<x>", rstrip=True)])
    both = tmp_path / "both"
    theirs.save_pretrained(str(both))
    shutil.copy(folder / families.FAMILIES[name][0], both)
    ours = Tokenizer.load(both)
    assert ours.vocab_size == len(theirs)
    for text in TEXTS:
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"], text


def test_files_that_contradict_each_other_are_refused(tmp_path):
    folder = families.write(tmp_path, "T5Tokenizer")
    size = Tokenizer.load(folder).vocab_size
    edit(folder, added_tokens_decoder={str(size): {"content": "newtok"}})
    added = folder / "added_tokens.json"
    added.write_text(json.dumps({"newtok": size}))
    assert Tokenizer.load(folder).id_of("newtok") == size
    for wrong in ({"newtok": size + 1}, {"other": size}):
        added.write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=f"added_tokens.json has the .*'{[*wrong][0]}'"):
            Tokenizer.load(folder)
    added.unlink()
    definition = {"added_tokens": [{"id": 3, "content": "newtok"}]}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "Unigram"}, **definition}))
    with pytest.raises(ValueError, match="tokenizer.json has the added token 'newtok' as id 3"):
        Tokenizer.load(folder)


def test_an_id_that_the_vocabulary_cannot_give_is_refused(tmp_path):
    folder, size = vocabulary_alone(tmp_path / "vocabulary", "WordPiece")
    for wrong in ({"newtok": size + 1}, {"dog": size}):
        (folder / "added_tokens.json").write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=f"added token '{[*wrong][0]}' the id .*json there"):
            Tokenizer.load(folder)
    family = families.write(tmp_path, "LlamaTokenizer")
    (family / "added_tokens.json").write_text('{"</s>": 7}')
    with pytest.raises(ValueError, match="'</s>' must have the model's own id 2"):
        Tokenizer.load(family)


def test_tokens_of_a_bare_model_have_no_place(tmp_path):
    SentencePieceTokenizer.train([LINES], 30).save(tmp_path)
    (tmp_path / "added_tokens.json").write_text('{"newtok": 30}')
    with pytest.raises(ValueError, match="tokenizer.model could be of several families"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), CharacterTokenizer("abc")], ids=repr)
def test_bytes_and_characters_have_no_tokens_beside_their_own(tmp_path, tokenizer):
    tokenizer.save(tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"</s>": tokenizer.eos_id}))
    assert Tokenizer.load(tmp_path) == tokenizer
    (tmp_path / "added_tokens.json").write_text('{"newtok": 400}')
    with pytest.raises(ValueError, match="added token 'newtok' with id 400; .* alone"):
        Tokenizer.load(tmp_path)


WRONG = [
    ("added_tokens_decoder", [1], "an object"),
    ("added_tokens_decoder", {"x": {"content": "a"}}, "ids with objects"),
    ("added_tokens_decoder", {"50": "a"}, "ids with objects"),
    ("added_tokens_decoder", {"50": {"content": "a", "lstrip": "yes"}}, "ids with objects"),
    ("model_max_length", "512", "a number"),
    ("model_max_length", True, "a number"),
    ("tokenizer_class", ["BertTokenizer"], "a string"),
    ("cls_token", 7, "a string or an object"),
    ("pad_token", {"text": "[PAD]"}, "a string or an object"),
    ("additional_special_tokens", "<x>", "a list or an object of tokens"),
    ("extra_special_tokens", [7], "a list or an object of tokens"),
    ("do_lower_case", "false", "true or false"),
    ("add_prefix_space", 1, "true, false or null"),
    ("extra_ids", -1, "an integer from 0 on"),
    ("extra_ids", "100", "an integer from 0 on"),
]


@pytest.mark.parametrize("field, value, allowed", WRONG)
def test_a_field_of_a_wrong_type_is_named_with_its_file(tmp_path, field, value, allowed):
    WordPieceTokenizer.train([LINES], 46).save(tmp_path)
    message = f"tokenizer_config.json must have {allowed}.* as '{field}'; got "
    with pytest.raises(ValueError, match=message):
        Tokenizer.load(edit(tmp_path, **{field: value}))


@pytest.mark.parametrize("field, value, allowed", WRONG)
def test_other_kinds_name_it_too(tmp_path, field, value, allowed):
    family = families.write(tmp_path, "T5Tokenizer")
    ByteTokenizer().save(tmp_path / "bytes")
    for folder in (family, tmp_path / "bytes"):
        if field == "tokenizer_class" and folder != family:
            continue  # no kind's at all
        with pytest.raises(ValueError, match=f"tokenizer_config.json must have {allowed}"):
            Tokenizer.load(edit(folder, **{field: value}))


def test_settings_that_are_passed_are_checked():
    tokenizer = WordPieceTokenizer.train([LINES], 46)
    definition = tokenizer.get_config()["definition"]
    with pytest.raises(ValueError, match="settings must have a number as 'model_max_length'"):
        WordPieceTokenizer(definition, {"model_max_length": "512"})


def test_broken_added_tokens_are_named(tmp_path):
    folder, _ = vocabulary_alone(tmp_path, "WordPiece")
    for content, message in (
        ('{"a": "46"}', "added_tokens.json must have ids"),
        ('{"x": 46, "y": 46}', "added_tokens.json has id 46 twice: 'x' and 'y'"),
        ("[]", "added_tokens.json must hold a JSON object"),
    ):
        (folder / "added_tokens.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            Tokenizer.load(folder)


def byte_pairs(folder, **settings):
    """A GPT-2 tokenizer's folder, with more settings."""
    made = BytePairTokenizer.train([["a dog", "a cat"] * 3], vocab_size=262)
    made.save(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return made


def test_special_tokens_may_be_text(tmp_path):
    plain = byte_pairs(tmp_path)
    split = Tokenizer.load(tmp_path)
    assert split.encode("a<|endoftext|>") == plain.encode("a<|endoftext|>")
    byte_pairs(tmp_path, split_special_tokens=True)
    split = Tokenizer.load(tmp_path)
    ids = split.encode("a<|endoftext|>")
    assert not set(ids) & set(split.special_ids)
    assert split.decode(ids) == "a<|endoftext|>"
    assert pickle.loads(pickle.dumps(split)).encode("a<|endoftext|>") == ids


@pytest.mark.tensorflow
def test_special_tokens_that_are_text_are_so_in_the_graph(tmp_path):
    byte_pairs(tmp_path, split_special_tokens=True)
    tokenizer = Tokenizer.load(tmp_path)
    strings = ["a<|endoftext|> dog", "<|endoftext|>"]
    expected = list(map(tokenizer.encode, strings))
    assert tokenizer.graph_twin().tokenize(strings).to_list() == expected


def test_old_folders_may_put_a_beginning_before_each_text(tmp_path):
    """As those of OPT: `vocab.json`, `merges.txt` and `add_bos_token`."""
    byte_pairs(tmp_path, tokenizer_class="GPT2Tokenizer", add_bos_token=True)
    (tmp_path / "tokenizer.json").unlink()
    tokenizer = Tokenizer.load(tmp_path)
    bos = tokenizer.bos_id
    [alone], [pair] = tokenizer(["a dog"]), tokenizer(["a dog"], ["a cat"])
    assert list(alone.ids) == [bos, *tokenizer.encode("a dog")]
    assert list(pair.ids) == [bos, *tokenizer.encode("a dog"), bos, *tokenizer.encode("a cat")]


def test_both_lists_of_further_tokens_are_added(tmp_path):
    byte_pairs(tmp_path, additional_special_tokens=["<x>"], extra_special_tokens={"y": "<y>"})
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.pieces(tokenizer.encode("<x><y>")) == ["<x>", "<y>"]


def test_one_str_is_no_list_of_tokens():
    with pytest.raises(TypeError, match="special_tokens must be a list; got '<sep>'"):
        BytePairTokenizer.train([["a"]], 300, special_tokens="<sep>")
    with pytest.raises(TypeError, match="user_defined_symbols must be a list; got '<sep>'"):
        SentencePieceTokenizer.train([["a"]], 30, user_defined_symbols="<sep>")
