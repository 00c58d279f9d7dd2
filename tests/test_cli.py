"""The command line answers as the tasks do, and says in one line what is wrong."""

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

import pytest

from keras_transformer import generation, models, tasks, text
from keras_transformer.cli import EPILOG, main, make_parser, with_method
from keras_transformer.tasks.decoding_defaults import DecodingDefaults

LINES = ["the dog sat in rome .", "where is the cat ?"]
FILES = {
    "lines.txt": b"the dog\n",
    "bad.txt": b"the dog\na \xff dog\n",
    "bad.jsonl": b'{"text": "a"}\n{"text": \n',
    "number.jsonl": b'{"text": 3, "label": "good"}\n',
    "tags.jsonl": b'{"text": "a dog", "entities": [{"type": "LOC"}]}\n',
    "nothing.jsonl": b"",
    "gap.jsonl": b'\n\n{"text": "a"}\n\n{"nope": 1}\n',
    "damaged/config.json": b"{",
    "five/config.json": b'{"model_type": "bert", "architectures": 5}',
    "one/config.json": b'{"model_type": "bert", "architectures": "BertForMaskedLM"}',
    "kinds/config.json": b'{"model_type": ["bert"], "architectures": ["BertForMaskedLM"]}',
    "bare/notes.txt": b"",
}
CONFIG = dict(vocab_size=40, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16, max_length=48)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each task, by the name of its model."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = text.WordPieceTokenizer.train([LINES], vocab_size=40)
    config = models.EncoderConfig(**CONFIG, num_segments=2)
    decoder = models.DecoderConfig(**CONFIG)
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
        "generator": tasks.TextGenerator(models.CausalLM(decoder), tokenizer),
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
        ("generator", ["the", "--temperature", "0.7", "--seed", "1", "--max-new-tokens", "2"],
         {"text", "answer", "score"}),
        ("generator", ["the", "--beam-size", "3", "--n-best", "2", "--max-new-tokens", "2"],
         {"text", "answer", "score", "alternatives"}),
        ("classifier", ["the \udcff dog"], {"text", "label", "score", "scores"}),
    ],
)  # fmt: skip
def test_the_task_is_known_from_the_folder(capsys, folders, name, arguments, keys):
    [found] = answers(capsys, "predict", folders[0] / name, *arguments)
    assert set(found) == keys


DOCUMENTED = [
    line.strip()
    for page in (EPILOG, (pathlib.Path(__file__).parents[1] / "docs/tasks.md").read_text("utf-8"))
    for line in page.splitlines()
    if line.strip().startswith("keras-transformer ")
]


@pytest.mark.parametrize("line", sorted(set(DOCUMENTED)))
def test_the_lines_of_the_pages_are_command_lines(line):
    words = shlex.split(line.partition(" > ")[0])[1:]
    options = make_parser().parse_args(words)
    assert (options.command, options.folder) == tuple(words[:2])
    if "--context" in words:
        assert options.text == ["Where is Rome?"] and options.context == "Rome is in Italy."


@pytest.mark.parametrize(
    "line",
    [
        "predict --top-k 3 FOLDER a b",
        "predict FOLDER --top-k 3 a b",
        "predict FOLDER a --top-k 3 b",
        "predict FOLDER a b --top-k 3",
        "--debug predict FOLDER a --top-k=3 b",
    ],
)
def test_texts_may_stand_on_both_sides_of_an_option(line):
    options = make_parser().parse_args(line.split())
    assert (options.folder, options.text, options.top_k) == ("FOLDER", ["a", "b"], 3)


def test_behind_two_dashes_all_are_texts():
    options = make_parser().parse_args(["predict", "FOLDER", "--", "--a", "-b"])
    assert options.text == ["--a", "-b"]


@pytest.mark.parametrize("line", ["predict", "predict FOLDER a --nosuch", "nosuch", "info a b"])
def test_what_is_no_command_line_gives_2(capsys, line):
    with pytest.raises(SystemExit) as raised:
        main(line.split())
    assert raised.value.code == 2
    assert "usage: keras-transformer" in capsys.readouterr().err


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


