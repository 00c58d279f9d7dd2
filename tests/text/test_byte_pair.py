"""Byte-level BPE gives the reference's ids, and the text back."""

import json
import unicodedata
from functools import cache
from pathlib import Path

import fuzz
import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from keras_transformer.text import BytePairTokenizer, Tokenizer
from keras_transformer.text.byte_pair import GPT2_PATTERN, LLAMA3_PATTERN, QWEN2_PATTERN, STYLES

LINES = [
    "It's a dog's life, they'll say; I'd know.  We've SEEN THEY'RE 12345 of 2024's 7 dogs!",
    "Ein Hund läuft über die große Straße -- nicht schnell genug...",
    "def f(x):\n    return x ** 2  # naïve\n\n\n",
    "狗在草地上跑。 犬が走る ½ ² ① 한국어 हिन्दी العربية",
] * 2
SPECIAL = tuple({t for style in STYLES.values() for t in (*style.tokens.values(), *style.extra)})


@cache
def trained(style, add_prefix_space=False):
    return BytePairTokenizer.train([LINES], 380, style, add_prefix_space=add_prefix_space)


def plain_strings(count):
    """Random strings without special tokens."""
    return [s for s in fuzz.strings(count) if not any(token in s for token in SPECIAL)]


def vocabulary(tokenizer, folder):
    """The vocabulary and the merges of the files that it writes."""
    tokenizer.save(folder)
    merges = (folder / "merges.txt").read_text("utf-8").split("\n")[1:-1]
    return json.loads((folder / "vocab.json").read_text("utf-8")), [
        tuple(m.split()) for m in merges
    ]


def reference(style, vocab, merges):
    """The engine of a style, put together here."""
    engine = tokenizers.Tokenizer(models.BPE(vocab, merges, ignore_merges=style == "llama3"))
    pattern = {"llama3": LLAMA3_PATTERN, "qwen2": QWEN2_PATTERN}.get(style, GPT2_PATTERN)
    split = pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    engine.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    engine.decoder = decoders.ByteLevel()
    engine.post_processor = processors.ByteLevel(
        add_prefix_space=False, trim_offsets=style != "qwen2"
    )
    if style == "qwen2":
        engine.normalizer = normalizers.NFC()
    for token in (*STYLES[style].tokens.values(), *STYLES[style].extra):
        added = tokenizers.AddedToken(token, lstrip=token == "<mask>", special=True)
        engine.add_special_tokens([added])
    return engine


@pytest.mark.parametrize("style", ["gpt2", "roberta", "llama3"])
def test_decoding_gives_the_text_back(style):
    strings = plain_strings(2000)
    tokenizer = trained(style)
    assert tokenizer.decode(tokenizer.encode(strings)) == strings


def test_decoding_qwen_gives_the_normal_form_back():
    newer = {
        c
        for c in map(chr, range(0x110000))
        if unicodedata.combining(c) and _is_no_mark(c)  # of a Unicode after the engine's
    }
    strings = [s for s in plain_strings(2000) if not newer.intersection(s)]
    assert len(strings) > 1500
    tokenizer = trained("qwen2")
    wanted = [unicodedata.normalize("NFC", s) for s in strings]
    assert tokenizer.decode(tokenizer.encode(strings)) == wanted


def _is_no_mark(character):
    """Whether the engine leaves a character where it is beside marks of high and low classes."""
    high, low = "\u0301" + character, character + "\u0334"
    return normalizers.NFD().normalize_str(high) == high and (
        normalizers.NFD().normalize_str(low) == low
    )


@pytest.mark.parametrize("style", STYLES)
def test_ids_and_offsets_are_the_libraries(style, tmp_path):
    tokenizer = trained(style)
    engine = reference(style, *vocabulary(tokenizer, tmp_path))
    for string in fuzz.strings(2000):
        wanted = engine.encode(string, add_special_tokens=False)
        assert tokenizer.encode_with_offsets(string) == (wanted.ids, wanted.offsets), string


@pytest.mark.parametrize("style", ["gpt2", "roberta", "qwen2"])
@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_ids_are_those_of_transformers(style, add_prefix_space, tmp_path):
    transformers = pytest.importorskip("transformers")
    if add_prefix_space and style == "qwen2":
        pytest.skip("a style that adds no space")
    tokenizer = trained(style, add_prefix_space)
    vocab, merges = vocabulary(tokenizer, tmp_path)
    name = {"gpt2": "GPT2Tokenizer", "roberta": "RobertaTokenizer", "qwen2": "Qwen2Tokenizer"}[
        style
    ]
    theirs = getattr(transformers, name)(vocab, merges, add_prefix_space=add_prefix_space)
    first, second = plain_strings(300), plain_strings(300)[::-1]
    wanted = theirs(first, second)["input_ids"]
    assert [encoding.ids for encoding in tokenizer(first, second)] == wanted


@pytest.mark.parametrize("style", STYLES)
def test_transformers_reads_what_is_saved(style, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = trained(style)
    theirs = transformers.AutoTokenizer.from_pretrained(tokenizer.save(tmp_path))
    strings = fuzz.strings(300)
    assert [encoding.ids for encoding in tokenizer(strings)] == theirs(strings)["input_ids"]
    for role in STYLES[style].tokens:
        assert getattr(theirs, f"{role}_token_id") == getattr(tokenizer, f"{role}_id")


def test_merges_go_from_the_lowest_rank_and_the_left(tmp_path):
    """Against Sennrich's algorithm, as slow as it is written."""
    regex = pytest.importorskip("regex")
    tokenizer = trained("gpt2")
    vocab, merges = vocabulary(tokenizer, tmp_path)
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)

    def spell(word):
        symbols = list(byte_level.pre_tokenize_str(word)[0][0])
        while pairs := [p for p in zip(symbols, symbols[1:], strict=False) if p in ranks]:
            best = min(pairs, key=ranks.get)
            where = list(zip(symbols, symbols[1:], strict=False)).index(best)
            symbols[where : where + 2] = ["".join(best)]
        return [vocab[symbol] for symbol in symbols]

    for line in [*LINES, "aaaaaaa dododogdogs", "  \n\n  they'll   x'sy"]:
        words = regex.findall(GPT2_PATTERN, line)
        assert tokenizer.encode(line) == [i for word in words for i in spell(word)]


