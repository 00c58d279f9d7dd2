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


@pytest.mark.parametrize("task", [tasks.EntityTagger, tasks.QuestionAnswerer])
def test_a_published_classifier_of_texts_is_no_other_task(task, tmp_path):
    """Its tensors would fit."""
    tokenizer = text.WordPieceTokenizer.train([["the dog sat", "a cat"]], vocab_size=27)
    classifier = models.SequenceClassifier(config(), 2, labels=["NEGATIVE", "POSITIVE"])
    classifier.save_pretrained(tmp_path, family="bert")
    tokenizer.save(tmp_path)
    with pytest.raises(ValueError, match="holds a BertForSequenceClassification, not a"):
        task.from_pretrained(tmp_path)
    assert tasks.TextClassifier.from_pretrained(tmp_path).labels == ("NEGATIVE", "POSITIVE")


OTHER_STYLES = {
    "gpt2": lambda: models.DecoderClassifier(
        models.DecoderConfig(
            vocab_size=27, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16, use_bias=True,
            max_length=40,
        ),
        2,
    ),
    "bart": lambda: models.Seq2SeqClassifier(seq2seq_config(), 2),
    "mbart": lambda: models.Seq2SeqSpanExtractor(
        models.TransformerConfig.from_dict({**seq2seq_config().to_dict(), "norm_first": True}),
        decoder_start="last",
    ),
}  # fmt: skip


def seq2seq_config():
    return models.TransformerConfig(
        vocab_size=27, num_encoder_layers=1, num_decoder_layers=1, hidden_dim=8, num_heads=2,
        ffn_dim=16, max_length=40, positions="learned", position_options={"start": 2},
        embedding_norm=True, output_bias=True, norm_epsilon=1e-5,
    )  # fmt: skip


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("family", OTHER_STYLES)
def test_models_of_other_styles_have_their_tasks(family, published, tmp_path):
    tokenizer = text.WordPieceTokenizer.train([["the dog sat", "a cat"]], vocab_size=27)
    model = OTHER_STYLES[family]()
    model.save_pretrained(tmp_path, family=family if published else None)
    tokenizer.save(tmp_path)
    if family == "mbart":
        task = tasks.QuestionAnswerer(model, tokenizer)
        arguments = ("the dog", "a cat sat")
    else:
        task = tasks.TextClassifier(model, tokenizer)
        arguments = (["the dog sat", "a"],)
    loaded = tasks.load_task(tmp_path)
    assert type(loaded) is type(task) and type(loaded.model) is type(model)
    assert loaded(*arguments) == task(*arguments)
    assert type(task).from_pretrained(tmp_path)(*arguments) == task(*arguments)


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


@pytest.mark.parametrize("task", ["text-classification", "entity-tagging"])
def test_two_classes_need_not_be_said(task, tmp_path):
    kind, _ = HEADS[task]
    model = kind(config(), 2)
    model.save_pretrained(tmp_path, family="bert")
    path = tmp_path / "config.json"
    fields = json.loads(path.read_text())
    del fields["id2label"], fields["label2id"]  # as transformers leaves them out
    path.write_text(json.dumps(fields))
    text.WordPieceTokenizer.train([["the dog sat", "a cat"]], vocab_size=27).save(tmp_path)
    loaded = tasks.load_task(tmp_path)
    assert loaded.model.num_classes == 2 and loaded.labels == ("LABEL_0", "LABEL_1")
    with pytest.raises(ValueError, match="shape"):
        kind.from_pretrained(tmp_path, num_classes=3)


def all_tasks():
    tokenizer = text.WordPieceTokenizer.train([["the dog sat", "a cat"]], vocab_size=27)
    decoder = models.DecoderConfig(
        vocab_size=27, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16, max_length=600
    )
    seq2seq = models.TransformerConfig.from_dict({**seq2seq_config().to_dict(), "pad_id": 0})
    wide = {**config().to_dict(), "max_length": 600}
    encoder = models.EncoderConfig.from_dict(wide)
    return {
        "classifier": lambda n: tasks.TextClassifier(
            models.SequenceClassifier(encoder, 2), tokenizer, n
        ),
        "tagger": lambda n: tasks.EntityTagger(models.TokenClassifier(encoder, 2), tokenizer, n),
        "answerer": lambda n: tasks.QuestionAnswerer(models.SpanExtractor(encoder), tokenizer, n),
        "embedder": lambda n: tasks.TextEmbedder(models.SentenceEmbedder(encoder), tokenizer, n),
        "filler": lambda n: tasks.MaskFiller(models.MaskedLM(encoder), tokenizer, n),
        "generator": lambda n: tasks.TextGenerator(models.CausalLM(decoder), tokenizer, n),
        "translator": lambda n: tasks.Translator(models.Seq2SeqLM(seq2seq), tokenizer, n),
    }


def test_a_folder_may_hold_one_task_after_another(tmp_path):
    made = all_tasks()
    (tmp_path / "notes.txt").write_text("mine")
    for name in [*made, *reversed(made), "embedder", "classifier"]:
        task = made[name](13 if name != "answerer" else 500)
        task.save_pretrained(tmp_path)
        loaded = tasks.load_task(tmp_path)
        assert type(loaded) is type(task) and loaded.max_length == task.max_length, name
        if name in ("classifier", "tagger"):
            assert loaded("the dog") == task("the dog")
        assert (tmp_path / "modules.json").exists() == (name == "embedder")
    made["classifier"](None).save_pretrained(tmp_path)
    assert tasks.load_task(tmp_path).max_length == made["classifier"](None).max_length
    assert (tmp_path / "notes.txt").read_text() == "mine"
    left = {path.name for path in tmp_path.iterdir()}
    assert not left & {"1_Pooling", "2_Normalize", "task_config.json", "sentence_bert_config.json"}


def test_what_is_not_known_stays_where_another_kind_was(tmp_path):
    made = all_tasks()
    made["embedder"](None).save_pretrained(tmp_path)
    (tmp_path / "1_Pooling" / "mine.txt").write_text("mine")
    models.MaskedLM(config()).save_pretrained(tmp_path)
    assert [path.name for path in (tmp_path / "1_Pooling").iterdir()] == ["mine.txt"]
    assert not (tmp_path / "modules.json").exists()


def test_a_damaged_length_is_named(tmp_path):
    all_tasks()["classifier"](13).save_pretrained(tmp_path)
    (tmp_path / "task_config.json").write_text('{"max_length": "13"}')
    with pytest.raises(ValueError, match=r"task_config\.json: max_length must be a positive int"):
        tasks.load_task(tmp_path)


def test_an_unknown_task_is_named(tmp_path):
    with pytest.raises(ValueError, match="task must be one of text-classification.*got 'tagging'"):
        tasks.load_task(tmp_path, task="tagging")


@pytest.mark.parametrize("kind", ["classifier", "embedder"])
def test_none_stands_for_the_length_that_is_saved(tmp_path, kind):
    tokenizer = text.WordPieceTokenizer.train([["a dog runs", "a dog eats"]], vocab_size=30)
    config = models.EncoderConfig(
        vocab_size=30, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16, max_length=64
    )
    task = {
        "classifier": lambda: tasks.TextClassifier(
            models.SequenceClassifier(config, 2), tokenizer, max_length=9
        ),
        "embedder": lambda: tasks.TextEmbedder(
            models.SentenceEmbedder(config), tokenizer, max_length=9
        ),
    }[kind]()
    task.save_pretrained(tmp_path)
    for more in ({}, {"max_length": None}):
        assert tasks.load_task(tmp_path, **more).max_length == 9
