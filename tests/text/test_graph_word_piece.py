"""WordPiece in the TensorFlow graph equals the one in Python, on any input."""

import importlib.util
import pathlib
import subprocess
import sys

import pytest
import tokenizers
from tokenizers import AddedToken, normalizers, pre_tokenizers, processors

from keras_transformer.text import WordPieceTokenizer

pytestmark = pytest.mark.tensorflow

LINES = [
    "A dog runs across the meadow.",
    "Ein Hund läuft über die Straße, naïve Ünïcödé",
    "日本 runs ½ as far",
    "".join(map(chr, range(33, 0x250))),
]


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz", pathlib.Path(__file__).parent / "fuzz.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_added_tokens(tokenizer):
    engine = tokenizers.Tokenizer.from_str(tokenizer.get_config()["definition"])
    engine.add_tokens(
        [
            "naïve",
            "Ab",
            AddedToken("STRASSE", rstrip=True),
            AddedToken("<mask>", lstrip=True, special=True),
            AddedToken("</s>", normalized=False, rstrip=True),
        ]
    )
    return WordPieceTokenizer(engine.to_str(), tokenizer.get_config()["settings"])


def like_mpnet():
    """It places tokens without the white space that they take along."""
    tokenizer = make("added tokens")
    engine = tokenizers.Tokenizer.from_str(tokenizer.get_config()["definition"])
    engine.post_processor = processors.RobertaProcessing(
        ("[SEP]", 3), ("[CLS]", 2), trim_offsets=True, add_prefix_space=False
    )
    return WordPieceTokenizer(engine.to_str())


def make(name):
    train = WordPieceTokenizer.train
    if name == "lowercased":
        return train([LINES], 701)
    if name == "as it is":
        return train([LINES], 1009, lowercase=False)
    if name == "mpnet":
        return like_mpnet()
    settings = {"strip_accents": True, "lowercase": False, "tokenize_chinese_chars": False}
    return with_added_tokens(train([LINES], 701, **settings))


