"""Translator: what it learned, in the caller's order, whatever the batches."""

import json

import keras
import numpy as np
import pytest
from toy_translator import MAX_LENGTH, WORDS, pairs, toy_translator

from keras_transformer import models, text
from keras_transformer.generation import GnmtLengthPenalty
from keras_transformer.tasks import Translation, Translator

# of many lengths, unsorted, with a repetition and texts of nothing
TEXTS = ["zwei drei vier", "", "neun", "null eins zwei drei vier", "neun", " \t", "sechs drei"]


@pytest.fixture(scope="module")
def translator():
    return toy_translator()


def ids_of(translator, pieces):
    names = {translator.tokenizer.pieces([i])[0]: i for i in range(translator.tokenizer.vocab_size)}
    return [names[piece] for piece in pieces]


def assert_same(found, expected):
    assert [a.text for a in found] == [a.text for a in expected]
    np.testing.assert_allclose(
        [a.score for a in found], [a.score for a in expected], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("beam_size", [1, 3])
def test_it_translates_what_it_learned(translator, beam_size):
    source, target = pairs(29)
    found = [answer.text for answer in translator(source, beam_size=beam_size)]
    assert np.mean([a == b for a, b in zip(found, target, strict=True)]) > 0.9


def test_batches_and_order_change_nothing(translator):
    expected = translator(TEXTS, beam_size=3)
    assert [bool(answer.text) for answer in expected] == [bool(t.strip()) for t in TEXTS]
    assert_same(translator(TEXTS, beam_size=3, batch_size=2), expected)
    assert_same(translator(TEXTS[::-1], beam_size=3)[::-1], expected)
    assert_same([translator(t, beam_size=3) for t in TEXTS[2:4]], expected[2:4])


def test_many_batches_change_nothing_either(translator):
    # from four batches on, TensorFlow compiles with XLA
    texts = ["eins zwei", "drei vier", "neun null", "vier vier"]
    assert_same(translator(texts, beam_size=2, batch_size=1), translator(texts, beam_size=2))


def test_a_string_gives_one_answer_and_a_list_a_list(translator):
    assert isinstance(translator("eins", beam_size=1), Translation)
    assert isinstance(translator(("eins",), beam_size=1), list)
    assert isinstance(translator(np.array(["eins"]), beam_size=1), list)


def test_nothing_gives_nothing(translator):
    assert translator([]) == []
    assert translator("") == Translation("", 0.0)
    assert translator(["", "  "], n_best=2, alignment=True) == [Translation("", 0.0)] * 2


def test_n_best_are_in_order_and_start_with_the_best(translator):
    best = translator(TEXTS, beam_size=4)
    several = translator(TEXTS, beam_size=4, n_best=3)
    assert_same(several, best)
    for answer in several:
        scores = [answer.score, *(other.score for other in answer.alternatives)]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == (3 if answer.text else 1)
    assert not best[0].alternatives


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_the_score_is_the_models_log_probability(translator, alpha):
    answer = translator("zwei drei", beam_size=3, length_penalty=alpha, alignment=True)
    source = np.array([ids_of(translator, answer.alignment.source)], np.int32)
    target = np.array([ids_of(translator, answer.alignment.target)], np.int32)
    inputs = {
        "encoder_token_ids": source,
        "decoder_token_ids": np.concatenate([[[2]], target[:, :-1]], axis=1),
    }
    log_p = keras.ops.log_softmax(translator.model(inputs), axis=-1)
    log_p = keras.ops.convert_to_numpy(log_p)[0, np.arange(target.size), target[0]]
    expected = log_p.sum() / target.size**alpha
    np.testing.assert_allclose(answer.score, expected, rtol=1e-5, atol=1e-5)


def test_a_length_penalty_may_be_a_function(translator):
    plain = translator("zwei drei", beam_size=1, length_penalty=0.0, alignment=True)
    gnmt = translator("zwei drei", beam_size=1, length_penalty=GnmtLengthPenalty(1.0))
    length = len(plain.alignment.target)
    expected = plain.score / ((5 + length) / 6)
    np.testing.assert_allclose(gnmt.score, expected, rtol=1e-5, atol=1e-5)


def test_the_alignment_is_that_of_the_text_alone(translator):
    answers = translator(TEXTS, beam_size=3, alignment=True)
    tokenizer = translator.tokenizer
    for line, answer in zip(TEXTS, answers, strict=True):
        if not line.strip():
            assert answer.alignment is None
            continue
        found = answer.alignment
        source, target = (ids_of(translator, p) for p in (found.source, found.target))
        assert source == [*tokenizer.encode(line), 3] and target[-1] == 3
        assert tokenizer.decode(target) == answer.text
        assert found.scores.shape == (len(target), len(source))
        assert found.scores.dtype == np.float32
        np.testing.assert_allclose(found.scores.sum(axis=1), 1, rtol=1e-5)
        inputs = {
            "encoder_token_ids": np.array([source]),
            "decoder_token_ids": np.array([[2, *target[:-1]]]),
        }
        # two decoder blocks: the last but one is the first
        alone = keras.ops.convert_to_numpy(translator.model.attention_scores(inputs)["cross"][0])
        np.testing.assert_allclose(found.scores, alone[0].mean(axis=0), atol=1e-5)
    json.dumps([answer.to_dict() for answer in answers])


def test_a_text_too_long_is_named_or_cut(translator):
    long = " ".join(["zwei"] * 40)
    tokens = len(translator.tokenizer.encode(long)) + 1
    with pytest.raises(ValueError, match=rf"texts\[2\] has {tokens} tokens.* {MAX_LENGTH} .*trunc"):
        translator(["eins", "zwei", long], beam_size=1)
    with pytest.raises(ValueError, match="^text has"):
        translator(long)
    kept = translator.tokenizer.decode(translator.tokenizer.encode(long)[: MAX_LENGTH - 1])
    with pytest.warns(UserWarning, match=f"2 of 3 texts were cut to {MAX_LENGTH} tokens"):
        found = translator([long, "eins", long], beam_size=1, truncate=True)
    assert found[0].text == translator(kept, beam_size=1).text


def test_the_limit_of_the_source_may_be_lower(translator):
    lower = Translator(translator.model, translator.tokenizer, max_length=5)
    assert lower("eins", beam_size=1).text == translator("eins", beam_size=1).text
    with pytest.raises(ValueError, match=r"the limit is 5 \(max_length\)"):
        lower(" ".join(WORDS), beam_size=1)


def test_the_length_of_a_translation_is_limited(translator):
    answer = translator("zwei drei vier", beam_size=1, max_new_tokens=2, alignment=True)
    assert len(answer.alignment.target) == 2
    # 2·S + 16 with S rounded up, and no more than the model's limit
    wide = models.Seq2SeqLM.from_preset(
        "transformer_tiny", vocab_size=47, max_length=50, num_encoder_layers=1, num_decoder_layers=1
    )
    limits = Translator(wide, translator.tokenizer).target_limits()
    assert limits.shape == (51,)
    assert limits[[1, 8, 9, 16, 17, 50]].tolist() == [32, 32, 48, 48, 50, 50]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (7, "texts must be a string or a list of them, got int"),
        (b"eins", "texts must be a string or a list of them, got bytes"),
        ({"eins": "one"}, "texts must be .* got dict"),
        (["eins", None], r"texts\[1\] must be a string, got NoneType"),
        (["eins", ["zwei"]], r"texts\[1\] must be a string, got list"),
    ],
)
def test_what_is_no_text_is_named(translator, texts, message):
    with pytest.raises(TypeError, match=message):
        translator(texts)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("beam_size", {"beam_size": 0}),
        ("n_best", {"beam_size": 2, "n_best": 3}),
        ("n_best", {"beam_size": 1, "n_best": 2}),
        ("batch_size", {"batch_size": 0}),
        ("max_new_tokens", {"max_new_tokens": 0}),
        ("max_new_tokens", {"max_new_tokens": MAX_LENGTH + 1}),
        ("max_new_tokens", {"max_new_tokens": 2.0}),
    ],
)
def test_a_bad_setting_is_named(translator, name, settings):
    with pytest.raises(ValueError, match=f"{name} must be"):
        translator("eins", **settings)


