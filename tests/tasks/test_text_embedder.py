"""Vectors are the model's, and folders of sentence-transformers say how long a text may be."""

import json

import numpy as np
import pytest
from toy_encoders import LINES, ToyTokenizer, config, embedder, outputs

from keras_transformer import models, text
from keras_transformer.tasks import TextEmbedder


@pytest.mark.parametrize("settings", [{}, {"pooling": "first", "normalize": False}])
def test_a_vector_is_the_models(settings):
    task = embedder(**settings)
    found = task(LINES, batch_size=3)
    assert found.shape == (len(LINES), 14) and found.dtype == np.float32
    for line, vector in zip(LINES, found, strict=True):
        expected = outputs(task, task.tokenizer.encode(line))
        np.testing.assert_allclose(vector, expected, rtol=1e-4, atol=1e-5)
    assert task(LINES[0]).shape == (14,)
    assert task([]).shape == (0, 14)


@pytest.mark.parametrize(("limit", "expected"), [(17, 17), (500, 61), (None, 61)])
def test_a_folder_says_how_long_a_text_may_be(tmp_path, monkeypatch, limit, expected):
    models.SentenceEmbedder(config()).save_pretrained(tmp_path)
    path = tmp_path / "sentence_bert_config.json"
    path.write_text(json.dumps({"max_seq_length": limit}))
    monkeypatch.setattr(
        text.Tokenizer, "load", classmethod(lambda *_: ToyTokenizer()), raising=False
    )
    assert TextEmbedder.from_pretrained(tmp_path).max_length == expected
    assert TextEmbedder.from_pretrained(tmp_path, max_length=7).max_length == 7
    path.write_text(json.dumps({"max_seq_length": "long"}))
    with pytest.raises(ValueError, match="max_seq_length must be a positive integer"):
        TextEmbedder.from_pretrained(tmp_path)


@pytest.mark.parametrize("lowercase", [True, False])
def test_a_folder_that_asks_for_lower_case_needs_a_tokenizer_that_makes_it(tmp_path, lowercase):
    lines = [["Abc ABC abc aBC"]]
    tokenizer = text.WordPieceTokenizer.train(lines, 11 if lowercase else 16, lowercase=lowercase)
    settings = models.EncoderConfig(
        vocab_size=tokenizer.vocab_size, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16
    )
    TextEmbedder(models.SentenceEmbedder(settings), tokenizer).save_pretrained(tmp_path)
    path = tmp_path / "sentence_bert_config.json"
    path.write_text(json.dumps({"max_seq_length": 16, "do_lower_case": True}))
    if lowercase:
        assert TextEmbedder.from_pretrained(tmp_path).max_length == 16
    else:
        with pytest.raises(ValueError, match="do_lower_case"):
            TextEmbedder.from_pretrained(tmp_path)


def saved(folder, max_length=None):
    tokenizer = text.WordPieceTokenizer.train([["the dog sat", "a cat"]], vocab_size=27)
    task = TextEmbedder(models.SentenceEmbedder(config()), tokenizer, max_length)
    task.save_pretrained(folder)
    return task


def test_the_length_that_was_saved_is_loaded(tmp_path):
    saved(tmp_path, max_length=20)
    fields = json.loads((tmp_path / "sentence_bert_config.json").read_text())
    assert fields["max_seq_length"] == 20  # where sentence-transformers reads it
    assert TextEmbedder.from_pretrained(tmp_path).max_length == 20
    assert TextEmbedder.from_pretrained(tmp_path, max_length=7).max_length == 7
    saved(tmp_path)
    assert TextEmbedder.from_pretrained(tmp_path).max_length == 61


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prompts": {"query": "query: "}, "default_prompt_name": "query"}, "prompt 'query', 'qu"),
        ({"default_prompt_name": "query"}, "prompt 'query', None"),
        ([], "must hold an object"),
    ],
)
def test_a_folder_that_asks_for_a_prompt_is_refused(tmp_path, fields, message):
    saved(tmp_path)
    path = tmp_path / "config_sentence_transformers.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=rf"config_sentence_transformers\.json .*{message}"):
        TextEmbedder.from_pretrained(tmp_path)


def test_prompts_that_are_not_the_default_change_nothing(tmp_path):
    expected = saved(tmp_path)("the dog")
    prompts = {"prompts": {"query": "query: ", "passage": ""}, "default_prompt_name": None}
    path = tmp_path / "config_sentence_transformers.json"
    for name in (None, "passage"):
        path.write_text(json.dumps({**prompts, "default_prompt_name": name}))
        np.testing.assert_array_equal(TextEmbedder.from_pretrained(tmp_path)("the dog"), expected)


def test_the_librarys_other_names_of_its_settings_are_read(tmp_path):
    from keras_transformer.checkpoints.sentence_transformers import read_encoding

    path = tmp_path / "sentence_distilbert_config.json"
    path.write_text('{"max_seq_length": 128, "do_lower_case": true}')
    assert read_encoding(tmp_path, tmp_path) == (128, True)
