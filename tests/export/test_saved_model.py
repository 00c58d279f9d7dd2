"""The exported translator answers as the one in Python, in a process without Keras."""

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from toy_translator import MAX_LENGTH, toy_translator

from keras_transformer import tasks
from keras_transformer.export import export_translator

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

TEXTS = ["zwei drei vier", "", "neun", "null eins zwei drei vier", "neun", " \t", "sechs drei"]
ODD = ["zwei \xff drei", "a\0b", "\xe2\x82", "日本", "</s>", "zwei " * 200_000]  # the last: 1 MB
SETTINGS = {"beam_size": 3, "length_penalty": 0.6}
SEVERAL = 2


def latin(texts):
    """Bytes as JSON can hold them."""
    encoded = [t.encode("latin-1" if "\xff" in t or "\x82" in t else "utf-8") for t in texts]
    return encoded, [e.decode("latin-1") for e in encoded]


@pytest.fixture(scope="module")
def translator():
    return toy_translator()


@pytest.fixture(scope="module")
def saved_model(translator, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "translator"
    translator.export(path, n_best=SEVERAL, **SETTINGS)
    return path


def serve(how, saved_model, requests, tmp_path_factory):
    """The answers of a fresh process; see serve.py."""
    path = tmp_path_factory.mktemp("requests") / "requests.json"
    path.write_text(json.dumps(requests), encoding="utf-8")
    script = pathlib.Path(__file__).with_name("serve.py")
    result = subprocess.run(
        [sys.executable, str(script), how, str(saved_model), str(path)],
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def served(translator, saved_model, tmp_path_factory):
    """The answers to all requests of this file, by a name, from one fresh process."""
    tokens = translator.tokenizer.encode("zwei drei")
    requests = {
        "many": ["serving_default", latin(TEXTS)[1]],
        "one": ["serving_default", TEXTS[:1]],
        "none": ["serving_default", []],
        "odd": ["serving_default", latin(ODD)[1]],
        "several": ["translate_n_best", TEXTS],
        "several of none": ["translate_n_best", []],
        "limited": ["translate_with", {"texts": TEXTS, "max_new_tokens": [1, 2, 3, 2, 0, 9, 99]}],
        "tokens": ["translate_tokens", [[*tokens, 3, 0], [*tokens[:2], 3] + [0] * len(tokens[1:])]],
        "long tokens": ["translate_tokens", [tokens * 20]],
        "no token": ["translate_tokens", [[0, 0]]],
        "no column": ["translate_tokens", [[], []]],
        "bad token": ["translate_tokens", [[5, 47]]],
    }
    found = serve("operations", saved_model, list(requests.values()), tmp_path_factory)
    answers = [
        {k: v if k == "error" else np.array(v[0]).reshape(v[1]) for k, v in answer.items()}
        for answer in found["answers"]
    ]
    return {"loaded": found["loaded"], **dict(zip(requests, answers, strict=True))}


def assert_same(found, expected):
    assert found["translations"].tolist() == [answer.text for answer in expected]
    scores = [answer.score for answer in expected]
    np.testing.assert_allclose(found["scores"], scores, rtol=1e-5, atol=1e-5)


def test_it_needs_no_keras(served):
    assert served["loaded"] == []


def test_it_needs_tensorflow_text_and_nothing_else(translator, saved_model, tmp_path_factory):
    found = serve("package", saved_model, [["serving_default", ["neun"]]], tmp_path_factory)
    assert found["loaded"] == []
    answer = translator("neun", **SETTINGS)
    np.testing.assert_allclose(found["answers"][0]["scores"][0], answer.score, rtol=1e-5, atol=1e-5)
    assert found["answers"][0]["translations"][0] == [answer.text]


def test_it_answers_as_the_translator_does(translator, served):
    assert_same(served["many"], translator(TEXTS, **SETTINGS))
    assert_same(served["one"], translator(TEXTS[:1], **SETTINGS))


def test_no_texts_give_no_answers(served):
    assert served["none"]["translations"].shape == served["none"]["scores"].shape == (0,)
    assert served["several of none"]["translations"].shape == (0, SEVERAL)


@pytest.mark.filterwarnings("ignore:.*were cut")
def test_any_text_is_answered_as_in_python(translator, served):
    # malformed bytes stand for U+FFFD on both sides; what is too long is cut
    texts = [encoded.decode("utf-8", "replace") for encoded in latin(ODD)[0]]
    assert_same(served["odd"], translator(texts, truncate=True, **SETTINGS))


def test_the_n_best_are_those_of_the_translator(translator, served):
    found, expected = served["several"], translator(TEXTS, n_best=SEVERAL, **SETTINGS)
    assert found["translations"].shape == found["scores"].shape == (len(TEXTS), SEVERAL)
    assert_same({name: value[:, 0] for name, value in found.items()}, expected)
    others = zip(expected, found["translations"][:, 1], found["scores"][:, 1], strict=True)
    for answer, text, score in others:
        if answer.text:
            assert answer.alternatives[0].text == text
            np.testing.assert_allclose(answer.alternatives[0].score, score, rtol=1e-5, atol=1e-5)
        else:
            assert (text, score) == ("", -np.inf)


def test_a_limit_of_a_request_is_that_of_the_call(translator, served):
    limits = (1, 2, 3, 2, 1, 9, MAX_LENGTH)
    for row, (line, limit) in enumerate(zip(TEXTS, limits, strict=True)):
        answer = translator(line, n_best=SEVERAL, max_new_tokens=limit, **SETTINGS)
        assert served["limited"]["translations"][row, 0] == answer.text
        np.testing.assert_allclose(
            served["limited"]["scores"][row, 0], answer.score, rtol=1e-5, atol=1e-5
        )


def test_max_length_may_be_less(translator, tmp_path):
    import tensorflow as tf

    translator.export(tmp_path / "short", max_length=5, beam_size=1)
    mark = json.loads((tmp_path / "short/assets.extra/keras_transformer.json").read_text())
    assert mark["max_length"] == 5 and translator.max_length == MAX_LENGTH
    found = tf.saved_model.load(str(tmp_path / "short")).signatures["serving_default"](
        tf.constant([TEXTS[3]])
    )
    shorter = tasks.Translator(translator.model, translator.tokenizer, 5)
    with pytest.warns(UserWarning, match="were cut to 5"):
        answer = shorter(TEXTS[3], beam_size=1, truncate=True)
    assert found["translations"].numpy().tolist() == [answer.text.encode()]
    with pytest.raises(ValueError, match="max_length must be from 2 to"):
        translator.export(tmp_path / "long", max_length=99)


def test_tokens_give_tokens(translator, served):
    found, tokenizer = served["tokens"], translator.tokenizer
    lines = [tokenizer.encode("zwei drei"), tokenizer.encode("zwei drei")[:2]]
    expected = translator(tokenizer.decode(lines), **SETTINGS)
    assert found["sequences"].shape[:2] == found["lengths"].shape == (2, SEVERAL)
    for row, length, answer in zip(
        found["sequences"][:, 0], found["lengths"][:, 0], expected, strict=True
    ):
        assert tokenizer.decode(row[:length].tolist()) == answer.text
        assert row[length - 1] == 3 and not row[length:].any()


def test_odd_tokens_have_a_rule(translator, served):
    long = served["long tokens"]
    assert 1 <= long["lengths"][0, 0] <= translator.model.config.max_length
    for name in ("no token", "no column"):
        assert not served[name]["lengths"].any() and not served[name]["scores"][:, 0].any()
    assert "encoder_token_ids must be from 0 to 46" in served["bad token"]["error"]


def test_it_says_what_it_is(translator, saved_model):
    mark = json.loads((saved_model / "assets.extra" / "keras_transformer.json").read_text())
    assert mark["tokenizer_sha256"] == translator.tokenizer.fingerprint
    assert mark["beam_size"] == 3 and mark["n_best"] == SEVERAL


def test_other_backends_are_told_what_to_do(translator, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match="this is jax.*save_pretrained.*KERAS_BACKEND"):
        export_translator(translator, tmp_path / "saved_model")
    assert not list(tmp_path.iterdir())


def test_a_bad_setting_is_named_before_anything_is_written(translator, tmp_path):
    with pytest.raises(ValueError, match="n_best must be at most beam_size"):
        translator.export(tmp_path / "saved_model", beam_size=2, n_best=3)
    with pytest.raises(ValueError, match="max_new_tokens must be"):
        translator.export(tmp_path / "saved_model", max_new_tokens=1000)
    assert not list(tmp_path.iterdir())


def test_what_is_no_earlier_export_is_left_alone(translator, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty and no earlier export"):
        translator.export(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_full_disk_leaves_the_earlier_export(translator, tmp_path, monkeypatch):
    import tensorflow as tf

    path = tmp_path / "saved_model"
    (path / "assets.extra").mkdir(parents=True)
    (path / "assets.extra" / "keras_transformer.json").write_text("{}")

    def full(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "x; No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(OSError, match="disk is full"):
        translator.export(path, beam_size=1)
    assert [p.name for p in tmp_path.iterdir()] == ["saved_model"]
    assert (path / "assets.extra" / "keras_transformer.json").read_text() == "{}"
