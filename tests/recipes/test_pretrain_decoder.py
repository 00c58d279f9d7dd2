"""The recipe for language models, on runs of seconds."""

import dataclasses
import json
import math
import re

import keras
import numpy as np
import pytest

from keras_transformer import models, tasks, text, training
from keras_transformer.checkpoints import load_weights, model_weights
from recipes import pretrain_decoder, runs

WORDS = "one two three four five six seven eight nine ten eleven twelve".split()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text(" ".join(WORDS * 60) + "\n", "utf-8")
    return path


def tiny(corpus, run_dir, **changes):
    settings = dict(
        run_dir=run_dir,
        data_dir=corpus,
        tokens="characters",
        num_layers=1,
        num_heads=2,
        hidden_dim=32,
        block_length=24,
        batch_size=16,
        steps=200,
        steps_per_epoch=100,
        learning_rate=1e-2,
        warmup_steps=20,
        export=False,
    )
    return dataclasses.replace(pretrain_decoder.PRESETS["files"][1], **settings | changes)


def samples_in(report):
    """{step: text} of a report's table."""
    row = r'<th scope="row"[^>]*>step ([\d,]+)</th><td[^>]*>(.*?)</td>'
    return dict(re.findall(row, report, re.S))


def scores_of(settings):
    return json.loads((settings.run_dir / "scores.json").read_text())


