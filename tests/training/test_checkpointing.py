import errno
import json
import os
import pathlib
import runpy
import shutil
import subprocess

import keras
import numpy as np
import pytest

from keras_transformer import models
from keras_transformer.checkpoints import load_weights
from keras_transformer.training import (
    AverageCheckpoints,
    BestCheckpoint,
    InverseSquareRoot,
    Progress,
    RunCheckpoints,
    TokenCrossEntropy,
)

SCRIPT = pathlib.Path(__file__).with_name("killable_run.py")
SHORT = runpy.run_path(str(SCRIPT))
run, digest, STEPS = SHORT["run"], SHORT["digest"], SHORT["STEPS_PER_EPOCH"]

# Keras's Dropout draws from torch's own generator there, which is no variable of the model.
not_torch = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras's Dropout on torch has a state of its own"
)


class Crash(keras.callbacks.Callback):
    """Ends the process's run in the middle of a fit-epoch."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at = (epoch, batch)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


def crash(folder, epoch, batch=1, **settings):
    with pytest.raises(KeyboardInterrupt):
        run(folder, callbacks=[Crash(epoch, batch)], **settings)


def folders(folder):
    return sorted(path.name for path in (folder / "checkpoints").glob("*"))


def lines(folder):
    records = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in record.items() if k != "seconds"} for record in records]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupted: (folder, digest, states of its callbacks)."""
    keras.utils.set_random_seed(7)
    folder = tmp_path_factory.mktemp("whole")
    model, state, start = run(folder, epochs=6)
    assert start == (0, 0, False)
    return folder, digest(model, state[0]), state


@not_torch
def test_an_interrupted_run_ends_bit_equal(whole, tmp_path):
    crash(tmp_path, epoch=3)
    keras.utils.set_random_seed(1234)  # other initial weights and dropout, if they were not saved
    model, state, start = run(tmp_path, epochs=6)
    assert start == (3 * STEPS, 3, False)
    folder, expected, expected_state = whole
    assert digest(model, state[0]) == expected
    assert lines(tmp_path) == lines(folder)
    assert state[1].get_state() == expected_state[1].get_state()
    for name in ("best", "wait", "best_epoch"):
        assert getattr(state[2], name) == getattr(expected_state[2], name)
    best = load_weights(folder / "best.safetensors")
    for name, weights in load_weights(tmp_path / "best.safetensors").items():
        np.testing.assert_array_equal(weights, best[name])


@pytest.mark.slow
def test_a_translator_goes_on_as_if_never_left(tmp_path):
    sizes = {"num_encoder_layers": 1, "num_decoder_layers": 1, "hidden_dim": 6, "num_heads": 2}
    config = models.TransformerConfig(vocab_size=11, ffn_dim=7, dropout=0.3, **sizes)

    def translate(folder, epochs):
        model = models.Seq2SeqLM(config)
        model(_pair(0)[0])
        adam = keras.optimizers.Adam(InverseSquareRoot(1e-2, 3), global_clipnorm=1.0)
        model.compile(adam, TokenCrossEntropy(0.1), jit_compile=False)
        averages = AverageCheckpoints(folder / "averages", last=2)
        checkpoints = RunCheckpoints(folder / "checkpoints", callbacks=[averages])
        start = checkpoints.restore(model)
        model.fit(
            Pairs(start.step),
            steps_per_epoch=2,
            initial_epoch=start.epoch,
            epochs=epochs,
            shuffle=False,
            verbose=0,
            callbacks=[averages, checkpoints],
        )
        return digest(model, averages)

    keras.utils.set_random_seed(7)
    expected = translate(tmp_path / "whole", epochs=3)
    keras.utils.set_random_seed(7)
    translate(tmp_path / "run", epochs=1)
    keras.utils.set_random_seed(1234)
    assert translate(tmp_path / "run", epochs=2) != expected
    assert translate(tmp_path / "run", epochs=3) == expected


class Pairs(keras.utils.PyDataset):
    def __init__(self, start):
        super().__init__()
        self.start = start

    def __len__(self):
        return 6 - self.start

    def __getitem__(self, place):
        return _pair(self.start + place)


def _pair(step):
    """A batch of sentence pairs, padded."""
    rng = np.random.default_rng([5, step])
    source, target = (rng.integers(4, 11, (3, length)).astype("int32") for length in (5, 7))
    target[1, 4:] = 0
    inputs = {"encoder_token_ids": source, "decoder_token_ids": target}
    inputs |= {"encoder_padding_mask": source != 0, "decoder_padding_mask": target != 0}
    return inputs, np.where(target == 0, -100, target[:, ::-1]).astype("int32")


def test_the_last_two_stay_and_only_the_snapshots_they_name(whole):
    folder, _, _ = whole
    assert folders(folder) == [f"step-{step * STEPS:08d}" for step in (5, 6)]
    assert sorted(os.listdir(folder / "checkpoints" / "step-00000024")) == [
        "manifest.json",
        "state.safetensors",
    ]
    snapshots = sorted(os.listdir(folder / "averages"))
    assert snapshots == [f"epoch-{epoch:06d}.safetensors" for epoch in (3, 4, 5, 6)]


