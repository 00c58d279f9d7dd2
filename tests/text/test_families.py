"""SentencePiece tokenizers of published families have the ids of Hugging Face's, and come back."""

import json

import families
import fuzz
import pytest

from keras_transformer.text import SentencePieceTokenizer

# What the tokenizers library, on which transformers builds all but Marian's, does otherwise than
# SentencePiece: it normalises by grapheme cluster, keeps white space at the end of a part of the
# text (Pegasus, mBART-50), or has no normalisation at all (mBART).
EXTRA = [
    "<mask> a dog",
    "a dog <mask>, runs",
    "a <extra_id_0> b<extra_id_1>",
    "</s>",
    "a<unk>b</s>",
]
EXTRA += [
    "<pad>x",
    "",
    "en_XXdog",
    "<mask_1> x",
    ">>fra<< a dog",
    ">>xyz<<a dog",
    ">>a dog",
    "<s>x",
]
EXTRA += ["</s>>>fra<<dog", "a dog</s> a", " a", "a\n b", "犬x", "😀"]


@pytest.fixture(scope="module", params=families.FAMILIES)
def folder(request, tmp_path_factory):
    return families.write(tmp_path_factory.mktemp("family"), request.param)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return SentencePieceTokenizer.load(folder)


@pytest.fixture(scope="module")
def theirs(folder):
    pytest.importorskip("google.protobuf", reason="transformers reads models with it")
    transformers = pytest.importorskip("transformers")
    name = folder.name.partition("-")[0]
    return getattr(transformers, name).from_pretrained(str(folder))


def test_ids_are_those_of_transformers(tokenizer, theirs):
    lines = families.LINES[:5] if type(theirs).__name__ == "MBartTokenizer" else families.LINES
    for line in lines + EXTRA:
        expected = theirs(line, add_special_tokens=False)["input_ids"]
        assert tokenizer.encode(line) == expected, line
    assert tokenizer.vocab_size == len(theirs)
    for name, id in theirs.get_vocab().items():
        assert tokenizer.id_of(name) == id, name


def test_offsets_are_those_of_transformers(tokenizer, theirs):
    """Of the families whose tokenizers split at white space first."""
    if not tokenizer.layout.bare_offsets:
        pytest.skip("the others' places have the space before a word")
    for line in families.LINES[:5] + EXTRA + ["naïve “quoted”. ½ a", "  a  dog \n\u3000runs "]:
        encoding = theirs(line, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = tokenizer.encode_with_offsets(line)
        if ids == encoding["input_ids"]:  # mBART's has no normalisation
            assert offsets == [tuple(place) for place in encoding["offset_mapping"]], line


def test_special_ids_and_templates_are_those_of_transformers(tokenizer, theirs):
    for role in ("pad", "unk", "bos", "eos", "cls", "sep", "mask"):
        expected = getattr(theirs, f"{role}_token_id", None)
        if expected is not None:
            assert getattr(tokenizer, f"{role}_id") == expected, role
    single, pair = theirs("a dog")["input_ids"], theirs("a dog", "a man")["input_ids"]
    assert tokenizer(["a dog"])[0].ids == single
    assert tokenizer(["a dog"], ["a man"])[0].ids == pair


def test_transformers_reads_what_is_saved(tokenizer, theirs, tmp_path):
    tokenizer.save(tmp_path)
    again = type(theirs).from_pretrained(str(tmp_path))
    lines = families.LINES + EXTRA
    assert again(lines)["input_ids"] == theirs(lines)["input_ids"]


def test_a_folder_with_tokenizer_json_alone_cuts_alike(tokenizer, theirs, tmp_path):
    if tokenizer.layout.words or type(theirs).__name__ == "MBartTokenizer":
        pytest.skip("Marian has no tokenizer.json; mBART's has lost its normalisation")
    if tokenizer.layout.prefix == "always":
        pytest.skip("transformers does not save `legacy`")
    theirs.save_pretrained(str(tmp_path))
    for path in tmp_path.glob("*.model"):
        path.unlink()
    again = SentencePieceTokenizer.load(tmp_path)
    assert again.template == tokenizer.template and again.vocab_size == tokenizer.vocab_size
    for line in families.LINES + EXTRA + fuzz.strings(300, seed=19):
        assert again.encode_with_offsets(line) == tokenizer.encode_with_offsets(line), line
        assert again.decode(again.encode(line)) == tokenizer.decode(tokenizer.encode(line))


def test_saved_equals_loaded(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    again = SentencePieceTokenizer.load(tmp_path)
    assert again == tokenizer and again.max_length == tokenizer.max_length == 512
    assert again.template == tokenizer.template and again.layout == tokenizer.layout
    assert SentencePieceTokenizer.from_config(json.loads(json.dumps(again.get_config()))) == again


def test_offsets_are_in_the_text(tokenizer):
    """Of text that normalisation leaves as it is, each piece is what its offsets say."""
    for line in families.LINES[:4]:
        ids, offsets = tokenizer.encode_with_offsets(line)
        assert ids == tokenizer.encode(line)
        for piece, (start, end) in zip(tokenizer.pieces(ids), offsets, strict=True):
            if piece == "\u2581" and tokenizer.layout.bare_offsets:
                assert line[start:end].strip() == line[start] and start + 1 == end
            elif piece not in ("<unk>", "") and "<0x" not in piece:
                assert piece.replace("\u2581", " ").strip() == line[start:end].strip()


def test_offsets_go_forward_and_end_in_the_text(tokenizer):
    for line in fuzz.strings(300, seed=7):
        ids, offsets = tokenizer.encode_with_offsets(line)
        assert len(ids) == len(offsets)
        starts, ends = zip(*offsets, strict=True) if offsets else ((), ())
        assert list(starts) == sorted(starts) and list(ends) == sorted(ends)
        assert all(0 <= start <= end <= len(line) for start, end in offsets)
        if not tokenizer.layout.bare_offsets:  # there a `\u2581` has the place of what follows
            assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))


