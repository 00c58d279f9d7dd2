"""A folder says which task it is for, in this package's layout and in published ones."""

import json

import pytest
from toy_encoders import config

from keras_transformer import models, tasks, text
from keras_transformer.tasks.loading import task_of

HEADS = {
    "text-classification": (models.SequenceClassifier, {"num_classes": 2}),
    "entity-tagging": (models.TokenClassifier, {"num_classes": 2}),
    "question-answering": (models.SpanExtractor, {}),
    "text-embedding": (models.SentenceEmbedder, {}),
    "mask-filling": (models.MaskedLM, {}),
}


@pytest.mark.parametrize("family", [None, "bert"])
@pytest.mark.parametrize("name", HEADS)
def test_the_task_is_recognised(name, family, tmp_path):
    kind, arguments = HEADS[name]
    kind(config(), **arguments).save_pretrained(tmp_path, family=family)
    assert task_of(tmp_path) == name


def test_a_bare_encoder_says_nothing(tmp_path):
    models.TransformerEncoder(config()).save_pretrained(tmp_path, family="bert")
    with pytest.raises(ValueError, match="does not say which task.*BertModel.*text-embedding"):
        task_of(tmp_path)


def test_saved_equals_loaded(tmp_path):
    tokenizer = text.WordPieceTokenizer.train([["the dog sat", "a cat"]], vocab_size=27)
    model = models.TokenClassifier(config(), 3, labels=["O", "B-LOC", "I-LOC"])
    task = tasks.EntityTagger(model, tokenizer)
    for family in (None, "bert"):
        folder = tmp_path / str(family)
        model.save_pretrained(folder, family=family)
        tokenizer.save(folder)
        loaded = tasks.load_task(folder, max_length=40)
        assert loaded.tokenizer == tokenizer and loaded.labels == task.labels
        assert loaded.max_length == 40
        assert loaded("the dog sat") == task("the dog sat")
        task.save_pretrained(folder)
        assert tasks.EntityTagger.from_pretrained(folder)("a dog") == task("a dog")


def test_other_numbers_of_classes_lose_the_names(tmp_path):
    model = models.SequenceClassifier(config(), 2, labels=["bad", "good"])
    for family in (None, "bert"):
        model.save_pretrained(tmp_path, family=family)
        path = tmp_path / "config.json"
        fields = json.loads(path.read_text())
        if family:
            assert fields["id2label"] == {"0": "bad", "1": "good"}
            assert fields["label2id"] == {"bad": 0, "good": 1}
        loaded = models.SequenceClassifier.from_pretrained(tmp_path)
        assert loaded.labels == ("bad", "good")
        renamed = models.SequenceClassifier.from_pretrained(tmp_path, labels=["no", "yes"])
        assert renamed.labels == ("no", "yes")


def test_an_unknown_task_is_named(tmp_path):
    with pytest.raises(ValueError, match="task must be one of text-classification.*got 'tagging'"):
        tasks.load_task(tmp_path, task="tagging")
