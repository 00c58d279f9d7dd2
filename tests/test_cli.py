"""The command line answers as the tasks do, and says in one line what is wrong."""

import json

import pytest

from keras_transformer import models, tasks, text
from keras_transformer.cli import main

LINES = ["the dog sat in rome .", "where is the cat ?"]
CONFIG = dict(vocab_size=40, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16, max_length=48)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each task, by the name of its model."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = text.WordPieceTokenizer.train([LINES], vocab_size=40)
    config = models.EncoderConfig(**CONFIG, num_segments=2)
    made = {
        "classifier": tasks.TextClassifier(
            models.SequenceClassifier(config, 2, labels=["bad", "good"]), tokenizer
        ),
        "tagger": tasks.EntityTagger(
            models.TokenClassifier(config, 2, labels=["O", "LOC"]), tokenizer
        ),
        "answerer": tasks.QuestionAnswerer(models.SpanExtractor(config), tokenizer),
        "embedder": tasks.TextEmbedder(models.SentenceEmbedder(config), tokenizer),
        "filler": tasks.MaskFiller(models.MaskedLM(config), tokenizer),
    }
    for name, task in made.items():
        task.save_pretrained(folder / name)
    return folder, made


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def answers(capsys, *arguments):
    code, out, err = run(capsys, *arguments)
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize(
    ("name", "arguments", "keys"),
    [
        ("classifier", ["the dog"], {"text", "label", "score", "scores"}),
        ("classifier", ["the dog", "--pair", "a"], {"text", "pair", "label", "score", "scores"}),
        ("tagger", ["the dog"], {"text", "entities"}),
        ("answerer", ["where", "--context", "the dog"],
         {"question", "context", "answer", "score", "start", "end", "no_answer_score"}),
        ("embedder", ["the dog"], {"text", "embedding"}),
        ("filler", ["the [MASK]", "--top-k", "3"], {"text", "answer", "masks"}),
    ],
)  # fmt: skip
def test_the_task_is_known_from_the_folder(capsys, folders, name, arguments, keys):
    [found] = answers(capsys, "predict", folders[0] / name, *arguments)
    assert set(found) == keys


def test_a_file_is_answered_line_by_line(capsys, folders, tmp_path):
    folder, made = folders
    (tmp_path / "lines.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    items = [{"text": line, "number": i} for i, line in enumerate(LINES)]
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
    expected = [answer.label for answer in made["classifier"](LINES)]
    for name in ("lines.txt", "lines.jsonl"):
        found = answers(capsys, "predict", folder / "classifier", "--file", tmp_path / name)
        assert [item["label"] for item in found] == expected
        assert [item["text"] for item in found] == LINES
    assert [item["number"] for item in found] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "absent", "a"], "absent"),
        (["predict", "classifier"], "give either texts or --file"),
        (["predict", "classifier", "a", "--file", "b"], "give either texts or --file"),
        (["predict", "classifier", "--file", "missing.txt"], "missing.txt"),
        (["predict", "classifier", "a", "--top-k", "3"], "--top-k is no setting of a TextClass"),
        (["predict", "tagger", "a", "--pair", "b"], "EntityTagger takes no pairs of texts"),
        (["predict", "answerer", "a"], "lacks 'context'; --context gives one"),
        (["predict", "classifier", "the " * 60], "truncate=True cuts"),
        (["predict", "classifier", "a", "--task", "tagging"], "task must be one of text-class"),
        (["predict", "classifier", "a", "--max-length", "99"], "max_length must be from 3 to"),
        (["evaluate", "classifier", "missing.jsonl"], "missing.jsonl"),
        (["info", "absent"], "absent"),
    ],
)
def test_an_error_is_one_line_and_code_1(capsys, folders, monkeypatch, arguments, message):
    monkeypatch.chdir(folders[0])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "")
    assert err.startswith("keras-transformer: error: ") and message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [[], ["predict"], ["translate", "a"], ["info", "a", "b"]])
def test_no_command_line_is_code_2(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: keras-transformer" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["export", "--help"]])
def test_help_helps(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    assert "FOLDER" in capsys.readouterr().out


def test_info_describes_the_model(capsys, folders):
    folder, made = folders
    code, out, _ = run(capsys, "info", folder / "classifier")
    fields = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0
    assert fields["architecture"] == "SequenceClassifier (keras_transformer)"
    assert fields["task"] == "text-classification"
    assert fields["parameters"] == f"{made['classifier'].model.count_params():,}"
    assert fields["tokenizer"].startswith("WordPieceTokenizer(vocab_size=")


def test_evaluate_scores_the_answers(capsys, folders, tmp_path):
    folder, made = folders
    labels = [answer.label for answer in made["classifier"](LINES)]
    items = [{"text": t, "label": label} for t, label in zip(LINES, labels, strict=True)]
    (tmp_path / "dev.jsonl").write_text("\n".join(map(json.dumps, items)))
    found = answers(capsys, "evaluate", folder / "classifier", tmp_path / "dev.jsonl")
    assert found == [{"examples": 2, "accuracy": 1.0, "macro_f1": 1.0}]


@pytest.mark.slow
@pytest.mark.tensorflow
def test_export_writes_a_saved_model(capsys, folders, tmp_path):
    path = tmp_path / "saved_model"
    code, out, err = run(capsys, "export", folders[0] / "embedder", path, "--max-length", "16")
    assert (code, out) == (0, "") and "TextEmbedder" in err
    mark = json.loads((path / "assets.extra" / "keras_transformer.json").read_text())
    assert mark["task"] == "text-embedding" and mark["max_length"] == 16
