"""Byte-level BPE in the TensorFlow graph equals that in Python: ids, offsets and text."""

import itertools
import json
import random
import subprocess
import sys
from functools import cache

import fuzz
import pytest
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from keras_transformer.text import BytePairTokenizer
from keras_transformer.text.byte_pair import LLAMA3_PATTERN

pytestmark = pytest.mark.tensorflow

LINES = [
    "It's a dog's life, they'll say; I'd know.  We've SEEN THEY'RE 12345 of 2024's 7 dogs!",
    "Ein Hund läuft über die große Straße -- nicht schnell genug...",
    "def f(x):\n    return x ** 2  # naïve\n\n\n",
    "狗在草地上跑。 犬が走る ½ ² ① 한국어 हिन्दी العربية aaaaaaaa a\u0323\u0301",
] * 2
STYLES = ["gpt2", "gpt2 with a space", "roberta", "roberta with a space", "llama3", "qwen2"]
BATCH = 5000


@cache
def pair(name):
    style, _, space = name.partition(" ")
    tokenizer = BytePairTokenizer.train([LINES], 400, style, add_prefix_space=bool(space))
    return tokenizer, compiled(tokenizer.graph_twin())


def compiled(twin):
    import tensorflow as tf

    twin.with_offsets = tf.function(
        twin.tokenize_with_offsets, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    return twin


def check(tokenizer, twin, strings):
    """All strings, in batches, give what the Python side gives."""
    import tensorflow as tf

    for start in range(0, len(strings), BATCH):
        batch = strings[start : start + BATCH]
        ids, starts, ends = twin.with_offsets(tf.constant(batch, tf.string))
        assert ids.dtype == starts.dtype == ends.dtype == tf.int32
        offsets = zip(starts.to_list(), ends.to_list(), strict=True)
        spans = [list(zip(*both, strict=True)) for both in offsets]
        found = list(zip(ids.to_list(), spans, strict=True))
        wanted = tokenizer.encode_with_offsets(batch)
        different = [s for s, a, b in zip(batch, found, wanted, strict=True) if a != b]
        assert not different, different[:5]


@pytest.mark.parametrize("name", STYLES)
def test_any_string_gives_the_same_ids_and_offsets(name):
    check(*pair(name), fuzz.byte_strings(2000, seed=3))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", STYLES)
def test_200_000_strings_give_the_same_ids_and_offsets(name):
    for seed in range(8):
        check(*pair(name), fuzz.byte_strings(25_000, seed=100 + seed))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["gpt2", "roberta with a space", "llama3", "qwen2"])
def test_all_real_lines_give_the_same_ids_and_offsets(name, data_dir):
    files = sorted(path for path in data_dir.rglob("*") if path.is_file())
    lines = {
        line for path in files if path.suffix != ".gz" for line in path.read_bytes().splitlines()
    }
    check(*pair(name), sorted(lines))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["gpt2", "llama3", "qwen2"])
def test_every_character_has_its_class(name):
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    chunks = ["".join(characters[i : i + 13]) for i in range(0, len(characters), 13)]
    check(*pair(name), chunks)
    check(*pair(name), [f"'{c}{c} {c}" for c in characters[:0x3000]])


@pytest.mark.parametrize("name", ["gpt2", "llama3", "qwen2"])
def test_words_begin_alike_after_any_neighbours(name):
    """All strings of up to four characters of one for each class, and for each contraction."""
    strings = ("".join(s) for n in range(5) for s in itertools.product("a1' \t\n!s", repeat=n))
    ends = ("", "'re", "'LLx", "'ſ", " \r\nz", "'vé")
    rng = random.Random(5)
    check(*pair(name), [s + rng.choice(ends) for s in strings])


def test_marks_compose_in_any_order():
    rng = random.Random(7)
    letters = ("a", "ệ", "ǖ", "q", "각", "가", "\u1100", "\u0dd9", "\u0344", "\u0958", "x ")
    marks = (
        "\u0301",
        "\u0323",
        "\u0302",
        "\u031b",
        "\u1161",
        "\u11a8",
        "\u0dca",
        "\u0dcf",
        "\u0345",
    )
    strings = [
        rng.choice(("", *letters)) + "".join(rng.choices(marks + letters, k=rng.randrange(1, 8)))
        for _ in range(5000)
    ]
    check(*pair("qwen2"), strings)


def test_merges_are_those_of_the_engine_in_any_vocabulary():
    """Vocabularies of random merges of few letters, so that merges overlap and compete."""
    rng = random.Random(11)
    for _ in range(7):
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        symbols, merges = list("abc"), []
        while len(merges) < 40:
            left, right = rng.choices(symbols, k=2)
            if left + right not in symbols:
                merges.append((left, right))
                symbols.append(left + right)
        vocab = {piece: i for i, piece in enumerate([*alphabet, *symbols[3:]])}
        engine = tokenizers.Tokenizer(models.BPE(vocab, merges))
        engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        engine.decoder = tokenizers.decoders.ByteLevel()
        tokenizer = BytePairTokenizer(engine.to_str())
        words = ["".join(rng.choices("abc", k=rng.randrange(60))) for _ in range(500)]
        words += ["a" * n for n in range(40)]
        check(tokenizer, compiled(tokenizer.graph_twin()), words)


