import errno
import json
import math
import os
import time

import keras
import numpy as np
import pytest
import sacrebleu

from keras_transformer.checkpoints import load_weights, model_weights, read_metadata
from keras_transformer.training import BestCheckpoint, Bleu, EarlyStopping, MetricsLog, Throughput

SOURCES = ["ein Hund läuft .", "zwei Katzen schlafen .", "ein Mann liest ein Buch ."]
TARGETS = ["A dog runs fast .", "Two cats are sleeping .", "A man is reading a book ."]
WORSE = ["a dog runs fast .", "two cats sleep now .", "a man is reading a paper ."]


def fit(*callbacks, epochs=1, steps=4, verbose=0, **settings):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="top")])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(2 * steps, 3))
    history = model.fit(
        x, x[:, :2], batch_size=2, epochs=epochs, verbose=verbose, callbacks=callbacks, **settings
    )
    return model, history.history


class Log(keras.callbacks.Callback):
    """Logs one value of a list after each fit-epoch."""

    def __init__(self, name, values):
        super().__init__()
        self.name, self.values = name, values

    def on_epoch_end(self, epoch, logs=None):
        if self.values[epoch] is not None:
            logs[self.name] = self.values[epoch]


@pytest.mark.parametrize("tokenize, lowercase", [("13a", False), ("none", True)])
def test_bleu_is_that_of_sacrebleu_and_its_signature_is_printed_once(capsys, tokenize, lowercase):
    bleu = Bleu(lambda lines: WORSE, SOURCES, TARGETS, tokenize=tokenize, lowercase=lowercase)
    _, history = fit(bleu, epochs=2, verbose=2)
    expected = sacrebleu.corpus_bleu(WORSE, [TARGETS], tokenize=tokenize, lowercase=lowercase)
    assert history["val_bleu"] == [expected.score] * 2 and 10 < expected.score < 90
    printed = capsys.readouterr().out
    assert printed.count(f"tok:{tokenize}") == 1
    assert printed.count(f"case:{'lc' if lowercase else 'mixed'}") == 1


def test_bleu_takes_several_references():
    bleu = Bleu(lambda lines: WORSE, SOURCES, [TARGETS, WORSE])
    assert bleu.score() == pytest.approx(100.0)


def test_bleu_comes_every_n_epochs_and_after_the_last():
    epochs = []

    class Seen(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if "val_bleu" in logs:
                epochs.append(epoch + 1)

    fit(Bleu(lambda lines: TARGETS, SOURCES, TARGETS, every=3), Seen(), epochs=8)
    assert epochs == [3, 6, 8]


def test_bleu_can_stop_the_run_and_choose_the_best(tmp_path):
    outputs = iter([WORSE, TARGETS, WORSE, WORSE, WORSE])
    best = BestCheckpoint(tmp_path / "best.safetensors")
    stopping = keras.callbacks.EarlyStopping("val_bleu", mode="max", patience=2)
    bleu = Bleu(lambda lines: next(outputs), SOURCES, TARGETS)
    _, history = fit(bleu, best, stopping, epochs=9)
    assert len(history["val_bleu"]) == 4 and best.epoch == 2


def test_a_score_that_is_no_number_is_neither_the_best_nor_a_validation(tmp_path):
    best = BestCheckpoint(tmp_path / "best.safetensors", "score")
    stopping = EarlyStopping("score", mode="max", patience=2)
    values = [math.nan, 1.0, 3.0, math.nan, 2.0, 2.0, 9.0]
    _, history = fit(Log("score", values), best, stopping, epochs=7)
    assert len(history["loss"]) == 6 and best.epoch == 3


def test_bleu_that_does_not_fit_its_references_is_refused():
    with pytest.raises(ValueError, match=r"3 sources do not go with \[2\] references"):
        Bleu(lambda lines: lines, SOURCES, TARGETS[:2])
    with pytest.raises(ValueError, match="0 sources"):
        Bleu(lambda lines: lines, [], [])
    with pytest.raises(ValueError, match="every"):
        Bleu(lambda lines: lines, SOURCES, TARGETS, every=0)
    with pytest.raises(ValueError, match="gave 2 translations of 3"):
        Bleu(lambda lines: lines[:2], SOURCES, TARGETS).score()


def test_throughput_counts_the_tokens_of_the_steps_that_were_made(capfd):
    asked = []

    def tokens_of(step):
        asked.append(step)
        return 100 * step, 1000 * step

    class Slow(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            time.sleep(0.05)

    _, history = fit(Slow(), Throughput(tokens_of), epochs=3, initial_epoch=1, verbose=1)
    assert asked == [4, 5, 6, 7, 8, 9, 10, 11]  # the global steps, also when resumed
    target, source = history["target_tokens_per_s"], history["source_tokens_per_s"]
    np.testing.assert_allclose(np.asarray(target) / source, 10, rtol=1e-3)
    assert target[1] <= 38_000 / 0.2
    assert "target_tokens_per_s: " in capfd.readouterr().out


def test_throughput_leaves_out_validation():
    class Validation(keras.callbacks.Callback):
        def on_test_end(self, logs=None):
            time.sleep(2.0)  # far more than training takes, also on a busy machine

    x = np.zeros((2, 3))
    _, history = fit(
        Throughput(lambda step: 1000), Validation(), epochs=2, validation_data=(x, x[:, :2])
    )
    assert history["target_tokens_per_s"][1] > 4000 / 2.0


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras refuses it on torch")
def test_throughput_counts_every_step_of_one_execution():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("adam", "mse", steps_per_execution=4)
    asked = []
    callback = Throughput(lambda step: asked.append(step) or 1)
    model.fit(np.zeros((14, 3)), np.zeros((14, 2)), batch_size=2, verbose=0, callbacks=[callback])
    assert asked == list(range(7))


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_metrics_are_one_json_object_a_fit_epoch(tmp_path):
    path = tmp_path / "new" / "metrics.jsonl"
    bad = Log("bad", [float("nan"), np.float32(0.5)])
    _, history = fit(bad, MetricsLog(path), epochs=2)
    rows = records(path)
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 4), (2, 8)]
    assert [row["loss"] for row in rows] == history["loss"]
    assert [row["bad"] for row in rows] == [None, 0.5]
    assert all(row["seconds"] > 0 for row in rows)


