"""What all tasks over encoders share: order, batches, lengths, and what they refuse."""

import numpy as np
import pytest
from toy_encoders import (
    LINES,
    ToyTokenizer,
    answerer,
    classifier,
    config,
    embedder,
    filler,
    tagger,
)

from keras_transformer import models, tasks

TASKS = {"classifier": classifier, "tagger": tagger, "embedder": embedder, "filler": filler}
LONG = "the dog sat on the mat . " * 40


def same(found, expected):
    if isinstance(expected, np.ndarray):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            same(*pair)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        same(list(found.values()), list(expected.values()))
    elif hasattr(expected, "to_dict"):
        assert type(found) is type(expected)
        same(found.to_dict(), expected.to_dict())
    else:
        assert found == expected


@pytest.mark.parametrize("name", TASKS)
def test_batches_and_order_change_nothing(name):
    task = TASKS[name]()
    expected = [task(line) for line in LINES]
    for found in (task(LINES), task(LINES, batch_size=2), task(LINES[::-1])[::-1]):
        same(list(found), expected)


@pytest.mark.parametrize("name", TASKS)
def test_no_texts_give_no_answers(name):
    assert len(TASKS[name]()([])) == 0


def test_no_questions_give_no_answers():
    assert answerer()([], []) == []


@pytest.mark.parametrize("name", ["classifier", "embedder", "filler"])
def test_a_text_too_long_is_named_or_cut(name):
    task = TASKS[name](max_length=23)
    with pytest.raises(ValueError, match=r"texts\[1\] has 282 tokens.*limit is 23 .*truncate"):
        task(["a", LONG])
    with pytest.warns(UserWarning, match="1 of 2 texts were cut to 23 tokens"):
        found = task(["a", LONG], truncate=True)
    kept = task.tokenizer.decode(task.tokenizer.encode(LONG)[:21])
    if name != "filler":
        same(list(found), list(task(["a", kept])))


def test_a_megabyte_is_cut():
    with pytest.warns(UserWarning, match="1 of 1 texts were cut to 61 tokens"):
        found = classifier()(["the dog " * 131_072], truncate=True)
    same(found, classifier()(["the dog " * 29 + "the"]))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (7, "texts must be a string or a list of them, got int"),
        (b"a", "texts must be .* got bytes"),
        ({"a": "b"}, "texts must be .* got dict"),
        (["a", None], r"texts\[1\] must be a string, got NoneType"),
    ],
)
def test_what_is_no_text_is_named(texts, message):
    for make in TASKS.values():
        with pytest.raises(TypeError, match=message):
            make()(texts)


def test_parts_that_do_not_fit_are_named():
    model = models.SentenceEmbedder(config())
    with pytest.raises(TypeError, match="model must be a TokenClassifier, got SentenceEmbedder"):
        tasks.EntityTagger(model, ToyTokenizer())
    with pytest.raises(TypeError, match="tokenizer must be a Tokenizer, got str"):
        tasks.TextEmbedder(model, "tokenizer")
    for bad in (2, 62):
        with pytest.raises(ValueError, match=f"max_length must be from 3 to .* 61; got {bad}"):
            tasks.TextEmbedder(model, ToyTokenizer(), max_length=bad)
    with pytest.raises(TypeError, match="max_length must be an integer, got 7.0"):
        tasks.TextEmbedder(model, ToyTokenizer(), max_length=7.0)
    small = models.SentenceEmbedder(
        models.EncoderConfig.from_dict({**config().to_dict(), "vocab_size": 7})
    )
    with pytest.raises(ValueError, match="its vocab_size is 30, the model's is 7"):
        tasks.TextEmbedder(small, ToyTokenizer())


@pytest.mark.parametrize("bad", [0, -1, 2.0, True])
def test_a_bad_batch_size_is_named(bad):
    with pytest.raises(ValueError, match="batch_size must be"):
        classifier()("a", batch_size=bad)


def test_numbers_of_numpy_are_numbers():
    task = tagger(max_length=np.int64(23))
    assert type(task.max_length) is int
    same(task(LINES, overlap=np.int32(3), batch_size=np.int64(2)), task(LINES, overlap=3))
    many = classifier("multi_label")
    same(many(LINES, threshold=np.float32(0.5)), many(LINES))
    asked = ("the dog?", "the dog sat on the mat .")
    same(answerer()(*asked, no_answer_threshold=np.float32(0)), answerer()(*asked,
         no_answer_threshold=0))  # fmt: skip
    for bad in (np.True_, "3", None, 2.5):
        with pytest.raises((TypeError, ValueError), match="batch_size must be"):
            many(LINES, batch_size=bad)


def test_a_bar_shows_progress_where_asked_for(capsys):
    classifier()(LINES)
    assert capsys.readouterr().out == ""
    classifier()(LINES, progress=True)
    assert f"{len(LINES)}/{len(LINES)}" in capsys.readouterr().out


def test_the_tokenizers_length_counts_where_it_is_less():
    class Short(ToyTokenizer):
        max_length = 19

    model = models.SentenceEmbedder(config())
    assert tasks.TextEmbedder(model, Short()).max_length == 19
    assert tasks.TextEmbedder(model, Short(), max_length=41).max_length == 41
    assert tasks.TextEmbedder(model, ToyTokenizer()).max_length == 61


def test_numbers_that_are_none_are_an_error():
    model = models.SentenceEmbedder(config())
    model.backbone.token_embedding.weights[0].assign(
        np.full(model.backbone.token_embedding.weights[0].shape, np.nan)
    )
    with pytest.raises(FloatingPointError, match="not finite"):
        tasks.TextEmbedder(model, ToyTokenizer())("a")
