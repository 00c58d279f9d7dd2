"""The page on subclassing holds on every backend; elsewhere pages are run on TensorFlow alone."""

import pathlib
import re

import keras
import pytest

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "layers" / "subclass_a_block.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="run with the other pages")
def test_the_examples_hold_on_this_backend(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__page__"}
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert blocks
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)
