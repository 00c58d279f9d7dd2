"""The facts of the environment: true, and nothing that names the machine."""

import doctest
import getpass
import os
import pathlib
import platform
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_transformer.explain import environment, machine


def test_docstrings():
    assert doctest.testmod(machine).failed == 0


def test_facts_are_text_and_true():
    facts = environment()
    assert all(isinstance(value, str) and value for value in facts.values())
    assert facts["python"] == platform.python_version()
    assert facts["keras"] == keras.__version__
    assert facts["numpy"] == np.__version__
    assert facts["backend"] == keras.backend.backend()
    assert facts["dtype policy"] == "float32"


def test_only_the_backend_in_use_is_listed():
    facts = environment()
    assert {"tensorflow", "jax", "torch"} & set(facts) == {keras.backend.backend()}


def test_nothing_names_machine_user_or_folder():
    text = " ".join(f" {value} " for value in environment().values())
    for secret in (platform.node(), os.getcwd(), os.path.expanduser("~")):
        assert secret not in text
    assert f" {getpass.getuser()} " not in text


@pytest.mark.slow
def test_peak_memory_is_in_bytes_and_stays_when_memory_is_freed():
    program = (
        "from keras_transformer.explain import peak_memory\n"
        "before = peak_memory()\n"
        "block = b'x' * 200_000_000\n"
        "del block\n"
        "print(peak_memory() - before)"
    )
    root = pathlib.Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert 180_000_000 < int(done.stdout) < 220_000_000
