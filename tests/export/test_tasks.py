"""Exported tasks answer as the ones in Python, in a process without Keras."""

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from toy_encoders import (
    LINES,
    ToyTokenizer,
    answerer,
    classifier,
    embedder,
    filler,
    generator,
    tagger,
)

from keras_transformer.export import export_task

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

LONG = " ".join(LINES * 3)
MASKED = ["the [MASK] sat on the [MASK].", "", "no mask", "a dog[MASK]", "[MASK] " * 5, "日[MASK]é"]
QUESTIONS = ["the dog?", "", "Rome", "cat?", "a", "dog", "who?"]
ODD = [b"a \xff dog", "日本 ü".encode(), b"\xe2\x82", b"[SEP] [CLS]", b" \t\n"]
MEGABYTE = b"the dog " * 131_072


def bytes_of(texts):
    return [t if isinstance(t, bytes) else t.encode() for t in texts]


def text_of(texts):
    return [t.decode("utf-8", "replace") if isinstance(t, bytes) else t for t in texts]


def is_text(values):
    return not values or isinstance(values[0], (str, bytes))


def close(found, expected):
    np.testing.assert_allclose(found.astype("float64"), expected, rtol=1e-5, atol=1e-5)


def token_inputs(task, texts):
    from keras_transformer.text import pad_encodings

    batch = pad_encodings(task.tokenizer(texts), 0)
    return {name: x.tolist() for name, x in batch.items()}


def pair(first, second, names=("questions", "contexts")):
    return dict(zip(names, (first, second), strict=True))


LABELS = ("bad", "fair", "good")
MANY = ["serving_default", {"texts": [*LINES, LONG]}]
NONE = ["serving_default", {"texts": []}]
TEXTS_AND_ODD = ["serving_default", {"texts": [*LINES, *ODD, LONG]}]
PAIRS = pair(LINES[::-1], [*LINES[:-1], LONG], ("texts", "pairs"))
ASKED = pair(QUESTIONS, [*LINES[:6], LONG])
ODDLY_ASKED = pair(["a"] * len(ODD), ODD)
NOTHING_ASKED = pair(["", "a"], ["", ""])
ANSWERER = {"overlap": 7, "max_answer_length": 7, "no_answer_threshold": 0.5}
PROMPTS = ["the dog", "", "cat sat", LONG, "a"]