@pytest.fixture(scope="module", params=["lowercased", "as it is", "added tokens", "mpnet"])
def pair(request):
    import tensorflow as tf

    tokenizer = make(request.param)
    twin = tokenizer.graph_twin()
    compiled = tf.function(
        twin.tokenize_with_offsets, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    return tokenizer, twin, compiled


def in_graph(compiled, strings):
    ids, starts, ends = (ragged.to_list() for ragged in compiled(strings))
    spans = [list(zip(*span, strict=True)) for span in zip(starts, ends, strict=True)]
    return list(zip(ids, spans, strict=True))


def differences(pair, strings):
    tokenizer, _, compiled = pair
    ours = in_graph(compiled, strings)
    wanted = tokenizer.encode_with_offsets(strings)
    return [s for s, o, w in zip(strings, ours, wanted, strict=True) if o != w]


def test_any_bytes_give_the_same_ids_and_places(pair, fuzz):
    assert differences(pair, fuzz.byte_strings(2000, seed=3)) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("part", range(10))
def test_200_000_strings_give_the_same_ids_and_places(pair, fuzz, part):
    strings = fuzz.byte_strings(20_000, seed=100 + part)
    for start in range(0, len(strings), 2000):
        assert differences(pair, strings[start : start + 2000]) == []


@pytest.mark.exhaustive
def test_every_line_of_the_corpora(pair, data_dir):
    for path in sorted(data_dir.rglob("*")):
        if path.is_file() and path.suffix != ".gz":
            lines = path.read_bytes().split(b"\n")
            for start in range(0, len(lines), 5000):
                assert differences(pair, lines[start : start + 5000]) == []


@pytest.mark.exhaustive
def test_every_code_point_alone(pair):
    codes = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for start in range(0, len(codes), 50_000):
        strings = [f"a{chr(c)}B".encode() for c in codes[start : start + 50_000]]
        assert differences(pair, strings) == []


EDGES = [
    "STRASSE\xa0\0 9<R6-".encode(),
    "STRASSE \xad a  STRASSE \r\n\u202e \0".encode(),
    b"\r\n  STRASSE \xff\xfe 1,234.56 \0 </s> \0 x",
    b"",
    b" ",
    b"\0",
    b"[MASK]\0[MASK]",
    b"\xef\xbb\xbfA dog",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"[MASK][mask] [CLS]x[SEP",
    b"  <mask>  </s>  STRASSE  .",
    "e\u0301\u0323 \u302e\U0001d165".encode(),
    "ΣΊΣΥΦΟΣ İ ﬁ ẞ".encode(),
    b"a" * 100,
    b"a" * 101,
    "\u00e9".encode() * 101,
    "日".encode() * 300,
]


def test_the_edges(pair):
    assert differences(pair, EDGES) == []
    for edge in EDGES:  # alone, nothing else in the batch decides
        assert differences(pair, [edge]) == []


def test_empty_batches(pair):
    import tensorflow as tf

    _, twin, compiled = pair
    for ragged in compiled(tf.zeros([0], tf.string)):
        assert ragged.to_list() == [] and ragged.dtype == tf.int32
    assert twin.tokenize([""]).to_list() == [[]]


@pytest.mark.parametrize("pair", ["added tokens"], indirect=True)
def test_a_megabyte_in_one_string(pair):
    strings = [b"a" * 10**6, "läuft, ".encode() * 130_000, b"[MASK]" * 60_000]
    assert differences(pair, [*strings, b"[MASK]\x00 " * 10_000]) == []


@pytest.mark.parametrize("pair", ["added tokens"], indirect=True)
def test_a_long_string_does_not_make_the_batch_large(pair):
    import resource

    strings = [b"a dog " * 10**5] + [b"[MASK]"] * 10**4  # 24 GB, if all were as long as the first
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _, twin, compiled = pair
    ids, _, _ = compiled(strings)
    texts = twin.detokenize(ids)
    assert texts.numpy()[-1] == b"" and len(texts) == 10**4 + 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10**6  # KiB


def test_the_same_text_comes_back(pair, fuzz):
    import tensorflow as tf

    tokenizer, twin, _ = pair
    ids = tokenizer.encode(fuzz.strings(500, seed=5)) + [[2, 3], [0, 7, 0], list(range(97))]
    texts = twin.detokenize(tf.ragged.constant(ids, dtype=tf.int32))
    assert [text.decode() for text in texts.numpy()] == tokenizer.decode(ids)
    assert twin.detokenize([[2, *tokenizer.encode("dog"), 3]]).numpy()[0].decode() == "dog"
    assert twin.detokenize(tf.zeros([0, 7], tf.int32)).numpy().tolist() == []
    assert twin.detokenize(tf.zeros([2, 0], tf.int32)).numpy().tolist() == [b"", b""]


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["added tokens", "lowercased"], indirect=True)
def test_a_saved_model_needs_tensorflow_and_its_text_operations_alone(pair, fuzz, tmp_path):
    import tensorflow as tf

    tokenizer, twin, compiled = pair
    module = tf.Module()
    module.twin, module.tokenize = twin, compiled
    module.detokenize = tf.function(
        lambda ids: twin.detokenize(tf.RaggedTensor.from_tensor(ids)),
        input_signature=[tf.TensorSpec([None, None], tf.int32)],
    )
    tf.saved_model.save(module, str(tmp_path / "model"))
    strings = [s for s in fuzz.byte_strings(300, seed=13) if b"\0" not in s] + EDGES[:2]
    code = """
import sys, tensorflow as tf, tensorflow_text
loaded = tf.saved_model.load(sys.argv[1])
strings = [bytes.fromhex(line) for line in sys.stdin.read().split("\\n")]
ids, starts, ends = (ragged.to_list() for ragged in loaded.tokenize(tf.constant(strings)))
assert not any(name.split(".")[0] in ("keras_transformer", "tokenizers") for name in sys.modules)
print([(i, list(zip(s, e))) for i, s, e in zip(ids, starts, ends)])
print(loaded.detokenize(tf.constant([ids[0] + [0]]))[0].numpy().decode().encode())
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model")],
        input="\n".join(s.hex() for s in strings),
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    rows, text = run.stdout.strip().split("\n")
    assert rows == str(tokenizer.encode_with_offsets(strings))
    assert text == str(tokenizer.decode(tokenizer.encode(strings[0])).encode())


def changed(**parts):
    tokenizer = WordPieceTokenizer.train([LINES], 701)
    engine = tokenizers.Tokenizer.from_str(tokenizer.get_config()["definition"])
    for name, part in parts.items():
        setattr(engine, name, part)
    return engine


def test_what_the_graph_cannot_do_is_refused():
    for engine, message in (
        (changed(normalizer=normalizers.NFKC()), "normalises as BertNormalizer does; got NFKC"),
        (changed(pre_tokenizer=pre_tokenizers.Whitespace()), "pre_tokenizer must be BertPre"),
    ):
        with pytest.raises(ValueError, match=message):
            WordPieceTokenizer(engine.to_str()).graph_twin()
    engine = changed()
    engine.add_tokens([AddedToken("dog", single_word=True)])
    with pytest.raises(ValueError, match="'dog' is single_word"):
        WordPieceTokenizer(engine.to_str()).graph_twin()
