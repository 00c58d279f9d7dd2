"""The classification recipe, on runs of seconds."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from keras_transformer import data, models, tasks
from recipes import classify, names

WORDS = {"fruit": ("apple", "pear", "plum", "fig"), "tool": ("saw", "axe", "file", "awl")}


def write(path, rows, header="text,label"):
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")


def rows_of(size, seed):
    rng = np.random.default_rng(seed)
    kinds = rng.choice(list(WORDS), size)
    return [f"a {rng.choice(WORDS[kind])} and a {rng.choice(WORDS[kind])},{kind}" for kind in kinds]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write(folder / "train.csv", rows_of(60, 0))
    write(folder / "val.csv", rows_of(20, 1))
    return folder


def tiny(corpus, run_dir, **changes):
    settings = dict(
        run_dir=run_dir,
        data_dir=corpus,
        vocab_size=50,
        num_layers=1,
        hidden_dim=16,
        num_heads=2,
        dropout=0.0,
        max_length=16,
        batch_size=16,
        num_shapes=1,
        epochs=2,
        learning_rate=1e-2,
        export=False,
    )
    files = classify.PRESETS["files"][1]
    return dataclasses.replace(files, **settings | changes)


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    settings = tiny(corpus, tmp_path_factory.mktemp("runs") / "whole", epochs=16, balance=True)
    classify.main(settings)
    return settings


def test_run_learns_and_its_folder_opens_as_classifier(run):
    names = {path.name for path in run.run_dir.iterdir()}
    assert {"config.json", "metrics.jsonl", "report.html", "scores.json"} <= names
    scores = json.loads((run.run_dir / "scores.json").read_text())
    assert scores["split"] == "validation" and scores["records"] == 20
    assert scores["accuracy"] >= 0.9
    records = [json.loads(x) for x in (run.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "val_loss", "val_accuracy", "target_tokens_per_s"} <= set(records[-1])
    classifier = tasks.TextClassifier.from_pretrained(run.run_dir)
    assert classifier("a plum and a fig").label == "fruit"
    report = (run.run_dir / "report.html").read_text("utf-8")
    for heading in ("Confusion matrix", "Worst errors", "Self-attention"):
        assert heading in report


def test_finished_run_is_not_trained_again(run, capsys):
    before = (run.run_dir / "metrics.jsonl").read_bytes()
    scores = json.loads((run.run_dir / "scores.json").read_text())
    classify.main(run)
    assert "holds the finished run: nothing is left to train" in capsys.readouterr().out
    assert (run.run_dir / "metrics.jsonl").read_bytes() == before
    assert json.loads((run.run_dir / "scores.json").read_text())["accuracy"] == scores["accuracy"]


def test_run_of_other_labels_is_not_taken_for_this_one(run, corpus, tmp_path):
    """Of the same ids in the same order, so that nothing but the names tells them apart."""
    for path in corpus.iterdir():
        corrected = path.read_text("utf-8").replace(",tool", ",utensil")
        (tmp_path / path.name).write_text(corrected, "utf-8")
    before = (run.run_dir / "config.json").read_bytes()
    with pytest.raises(
        ValueError, match=r"another configuration(.|\n)*  data: '[0-9a-f]{64}' there"
    ):
        classify.main(dataclasses.replace(run, data_dir=tmp_path))
    assert (run.run_dir / "config.json").read_bytes() == before


@pytest.mark.slow
def test_checkpoint_is_fine_tuned_with_all_options(run, corpus, tmp_path):
    settings = tiny(
        corpus,
        tmp_path / "run",
        from_checkpoint=str(run.run_dir),
        epochs=1,
        schedule="cosine",
        layer_decay=0.8,
        freeze_blocks=1,
        ema=0.5,
        gradient_accumulation_steps=2,
        patience=1,
    )
    classify.main(settings)
    assert json.loads((settings.run_dir / "scores.json").read_text())["accuracy"] >= 0.9


@pytest.mark.slow
def test_pairs_and_numbers_are_learned_from_jsonl(tmp_path):
    records = [{"a": w, "b": w * (i % 2) or "x", "s": i % 2} for i in range(20) for w in "pqr"]
    lines = "\n".join(map(json.dumps, records))
    (tmp_path / "train.jsonl").write_text(lines, "utf-8")
    settings = tiny(
        tmp_path,
        tmp_path / "run",
        problem="regression",
        text_column="a",
        pair_column="b",
        label_column="s",
        epochs=1,
        vocab_size=9,
    )
    classify.main(settings)
    scores = json.loads((settings.run_dir / "scores.json").read_text())
    assert scores["records"] == 6 and {"pearson", "spearman", "rmse"} <= set(scores)


@pytest.mark.parametrize(
    "name, rows, message",
    [
        ("val.csv", ["a plum,weapon"], r"val\.csv:2: unknown label 'weapon'; expected one of"),
        ("val.csv", ["a,plum,fruit"], r"val\.csv:2: 3 columns, expected 2"),
        ("val.csv", [], r"val\.csv: no records"),
        ("val.csv", ["axe,tool", f"{'plum ' * 30},fruit"], r"val\.csv:3: 62 tokens, max_length"),
        ("train.csv", ["plum,fruit", "fig,fruit"], "one label alone, 'fruit'"),
        ("test.csv", ["axe,gun"], r"test\.csv:2: unknown label 'gun'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_before_training(corpus, tmp_path, name, rows, message):
    for path in corpus.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write(tmp_path / name, rows)
    settings = tiny(tmp_path, tmp_path / "run")
    with pytest.raises(ValueError, match=message):
        classify.main(settings)
    assert not settings.run_dir.exists()


def test_lists_of_labels_that_are_all_empty_are_refused(tmp_path):
    write(tmp_path / "train.csv", ["a saw,", "an axe,"] * 10)
    settings = tiny(tmp_path, tmp_path / "run", problem="multi_label")
    with pytest.raises(ValueError, match=r"train\.csv:\d+: column 'label' has no label"):
        classify.main(settings)


@pytest.mark.filterwarnings("ignore")  # of a correlation that is not defined
def test_a_score_that_is_never_a_number_leaves_the_last_weights(tmp_path, capsys):
    write(tmp_path / "train.csv", [f"a saw,{n % 3}" for n in range(12)])
    write(tmp_path / "val.csv", ["a saw,1", "an axe,1"])
    settings = tiny(tmp_path, tmp_path / "run", problem="regression", patience=2, epochs=3)
    classify.main(settings)
    assert "val_spearman was never a number: the last weights" in capsys.readouterr().out
    scores = json.loads((settings.run_dir / "scores.json").read_text(), parse_constant=pytest.fail)
    assert scores["spearman"] is None and scores["rmse"] >= 0


def test_a_run_is_not_gone_on_with_on_other_validation_data(run, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(run.data_dir, folder)
    write(folder / "val.csv", rows_of(20, 7))
    with pytest.raises(ValueError, match="another configuration.*\n?.*validation"):
        classify.main(dataclasses.replace(run, data_dir=folder))


@pytest.mark.parametrize("row", [1, "ab", ["t", 5], ["t"], None, {"t": 1, "u": 2}])
def test_clinc_rows_that_are_no_texts_with_intent_are_named(tmp_path, row):
    rows = [["hello", "greeting"], row]
    (tmp_path / "train_val.json").write_text(json.dumps({"train": rows[:1], "val": rows}), "utf-8")
    message = r"train_val\.json: val\[1\]: expected \[text, intent\], both texts; got"
    with pytest.raises(ValueError, match=message):
        classify.read_clinc150(tmp_path)


@pytest.mark.parametrize("problem", ["single_label", "multi_label"])
def test_every_label_stays_in_the_training_part(tmp_path, problem):
    """Also where two records share a rare label: one of them may go."""
    rows = [*rows_of(60, 0), *(f"a thing,rare{n // 2}" for n in range(40))]
    if problem == "multi_label":
        rows = [*(row.replace(",", ',"common,') + '"' for row in rows), "a saw,"]
    write(tmp_path / "train.csv", rows)
    settings = tiny(tmp_path, tmp_path / "run", problem=problem)
    train, valid, _ = classify.read_corpus(settings)
    labels = classify.learn_labels(settings, train)
    assert len(valid) == 10 and len(labels) == 22 + (problem == "multi_label")
    known = set(labels.names)
    assert all(set(own) <= known for own in classify.labels_of(settings, valid))


def test_records_of_labels_of_their_own_are_not_held_out(tmp_path):
    write(tmp_path / "train.csv", [f"a thing,label{n}" for n in range(20)])
    with pytest.raises(ValueError, match="none of 20 records can be kept .* add a val file"):
        classify.read_corpus(tiny(tmp_path, tmp_path / "run"))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"data_dir": None}, "--data-dir is missing"),
        ({"text_column": "sentence"}, r"train\.csv:1: no column 'sentence'"),
        ({"text_column": "sentence"}, "pass --no-header and columns by number"),
        ({"header": False}, "columns must be numbers from 0 with --no-header; got 'text'"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"ema": 0.9, "average": 2}, "choose one"),
        ({"patience": 0}, "patience must be at least 1, or None for no early stop; got 0"),
        ({"balance": True, "problem": "regression"}, "balance is for problem 'single_label' alone"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps must be at least 1"),
        ({"gradient_accumulation_steps": 9}, "steps must be at most 8, the batches of all epochs"),
    ],
)
def test_wrong_settings_are_refused(corpus, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        classify.main(tiny(corpus, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "preset, changes", [("sst2", {"problem": "regression"}), ("quickstart", {"header": False})]
)
def test_how_own_files_are_read_is_for_own_files(tmp_path, preset, changes):
    settings = dataclasses.replace(
        classify.PRESETS[preset][1], run_dir=tmp_path / "run", **changes
    )
    with pytest.raises(ValueError, match=f"{[*changes][0]} is for your own files"):
        classify.main(settings)


def test_no_part_of_the_names_has_what_another_has():
    parts = names.corpus(languages=("de", "fr", "ja"))
    things = [{(name.kind, name.code) for name in part} for part in parts]
    assert not things[0] & things[1] and not things[0] & things[2] and not things[1] & things[2]
    texts = [name.text for part in parts for name in part]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("preset", ["sst2", "banking77", "clinc150"])
def test_presets_read_their_data(preset, data_dir):
    settings = dataclasses.replace(classify.PRESETS[preset][1], data_dir=data_dir / preset)
    train, valid, test = classify.read_corpus(settings)
    classes = {"sst2": 2, "banking77": 77, "clinc150": 150}[preset]
    assert len(classify.learn_labels(settings, train)) == classes
    assert set(valid.targets) <= set(train.targets) and test is None


@pytest.mark.exhaustive
def test_quickstart_tells_languages(tmp_path):
    settings = classify.PRESETS["quickstart"][1]
    classify.main(dataclasses.replace(settings, run_dir=tmp_path / "run", epochs=1, export=False))
    assert json.loads((tmp_path / "run" / "scores.json").read_text())["accuracy"] > 0.8


def test_pooling_is_heard_with_a_checkpoint(corpus, tmp_path):
    config = models.EncoderConfig(
        vocab_size=30, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16, max_length=16
    )
    models.MaskedLM(config).save_pretrained(tmp_path)
    settings = tiny(corpus, tmp_path / "run", from_checkpoint=str(tmp_path), pooling="mean")
    assert classify.make_model(settings, None, data.Labels(("a", "b"))).pooling == "mean"


def test_worst_errors_are_those_it_was_surest_of():
    examples = classify.Examples(["a", "b", "c"], None, ["x", "x", "y"], str)
    answers = [
        tasks.Classification("y", 0.6, {"x": 0.4, "y": 0.6}),
        tasks.Classification("y", 0.9, {"x": 0.1, "y": 0.9}),
        tasks.Classification("y", 0.9, {"x": 0.1, "y": 0.9}),
    ]
    columns, rows = classify.worst_errors("single_label", examples, answers)
    assert columns == ["Text", "Is", "Said", "Error"]
    assert [row[0] for row in rows] == ["b", "a"] and rows[0][3] == "0.800"
