"""Runs that are killed by the operating system, and started again by the same command."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import keras
import pytest

SCRIPT = pathlib.Path(__file__).with_name("killable_run.py")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras's Dropout on torch has a state of its own"
)


def folders(folder):
    return sorted(path.name for path in (folder / "checkpoints").glob("*"))


def lines(folder):
    records = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in record.items() if k != "seconds"} for record in records]


def process(folder, *arguments):
    """A run in a process of its own, once it has come to its training."""
    command = [sys.executable, str(SCRIPT), str(folder), *map(str, arguments)]
    root = str(SCRIPT.parent.parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    child = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "started\n"
    return child


def killed(folder, operation=None, after=None):
    """Kills a run at its n-th file operation, or so and so many fit-epochs after its start.

    Returns the names of the folders that it left.
    """
    child = process(folder, *([] if operation is None else [operation]))
    if after is not None:
        log, epochs = folder / "metrics.jsonl", int(after)
        goal = epochs + (len(log.read_bytes().splitlines()) if log.exists() else 0)
        while epochs and (not log.exists() or len(log.read_bytes().splitlines()) < goal):
            assert child.poll() is None
            time.sleep(0.002)
        time.sleep(0.2 * (after - epochs))  # a fit-epoch takes about a tenth of a second
        child.kill()
    _, errors = child.communicate()
    assert child.returncode == -signal.SIGKILL, f"over before it was killed: {errors}"
    return folders(folder)


@pytest.fixture(scope="module")
def whole_process(tmp_path_factory):
    """A run that nothing interrupted: (folder, output)."""
    folder = tmp_path_factory.mktemp("process")
    output, errors = process(folder).communicate()
    assert output, errors
    return folder, output


@pytest.mark.slow
def test_ten_kills_at_random_moments_end_bit_equal(whole_process, tmp_path):
    folder, expected = whole_process
    rng = random.Random(3)
    for kill in range(10):
        if kill % 2:  # about 20 file operations are made in a fit-epoch
            killed(tmp_path, operation=rng.randrange(1, 60))
        else:
            killed(tmp_path, after=rng.uniform(0, 4))
    output, errors = process(tmp_path).communicate()
    assert output == expected, errors
    assert lines(tmp_path) == lines(folder)


@pytest.mark.slow
def test_kills_at_file_operations_end_bit_equal(whole_process, tmp_path):
    folder, expected = whole_process
    left = [killed(tmp_path, operation) for operation in range(1, 36, 6)]
    output, errors = process(tmp_path).communicate()
    assert output == expected, errors
    assert lines(tmp_path) == lines(folder)
    # Some of them came while a checkpoint was written.
    assert any(name.startswith(".tmp-step") for names in left for name in names)
