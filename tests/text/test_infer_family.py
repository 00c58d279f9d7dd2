"""A tokenizer.json alone is loaded where its family is sure, and else refused by name."""

import json

import families
import pytest

from keras_transformer.text import Tokenizer
from keras_transformer.text.infer_family import infer_settings

JSON = [name for name in families.FAMILIES if name != "MarianTokenizer"]
LINES = [*families.LINES[:5], "a dog <mask> runs", "</s>", "a<unk>b</s>", " a", "<s>x", ""]


@pytest.fixture(scope="module", params=JSON)
def folder(request, tmp_path_factory):
    """A folder of a family as transformers saves it."""
    transformers = pytest.importorskip("transformers")
    root = tmp_path_factory.mktemp("family")
    folder = families.write(root, request.param)
    name = request.param.partition("-")[0]
    theirs = getattr(transformers, name).from_pretrained(str(folder))
    theirs.save_pretrained(str(root / "saved"))
    return root / "saved"


def alone(folder, target, **settings):
    """The tokenizer.json of a folder, in another."""
    target.mkdir(exist_ok=True)
    (target / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    if settings:
        (target / "tokenizer_config.json").write_text(json.dumps(settings))
    return target


@pytest.mark.parametrize("settings", [{}, {"tokenizer_class": "PreTrainedTokenizerFast"}], ids=str)
def test_ids_and_templates_are_those_of_transformers(folder, tmp_path, settings):
    transformers = pytest.importorskip("transformers")
    path = str(folder / "tokenizer.json")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=path)
    ours = Tokenizer.load(alone(folder, tmp_path, **settings))
    for line in LINES:
        assert ours(["x" + line])[0].ids == theirs("x" + line)["input_ids"], line
        assert ours.encode(line) == theirs(line, add_special_tokens=False)["input_ids"], line
    assert ours(["a dog"], ["a man"])[0].ids == theirs("a dog", "a man")["input_ids"]
    assert ours.vocab_size == len(theirs)
    again = Tokenizer.load(ours.save(tmp_path / "again").parent)
    assert again == ours


def test_the_class_is_the_one_that_the_folder_names(folder):
    content = json.loads((folder / "tokenizer.json").read_text())
    named = json.loads((folder / "tokenizer_config.json").read_text())["tokenizer_class"]
    assert infer_settings(content)["tokenizer_class"] == named


def other_template(content):
    content["post_processor"] = {"type": "ByteLevel"}


def other_normalizer(content):
    content["normalizer"] = {"type": "Lowercase"}


def other_splits(content):
    content["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [content["pre_tokenizer"], {"type": "Digits", "individual_digits": True}],
    }


def other_pieces(content):
    pieces = content["model"]["vocab"]
    if isinstance(pieces, list):
        pieces[0], pieces[1] = pieces[1], pieces[0]
    else:
        pieces["<unk>"], pieces["<s>"] = pieces["<s>"], pieces["<unk>"]


@pytest.mark.parametrize(
    "change",
    [other_template, other_normalizer, other_splits, other_pieces],
    ids=lambda f: f.__name__,
)
def test_what_is_only_alike_is_refused(folder, tmp_path, change):
    content = json.loads((folder / "tokenizer.json").read_text())
    change(content)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match="tokenizer.json could be .* tokenizer_class in tokenizer_"
    ):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("model", [{}, {"vocab": 5}, {"vocab": [1]}, {"vocab": {}, "unk_id": "a"}])
@pytest.mark.parametrize("kind", ["Unigram", "BPE"])
def test_a_broken_one_is_refused(tmp_path, model, kind):
    content = {"model": {"type": kind, "byte_fallback": True, **model}, "post_processor": 7}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="tokenizer.json could be of several"):
        Tokenizer.load(tmp_path)


def test_a_model_without_a_class_asks_for_one(tmp_path):
    folder = families.write(tmp_path, "T5Tokenizer")
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(ValueError, match="spiece.model could be of several families"):
        Tokenizer.load(folder)
    (folder / "config.json").write_text('{"model_type": "t5"}')
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": null}')
    assert Tokenizer.load(folder).eos_id == 1
