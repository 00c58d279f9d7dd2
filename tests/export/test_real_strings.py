"""On 1,000 real strings each export answers as its task in Python, in a process without Keras."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from real_tasks import LABELS, make_tasks, masked, real_questions, real_strings

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.exhaustive,
    pytest.mark.filterwarnings("ignore:.*were cut"),
]

AT_ONCE = 125
OPTIONS = {  # of the export; those of the call are the same
    "classifier": {},
    "tagger": {"overlap": 20},
    "answerer": {"no_answer_threshold": 1.0, "max_answer_length": 20},
    "embedder": {},
    "filler": {"top_k": 3},
    "generator": {"max_new_tokens": 8},
    "translator": {"beam_size": 3, "max_new_tokens": 12},
}


def latin(strings):
    """Bytes as JSON can carry them; see serve.py."""
    return [string.decode("latin-1") for string in strings]


def as_python(strings):
    """What a task in Python is given for them: malformed sequences stand for U+FFFD."""
    return [string.decode("utf-8", "replace") for string in strings]


def serve(folder, requests):
    """The answers of a fresh process to `{name: [arguments, ...]}`, each batch's joined."""
    flat = [[f"{name}/serving_default", part] for name, own in requests.items() for part in own]
    (folder / "requests.json").write_text(json.dumps(flat), encoding="utf-8")
    script = pathlib.Path(__file__).with_name("serve.py")
    result = subprocess.run(
        [sys.executable, str(script), "package", str(folder), "requests.json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    found = json.loads(result.stdout)
    assert found["loaded"] == []
    answers = iter(found["answers"])
    return {name: rows_of([next(answers) for _ in own]) for name, own in requests.items()}


def rows_of(batches):
    """One dictionary a string, from the outputs of batches."""
    found = []
    for outputs in batches:
        assert "error" not in outputs, outputs
        arrays = {key: np.array(x, object).reshape(shape) for key, (x, shape) in outputs.items()}
        size = len(next(iter(arrays.values())))
        found += [{key: x[i] for key, x in arrays.items()} for i in range(size)]
    return found


def batches(**arguments):
    """Lists of bytes by the signature's arguments, some at a time."""
    size = len(next(iter(arguments.values())))
    return [
        {key: latin(x[i : i + AT_ONCE]) for key, x in arguments.items()}
        for i in range(0, size, AT_ONCE)
    ]


@pytest.fixture(scope="module")
def asked(data_dir):
    """{name: the strings, of which an answerer has two lists}, and the tasks."""
    made = make_tasks(data_dir)
    strings = real_strings(data_dir)
    found = dict.fromkeys(made, (strings,))
    found["filler"] = (masked(strings, made["filler"].mask_token),)
    found["answerer"] = real_questions(data_dir)
    assert all(len(x) == 1000 for own in found.values() for x in own)
    return found, made


@pytest.fixture(scope="module")
def served(asked, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    found, made = asked
    for name, task in made.items():
        task.export(folder / name, **OPTIONS[name])
    keys = {"answerer": ("questions", "contexts")}
    return serve(folder, {
        name: batches(**dict(zip(keys.get(name, ("texts",)), own, strict=True)))
        for name, own in found.items()
    })  # fmt: skip


@pytest.fixture
def compared(asked, served):
    """A function from a name to pairs of answers: the export's row and the task's object."""

    def compared(name):
        found, made = asked
        options = dict(OPTIONS[name])
        if name != "tagger":  # which takes texts of any length
            options["truncate"] = True
        answers = made[name](*map(as_python, found[name]), **options)
        assert len(served[name]) == len(answers) == 1000
        return list(zip(served[name], answers, strict=True))

    return compared


def close(found, expected):
    found = np.asarray(found, "float64")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_labels(compared):
    pairs = compared("classifier")
    assert [row["label"] for row, _ in pairs] == [answer.label for _, answer in pairs]
    close([row["scores"].tolist() for row, _ in pairs],
          [list(answer.scores.values()) for _, answer in pairs])  # fmt: skip
    assert {answer.label for _, answer in pairs} == set(LABELS)


def test_entities(compared):
    pairs = compared("tagger")
    for row, answer in pairs:
        size = row["counts"]
        spans = zip(*(row[key][:size] for key in ("types", "texts", "starts", "ends")), strict=True)
        assert list(spans) == [(e.type, e.text, e.start, e.end) for e in answer]
        close(row["scores"][:size], [e.score for e in answer])
    assert sum(len(answer) for _, answer in pairs) > 1000


def test_answers(compared):
    pairs = compared("answerer")
    for row, answer in pairs:
        place = row["answers"], row["starts"], row["ends"]
        assert place == (answer.text, answer.start, answer.end)
    for key in ("scores", "no_answer_scores"):
        close([row[key] for row, _ in pairs], [getattr(a, key[:-1]) for _, a in pairs])
    assert 100 < sum(bool(answer.text) for _, answer in pairs) < 990


def test_embeddings(compared):
    for row, vector in compared("embedder"):
        close(row["embeddings"], vector)


def test_fillings(compared):
    pairs = compared("filler")
    for row, answer in pairs:
        assert row["filled"] == answer.text and row["counts"] == len(answer.masks)
        for i, mask in enumerate(answer.masks):
            assert row["tokens"][i].tolist() == [c.token for c in mask]
            assert row["token_ids"][i].tolist() == [c.token_id for c in mask]
            close(row["scores"][i], [c.score for c in mask])
    assert sum(len(answer.masks) for _, answer in pairs) > 700


@pytest.mark.parametrize(
    ("name", "key"), [("generator", "generated"), ("translator", "translations")]
)
def test_texts(compared, name, key):
    pairs = compared(name)
    found = [row[key] if name == "translator" else row[key][0] for row, _ in pairs]
    assert found == [answer.text for _, answer in pairs]
    scores = [row["scores"] if name == "translator" else row["scores"][0] for row, _ in pairs]
    close(scores, [answer.score for _, answer in pairs])
    assert len(set(found)) > 100