def cases():
    """{name: (task, options of its export, {name: [signature, arguments]})}"""
    found = {}
    task = classifier(labels=LABELS, max_length=31)
    found["classifier"] = (task, {}, {
        "many": MANY,
        "none": NONE,
        "one": ["serving_default", {"texts": ["a"]}],
        "odd": ["serving_default", {"texts": ODD}],
        "megabyte": ["serving_default", {"texts": [MEGABYTE]}],
        "pairs": ["classify_pairs", PAIRS],
        "no pairs": ["classify_pairs", {"texts": [], "pairs": []}],
        "tokens": ["classify_tokens", token_inputs(task, LINES)],
        "bad token": [
            "classify_tokens", {**token_inputs(task, ["a"]), "token_ids": [[5, 99, 3]]}
        ],
    })  # fmt: skip
    found["tagger"] = (tagger(11), {"overlap": 6}, {
        "many": MANY,
        "none": NONE,
        "nothing": ["serving_default", {"texts": ["", " "]}],
        "odd": ["serving_default", {"texts": ODD}],
        "tokens": ["tag_tokens", token_inputs(tagger(), LINES[:2])],
    })  # fmt: skip
    found["answerer"] = (answerer(19), {**ANSWERER, "n_best": 4}, {
        "many": ["serving_default", ASKED],
        "odd": ["serving_default", ODDLY_ASKED],
        "nothing": ["serving_default", NOTHING_ASKED],
        "none": ["serving_default", pair([], [])],
        "several": ["answer_n_best", ASKED],
        "none of several": ["answer_n_best", pair([], [])],
    })  # fmt: skip
    found["generator"] = (generator(), {"max_new_tokens": 5}, {
        "many": ["serving_default", {"texts": PROMPTS}],
        "none": NONE,
    })  # fmt: skip
    found["embedder"] = (embedder(max_length=31), {"max_length": 17}, {
        "many": TEXTS_AND_ODD,
        "none": NONE,
        "tokens": ["embed_tokens", token_inputs(embedder(), LINES)],
        "no column": ["embed_tokens", dict.fromkeys(token_inputs(embedder(), []), [[]])],
    })  # fmt: skip
    found["filler"] = (filler(max_length=13), {"top_k": 3}, {
        "many": ["serving_default", {"texts": [*MASKED, "a [MASK] " * 9]}],
        "none": NONE,
        "no masks": ["serving_default", {"texts": ["", "a"]}],
    })  # fmt: skip
    return found


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """All answers of one fresh process, {case: {request: {output: array}}}; see serve.py."""
    folder, requests = tmp_path_factory.mktemp("export"), {}
    for name, (task, options, asked) in cases().items():
        task.export(folder / name, **options)
        for request, (signature, values) in asked.items():
            values = {
                key: [t.decode("latin-1") for t in bytes_of(v)] if is_text(v) else v
                for key, v in values.items()
            }
            requests[name, request] = [f"{name}/{signature}", values]
    (folder / "requests.json").write_text(json.dumps(list(requests.values())), encoding="utf-8")
    script = pathlib.Path(__file__).with_name("serve.py")
    result = subprocess.run(
        [sys.executable, str(script), "package", str(folder), "requests.json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    answers = json.loads(result.stdout)
    assert answers["loaded"] == []
    found = {}
    for (name, request), outputs in zip(requests, answers["answers"], strict=True):
        found.setdefault(name, {})[request] = {
            key: x if key == "error" else array(*x) for key, x in outputs.items()
        }
    return found


def array(values, shape):
    kind = object if values and isinstance(values[0], str) else None
    return np.array(values, kind).reshape(shape)


def same_scores(found, answers):
    close(found["scores"], np.reshape([list(a.scores.values()) for a in answers], (-1, 3)))
    assert found["labels"].tolist() == [list(LABELS)] * len(answers)


@pytest.mark.filterwarnings("ignore:.*were cut")
def test_a_classifier(served):
    found, task = served["classifier"], classifier(labels=LABELS, max_length=31)
    expected = {
        "many": task([*LINES, LONG], truncate=True),
        "none": [],
        "one": task(["a"]),
        "odd": task(text_of(ODD)),
        "megabyte": task(text_of([MEGABYTE]), truncate=True),
        "pairs": task(PAIRS["texts"], PAIRS["pairs"], truncate=True),
        "no pairs": [],
    }
    for name, answers in expected.items():
        same_scores(found[name], answers)
        assert found[name]["label"].tolist() == [a.label for a in answers]
        close(found[name]["score"], [a.score for a in answers])
    logits = np.log(np.array([list(a.scores.values()) for a in task(LINES)]))
    got = found["tokens"]["logits"]
    close(got - got.mean(axis=1, keepdims=True), logits - logits.mean(axis=1, keepdims=True))
    assert "token_ids must be from 0 to 31" in found["bad token"]["error"]


@pytest.mark.parametrize("problem", ["multi_label", "regression"])
def test_other_classifiers(problem):
    import tensorflow as tf

    from keras_transformer.export.graph_classification import GraphClassifier

    task = classifier(problem, labels=LABELS)
    answers = task(LINES, threshold=0.3)
    graph = GraphClassifier(task, threshold=0.3)
    found = {key: x.numpy() for key, x in graph.classify(tf.constant(LINES)).items()}
    close(found["scores"], [list(a.scores.values()) for a in answers])
    if problem == "multi_label":
        chosen = [{LABELS[i] for i in np.flatnonzero(row)} for row in found["chosen"]]
        assert chosen == [set(a.labels) for a in answers]


def test_a_tagger(served):
    task = tagger(11)
    texts = {"many": [*LINES, LONG], "none": [], "nothing": ["", " "], "odd": text_of(ODD)}
    for request, lines in texts.items():
        answer = served["tagger"][request]
        expected = task(lines, overlap=6)
        assert answer["counts"].tolist() == [len(own) for own in expected]
        for row, own in enumerate(expected):
            for column, entity in enumerate(own):
                got = {key: answer[key][row, column] for key in answer if key != "counts"}
                assert got.pop("scores") == pytest.approx(entity.score, abs=1e-5)
                assert got == {
                    "types": entity.type,
                    "texts": entity.text,
                    "starts": entity.start,
                    "ends": entity.end,
                }
    assert sum(served["tagger"]["many"]["counts"]) > 20


def test_an_answerer(served):
    found, task = served["answerer"], answerer(19)
    for request, asked in (("many", ASKED), ("odd", ODDLY_ASKED), ("nothing", NOTHING_ASKED)):
        expected = task(text_of(asked["questions"]), text_of(asked["contexts"]), **ANSWERER)
        answer = found[request]
        assert answer["answers"].tolist() == [a.text for a in expected]
        assert answer["starts"].tolist() == [a.start for a in expected]
        assert answer["ends"].tolist() == [a.end for a in expected]
        close(answer["scores"], [a.score for a in expected])
        close(answer["no_answer_scores"], [a.no_answer_score for a in expected])
    assert found["none"]["answers"].shape == (0,)
    assert found["none of several"]["answers"].shape == (0, 4)


def test_the_best_spans(served):
    options = {**ANSWERER, "no_answer_threshold": None}
    answers = answerer(19)(*ASKED.values(), n_best=4, **options)
    for row, answer in enumerate(answers):
        expected = [answer, *answer.alternatives] if answer.text else []
        missing = 4 - len(expected)
        got = {key: x[row] for key, x in served["answerer"]["several"].items()}
        assert got["answers"].tolist() == [a.text for a in expected] + [""] * missing
        assert got["starts"].tolist() == [a.start for a in expected] + [0] * missing
        close(got["scores"], [a.score for a in expected] + [0.0] * missing)


@pytest.mark.parametrize("scale", [1e2, 1e3])
def test_an_answerer_of_small_probabilities(scale):
    import tensorflow as tf

    from keras_transformer.export.graph_answering import GraphAnswerer

    task = answerer.__wrapped__()
    kernel = task.model.weights[-2]
    assert kernel.shape == (14, 2)
    kernel.assign(np.array(kernel) * scale)
    for options in ({}, {"no_answer_threshold": -50.0}, {"no_answer_threshold": np.float64(50)}):
        graph = GraphAnswerer(task, max_answer_length=10**12, **options)
        found = graph.answer(*map(tf.constant, ASKED.values()))
        expected = task(*ASKED.values(), max_answer_length=10**12, **options)
        assert [x.decode() for x in found["answers"].numpy()] == [a.text for a in expected]
        close(found["scores"].numpy(), [a.score for a in expected])
    small = [a.no_answer_score for a in expected if 0 <= a.no_answer_score < 1e-46]
    assert small or scale < 1e3


def test_an_embedder(served):
    task, found = embedder(max_length=31), served["embedder"]
    shorter = type(task)(task.model, task.tokenizer, 17)
    with pytest.warns(UserWarning, match="were cut"):
        expected = shorter(text_of([*LINES, *ODD, LONG]), truncate=True)
    close(found["many"]["embeddings"], expected)
    assert found["none"]["embeddings"].shape == (0, 14)
    close(found["tokens"]["embeddings"], task(LINES))
    assert found["no column"]["embeddings"].shape == (1, 14)


def test_a_filler(served):
    task, found = filler(max_length=13), served["filler"]
    with pytest.warns(UserWarning, match="were cut"):
        expected = task([*MASKED, "a [MASK] " * 9], top_k=3, truncate=True)
    answer = found["many"]
    assert answer["filled"].tolist() == [a.text for a in expected]
    assert answer["counts"].tolist() == [len(a.masks) for a in expected]
    for row, own in enumerate(expected):
        for column, mask in enumerate(own.masks):
            assert answer["tokens"][row, column].tolist() == [c.token for c in mask]
            assert answer["token_ids"][row, column].tolist() == [c.token_id for c in mask]
            close(answer["scores"][row, column], [c.score for c in mask])
    assert found["none"]["tokens"].shape == (0, 0, 3)
    assert found["no masks"]["filled"].tolist() == ["", "a"]


def test_a_generator(served):
    with pytest.warns(UserWarning, match="were cut"):
        expected = generator()(PROMPTS, max_new_tokens=5, truncate=True)
    found = served["generator"]
    assert found["many"]["generated"].tolist() == [[answer.text] for answer in expected]
    close(found["many"]["scores"], [[answer.score] for answer in expected])
    assert found["none"]["generated"].shape == (0, 1)


def test_it_says_what_it_is(tmp_path):
    export_task(tagger(labels=("O", "LOC")), tmp_path / "saved_model", max_length=9)
    mark = json.loads((tmp_path / "saved_model/assets.extra/keras_transformer.json").read_text())
    assert mark["task"] == "entity-tagging" and mark["labels"] == ["O", "LOC"]
    assert mark["max_length"] == 9 and mark["overlap"] == 3
    assert mark["tokenizer_sha256"] == ToyTokenizer().fingerprint


def test_bad_options_are_named_and_nothing_is_written(tmp_path):
    path = tmp_path / "saved_model"
    for task, options, message in (
        (classifier(), {"max_length": 99}, "max_length must be from 3 to .* 61; got 99"),
        (classifier(), {"threshold": 2}, "threshold must be from 0 to 1"),
        (tagger(), {"overlap": 99}, "overlap must be from 0 to 58; got 99"),
        (answerer(), {"n_best": 0}, "n_best must be"),
        (filler(), {"top_k": 31}, "top_k must be at most"),
    ):
        with pytest.raises(ValueError, match=message):
            task.export(path, **options)
    with pytest.raises(TypeError, match="beam_size is no option of TextEmbedder .* has max_length"):
        embedder().export(path, beam_size=3)
    with pytest.raises(ValueError, match="format must be one of savedmodel, onnx, litert"):
        embedder().export(path, format="tflite")
    with pytest.raises(TypeError, match="task must be one of TextClassifier.* got str"):
        export_task("classifier", path)
    assert not list(tmp_path.iterdir())


def test_other_backends_are_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match="this is jax.*save_pretrained.*TextEmbedder.*KERAS_BAC"):
        embedder().export(tmp_path / "saved_model")
