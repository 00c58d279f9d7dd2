"""The question answering recipe, on runs of seconds."""

import dataclasses
import json

import numpy as np
import pytest

from keras_transformer import data, models, tasks, text
from recipes import answer, sentences


def squad(questions):
    paragraphs = [
        {
            "context": q.context,
            "qas": [
                {
                    "id": q.id,
                    "question": q.question,
                    "answers": [{"text": a.text, "answer_start": a.start} for a in q.answers],
                    "is_impossible": q.is_impossible,
                }
            ],
        }
        for q in questions
    ]
    return json.dumps({"version": "2.0", "data": [{"title": "t", "paragraphs": paragraphs}]})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "train.json").write_text(squad(sentences.asked(60, 5)), "utf-8")
    return folder


def tiny(folder, run_dir, **changes):
    settings = dict(
        run_dir=run_dir,
        data_dir=folder,
        vocab_size=200,
        num_layers=1,
        hidden_dim=16,
        num_heads=2,
        max_length=240,
        batch_size=16,
        num_shapes=1,
        epochs=1,
        export=False,
    )
    files = answer.PRESETS["files"][1]
    return dataclasses.replace(files, **settings | changes)


@pytest.mark.slow
def test_run_folder_opens_as_answerer_and_is_evaluated(corpus, tmp_path):
    settings = tiny(tmp_path, tmp_path / "run")
    valid = sentences.asked(20, 7, unanswerable=0.5)
    (tmp_path / "train.json").write_text((corpus / "train.json").read_text("utf-8"), "utf-8")
    (tmp_path / "val.json").write_text(squad(valid), "utf-8")
    (tmp_path / "test.json").write_text(squad(sentences.asked(6, 8, unanswerable=0.5)), "utf-8")
    answer.main(settings)
    scores = json.loads((settings.run_dir / "scores.json").read_text())
    assert scores["total"] == 6 and 0 <= scores["exact"] <= scores["f1"] <= 100
    answerer = tasks.QuestionAnswerer.from_pretrained(settings.run_dir)
    threshold = answer.best_threshold(valid, answer.find(settings, answerer, valid))
    assert threshold != 0 and abs(scores["no_answer_threshold"] - threshold) < 1e-2
    assert answerer("Who paid $7?", "Peru: $7.").text in "Peru: $7."
    records = [json.loads(x) for x in (settings.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "val_loss", "val_exact", "val_f1"} <= set(records[-1])

    (tmp_path / "xquad.en.json").write_text(squad(sentences.asked(3, 6, 0.0)), "utf-8")
    xquad = dataclasses.replace(
        answer.PRESETS["xquad"][1],
        run_dir=tmp_path / "evaluated",
        data_dir=tmp_path,
        from_checkpoint=str(settings.run_dir),
        export=False,
    )
    answer.main(xquad)
    assert json.loads((xquad.run_dir / "scores.json").read_text())["total"] == 3
    for asked, found in ((64, 64), (384, 240)):
        loaded = answer.load_answerer(dataclasses.replace(xquad, max_length=asked))
        assert loaded.max_length == found


def test_threshold_is_the_best_there_is():
    rng = np.random.default_rng(5)
    questions = sentences.asked(40, 7, unanswerable=0.4)
    found = []
    for question in questions:
        none, score = rng.uniform(0.01, 0.1), rng.uniform(0.1, 1.0)
        if question.is_impossible:
            none *= 3
        text = question.answers[0].text if question.answers and rng.uniform() < 0.7 else "else"
        found.append(tasks.Answer(text, score, 0, 4, none))

    def exact(threshold):
        given = [
            dataclasses.replace(a, text="")
            if np.log(a.no_answer_score / a.score) > threshold
            else a
            for a in found
        ]
        return answer.score_answers(questions, given)["exact"]

    best = answer.best_threshold(questions, found)
    assert exact(best) == max(exact(t) for t in np.linspace(-8, 8, 4001)) > exact(0.0)
    alike = [dataclasses.replace(a, no_answer_score=a.score) for a in found]
    assert abs(answer.best_threshold(questions, alike)) <= 1


@pytest.mark.parametrize("max_length", [48, 384])
def test_labels_are_the_answers_tokens_in_each_window(max_length):
    question = sentences.asked(1, 3, unanswerable=0.0)[0]
    long = ("Oslo: on no day, nothing. " * 9) + question.context
    moved = tuple(
        a._replace(start=a.start + len(long) - len(question.context)) for a in question.answers
    )
    question = question._replace(context=long, answers=moved)
    tokenizer = text.WordPieceTokenizer.train([[long, question.question]], 80, lowercase=False)
    config = models.EncoderConfig(
        vocab_size=80, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=8, num_segments=2
    )
    answerer = tasks.QuestionAnswerer(models.SpanExtractor(config), tokenizer, max_length)
    tokens = {long: tokenizer.encode_with_offsets(long)}
    first = tokenizer.encode(question.question)[: answerer.max_question_length]
    encodings, labels = answer.label_windows(answerer, question, first, tokens, overlap=15)
    found = [
        tokenizer.decode(encoding.ids[start : end + 1])
        for encoding, (start, end) in zip(encodings, labels, strict=True)
        if start
    ]
    expected = tokenizer.decode(tokenizer.encode(moved[0].text))
    assert found and set(found) == {expected}
    if max_length == 48:
        assert len(encodings) > 5 and [0, 0] in labels


def test_question_without_answer_points_to_the_first_token():
    question = data.Question("q", "Who?", "Peru paid.", (), True)
    tokenizer = text.WordPieceTokenizer.train([["Who? Peru paid."]], 26, lowercase=False)
    config = models.EncoderConfig(
        vocab_size=26, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=8, num_segments=2
    )
    answerer = tasks.QuestionAnswerer(models.SpanExtractor(config), tokenizer)
    tokens = {question.context: tokenizer.encode_with_offsets(question.context)}
    assert answer.label_windows(answerer, question, [7], tokens, 3)[1] == [[0, 0]]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"data_dir": None}, "--data-dir is missing"),
        ({"max_answer_length": 0}, "max_answer_length must be at least 1; got 0"),
        ({"corpus": "xquad"}, "--from-checkpoint is missing"),
        ({"max_length": 12}, r"train\.json: question '5-\d+': \d+ tokens, the limit is 2"),
    ],
)
def test_wrong_settings_are_refused_before_training(corpus, tmp_path, changes, message):
    (corpus / "xquad.en.json").write_text(squad(sentences.asked(2, 7)), "utf-8")
    settings = tiny(corpus, tmp_path / "run", **changes)
    with pytest.raises(ValueError, match=message):
        answer.main(settings)
    assert not settings.run_dir.exists()