def test_options_of_a_method_keep_the_folders_penalties(folders):
    generator = folders[1]["generator"]
    decoding = DecodingDefaults(beam_size=1, repetition_penalty=1.5)
    task = tasks.TextGenerator(generator.model, generator.tokenizer, decoding=decoding)
    penalty = (generation.RepetitionPenalty(1.5),)
    drawn = generation.Sampling(temperature=0.7, num_sequences=2, processors=penalty)
    rest = {"n_best": 2, "max_new_tokens": 3}
    assert with_method(task, {"temperature": 0.7, **rest}) == {"max_new_tokens": 3, "method": drawn}
    searched = generation.BeamSearch(4, n_best=2, processors=penalty)
    assert with_method(task, {"beam_size": 4, **rest})["method"] == searched
    assert with_method(task, {"max_new_tokens": 3}) == {"max_new_tokens": 3}
    decoding = DecodingDefaults(beam_size=8, length_penalty=2.0, early_stopping=False)
    task = tasks.TextGenerator(generator.model, generator.tokenizer, decoding=decoding)
    for given, size in (({"n_best": 3}, 8), ({"n_best": 3, "beam_size": 4}, 4)):
        expected = generation.BeamSearch(size, 2.0, 3, early_stopping=False)
        assert with_method(task, given)["method"] == expected


def test_what_a_file_says_is_kept_beside_the_answer(capsys, folders, tmp_path):
    path = tmp_path / "gold.jsonl"
    items = [{"text": "the dog", "label": "gold"}, {"text": "a"}, {"text": "a", "prediction": 3}]
    for number, key in ((2, "prediction"), (3, "prediction_")):
        path.write_text("\n".join(map(json.dumps, items[:number])), encoding="utf-8")
        found = answers(capsys, "predict", folders[0] / "classifier", "--file", path)
        assert [set(item[key]) for item in found] == [{"label", "score", "scores"}] * number
        assert [{k: x for k, x in item.items() if k != key} for item in found] == items[:number]
    path.write_text('{"text": "a", "entities": [1]}', encoding="utf-8")
    [found] = answers(capsys, "predict", folders[0] / "tagger", "--file", path)
    assert found["entities"] == [1] and set(found["prediction"]) == {"entities"}


def test_a_score_that_is_no_number_is_null(capsys, folders, tmp_path):
    path = tmp_path / "same.jsonl"
    item = {"text": "the dog", "pair": "a", "value": 1}
    path.write_text("\n".join([json.dumps(item)] * 2), encoding="utf-8")
    assert answers(capsys, "evaluate", folders[0] / "embedder", path) == [
        {"examples": 2, "spearman": None}
    ]