def test_a_finished_run_has_nothing_left_to_do(whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "run")
    before = digest(*_restored(folder))
    model, state, start = run(folder, epochs=6)
    assert start.epoch == 6 and digest(model, state[0]) == before == whole[1]


def _restored(folder):
    model, state, _ = run(folder, epochs=6)
    return model, state[0]


@not_torch
@pytest.mark.parametrize("damage", ["flip", "cut", "manifest", "missing", "snapshot"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(whole, tmp_path, damage):
    folder = shutil.copytree(whole[0], tmp_path / "run")
    last = folder / "checkpoints" / "step-00000024"
    state, manifest = last / "state.safetensors", last / "manifest.json"
    if damage == "flip":
        data = bytearray(state.read_bytes())
        data[len(data) // 2] ^= 1
        state.write_bytes(data)
    elif damage == "cut":
        os.truncate(state, 1000)
    elif damage == "manifest":
        manifest.write_text(manifest.read_text().replace('"epoch": 6', '"epoch": 5'))
    elif damage == "missing":
        state.unlink()
    else:
        os.truncate(folder / "averages" / "epoch-000006.safetensors", 100)
    with pytest.warns(UserWarning, match="damaged checkpoint.*step-00000024"):
        model, state, start = run(folder, epochs=6)
    assert start.epoch == 5
    assert digest(model, state[0]) == whole[1]
    assert folders(folder) == ["damaged-step-00000024", "step-00000020", "step-00000024"]


@not_torch
def test_a_damaged_snapshot_that_all_checkpoints_name_costs_the_snapshot_alone(whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "run")
    os.truncate(folder / "averages" / "epoch-000005.safetensors", 100)
    with pytest.warns(UserWarning, match="is used without the damaged files"):
        model, state, start = run(folder, epochs=6)
    assert start.epoch == 6
    assert "epoch-000005.safetensors" not in state[0].snapshots and state[0].snapshots
    assert "step-00000024" in folders(folder)


def test_when_all_are_damaged_the_run_does_not_start_anew(whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "run")
    for state in folder.glob("checkpoints/*/state.safetensors"):
        os.truncate(state, 10)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="all checkpoints are damaged"):
        run(folder, epochs=6)
    assert len(folders(folder)) == 2


def test_a_run_of_another_configuration_is_refused_by_its_settings(tmp_path):
    def restore(**settings):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile("sgd", "mse")
        checkpoints = RunCheckpoints(tmp_path, settings)
        checkpoints.set_model(model)
        checkpoints.set_params({"steps": 4})
        return checkpoints.restore(model), checkpoints

    first = {"dropout": 0.3, "model": {"layers": 4, "names": ("a", "b")}, "old": 1}
    restore(**first)[1].save(Progress(8, 2))
    with pytest.raises(ValueError) as error:
        restore(dropout=0.1, model={"layers": 4, "names": ("a", "c")}, new=2)
    message = str(error.value)
    assert "dropout: 0.3 there, 0.1 here" in message
    assert "model.names: ['a', 'b'] there, ['a', 'c'] here" in message
    assert "old: 1 there, '(not set)' here" in message
    assert "new: '(not set)' there, 2 here" in message
    assert "layers" not in message
    assert restore(**first)[0] == (8, 2, False)


def test_the_state_of_another_model_is_refused_and_changes_nothing(whole):
    other = SHORT["build"](width=8)
    before = other.get_weights()
    checkpoints = RunCheckpoints(whole[0] / "checkpoints", {"vocab_size": SHORT["V"]})
    with pytest.raises(ValueError, match="not the state of this model.*\n.*of another shape"):
        checkpoints.restore(other)
    for ours, theirs in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_leftovers_of_a_crash_are_removed_and_checkpoints_are_not_ignored(whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "run")
    leftover = folder / "checkpoints" / ".tmp-step-00000028"
    shutil.copytree(folder / "checkpoints" / "step-00000024", leftover)
    model = SHORT["build"]()
    checkpoints = RunCheckpoints(folder / "checkpoints", {"vocab_size": SHORT["V"]})
    with pytest.raises(ValueError, match="call restore"):
        model.fit(SHORT["Stream"](0), steps_per_epoch=4, verbose=0, callbacks=[checkpoints])
    checkpoints.restore(model)
    assert not leftover.exists()
    with pytest.raises(ValueError, match="initial_epoch=6.*got initial_epoch=0"):
        model.fit(SHORT["Stream"](0), steps_per_epoch=4, verbose=0, callbacks=[checkpoints])
    assert len(folders(folder)) == 2


def test_a_full_disk_leaves_the_checkpoints_that_were_there(whole, tmp_path, monkeypatch):
    folder = shutil.copytree(whole[0], tmp_path / "run")
    model = SHORT["build"]()
    checkpoints = RunCheckpoints(folder / "checkpoints", {"vocab_size": SHORT["V"]})
    checkpoints.restore(model)
    checkpoints.set_model(model)
    checkpoints.set_params({"steps": STEPS, "epochs": 7})
    before = contents(folder / "checkpoints")
    real = os.fsync
    for moment in range(4):  # state, its folder, manifest, its folder
        calls = iter(range(100))

        def full(descriptor, calls=calls, moment=moment):
            if next(calls) >= moment:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="disk is full.*untouched.*step-00000028") as error:
            checkpoints.save(Progress(7 * STEPS, 7))
        assert error.value.errno == errno.ENOSPC
        assert contents(folder / "checkpoints") == before and len(folders(folder)) == 2
    monkeypatch.undo()
    checkpoints.save(Progress(7 * STEPS, 7))
    assert folders(folder) == ["step-00000024", "step-00000028"]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_system_that_is_really_full(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(mount)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        with pytest.raises(OSError, match="disk is full"):
            run(mount, epochs=6)
        kept = folders(mount)
        assert kept and all(name.startswith("step-") for name in kept)
        shutil.rmtree(mount / "averages")  # the user makes room; without their state it goes on
        model = SHORT["build"]()
        checkpoints = RunCheckpoints(mount / "checkpoints", {"vocab_size": SHORT["V"]})
        assert checkpoints.restore(model).step == int(kept[-1].split("-")[1])
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_checkpoints_are_as_far_apart_as_asked_and_one_is_at_the_end(tmp_path):
    model, seen = SHORT["build"](), []
    checkpoints = RunCheckpoints(tmp_path, every_steps=2 * STEPS + 1, keep=9)
    checkpoints.restore(model)
    model.fit(
        SHORT["Stream"](0), steps_per_epoch=STEPS, epochs=7, verbose=0, callbacks=[checkpoints]
    )
    seen = [int(path.name.split("-")[1]) // STEPS for path in sorted(tmp_path.glob("step-*"))]
    assert seen == [3, 6, 7]


def test_a_run_that_stopped_early_stays_stopped(tmp_path):
    def start(epochs):
        model = SHORT["build"]()
        stopping = keras.callbacks.EarlyStopping("loss", patience=1, min_delta=100.0)
        checkpoints = RunCheckpoints(tmp_path, callbacks=[stopping])
        start = checkpoints.restore(model)
        if not start.stopped:
            model.fit(
                SHORT["Stream"](start.step),
                steps_per_epoch=STEPS,
                initial_epoch=start.epoch,
                epochs=epochs,
                verbose=0,
                callbacks=[stopping, checkpoints],
            )
        return start, stopping

    assert start(epochs=1)[0] == (0, 0, False)
    assert start(epochs=9)[1].stopped_epoch == 1  # patience counts on from the first fit-epoch
    again, stopping = start(epochs=9)
    assert again == (2 * STEPS, 2, True) and stopping.stopped_epoch == 1


def test_the_loss_scale_and_the_optimizers_averages_are_state(tmp_path):
    def start(steps):
        keras.utils.set_random_seed(steps)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        adam = keras.optimizers.Adam(1e-2, use_ema=True, ema_overwrite_frequency=None)
        model.compile(keras.optimizers.LossScaleOptimizer(adam, dynamic_growth_steps=3), "mse")
        checkpoints = RunCheckpoints(tmp_path)
        epoch = checkpoints.restore(model).epoch
        x = np.random.default_rng(0).normal(size=(4, 3))
        model.fit(
            x, x[:, :2], initial_epoch=epoch, epochs=steps, verbose=0, callbacks=[checkpoints]
        )
        return model.optimizer

    start(4)
    before = [np.asarray(v) for v in start(4).variables]
    assert float(start(4).dynamic_scale) == 2.0**16
    for ours, theirs in zip(before, start(4).variables, strict=True):
        np.testing.assert_array_equal(ours, np.asarray(theirs))
    assert float(start(6).dynamic_scale) == 2.0**17


def test_callbacks_whose_state_would_be_lost_are_refused(tmp_path):
    with pytest.raises(TypeError, match="TerminateOnNaN.*get_state"):
        RunCheckpoints(tmp_path, callbacks=[keras.callbacks.TerminateOnNaN()])
    stopping = keras.callbacks.EarlyStopping(restore_best_weights=True)
    with pytest.raises(ValueError, match="BestCheckpoint"):
        RunCheckpoints(tmp_path, callbacks=[stopping, BestCheckpoint(tmp_path / "best")])
    with pytest.raises(ValueError, match="keep"):
        RunCheckpoints(tmp_path, keep=0)
    with pytest.raises(ValueError, match="every_steps"):
        RunCheckpoints(tmp_path, every_steps=0)


def test_a_callback_that_comes_later_or_is_left_out_is_refused(tmp_path):
    for order in ([1], [1, 0]):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile("sgd", "mse")
        best = BestCheckpoint(tmp_path / "best", "loss", "min")
        callbacks = [best, RunCheckpoints(tmp_path, callbacks=[best])]
        x = np.zeros((4, 3))
        with pytest.raises(ValueError, match="BestCheckpoint must be .* before RunCheckpoints"):
            model.fit(x, x[:, :2], verbose=0, callbacks=[callbacks[place] for place in order])