@pytest.mark.parametrize("part", ["val", "test"])
def test_overlong_question_is_refused_before_training(corpus, tmp_path, part, monkeypatch):
    questions = sentences.asked(2, 7, unanswerable=0.0)
    long = questions[1]._replace(question="who " * 80)
    (tmp_path / "train.json").write_text((corpus / "train.json").read_text("utf-8"), "utf-8")
    (tmp_path / f"{part}.json").write_text(squad([questions[0], long]), "utf-8")
    monkeypatch.setattr(answer.finetuning, "fit", None)
    with pytest.raises(ValueError, match=rf"{part}\.json: question '7-1': .*--truncate cuts"):
        answer.main(tiny(tmp_path, tmp_path / "run"))


def test_answer_that_is_not_where_it_is_said_is_named(tmp_path):
    content = squad(sentences.asked(3, 5, 0.0)).replace('"answer_start": ', '"answer_start": 1')
    (tmp_path / "train.json").write_text(content, "utf-8")
    with pytest.raises(
        ValueError, match=r"train\.json: question '5-0': answer .* is said to start"
    ):
        answer.main(tiny(tmp_path, tmp_path / "run"))


def test_held_out_contexts_are_not_trained_on():
    questions = sentences.asked(40, 1) + sentences.asked(40, 1)
    questions = [q._replace(id=str(n)) for n, q in enumerate(questions)]
    train, valid = answer.hold_out(answer.Questions(questions, "train.json"), seed=2)
    assert len(valid) == 8 and not {q.context for q in train} & {q.context for q in valid}


def test_xquad_is_read(data_dir):
    preset = answer.PRESETS["xquad"][1]
    _, _, test = answer.read_corpus(dataclasses.replace(preset, data_dir=data_dir / "xquad"))
    assert len(test) == 1190


@pytest.mark.exhaustive
def test_quickstart_answers(tmp_path):
    settings = answer.PRESETS["quickstart"][1]
    answer.main(dataclasses.replace(settings, run_dir=tmp_path / "run", epochs=1, export=False))
    assert json.loads((tmp_path / "run" / "scores.json").read_text())["total"] == 1000