def test_empty_batches_and_strings_have_no_tokens():
    import tensorflow as tf

    for name in STYLES:
        tokenizer, twin = pair(name)
        for strings in ([], [""], ["", "a", ""], ["<mask>", "<s>", "<|endoftext|><|im_end|>"]):
            check(tokenizer, twin, strings)
        assert twin.tokenize(tf.constant([], tf.string)).shape[0] == 0
        assert twin.detokenize(tf.ragged.constant([[], []], dtype=tf.int32)).numpy().tolist() == [
            b"",
            b"",
        ]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["roberta", "qwen2"])
def test_a_megabyte_is_one_string(name):
    rng = random.Random(13)
    size = 10**6
    letters = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=size))
    for string in (
        "a" * size,
        " " * size,
        letters,
        "a" + "\u0323\u0301" * (size // 4),
        "\0" * size,
    ):
        check(*pair(name), [string])


def test_a_long_string_costs_no_memory_for_short_ones_beside_it():
    """With memory for the longest in each of 5,000 rows, this would take 200 GB."""
    check(*pair("gpt2"), ["a dog"] * 2000 + ["7" * 300_000, "x y " * 50_000] + [""] * 2998)


@pytest.mark.parametrize("name", STYLES)
def test_any_ids_give_the_same_text(name):
    import tensorflow as tf

    tokenizer, twin = pair(name)
    rng = random.Random(17)
    rows = [rng.choices(range(tokenizer.vocab_size), k=rng.randrange(9)) for _ in range(2000)]
    found = twin.detokenize(tf.ragged.constant(rows, dtype=tf.int32)).numpy()
    assert [text.decode() for text in found] == tokenizer.decode(rows)


def test_a_word_of_the_vocabulary_needs_no_merges_where_they_are_ignored():
    definition = json.loads(pair("llama3")[0].get_config()["definition"])
    definition["model"]["vocab"]["xyzzy"] = 400
    for ignored in (True, False):
        definition["model"]["ignore_merges"] = ignored
        tokenizer = BytePairTokenizer(json.dumps(definition))
        check(tokenizer, compiled(tokenizer.graph_twin()), ["xyzzy", "xyzzyx", "a xyzzy"])


def test_added_tokens_of_all_flags_are_found():
    engine = pair("roberta")[0].engine
    engine = tokenizers.Tokenizer.from_str(engine.to_str())
    flags = ({}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True})
    for number, flag in enumerate(flags):
        engine.add_tokens([tokenizers.AddedToken(f"<t{number}>", normalized=True, **flag)])
        engine.add_tokens([tokenizers.AddedToken(f"<t{number}>>", normalized=False, **flag)])
    engine.add_tokens(["日本", ".*", "<t1"])
    tokenizer = BytePairTokenizer(engine.to_str())
    rng = random.Random(19)
    parts = [
        "<t0>",
        "<t1>",
        "<t2>",
        "<t3>",
        ">",
        "<t1",
        " ",
        "\n",
        "\u3000",
        "日本",
        ".*",
        "ab",
        "<mask>",
    ]
    strings = ["".join(rng.choices(parts, k=rng.randrange(9))) for _ in range(2000)]
    check(tokenizer, compiled(tokenizer.graph_twin()), strings)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["roberta", "qwen2"])
def test_a_saved_model_needs_tensorflow_only(name, tmp_path):
    import tensorflow as tf

    tokenizer, _ = pair(name)
    module = tf.Module()
    module.tokenizer = tokenizer.graph_twin()
    strings = tf.TensorSpec([None], tf.string)
    module.tokenize = tf.function(
        lambda x: module.tokenizer.tokenize(x).to_tensor(-1), input_signature=[strings]
    )
    tf.saved_model.save(module, str(tmp_path / "saved"))
    lines = [*LINES, *fuzz.strings(100)]
    (tmp_path / "lines.json").write_text(json.dumps(lines))
    program = f"""
import json, sys
sys.modules["keras"] = sys.modules["tokenizers"] = sys.modules["keras_transformer"] = None
import tensorflow as tf
loaded = tf.saved_model.load({str(tmp_path / "saved")!r})
lines = json.load(open({str(tmp_path / "lines.json")!r}))
print(json.dumps(loaded.tokenize(tf.constant(lines)).numpy().tolist()))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    rows = json.loads(run.stdout.splitlines()[-1])
    assert [[i for i in row if i >= 0] for row in rows] == tokenizer.encode(lines)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda d: d["model"]["merges"].reverse(), "order of training"),
        (lambda d: d.update(normalizer={"type": "NFKC"}), "NFKC"),
        (lambda d: d["pre_tokenizer"]["pretokenizers"][0].update(pattern={"Regex": "a+"}), "a+"),
        (lambda d: d["added_tokens"][0].update(single_word=True), "single_word"),
        (lambda d: d["model"].update(dropout=0.5), "dropout"),
        (lambda d: d["model"]["vocab"].pop("ñ"), "every byte"),
    ],
)
def test_what_has_no_counterpart_is_refused(change, message):
    definition = json.loads(pair("llama3")[0].get_config()["definition"])
    assert definition["pre_tokenizer"]["pretokenizers"][0]["pattern"] == {"Regex": LLAMA3_PATTERN}
    change(definition)
    tokenizer = BytePairTokenizer(json.dumps(definition))
    with pytest.raises(ValueError, match=message.replace("+", r"\+")):
        tokenizer.graph_twin()


def test_the_tables_compose_as_the_engine_does():
    from keras_transformer.text.graph_nfc import engine_tables

    tables = engine_tables()
    for (first, second), composite in tables.composites.items():
        assert normalizers.NFC().normalize_str(first + second) == composite
    assert tables.composites["e", "\u0301"] == "é"
    assert tables.composites["\u1100", "\u1161"] == "가"
