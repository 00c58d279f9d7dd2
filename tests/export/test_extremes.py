"""Nothing, next to nothing and a megabyte: every task and every export has an answer."""

import json
import pathlib
import resource
import subprocess
import sys

import numpy as np
import pytest
from real_tasks import make_tasks
from test_real_strings import OPTIONS, latin

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.exhaustive,
    pytest.mark.filterwarnings("ignore:.*were cut"),
]

NAMES = ("classifier", "tagger", "answerer", "embedder", "filler", "generator", "translator")
MEGABYTES = {
    "words": b"the dog " * 2**17,
    "one word": b"a" * 2**20,
    "spaces": b" " * 2**20,
    "malformed": b"\xff" * 2**20,
    "ideographs": "日".encode() * (2**20 // 3),
}
MOST_MEMORY = 4  # GiB, TensorFlow, Keras and a megabyte's tokens included
ANY_LENGTH = ("tagger", "answerer")


def arguments(name, texts):
    """Texts as what a task, or its export, is asked."""
    return [[b"who?"] * len(texts), texts] if name == "answerer" else [texts]


def keys(name):
    return ("questions", "contexts") if name == "answerer" else ("texts",)


@pytest.fixture(scope="module")
def made(data_dir):
    return make_tasks(data_dir)


@pytest.fixture(scope="module")
def ask(made):
    """A function from a name and texts as bytes to the answers of the task in Python."""

    def ask(name, texts, **options):
        texts = [[t.decode("utf-8", "replace") for t in own] for own in arguments(name, texts)]
        return made[name](*texts, **OPTIONS[name], **options)

    return ask


@pytest.fixture(scope="module")
def served(made, tmp_path_factory):
    """{(name, request): outputs} of one fresh process, and the peak of its memory in GiB."""
    folder, requests = tmp_path_factory.mktemp("exports"), {}
    for name, task in made.items():
        task.export(folder / name, **OPTIONS[name])
        asked = {"none": [], "empty": [b""], "one": [b"a dog"]}
        for request, texts in (asked | {key: [x] for key, x in MEGABYTES.items()}).items():
            values = dict(zip(keys(name), map(latin, arguments(name, texts)), strict=True))
            requests[name, request] = [f"{name}/serving_default", values]
    (folder / "requests.json").write_text(json.dumps(list(requests.values())), encoding="utf-8")
    script = pathlib.Path(__file__).with_name("serve.py")
    result = subprocess.run(
        [sys.executable, str(script), "package", str(folder), "requests.json"],
        cwd=folder, capture_output=True, text=True, timeout=1800,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-4000:]
    found = json.loads(result.stdout)
    return dict(zip(requests, found["answers"], strict=True)), found["peak"]


def output(served, name, request, key):
    values, shape = served[0][name, request][key]
    return np.array(values, object if values and isinstance(values[0], str) else None).reshape(
        shape
    )


@pytest.mark.parametrize("name", NAMES)
def test_nothing_gives_nothing(ask, served, name):
    assert len(ask(name, [])) == 0
    for _, shape in served[0][name, "none"].values():
        assert shape[0] == 0


@pytest.mark.parametrize("request_", ["empty", "one", *MEGABYTES])
@pytest.mark.parametrize("name", NAMES)
def test_the_export_answers_as_the_task(ask, served, name, request_):
    texts = {"empty": [b""], "one": [b"a dog"]}.get(request_) or [MEGABYTES[request_]]
    options = {} if name == "tagger" else {"truncate": True}
    [answer] = ask(name, texts, **options)
    found = {key: output(served, name, request_, key) for key in served[0][name, request_]}
    if name == "tagger":
        assert found["counts"].tolist() == [len(answer)]
        assert found["starts"][0].tolist() == [entity.start for entity in answer]
        assert found["types"][0].tolist() == [entity.type for entity in answer]
    elif name == "answerer":
        assert (found["answers"][0], found["starts"][0]) == (answer.text, answer.start)
    elif name == "embedder":
        np.testing.assert_allclose(found["embeddings"][0], answer, rtol=1e-5, atol=1e-5)
    elif name == "classifier":
        assert found["label"].tolist() == [answer.label]
    else:
        key = {"filler": "filled", "generator": "generated", "translator": "translations"}[name]
        assert found[key].ravel().tolist() == [answer.text]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ANY_LENGTH])
def test_a_task_refuses_what_is_too_long_and_names_the_limit(ask, made, name):
    limit = made[name].max_length - OPTIONS[name].get("max_new_tokens", 0) * (name == "generator")
    with pytest.raises(ValueError, match=rf"texts\[0\].* tokens.*{limit}.*truncate=True cuts"):
        ask(name, [MEGABYTES["words"]])


def test_memory_is_bounded(ask, served):
    assert served[1] < MOST_MEMORY
    for name in NAMES:  # those of this process, which has answered all of it by now
        ask(name, [MEGABYTES["words"]], **({} if name == "tagger" else {"truncate": True}))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 < MOST_MEMORY