def test_a_word_of_the_vocabulary_needs_no_merges_where_they_are_ignored():
    definition = json.loads(trained("llama3").get_config()["definition"])
    size = len(definition["model"]["vocab"])
    definition["model"]["vocab"]["xyzzy"] = size
    assert BytePairTokenizer(json.dumps(definition)).encode("xyzzy") == [size]
    definition["model"]["ignore_merges"] = False
    assert len(BytePairTokenizer(json.dumps(definition)).encode("xyzzy")) > 1


def test_training_twice_gives_the_same():
    assert BytePairTokenizer.train([LINES], 380, "gpt2") == trained("gpt2")


@pytest.mark.parametrize("style", STYLES)
def test_saved_is_loaded(style, tmp_path):
    tokenizer = trained(style)
    loaded = Tokenizer.load(tokenizer.save(tmp_path))
    assert loaded == tokenizer
    assert loaded.template == tokenizer.template
    assert loaded.special_ids == tokenizer.special_ids


@pytest.mark.parametrize("name", ["GPT2Tokenizer", "RobertaTokenizer", "BartTokenizerFast"])
@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_vocabulary_and_merges_are_enough(name, add_prefix_space, tmp_path):
    style = name.partition("Tokenizer")[0].lower()
    tokenizer = trained(style, add_prefix_space)
    tokenizer.save(tmp_path)
    for file in tmp_path.iterdir():
        if file.name not in ("vocab.json", "merges.txt"):
            file.unlink()
    settings = {"tokenizer_class": name, "add_prefix_space": add_prefix_space}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    loaded = BytePairTokenizer.load(tmp_path)
    strings = fuzz.strings(300)
    assert loaded.encode_with_offsets(strings) == tokenizer.encode_with_offsets(strings)
    assert loaded.template == tokenizer.template
    for role in STYLES[style].tokens:
        assert getattr(loaded, f"{role}_id") == getattr(tokenizer, f"{role}_id")


def test_the_settings_say_whether_a_space_is_added():
    definition = trained("roberta").get_config()["definition"]
    changed = BytePairTokenizer(definition, {"add_prefix_space": True})
    plain, adding = '"add_prefix_space":false', '"add_prefix_space":true'
    assert definition.count(plain) == 2
    wanted = BytePairTokenizer(definition.replace(plain, adding))
    strings = fuzz.strings(100)
    assert changed.encode_with_offsets(strings) == wanted.encode_with_offsets(strings)


def test_roberta_joins_pairs_with_two_separators():
    tokenizer = trained("roberta")
    [encoding] = tokenizer(["a dog"], ["a life"])
    pieces = tokenizer.pieces(encoding.ids)
    assert pieces[0] == "<s>" and pieces[-1] == "</s>"
    assert [i for i, piece in enumerate(pieces[:-1]) if piece == "</s>"] == [
        encoding.sources.index(1) - 2,
        encoding.sources.index(1) - 1,
    ]
    assert set(encoding.segments) == {0}


def test_llama_begins_both_texts():
    tokenizer = trained("llama3")
    [encoding] = tokenizer(["a dog"], ["a life"])
    assert encoding.ids.count(tokenizer.bos_id) == 2
    assert encoding.ids[0] == tokenizer.bos_id


def test_the_mask_takes_the_space_before_it():
    tokenizer = trained("roberta")
    ids, offsets = tokenizer.encode_with_offsets("It's a <mask> life")
    assert ids.count(tokenizer.mask_id) == 1
    assert offsets[ids.index(tokenizer.mask_id)] in [(6, 13), (7, 13)]
    assert tokenizer.pieces(ids)[ids.index(tokenizer.mask_id) - 1] == "Ġa"


@pytest.mark.parametrize(
    "settings",
    [
        {"vocab_size": 256},
        {"vocab_size": 10**6},
        {"vocab_size": 300.0},
        {"style": "gpt3"},
        {"style": "llama3", "add_prefix_space": True},
        {"sources": [["", " "]]},
    ],
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings.keys() - {"add_prefix_space"}))):
        BytePairTokenizer.train(**{"sources": [LINES], "vocab_size": 300, **settings})


def test_another_kind_of_bpe_is_refused():
    engine = tokenizers.Tokenizer(models.BPE())
    with pytest.raises(ValueError, match="byte-level"):
        BytePairTokenizer(engine.to_str())
    with pytest.raises(ValueError, match="definition"):
        BytePairTokenizer("{}")


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="vocab.json"):
        BytePairTokenizer.load(tmp_path)
    trained("gpt2").save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    Path(tmp_path / "merges.txt").write_text("#version: 0.2\na b c\n")
    with pytest.raises(ValueError, match="merges.txt"):
        BytePairTokenizer.load(tmp_path)
    Path(tmp_path / "merges.txt").write_text("#version: 0.2\nxx yy\n")
    with pytest.raises(ValueError, match="merges.txt"):
        BytePairTokenizer.load(tmp_path)