def test_special_tokens_are_found_in_text_and_dropped_again(tokenizer):
    ids = tokenizer.encode("a dog</s>")
    assert ids[-1] == tokenizer.eos_id
    assert tokenizer.encode_with_offsets("a dog</s>")[1][-1] == (5, 9)
    assert tokenizer.decode(ids) == "a dog"


def test_text_comes_back(tokenizer):
    for line in families.LINES[:2]:
        ids = tokenizer.encode(line)
        if tokenizer.unk_id not in ids:
            assert tokenizer.decode(ids) == line


@pytest.fixture(scope="module")
def mbart(tmp_path_factory):
    folder = families.write(tmp_path_factory.mktemp("one"), "MBartTokenizer")
    return SentencePieceTokenizer.load(folder)


@pytest.fixture(scope="module")
def marian(tmp_path_factory):
    folder = families.write(tmp_path_factory.mktemp("one"), "MarianTokenizer")
    return SentencePieceTokenizer.load(folder)


def test_the_language_is_changed(mbart):
    assert mbart(["a dog"])[0].ids[-1] == mbart.id_of("de_DE")
    french = mbart.with_language("fr_XX")
    assert french(["a dog"])[0].ids[-1] == mbart.id_of("fr_XX")
    assert french.with_language("de_DE") == mbart
    with pytest.raises(ValueError, match="code must be a language code .* got 'fr'"):
        mbart.with_language("fr")


def test_the_target_has_its_own_model_and_the_same_ids(marian, mbart):
    target = marian.for_target()
    assert target.model_proto != marian.model_proto
    assert target.vocab_size == marian.vocab_size and target.for_target() == marian
    assert target.decode(target.encode("a dog runs")) == "a dog runs"
    assert mbart.for_target() is mbart


def test_bad_folders_are_named(tmp_path):
    settings = tmp_path / "tokenizer_config.json"
    settings.write_text('{"tokenizer_class": "BertTokenizer"}')
    with pytest.raises(ValueError, match="tokenizer_class must be one of .* got 'BertTokenizer'"):
        SentencePieceTokenizer.load(tmp_path)
    settings.write_text('{"tokenizer_class": "T5Tokenizer"}')
    with pytest.raises(FileNotFoundError, match="spiece.model"):
        SentencePieceTokenizer.load(tmp_path)
    (tmp_path / "spiece.model").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="spiece.model is no SentencePiece model"):
        SentencePieceTokenizer.load(tmp_path)
    settings.write_text("[]")
    with pytest.raises(ValueError, match="must hold a JSON object"):
        SentencePieceTokenizer.load(tmp_path)
    (tmp_path / "spiece.model").write_bytes(families.trained(**families.PADDED))
    settings.write_text('{"tokenizer_class": "XLMRobertaTokenizer"}')
    with pytest.raises(ValueError, match="must begin with <unk>, <s>, </s>"):
        SentencePieceTokenizer.load(tmp_path)
    (tmp_path / "spiece.model").unlink()
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "WordPiece"}}')
    settings.write_text('{"tokenizer_class": "T5TokenizerFast"}')
    with pytest.raises(ValueError, match="a model of type Unigram or BPE; got 'WordPiece'"):
        SentencePieceTokenizer.load(tmp_path)


def test_without_an_unknown_token_the_last_id_is_still_decoded(tmp_path):
    folder = families.write(tmp_path, "LlamaTokenizer-legacy")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"unk_token": None}))
    tokenizer = SentencePieceTokenizer.load(folder)
    last = tokenizer.vocab_size - 1
    assert tokenizer.decode([last]).strip() == tokenizer.pieces([last])[0].replace("▁", "")