def test_a_resumed_run_has_every_fit_epoch_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    fit(MetricsLog(path), epochs=4)
    before = path.read_text().splitlines()
    with open(path, "a") as file:
        file.write('{"epoch": 5, "lo')  # cut off by a crash
    fit(MetricsLog(path), epochs=5, initial_epoch=3)
    assert [row["epoch"] for row in records(path)] == [1, 2, 3, 4, 5]
    assert path.read_text().splitlines()[:3] == before[:3]
    took = [row["seconds"] for row in records(path)]
    assert MetricsLog(path).seconds(3) == sum(took[:3]) < MetricsLog(path).seconds(5) == sum(took)


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    fit(log, epochs=2)
    before = path.read_text()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk is full"):
        fit(log, epochs=3, initial_epoch=2)
    assert path.read_text() == before


@pytest.mark.parametrize(
    "mode, values, best", [("max", [1, 3, 2, None, 3], 2), ("min", [5.0, float("nan"), 4, 4, 9], 3)]
)
def test_the_best_weights_are_those_of_the_best_value(tmp_path, mode, values, best):
    path = tmp_path / "best.safetensors"
    seen = []

    class Weights(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(model_weights(self.model))

    callback = BestCheckpoint(path, "score", mode)
    fit(Log("score", values), Weights(), callback, epochs=5)
    assert callback.epoch == best and callback.best == values[best - 1]
    assert read_metadata(path)["epoch"] == str(best)
    for name, array in load_weights(path).items():
        np.testing.assert_array_equal(array, seen[best - 1][name])


def test_other_weights_can_be_saved_as_the_best(tmp_path):
    path = tmp_path / "best.safetensors"
    mean = {"top/kernel": np.full((3, 2), 7.0, "float32")}
    fit(BestCheckpoint(path, "loss", "min", weights=lambda: mean))
    np.testing.assert_array_equal(load_weights(path)["top/kernel"], mean["top/kernel"])


def test_a_value_that_never_comes_is_told(tmp_path):
    with pytest.warns(UserWarning, match="'val_blue' was never logged"):
        fit(BestCheckpoint(tmp_path / "best.safetensors", "val_blue"))
    with pytest.raises(ValueError, match="mode"):
        BestCheckpoint(tmp_path / "best.safetensors", mode="maximum")


def test_a_monitored_value_that_is_never_logged_is_warned_of():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    stop = EarlyStopping("val_blue", mode="max", patience=1)
    with pytest.warns(UserWarning, match="'val_blue' was never logged.* Logged were loss"):
        model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0, callbacks=[stop])


@pytest.mark.parametrize("line", ['{"loss": 1}', "[]"])
def test_a_file_of_another_tool_is_not_cut(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text(line + "\n")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="metrics.jsonl is no log of fit-epochs"):
        model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0, callbacks=[MetricsLog(path)])
    assert path.read_text() == line + "\n"
