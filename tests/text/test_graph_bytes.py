"""The graph twins of byte and character tokenizers equal the Python side, on any input."""

import random

import families
import pytest

from keras_transformer.text import ByteTokenizer, CharacterTokenizer

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module", params=["bytes", "characters"])
def pair(request):
    tokenizer = ByteTokenizer(11)
    if request.param == "characters":
        tokenizer = CharacterTokenizer("aeio ntd.,\nß犬\U0001f600\0")
    return tokenizer, tokenizer.graph_twin()


def check_equal(pair, strings):
    tokenizer, twin = pair
    encodings = tokenizer.encode_with_offsets(strings)
    ids = [found for found, _ in encodings]
    assert tokenizer.encode(strings) == ids
    assert twin.tokenize(strings).to_list() == ids
    found, starts, ends = twin.tokenize_with_offsets(strings)
    assert {t.dtype.name for t in (found, starts, ends)} == {"int32"}
    assert found.to_list() == ids
    assert starts.to_list() == [[start for start, _ in places] for _, places in encodings]
    assert ends.to_list() == [[end for _, end in places] for _, places in encodings]
    texts = [text.decode("utf-8") for text in twin.detokenize(found).numpy()]
    assert texts == [tokenizer.decode(row) for row in ids]


def test_any_bytes_give_the_same_ids_offsets_and_text(pair):
    check_equal(pair, families.strings(2000, seed=13))
    check_equal(pair, [token.encode() for token in families.TOKENS] + [b"", b"\0", b" </s> <pad>"])
    check_equal(pair, [])


def test_any_ids_give_the_same_text(pair):
    import tensorflow as tf

    tokenizer, twin = pair
    rng = random.Random(5)
    ids = [
        [rng.randrange(tokenizer.vocab_size) for _ in range(rng.randrange(1, 9))]
        for _ in range(5000)
    ]
    texts = twin.detokenize(tf.ragged.constant(ids, dtype=tf.int32)).numpy()
    assert [text.decode("utf-8") for text in texts] == tokenizer.decode(ids)
    assert twin.detokenize(tf.zeros([0, 3], tf.int32)).numpy().tolist() == []


@pytest.mark.exhaustive
def test_very_many_bytes_give_the_same_ids_offsets_and_text(pair):
    for seed in range(10):
        check_equal(pair, families.strings(20_000, seed))


@pytest.mark.exhaustive
def test_every_line_of_the_real_data_gives_the_same(pair, data_dir):
    for path in sorted(data_dir.rglob("*")):
        if path.is_file():
            check_equal(pair, path.read_bytes().split(b"\n"))


def test_a_long_string_beside_many_costs_no_memory(pair):
    tokenizer, twin = pair
    strings = ["a nod"] * 20_000 + ["ease " * 20_000]  # padded to the longest: 16 GB
    found, _, ends = twin.tokenize_with_offsets(strings)
    assert found[0].numpy().tolist() == tokenizer.encode("a nod")
    assert found[-1].shape == (10**5,) and ends[-1][-1] == 10**5
    assert twin.detokenize(found[-2:]).numpy()[0] == b"a nod"
