"""Learning curves: every logged number in the right curve, whatever happened to the run."""

import doctest
import json
import math

import pytest

pytest.importorskip("plotly")

from keras_transformer.explain import curves, learning_curves, read_metrics  # noqa: E402


def test_docstrings():
    assert doctest.testmod(curves).failed == 0


def test_training_and_validation_of_a_metric_share_a_curve(tmp_path):
    path = tmp_path / "metrics.jsonl"
    records = [
        {"step": 3, "epoch": 0, "loss": 5.0, "learning_rate": 1e-4},
        {"step": 7, "epoch": 0, "loss": 4.0, "learning_rate": 2e-4, "time": 99.0},
        {"step": 7, "epoch": 0, "val_loss": 4.5, "val_bleu": 11.0},
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    found = {curve.name: curve for curve in learning_curves(path)}
    assert list(found) == ["loss", "bleu", "learning_rate"]
    assert found["loss"].training == ((3, 5.0), (7, 4.0))
    assert found["loss"].validation == ((7, 4.5),)
    assert found["bleu"].training == () and found["bleu"].validation == ((7, 11.0),)
    assert {curve.last for curve in found.values()} == {7}
    assert learning_curves(str(path)) == learning_curves(records)


def test_a_resumed_run_counts_its_later_records():
    records = [{"step": 1, "loss": 9.0}, {"step": 2, "loss": 8.0}, {"step": 2, "loss": 7.0}]
    (curve,) = learning_curves(records)
    assert curve.training == ((1, 9.0), (2, 7.0))


def test_what_is_no_finite_number_is_left_out():
    records = [{"step": 1, "loss": math.nan, "note": "x", "done": True}, {"step": 2, "loss": 1.0}]
    (curve,) = learning_curves(records)
    assert curve.training == ((2, 1.0),)


def test_epochs_stand_in_for_steps():
    (curve,) = learning_curves([{"epoch": 0, "loss": 2.0}, {"epoch": 1, "loss": 1.0}])
    assert curve.position == "epoch" and curve.training == ((0, 2.0), (1, 1.0))
    with pytest.raises(ValueError, match="metrics: no record has one of"):
        learning_curves([{"loss": 1.0}])


def test_figures_hold_the_points_on_a_fitting_scale():
    records = [{"step": 10 * i, "loss": 9 / i, "val_bleu": i} for i in range(1, 101)]
    loss, bleu = (curve.figure() for curve in learning_curves(records))
    assert loss.layout.yaxis.type == "log" and bleu.layout.yaxis.type is None
    assert list(loss.data[0].x) == [10 * i for i in range(1, 101)]
    assert list(loss.data[0].y) == [9 / i for i in range(1, 101)]
    assert loss.layout.xaxis.range == bleu.layout.xaxis.range
    ticks = loss.layout.yaxis.tickvals
    assert min(ticks) <= 0.09 and max(ticks) >= 9 and len(ticks) < 12


def test_a_loss_of_zero_has_a_linear_axis():
    (curve,) = learning_curves([{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.0}])
    assert curve.figure().layout.yaxis.type is None


def test_a_single_point_is_drawn_and_told():
    (curve,) = learning_curves([{"step": 1000, "loss": 1.5}])
    assert "markers" in curve.figure().data[0].mode
    assert "1.5 at step 1,000" in curve.summary()


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"st\n{"step": 2}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"metrics.jsonl:2: no JSON"):
        read_metrics(path)
    path.write_text('{"step": 1}\n[3]\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"metrics.jsonl:2: got '\[3\]', expected a JSON object"):
        read_metrics(path)
    with pytest.raises(FileNotFoundError, match="other.jsonl"):
        read_metrics(tmp_path / "other.jsonl")


def test_an_unfinished_last_line_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes('{"step": 1}\n{"note": "ü'.encode()[:-1])  # cut inside a letter
    assert read_metrics(path) == [{"step": 1}]
    path.write_text('{"step": 1}\n{"step": 2}', encoding="utf-8")
    assert read_metrics(path) == [{"step": 1}, {"step": 2}]
