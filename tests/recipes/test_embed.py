"""The embedding recipe, on runs of seconds."""

import dataclasses
import json

import pytest

from keras_transformer import tasks
from recipes import embed

ANIMALS = {"Hund": "dog", "Katze": "cat", "Pferd": "horse", "Vogel": "bird"}
COLOURS = {"rot": "red", "blau": "blue", "grün": "green", "weiß": "white"}


def pairs():
    return [
        (f"{animal} {colour}", f"{english} {COLOURS[colour]}")
        for animal, english in ANIMALS.items()
        for colour in COLOURS
    ]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    rows = ["\t".join(pair) for pair in pairs() * 3]
    (folder / "train.tsv").write_text("\n".join(rows), "utf-8")
    (folder / "val.tsv").write_text("\n".join(rows[:16]), "utf-8")
    return folder


def tiny(corpus, run_dir, **changes):
    settings = dict(
        run_dir=run_dir,
        data_dir=corpus,
        columns=("0", "1"),
        header=False,
        vocab_size=70,
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
    files = embed.PRESETS["files"][1]
    return dataclasses.replace(files, **settings | changes)


@pytest.mark.slow
def test_run_learns_and_its_folder_opens_as_embedder(corpus, tmp_path):
    settings = tiny(corpus, tmp_path / "run")
    embed.main(settings)
    scores = json.loads((settings.run_dir / "scores.json").read_text())
    assert scores["pairs"] == 16 and scores["accuracy_at_1"] >= 80
    embedder = tasks.TextEmbedder.from_pretrained(settings.run_dir)
    own, right, wrong = embedder(["Hund rot", "dog red", "bird green"])
    assert own @ right > own @ wrong
    assert "Nearest neighbours" in (settings.run_dir / "report.html").read_text("utf-8")


@pytest.mark.slow
def test_hard_negatives_are_learned_from_jsonl(tmp_path):
    rows = pairs()
    records = [{"q": a, "p": b, "n": rows[(i + 1) % len(rows)][1]} for i, (a, b) in enumerate(rows)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, records)), "utf-8")
    settings = tiny(tmp_path, tmp_path / "run", columns=("q", "p", "n"), epochs=1)
    embed.main(settings)
    assert json.loads((settings.run_dir / "scores.json").read_text())["pairs"] == 1


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"data_dir": None}, "--data-dir is missing"),
        ({"columns": ("0",)}, "columns must be two or three"),
        ({"columns": ("a", "b")}, "columns must be numbers from 0 with --no-header; got 'a'"),
        ({"header": True, "columns": ("a", "b")}, r"train\.tsv:1: no column 'a'"),
        ({"max_length": 3}, r"train\.tsv:1: 5 tokens, max_length is 3"),
        ({"gradient_accumulation_steps": 2}, "raise batch_size"),
    ],
)
def test_wrong_settings_are_refused_before_training(corpus, tmp_path, changes, message):
    settings = tiny(corpus, tmp_path / "run", **changes)
    with pytest.raises(ValueError, match=message):
        embed.main(settings)
    assert not settings.run_dir.exists()


def test_overlong_test_text_is_refused_before_training(corpus, tmp_path, monkeypatch, capsys):
    for path in corpus.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "test.tsv").write_text(f"rot\tred\nrot\t \nblau\t{'blue ' * 30}", "utf-8")
    monkeypatch.setattr(embed.finetuning, "fit", None)
    with pytest.raises(ValueError, match=r"test\.tsv:3: \d+ tokens, max_length is 16; --truncate"):
        embed.main(tiny(tmp_path, tmp_path / "run"))
    assert "test.tsv: 1 records with a blank text were left out" in capsys.readouterr().out


def test_meanings_of_the_parts_differ():
    parts = embed.meanings(0, sizes=(400, 100, 100))
    pairs = [set(zip(*part.sides, strict=True)) for part in parts]
    assert not pairs[0] & pairs[1] and not pairs[0] & pairs[2] and not pairs[1] & pairs[2]
    for part in parts[1:]:
        assert len(set(part.sides[1])) == len(part)


@pytest.mark.exhaustive
def test_quickstart_finds_partners(tmp_path):
    settings = embed.PRESETS["quickstart"][1]
    embed.main(dataclasses.replace(settings, run_dir=tmp_path / "run", epochs=1, export=False))
    assert json.loads((tmp_path / "run" / "scores.json").read_text())["mrr"] > 10