@pytest.mark.slow
def test_run_learns_and_its_folder_opens_as_generator(corpus, tmp_path):
    settings = tiny(corpus, tmp_path / "run", export=True)
    pretrain_decoder.main(settings)
    scores = scores_of(settings)
    assert scores["loss"] < 1.0 < math.log(scores["vocab_size"])  # that of a guess
    assert scores["perplexity"] == pytest.approx(math.exp(scores["loss"]), rel=1e-3)
    generator = tasks.TextGenerator.from_pretrained(settings.run_dir)
    assert generator("one two thr", max_new_tokens=2).text.endswith("ee")
    report = (settings.run_dir / "report.html").read_text("utf-8")
    assert set(samples_in(report)) == {"100", "200"}
    log = [json.loads(line) for line in (settings.run_dir / "metrics.jsonl").open()]
    assert log[-1]["val_loss"] < log[0]["val_loss"] and log[-1]["target_tokens_per_s"] > 0
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf
        import tensorflow_text  # noqa: F401

        serve = tf.saved_model.load(str(settings.run_dir / "saved_model"))
        said = serve.signatures["serving_default"](texts=tf.constant(["one two thr"]))
        assert said["generated"].numpy().ravel()[0].startswith(b"ee")


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped(corpus, tmp_path):
    both = whole, parts = [tiny(corpus, tmp_path / name) for name in ("whole", "parts")]
    pretrain_decoder.main(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain_decoder.Samples, "on_epoch_begin", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            pretrain_decoder.main(parts)
    pretrain_decoder.main(parts)
    assert scores_of(parts)["loss"] == scores_of(whole)["loss"]
    samples = [samples_in((each.run_dir / "report.html").read_text("utf-8")) for each in both]
    assert samples[0] == samples[1] and set(samples[0]) == {"100", "200"}


def stop_at_the_second(self, epoch, logs=None):
    if epoch == 1:
        raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("tokens, kind", [("bytes", "Byte"), ("subwords", "BytePair")])
def test_bytes_and_subwords(corpus, tmp_path, tokens, kind):
    changes = dict(tokens=tokens, vocab_size=300, steps=20, steps_per_epoch=20, warmup_steps=5)
    settings = tiny(corpus, tmp_path / "run", **changes)
    pretrain_decoder.main(settings)
    assert type(text.Tokenizer.load(settings.run_dir)).__name__ == f"{kind}Tokenizer"
    model = models.CausalLM.from_pretrained(settings.run_dir)
    assert model.config.vocab_size == scores_of(settings)["vocab_size"]


@pytest.mark.slow
def test_going_on_from_a_checkpoint_with_averages_and_early_stopping(corpus, tmp_path, monkeypatch):
    short = dict(steps=30, steps_per_epoch=10, warmup_steps=2, gradient_accumulation_steps=2)
    first = tiny(corpus, tmp_path / "first", tokens="bytes", **short, average=2)
    pretrain_decoder.main(first)
    log = [json.loads(line) for line in (first.run_dir / "metrics.jsonl").open()]
    assert [each["step"] for each in log] == [20, 40, 60]  # batches
    assert scores_of(first)["loss"] == pytest.approx(log[-1]["val_loss"], abs=1e-4)
    start = model_weights(models.CausalLM.from_pretrained(first.run_dir))

    later = tiny(
        corpus, tmp_path / "later", from_checkpoint=str(first.run_dir), **short, num_layers=5,
        schedule="constant", patience=1,
    )  # fmt: skip
    losses = iter([2.0, 3.0, 2.0])  # of the first validations, and of the weights that are left
    monkeypatch.setattr(pretrain_decoder, "loss_of", lambda model, batches: next(losses))
    pretrain_decoder.main(later)
    assert type(text.Tokenizer.load(later.run_dir)) is text.ByteTokenizer
    log = [json.loads(line) for line in (later.run_dir / "metrics.jsonl").open()]
    assert len(log) == 2  # it became worse, and stopped
    best = load_weights(later.run_dir / "best.safetensors")
    saved = model_weights(models.CausalLM.from_pretrained(later.run_dir))
    for name in start:
        np.testing.assert_array_equal(saved[name], best[name])
    assert any(not np.array_equal(saved[name], start[name]) for name in start)


@pytest.mark.slow
def test_a_moving_average_is_saved(corpus, tmp_path):
    short = dict(steps=20, steps_per_epoch=10, validate_every=2, warmup_steps=2)
    settings = tiny(corpus, tmp_path / "run", **short, ema=0.9, schedule="linear")
    pretrain_decoder.main(settings)
    log = [json.loads(line) for line in (settings.run_dir / "metrics.jsonl").open()]
    assert "val_loss" not in log[0]  # validated with every second checkpoint
    assert scores_of(settings)["loss"] == pytest.approx(log[1]["val_loss"], abs=1e-4)


def test_schedules_rise_to_the_peak_and_go_their_ways(tmp_path):
    ends = {}
    for kind in ("cosine", "linear", "inverse_sqrt", "constant"):
        settings = tiny(None, tmp_path, schedule=kind, gradient_accumulation_steps=3)
        rate = pretrain_decoder.make_schedule(settings)
        assert float(rate(3 * 20)) == pytest.approx(1e-2, rel=0.03)
        ends[kind] = float(rate(3 * 200))
    assert ends["cosine"] == pytest.approx(1e-3) and ends["linear"] == pytest.approx(0)
    assert ends["constant"] == pytest.approx(1e-2)
    assert ends["inverse_sqrt"] == pytest.approx(1e-2 * (20 / 201) ** 0.5)


def test_nanogpts_settings_are_as_they_were(tmp_path):
    settings = tiny(None, tmp_path, learning_rate=2e-3)
    model = pretrain_decoder.build_model(settings, text.CharacterTokenizer("abc"))
    optimizer = model.optimizer
    assert type(optimizer) is training.LayerwiseAdamW and not optimizer.multipliers
    values = optimizer.beta_1, optimizer.beta_2, optimizer.decay, optimizer.global_clipnorm
    assert values == (0.9, 0.99, 0.1, 1.0) and not optimizer.gradient_accumulation_steps
    reference = keras.optimizers.schedules.CosineDecay(
        0.0, 180, alpha=0.1, warmup_target=2e-3, warmup_steps=20
    )
    rate = pretrain_decoder.make_schedule(settings)
    for step in (0, 7, 20, 101, 199):
        assert float(rate(step)) == float(reference(step))


def test_samples_are_kept_from_run_to_run():
    first, second = (object.__new__(pretrain_decoder.Samples) for _ in range(2))
    first.texts = {1: "to be", 3: "or not"}
    second.set_state(json.loads(json.dumps(first.get_state())))
    assert second.texts == first.texts


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"steps": 250}, "steps must be a multiple of steps_per_epoch, 100; got 250"),
        ({"ema": 1.0}, "ema must be between 0 and 1; got 1.0"),
        ({"ema": 0.9, "average": 2}, "ema and average are two ways"),
        ({"patience": 0}, "patience must be at least 1; got 0"),
        ({"block_length": 1}, "block_length must be at least 2; got 1"),
        ({"block_length": 5000}, r"text\.txt: \d+ tokens to train on, at least 5001 are needed"),
        ({"from_checkpoint": "/no/where"}, "there is no folder /no/where"),
        ({"warmup_steps": 200}, "warmup_steps must be below steps, 200; got 200"),
        ({"validation": 0.0}, "validation must be between 0 and 1; got 0.0"),
        ({"data_dir": None}, "--data-dir is missing: the file or folder with your text"),
    ],
)
def test_wrong_settings_are_refused_before_training(corpus, tmp_path, changes, message):
    with pytest.raises((ValueError, OSError), match=message):
        pretrain_decoder.main(tiny(corpus, tmp_path / "run", **changes))


def test_a_run_inside_its_text_is_refused(tmp_path):
    (tmp_path / "text.txt").write_text("to be or not to be\n" * 99, "utf-8")
    with pytest.raises(ValueError, match="run_dir .* lies in data_dir"):
        pretrain_decoder.main(tiny(tmp_path, tmp_path / "runs" / "mine"))
    assert not (tmp_path / "runs").exists()


def test_a_place_of_the_savedmodel_that_is_taken_is_found_before_training(corpus, tmp_path):
    path = tmp_path / "run" / "saved_model" / "mine.txt"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty and no earlier export"):
        pretrain_decoder.main(tiny(corpus, tmp_path / "run", export=True))
    assert [*(tmp_path / "run").iterdir()] == [path.parent]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder: .*nothing"):
        pretrain_decoder.main(tiny(tmp_path / "nothing", tmp_path / "run"))


def test_the_shakespeare_presets_keep_their_steps():
    settings = pretrain_decoder.PRESETS["shakespeare-minutes"][1]
    assert runs.whole_epochs(settings) == (12, 100) and settings.steps == 1200
