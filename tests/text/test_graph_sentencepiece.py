"""The tokenizer in the TensorFlow graph equals the one in Python, on any input."""

import random

import pytest

from keras_transformer.text import SentencePieceTokenizer

pytestmark = pytest.mark.tensorflow

LINES = ["ein hund läuft über die wiese .", "a dog runs across the meadow .", "ﬁne² 犬 ½"]
SETTINGS = [
    {"model_type": "bpe"},
    {"model_type": "unigram"},
    {"model_type": "bpe", "normalization": "identity"},
    {"model_type": "unigram", "byte_fallback": True, "vocab_size": 288},
]


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def pair(request):
    tokenizer = SentencePieceTokenizer.train([LINES], **{"vocab_size": 35, **request.param})
    return tokenizer, tokenizer.graph_twin()


def texts(strings):
    return [s.decode("utf-8") for s in strings.numpy()]


def fuzzed(rng):
    """Random bytes, random characters (surrogates among them), or characters with a byte lost."""
    length, kind = rng.randrange(12), rng.randrange(3)
    if kind == 0:
        return bytes(rng.randrange(256) for _ in range(length))
    limits = (0x80, 0x3000, 0x20000, 0x110000)
    characters = [chr(rng.randrange(rng.choice(limits))) for _ in range(length)]
    encoded = bytearray("".join(characters).encode("utf-8", "surrogatepass"))
    if kind == 1 and encoded:
        del encoded[rng.randrange(len(encoded))]
    return bytes(encoded)


def test_any_bytes_give_the_same_ids(pair):
    tokenizer, twin = pair
    rng = random.Random(3)
    strings = [fuzzed(rng) for _ in range(5000)]
    strings += [b"", b" ", b"\0", b"a\0dog", b"\t a \r\n", b"\xef\xbb\xbfa dog", b"\xe2\x82"]
    strings += [
        "\u3000a\xa0dog\u200b".encode(),
        b"</s> <pad>",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
    ]
    ids = twin.tokenize(strings)
    assert ids.dtype.name == "int32"
    assert ids.to_list() == tokenizer.encode(strings)
    assert texts(twin.detokenize(ids)) == tokenizer.decode(ids.to_list())


def test_any_ids_give_the_same_text(pair):
    import tensorflow as tf

    tokenizer, twin = pair
    rng = random.Random(5)
    ids = [
        [rng.randrange(tokenizer.vocab_size) for _ in range(rng.randrange(1, 9))]
        for _ in range(2000)
    ]
    assert texts(twin.detokenize(tf.ragged.constant(ids, dtype=tf.int32))) == tokenizer.decode(ids)


def test_special_ids_are_dropped(pair):
    tokenizer, twin = pair
    ids = tokenizer.encode("a dog")
    assert texts(twin.detokenize([[2, *ids, 3, 0, 0], [0] * (len(ids) + 4)])) == ["a dog", ""]


def test_empty_batches_and_rows(pair):
    import tensorflow as tf

    _, twin = pair
    assert twin.tokenize(tf.zeros([0], tf.string)).to_list() == []
    assert texts(twin.detokenize(tf.zeros([0, 7], tf.int32))) == []
    assert texts(twin.detokenize(tf.zeros([2, 0], tf.int32))) == ["", ""]


def test_a_new_seed_does_not_lose_the_model(pair):
    import tensorflow as tf

    tokenizer, twin = pair
    before = twin.tokenize(LINES).to_list()
    tf.random.set_seed(11)
    assert twin.tokenize(LINES).to_list() == before == tokenizer.encode(LINES)


def test_tokenizers_in_one_process_do_not_mix(pair):
    tokenizer, twin = pair
    other = SentencePieceTokenizer.train([["quite another text"]], 19)
    other_twin = other.graph_twin()
    assert other_twin.tokenize(["quite"]).to_list() == other.encode(["quite"])
    assert twin.tokenize(LINES).to_list() == tokenizer.encode(LINES)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_every_line_of_a_real_corpus(data_dir, model_type):
    folder = data_dir / "multi30k" / "raw"
    tokenizer = SentencePieceTokenizer.train(
        [folder / "train.de", folder / "train.en"], 8000, model_type
    )
    twin = tokenizer.graph_twin()
    for path in sorted(folder.iterdir()):
        lines = path.read_text(encoding="utf-8").split("\n")
        ids = tokenizer.encode(lines)
        in_graph = twin.tokenize(lines)
        assert in_graph.to_list() == ids
        assert texts(twin.detokenize(in_graph)) == tokenizer.decode(ids)


def test_cuts_of_equal_score_are_the_same():
    """Of a row of one character many cuts are as good as each other, but for rounding."""
    rows = [f"name {c * n}" for c in "*_.-=" for n in range(3, 60, 3)]
    tokenizer = SentencePieceTokenizer.train([LINES * 9, rows], vocab_size=70, model_type="unigram")
    strings = [f"{before}{c * n}" for before in ("", "name ") for c in "*_.-=" for n in range(80)]
    expected = list(map(tokenizer.encode, strings))
    assert tokenizer.graph_twin().tokenize(strings).to_list() == expected