def test_a_bar_shows_progress_where_asked_for(translator, capsys):
    translator(TEXTS, beam_size=1)
    assert capsys.readouterr().out == ""
    translator(TEXTS, beam_size=1, progress=True)
    assert "5/5" in capsys.readouterr().out


def test_parts_that_do_not_fit_are_named(translator):
    other = text.SentencePieceTokenizer.train([list(WORDS)], 29)
    with pytest.raises(ValueError, match="its vocab_size is 29, the model's is 47"):
        Translator(translator.model, other)
    with pytest.raises(TypeError, match="model must be a Seq2SeqLM, got str"):
        Translator("model", other)
    with pytest.raises(TypeError, match="tokenizer must be a Tokenizer, got Model"):
        Translator(translator.model, keras.Model())
    for bad in (1, MAX_LENGTH + 1):
        with pytest.raises(ValueError, match=f"max_length must be from 2 to .* got {bad}"):
            Translator(translator.model, translator.tokenizer, max_length=bad)


def test_saved_equals_loaded(translator, tmp_path):
    translator.save_pretrained(tmp_path / "model")
    files = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert files == ["config.json", "model.safetensors", "tokenizer.model"]
    loaded = Translator.from_pretrained(tmp_path / "model")
    assert loaded.tokenizer == translator.tokenizer
    assert loaded("eins neun", beam_size=1) == translator("eins neun", beam_size=1)


def test_a_folder_that_lacks_something_is_named(translator, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        Translator.from_pretrained(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="tokenizer.model"):
        Translator.from_pretrained(tmp_path)
    translator.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="model.safetensors"):
        Translator.from_pretrained(tmp_path)
