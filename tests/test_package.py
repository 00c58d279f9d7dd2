"""The package as a whole: what importing it costs, what it needs, and which names it shows."""

import ast
import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys

import pytest

import keras_transformer

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = sorted(p for d in ("keras_transformer", "recipes") for p in (ROOT / d).rglob("*.py"))
PARTS = [name for name in keras_transformer.__all__ if name != "__version__"]
SNAPSHOT = pathlib.Path(__file__).parent / "public_names.txt"

WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = sys.modules["tensorflow_text"] = None  # importing them now fails
"""


def run_python(code, **environment):
    """What `code` prints in a fresh process, started in the root of the project."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys; before = set(sys.modules); import keras_transformer;"
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    assert set(run_python(code).split()) <= {"keras_transformer", *sys.stdlib_module_names}


def test_importing_the_package_takes_no_time():
    code = (
        "import time; start = time.perf_counter(); import keras_transformer;"
        "print(time.perf_counter() - start)"
    )
    assert min(float(run_python(code)) for _ in range(3)) < 0.1


def test_every_part_imports_on_jax_without_tensorflow():
    code = WITHOUT_TENSORFLOW + (
        "import keras_transformer as kt\n"
        f"print(*[getattr(kt, name).__name__ for name in {PARTS}])"
    )
    names = run_python(code, KERAS_BACKEND="jax").split()
    assert names == [f"keras_transformer.{name}" for name in PARTS]


@pytest.mark.slow
def test_a_model_trains_and_generates_on_jax_without_tensorflow():
    code = WITHOUT_TENSORFLOW + """
import keras, numpy as np
from keras_transformer import models, training
keras.utils.set_random_seed(0)
model = models.Seq2SeqLM.from_preset(
    "transformer_tiny", vocab_size=11, hidden_dim=8, ffn_dim=16, num_heads=2,
    num_encoder_layers=1, num_decoder_layers=1, max_length=16)
model.compile(optimizer=keras.optimizers.Adam(training.InverseSquareRoot(1e-2, warmup_steps=2)),
              loss=training.TokenCrossEntropy(label_smoothing=0.1))
ids = np.random.default_rng(0).integers(4, 11, (6, 5)).astype("int32")
shifted = np.concatenate([np.full((6, 1), model.config.bos_id, "int32"), ids[:, :-1]], axis=1)
x = {"encoder_token_ids": ids, "decoder_token_ids": shifted}
losses = model.fit(x, ids, epochs=8, verbose=0).history["loss"]
assert losses[-1] < losses[0], losses
out = model.generate({"encoder_token_ids": ids}, max_new_tokens=3)
print(np.asarray(out.sequences).shape[:2])
"""
    assert run_python(code, KERAS_BACKEND="jax").splitlines()[-1] == "(6, 1)"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'transformers'"):
        keras_transformer.transformers  # noqa: B018


def test_the_submodules_are_listed_and_importable():
    assert set(keras_transformer.__all__) <= set(dir(keras_transformer))
    for name in keras_transformer.__all__:
        assert getattr(keras_transformer, name)


def public_names():
    """What `__all__` names in the package and its parts, as `layers.attend`."""
    names = list(keras_transformer.__all__)
    for part in PARTS:
        names += [f"{part}.{name}" for name in getattr(keras_transformer, part).__all__]
    return sorted(names)


def test_the_public_names_change_only_on_purpose():
    now = "".join(f"{name}\n" for name in public_names())
    if os.environ.get("UPDATE_PUBLIC_NAMES"):
        SNAPSHOT.write_text(now, encoding="utf-8")
    assert now == SNAPSHOT.read_text(encoding="utf-8"), (
        "the public names changed; if on purpose, run the test with UPDATE_PUBLIC_NAMES=1 "
        "and mention them in CHANGELOG.md"
    )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_can_be_read_in_one_sitting(path):
    num_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert num_lines < 400


def third_party_imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        else:
            continue
        for name in names:
            top = name.split(".")[0]
            if top not in sys.stdlib_module_names and top not in ("keras_transformer", "recipes"):
                yield top


def test_every_import_is_a_declared_dependency():
    declared = {
        re.match(r"[A-Za-z0-9._-]+", line).group().lower().replace("_", "-")
        for line in importlib.metadata.requires("keras-transformer-zoo")
    }
    providers = importlib.metadata.packages_distributions()
    for path in FILES:
        for name in set(third_party_imports(path)):
            if name == "torch":  # the user's choice of backend; no extra installs it
                continue
            found = {d.lower().replace("_", "-") for d in providers.get(name, [])}
            assert found & declared, f"{path.relative_to(ROOT)} imports {name}: not in setup.py"
