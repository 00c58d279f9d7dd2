"""The translation recipe, from the command line to the run folder."""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from keras_transformer import tasks
from keras_transformer.checkpoints import load_weights
from recipes import dates, translation

SPLITS = {"train": 300, "val": 20, "test": 20}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Own files, as a user would have them: train.de, train.en and so on."""
    folder = tmp_path_factory.mktemp("corpus")
    parts = dates.corpus(SPLITS["train"], SPLITS["val"], SPLITS["test"], languages=["de", "fr"])
    for split, part in zip(SPLITS, (parts.train, parts.validation, parts.test), strict=True):
        (folder / f"{split}.de").write_text("\n".join(part.source) + "\n", encoding="utf-8")
        (folder / f"{split}.en").write_text("\n".join(part.target) + "\n", encoding="utf-8")
    return folder


def tiny(corpus, run_dir, **changes):
    """Settings of a run of seconds."""
    settings = dict(
        vocab_size=120,
        max_length=64,
        tokens_per_batch=512,
        num_shapes=1,
        num_layers=1,
        steps=4,
        steps_per_epoch=2,
        validate_every=2,
        warmup_steps=2,
        average=2,
        beam_size=2,
        export=False,
    )
    files = translation.PRESETS["files"][1]
    return dataclasses.replace(files, run_dir=run_dir, data_dir=corpus, **{**settings, **changes})


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    """A finished run."""
    settings = tiny(corpus, tmp_path_factory.mktemp("runs") / "whole")
    translation.main(settings)
    return settings


def test_run_folder_is_complete(run):
    names = {path.name for path in run.run_dir.iterdir()}
    assert {
        "config.json",
        "metrics.jsonl",
        "model.safetensors",
        "report.html",
        "scores.json",
        "settings.json",
        "tokenizer.model",
    } <= names
    scores = json.loads((run.run_dir / "scores.json").read_text())
    assert scores["sentences"] == SPLITS["test"]
    assert scores["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")
    records = [json.loads(x) for x in (run.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [2, 4]
    assert {"loss", "val_loss", "val_bleu", "target_tokens_per_s"} <= set(records[-1])


def test_run_folder_opens_as_translator(run):
    translator = tasks.Translator.from_pretrained(run.run_dir)
    answer = translator("21. November 2026", beam_size=2)
    assert isinstance(answer.text, str) and np.isfinite(answer.score)


def test_finished_run_is_not_trained_again(run):
    before = (run.run_dir / "metrics.jsonl").read_bytes(), weights(run)
    translation.main(run)
    assert (run.run_dir / "metrics.jsonl").read_bytes() == before[0]
    assert_same(weights(run), before[1])


@pytest.mark.slow
def test_resumed_run_equals_an_uninterrupted_one(run, corpus, tmp_path):
    half = tiny(corpus, tmp_path / "half", steps=2)
    translation.main(half)
    translation.main(dataclasses.replace(half, steps=4))
    assert_same(weights(half), weights(run))


def test_a_run_that_has_gone_further_is_refused_and_stays(run):
    before = weights(run), (run.run_dir / "settings.json").read_bytes()
    with pytest.raises(ValueError, match="has trained 4 steps already"):
        translation.main(dataclasses.replace(run, steps=2))
    assert_same(weights(run), before[0])
    assert (run.run_dir / "settings.json").read_bytes() == before[1]


def test_run_of_another_configuration_is_refused_and_stays(run):
    before = weights(run)
    with pytest.raises(
        ValueError, match=r"another configuration[\s\S]*dropout: 0.3 there, 0.1 here"
    ):
        translation.main(dataclasses.replace(run, dropout=0.1))
    assert_same(weights(run), before)


def test_other_vocabulary_is_refused_and_the_tokenizer_stays(run):
    before = (run.run_dir / "tokenizer.model").read_bytes()
    with pytest.raises(ValueError, match="vocab_size: 120 there, 130 here"):
        translation.main(dataclasses.replace(run, vocab_size=130))
    assert (run.run_dir / "tokenizer.model").read_bytes() == before


def test_missing_file_is_named(corpus, tmp_path):
    settings = tiny(corpus, tmp_path / "run", source="nl")
    with pytest.raises(FileNotFoundError, match=r"train\.nl"):
        translation.main(settings)
    assert not settings.run_dir.exists()


def test_unequal_files_are_refused_with_both_counts(corpus, tmp_path):
    folder = tmp_path / "unequal"
    folder.mkdir()
    for path in corpus.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "train.en").write_text("one line\n")
    with pytest.raises(ValueError, match=r"300[\s\S]*\b1\b"):
        translation.main(tiny(folder, tmp_path / "run"))


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_long_sentence_to_translate_is_refused_before_training(corpus, tmp_path, split):
    folder = shutil.copytree(corpus, tmp_path / "corpus")
    with (folder / f"{split}.de").open("a") as source, (folder / f"{split}.en").open("a") as target:
        source.write("1 " * 90 + "\n")
        target.write("1\n")
    with pytest.raises(ValueError, match=rf"{split}\.de:21: \d+ tokens.*--max-length is 64"):
        translation.main(tiny(folder, tmp_path / "run"))
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.slow
def test_long_sentences_are_cut_in_all_parts_where_asked_for(corpus, tmp_path):
    folder = shutil.copytree(corpus, tmp_path / "corpus")
    for path in folder.iterdir():
        with path.open("a") as file:
            file.write("1 " * 90 + "\n")
    settings = tiny(folder, tmp_path / "run", truncate=True)
    with pytest.warns(UserWarning, match="were cut"):
        translation.main(settings)
    scores = json.loads((settings.run_dir / "scores.json").read_text())
    assert scores["sentences"] == SPLITS["test"] + 1


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_a_run_does_not_go_on_with_other_text(run, corpus, tmp_path, part):
    folder = shutil.copytree(corpus, tmp_path / "corpus")
    for path in folder.glob(f"{part}.*"):  # the same pairs in another order: the same vocabulary
        path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    with pytest.raises(ValueError, match=r"another configuration[\s\S]*corpus"):
        translation.main(dataclasses.replace(run, data_dir=folder))


@pytest.mark.parametrize(("setting", "value"), [("beam_size", 0), ("length_penalty", float("nan"))])
def test_a_wrong_search_is_refused_before_training(corpus, tmp_path, setting, value):
    with pytest.raises(ValueError, match=setting):
        translation.main(tiny(corpus, tmp_path / "run", **{setting: value}))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes", [{"data_dir": pathlib.Path("mine")}, {"source": "fr"}], ids=["data_dir", "source"]
)
def test_what_made_dates_would_pass_over_is_refused(tmp_path, changes):
    settings = dataclasses.replace(
        translation.PRESETS["quickstart"][1], run_dir=tmp_path / "run", **changes
    )
    with pytest.raises(ValueError, match=f"{[*changes][0]} must be left out, as corpus 'dates'"):
        translation.main(settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("preset", translation.PRESETS)
def test_presets_are_not_refused(preset, tmp_path):
    translation.check(dataclasses.replace(translation.PRESETS[preset][1], run_dir=tmp_path / "run"))


def test_the_run_folder_decodes_as_it_was_scored(run):
    translator = tasks.Translator.from_pretrained(run.run_dir)
    assert translator.decoding.beam_size == run.beam_size == 2


def test_long_sentence_is_refused_unless_cut(corpus, tmp_path):
    with pytest.raises(ValueError, match=r"train\.en:1: .*max_length is 5; .*truncate"):
        translation.main(tiny(corpus, tmp_path / "run", max_length=5))


def test_preset_and_settings_come_from_the_command_line(tmp_path):
    settings = translation.command_line(
        ["multi30k-tiny", "--run-dir", str(tmp_path), "--dropout", "0.2"]
    )
    assert (settings.dropout, settings.tokenized, settings.warmup_steps) == (0.2, True, 2000)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["multi40k"], "multi40k"),
        (["quickstart", "--dropuot", "0.1"], "dropuot"),
        (["quickstart", "--steps", "many"], "many"),
        ([], "multi30k-tiny"),
    ],
)
def test_wrong_command_line_is_answered_in_words(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        translation.command_line(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.tensorflow
def test_command_trains_exports_and_answers_without_keras(corpus, tmp_path):
    command = [sys.executable, "-m", "recipes.translation", "files"]
    settings = tiny(corpus, tmp_path / "run", export=True)
    for name, value in dataclasses.asdict(settings).items():
        if (
            name in ("data_dir", "run_dir")
            or isinstance(value, int)
            and not isinstance(value, bool)
        ):
            command += [f"--{name.replace('_', '-')}", str(value)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("  ->  ") == 5


@pytest.mark.slow
def test_errors_come_without_a_trace(tmp_path):
    command = [sys.executable, "-m", "recipes.translation", "files", "--run-dir", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 1
    assert "error: --data-dir is missing" in result.stderr
    assert "Traceback" not in result.stderr


def weights(settings):
    return load_weights(settings.run_dir / "model.safetensors")


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