def test_a_limit_beyond_the_window_is_the_window(capsys, folders):
    arguments = ["predict", folders[0] / "answerer", "where", "--context", "the dog"]
    [found] = answers(capsys, *arguments, "--max-answer-length", 10**12)
    assert found == answers(capsys, *arguments)[0]


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
        (["info", "no/such/folder"], "there is no folder no/such/folder"),
        (["predict", "empty", "a"], "config.json is missing: empty holds no model"),
        (["predict", "lines.txt", "a"], "lines.txt is a file; the folder"),
        (["predict", "damaged", "a"], "config.json is not valid JSON"),
        (["predict", "five", "a"], "five/config.json: architectures must be a list of strings"),
        (["predict", "one", "a"], "one/config.json: architectures must be a list of strings"),
        (["predict", "kinds", "a"], "kinds/config.json: model_type must be a string; received ["),
        (["info", "kinds"], "kinds/config.json: model_type must be a string; received ["),
        (["predict", "bare", "a"], "tokenizer"),
        (["predict", "classifier", "a", "--task", "translation"], "class"),
        (
            ["predict", "filler", "a", "--task", "question-answering"],
            "filler holds a MaskedLM, not",
        ),
        (["predict", "classifier", "--file", "bad.txt"], "bad.txt:2 is no UTF-8"),
        (["predict", "classifier", "--file", "bad.jsonl"], "bad.jsonl:2 is no JSON"),
        (["predict", "classifier", "--file", "gap.jsonl"], "gap.jsonl:5 lacks 'text'"),
        (["predict", "classifier", "--file", "number.jsonl"], "texts[0] must be a string, got int"),
        (["predict", "classifier", "a", "--dtype", "float17"], "float17"),
        (["predict", "generator", "a", "--temperature", "2", "--beam-size", "2"], "give one of"),
        (["predict", "generator", "a", "--temperature", "0"], "temperature must be above 0"),
        (["evaluate", "classifier", "nothing.jsonl"], "examples must be at least one"),
        (["evaluate", "classifier", "number.jsonl"], "'text' must be a string; got 3"),
        (["evaluate", "tagger", "tags.jsonl"], "'entities' must be a list of objects with type"),
        (["evaluate", "generator", "number.jsonl"], "There is no score for TextGenerator"),
    ],
)
def test_an_error_is_one_line_and_code_1(capsys, folders, monkeypatch, arguments, message):
    monkeypatch.chdir(folders[0])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name, content in FILES.items():
        path = folders[0] / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    (folders[0] / "empty").mkdir(exist_ok=True)
    shutil.copy(folders[0] / "classifier" / "config.json", folders[0] / "bare")
    shutil.copy(folders[0] / "classifier" / "model.safetensors", folders[0] / "bare")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "")
    assert err.startswith("keras-transformer: error: ") and message in err
    assert err.count("\n") == 1 and err.endswith("\n")


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["embedder", "out", "--top-k", "3"], "--top-k is no setting of a TextEmbedder as savedm"),
        (["embedder", "out", "--length", "3"], "--length is no setting of a TextEmbedder as saved"),
        (["embedder", "a.onnx", "--format", "onnx", "--max-length", "3"], "--max-length is no set"),
        (["embedder", "a", "--format", "onnx"], "path must end in .onnx; got a"),
        (["embedder", "classifier"], "not empty and no earlier export"),
        (["embedder", "out", "--max-length", "99"], "max_length must be from 3 to"),
    ],
)
def test_an_export_that_cannot_be_is_one_line(capsys, folders, monkeypatch, arguments, message):
    test_an_error_is_one_line_and_code_1(
        capsys, folders, monkeypatch, ["export", *arguments], message
    )
    assert not (folders[0] / "out").exists()


def test_a_warning_is_one_line(capsys, folders):
    folder, _ = folders
    code, _, err = run(capsys, "predict", folder / "classifier", "the " * 60, "--truncate")
    assert code == 0
    assert err.startswith("keras-transformer: warning: 1 of 1 texts were cut to 48 tokens.\n")


def test_a_byte_order_mark_is_no_part_of_a_text(capsys, folders, tmp_path):
    (tmp_path / "lines.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "the dog"}\r\n')
    [found] = answers(
        capsys, "predict", folders[0] / "classifier", "--file", tmp_path / "lines.jsonl"
    )
    assert found["text"] == "the dog"


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


RUN = "import sys; from keras_transformer.cli import main; sys.exit(main(sys.argv[1:]))"


def in_a_process(folder, *arguments, **options):
    env = os.environ | {"PYTHONUNBUFFERED": ""}  # as it is where no one sets it
    command = [sys.executable, "-c", RUN, "predict", str(folder), *arguments]
    return subprocess.run(command, env=env, stderr=subprocess.PIPE, timeout=300, **options)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_what_cannot_be_written_is_said(folders):
    with open("/dev/full", "wb") as full:
        run = in_a_process(folders[0] / "classifier", "a dog", stdout=full)
    assert run.returncode == 1, run.stderr
    assert b"keras-transformer: error: [Errno 28]" in run.stderr
    assert b"Exception ignored" not in run.stderr


def test_numbers_that_json_has_not_are_null(capsys, folders, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a dog", "weight": NaN}\n')
    assert main(["predict", str(folders[0] / "classifier"), "--file", str(path)]) == 0
    line = capsys.readouterr().out
    assert "NaN" not in line and json.loads(line)["weight"] is None
