"""Long texts are cut between words, and come out as if they had not been."""

import random

import families
import pytest

from keras_transformer.text import SentencePieceTokenizer

pytestmark = pytest.mark.tensorflow
UNIGRAMS = ["T5Tokenizer", "XLMRobertaTokenizer", "MBart50Tokenizer", "MarianTokenizer"]


@pytest.fixture(scope="module", params=UNIGRAMS)
def tokenizer(request, tmp_path_factory):
    folder = families.write(tmp_path_factory.mktemp("family"), request.param)
    return SentencePieceTokenizer.load(folder)


def test_texts_cut_everywhere_are_as_whole_ones(tokenizer):
    """With parts of a few bytes, nearly every text is cut, at nearly every place that may be."""
    strings = families.strings(1500, seed=5)
    rng = random.Random(7)
    words = ["a", "low", "B2", "é", "x\u0301", ">>de<<", "<mask>", "", " ", "\t", "日本", "1.5"]
    strings += [" ".join(rng.choices(words, k=rng.randrange(40))).encode() for _ in range(1500)]
    for limit in (3, 16):
        twin = tokenizer.graph_twin()
        for model in (twin._model, twin._bare):
            model._limit = limit
        encodings = tokenizer.encode_with_offsets(strings)
        ids = [found for found, _ in encodings]
        assert twin.tokenize(strings).to_list() == ids
        found, starts, ends = twin.tokenize_with_offsets(strings)
        assert found.to_list() == ids
        assert starts.to_list() == [[start for start, _ in places] for _, places in encodings]
        assert ends.to_list() == [[end for _, end in places] for _, places in encodings]


def test_sums_of_a_long_text_stay_exact(tokenizer):
    """At a megabyte, float32 sums of all scores would choose other cuts."""
    rng = random.Random(3)
    words = ["throwing", "lower", "scene", "museum", "the", "a", "uber", "asked", "x1"]
    line = " ".join(rng.choices(words, k=200_000))
    assert tokenizer.graph_twin().tokenize([line, "a", ""]).to_list() == tokenizer.encode(
        [line, "a", ""]
    )


def test_a_text_without_any_place_to_cut_stays_whole(tokenizer):
    texts = ["é" * 40_000, "a" * 70_000, " " * 70_000]
    assert tokenizer.graph_twin().tokenize(texts).to_list() == tokenizer.encode(texts)


def test_a_saved_module_cuts_too(tokenizer, tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.twin = tokenizer.graph_twin()
    module.tokenize = tf.function(
        lambda strings: module.twin.tokenize(strings).flat_values,
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    tf.saved_model.save(module, str(tmp_path))
    line = "lower scene " * 9000
    loaded = tf.saved_model.load(str(tmp_path))
    assert loaded.tokenize(tf.constant([line])).numpy().tolist() == tokenizer.encode(line)
