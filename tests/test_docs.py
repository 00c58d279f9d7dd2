"""What the documentation says is run: the examples of all docstrings and of all pages."""

import contextlib
import doctest
import importlib
import inspect
import io
import pathlib
import pkgutil
import re

import pytest

import keras_transformer

ROOT = pathlib.Path(__file__).resolve().parent.parent
CODE = ("keras_transformer", "recipes", "benchmarks")
PAGES = sorted(ROOT.glob("*.md")) + sorted(
    p for d in ("docs", *CODE) for p in (ROOT / d).rglob("*.md")
)
SOURCES = sorted(p for d in CODE for p in (ROOT / d).rglob("*.py"))
MODULES = ["keras_transformer"] + sorted(
    m.name for m in pkgutil.walk_packages(keras_transformer.__path__, "keras_transformer.")
)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL

# ```python, or ```python notest for what takes hours or a machine of its own
BLOCK = re.compile(r"^```python *(?P<note>\w*)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)

# A path or host of one machine means nothing to a reader.
PRIVATE = re.compile(r"(?<![\w.~:/])/(work|root|home|Users|mnt|opt|tmp)/|localhost|127\.0\.0\.1")

# The examples run on any backend; that TensorFlow is the reader's most likely one decides.
pytestmark = pytest.mark.tensorflow


def relative(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_the_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        runner.run(example, out=report.write)
    assert runner.summarize(verbose=False).failed == 0, report.getvalue()


SLOW_PAGES = ("README.md", "docs/generation.md", "docs/serving.md", "docs/tasks.md")


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[pytest.mark.slow] * (relative(p) in SLOW_PAGES)) for p in PAGES],
    ids=relative,
)
def test_the_examples_of_the_pages_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = path.read_text(encoding="utf-8")
    names = {"__name__": "__page__"}
    for block in BLOCK.finditer(text):
        if block["note"] == "notest":
            continue
        # so many empty lines first that a traceback shows the line of the page
        lines = text.count("\n", 0, block.start("code"))
        code = compile("\n" * lines + block["code"], relative(path), "exec")
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code, names)


def names_of(module):
    """Its `__all__`; where it has none, such as `layers.masks`, what it defines itself."""
    own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__]
    return getattr(module, "__all__", [name for name in own if not name.startswith("_")])


def public_objects():
    """Every public class and function of the package, with its dotted name."""
    found = {}

    def visit(module, prefix):
        for name in names_of(module):
            value = getattr(module, name)
            if inspect.ismodule(value):
                visit(value, f"{prefix}{name}.")
            elif inspect.isclass(value) or inspect.isfunction(value):
                found[prefix + name] = value

    visit(keras_transformer, "")
    return found


@pytest.mark.parametrize("name, value", public_objects().items())
def test_a_public_name_is_documented_with_an_example(name, value):
    text = inspect.getdoc(value) or ""
    assert text and value.__doc__, f"{name} has no docstring of its own"
    assert ">>> " in text, f"{name} has no example"


@pytest.mark.parametrize("name, value", public_objects().items())
def test_a_public_method_says_what_it_does(name, value):
    if not inspect.isclass(value):
        pytest.skip("a function")
    own = [c for c in value.__mro__ if c.__module__.startswith("keras_transformer")]
    keras_names = {n for c in value.__mro__ if c not in own for n in dir(c)}  # `call`, `get_config`
    for cls in own:
        for method, body in vars(cls).items():
            body = getattr(body, "__func__", body)
            if inspect.isfunction(body) and not method.startswith("_"):
                documented = method in keras_names or inspect.getdoc(getattr(value, method))
                assert documented, f"{name}.{method} has no docstring"


@pytest.mark.parametrize("path", [*PAGES, *SOURCES], ids=relative)
def test_a_text_names_no_machine(path):
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        assert not PRIVATE.search(line), f"{relative(path)}:{number}: {line.strip()}"


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_a_link_to_a_file_leads_somewhere(path):
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", text):
        assert (path.parent / target).exists(), f"{relative(path)} links to {target}"
