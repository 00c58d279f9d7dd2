"""The tagging recipe, on runs of seconds."""

import dataclasses
import json

import numpy as np
import pytest

from keras_transformer import data, models, tasks, text
from recipes import finetuning, sentences, tag

CITIES = ("Oslo", "Rome", "New Delhi", "Lima")


def sentences_of(size, seed):
    """CoNLL: "we saw New Delhi today", with the city tagged."""
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(size):
        city = CITIES[rng.integers(4)].split()
        tags = ["B-CITY", "I-CITY"][: len(city)]
        before = ["we", "they"][rng.integers(2)]
        words = [before, "saw", *city, "today"]
        lines += [f"{w}\t{t}" for w, t in zip(words, ["O", "O", *tags, "O"], strict=True)] + [""]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "train.conll").write_text(sentences_of(60, 0), "utf-8")
    (folder / "val.conll").write_text(sentences_of(10, 1), "utf-8")
    return folder


def tiny(corpus, run_dir, **changes):
    settings = dict(
        run_dir=run_dir,
        data_dir=corpus,
        vocab_size=45,
        num_layers=1,
        hidden_dim=16,
        num_heads=2,
        dropout=0.0,
        max_length=16,
        batch_size=16,
        num_shapes=1,
        epochs=6,
        learning_rate=1e-2,
        export=False,
    )
    files = tag.PRESETS["files"][1]
    return dataclasses.replace(files, **settings | changes)


@pytest.mark.slow
def test_run_learns_and_its_folder_opens_as_tagger(corpus, tmp_path):
    settings = tiny(corpus, tmp_path / "run")
    tag.main(settings)
    scores = json.loads((settings.run_dir / "scores.json").read_text())
    assert scores["f1"] >= 90 and scores["types"]["CITY"]["support"] == 10
    [entity] = tasks.EntityTagger.from_pretrained(settings.run_dir)("they saw New Delhi today")
    assert (entity.type, entity.start, entity.end) == ("CITY", 9, 18)
    assert "<small> CITY</small>" in (settings.run_dir / "report.html").read_text("utf-8")


def test_balanced_tags_weigh_the_same(corpus, tmp_path):
    settings = tiny(corpus, tmp_path, balance=True)
    train, _, _ = tag.read_corpus(settings)
    labels = tag.learn_labels(train)
    tokenizer = finetuning.make_tokenizer(settings, train.texts)
    model = finetuning.make_model(settings, models.TokenClassifier, tokenizer, num_classes=3)
    tagger = tasks.EntityTagger(model, tokenizer, settings.max_length)
    batches = tag.plan_batches(settings, tagger, labels, train)
    weight, count = np.zeros(3), np.zeros(3)
    for step in range(len(batches)):
        _, y, w = batches.batch(0, step)
        assert (w[y == -100] == 0).all()
        for label in range(3):
            weight[label] += w[y == label].sum()
            count[label] += (y == label).sum()
    assert count[0] == 3 * count[1] > 3 * count[2] > 0
    np.testing.assert_allclose(weight, count.sum() / 3, rtol=1e-6)


def test_labels_stand_at_the_first_tokens_of_words():
    tokenizer = text.WordPieceTokenizer.train([["a b ab New York's"]], 28, lowercase=False)
    line = "a New York's b"
    [encoding] = tokenizer([line], offsets=True)
    labels = data.Labels(("O", "B-LOC", "I-LOC"))
    own, inexact = tag.label_tokens(encoding, line, [data.Span("LOC", 2, 10)], labels)
    said = [
        (line[slice(*encoding.offsets[i])][0], label) for i, label in enumerate(own) if label >= 0
    ]
    assert said == [("a", 0), ("N", 1), ("Y", 2), ("'", 0), ("s", 0), ("b", 0)] and inexact == 0
    assert tag.label_tokens(encoding, line, [data.Span("LOC", 2, 9)], labels)[1] == 1


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("val.conll", "Oslo\tB-TOWN", r"val\.conll:1: type 'TOWN' is not in the training data"),
        ("val.conll", "Oslo\tX-CITY", r"val\.conll:1: .*tag 'X-CITY'"),
        ("val.conll", "Oslo\tB-CITY\nis\n", r"val\.conll:2: 1 columns, expected 2"),
        ("val.conll", "\n\n", r"val\.conll: no sentences"),
        ("train.conll", "Oslo\tO", "no entity at all"),
        ("val.conll", "Oslo\tB-CITY\n" * 30, r"val\.conll:1: \d+ tokens, max_length is 16"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_before_training(
    corpus, tmp_path, name, content, message
):
    for path in corpus.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_text(content, "utf-8")
    settings = tiny(tmp_path, tmp_path / "run")
    with pytest.raises(ValueError, match=message):
        tag.main(settings)
    assert not settings.run_dir.exists()


def test_every_type_stays_in_the_training_part(tmp_path):
    rare = "".join(f"x{n}\tB-RARE{n}\nis\tO\n\n" for n in range(40))
    (tmp_path / "train.conll").write_text(rare + sentences_of(60, 0), "utf-8")
    train, valid, _ = tag.read_corpus(tiny(tmp_path, tmp_path / "run"))
    assert (len(train), len(valid)) == (90, 10)
    assert {span.label for spans in valid.spans for span in spans} == {"CITY"}


def test_sentences_say_where_their_entities_are():
    found = sentences.tagged(200, languages=tag.LANGUAGES)
    labels = {span.label for spans in found.spans for span in spans}
    assert labels == {"date", "currency", "territory"}
    for line, spans in zip(found.texts, found.spans, strict=True):
        assert spans == data.tags.sorted_spans(spans, len(line))
        assert all(any(c.isdigit() for c in line[s.start : s.end]) for s in spans if s[0] == "date")
    assert found == sentences.tagged(200, languages=tag.LANGUAGES)


@pytest.mark.parametrize("preset, kinds", [("wnut17", 6), ("restaurant8k", 5)])
def test_presets_read_their_data(preset, kinds, data_dir):
    settings = dataclasses.replace(tag.PRESETS[preset][1], data_dir=data_dir / preset)
    train, valid, test = tag.read_corpus(settings)
    assert len(tag.learn_labels(train)) == 1 + 2 * kinds
    assert len(valid) and test is None


@pytest.mark.exhaustive
def test_quickstart_finds_entities(tmp_path):
    settings = tag.PRESETS["quickstart"][1]
    tag.main(dataclasses.replace(settings, run_dir=tmp_path / "run", epochs=1, export=False))
    assert json.loads((tmp_path / "run" / "scores.json").read_text())["f1"] > 50
