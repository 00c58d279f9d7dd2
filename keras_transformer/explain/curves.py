"""Learning curves from the `metrics.jsonl` of a run."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from keras_transformer.explain import plots

POSITIONS = ("step", "epoch")  # what can stand on the x axis; the first that there is
NO_CURVES = {*POSITIONS, "time", "seconds"}
TITLES = {
    "loss": "Loss",
    "bleu": "BLEU",
    "accuracy": "Accuracy",
    "token_accuracy": "Token accuracy",
    "perplexity": "Perplexity",
    "learning_rate": "Learning rate",
    "target_tokens_per_s": "Target tokens per second",
    "source_tokens_per_s": "Source tokens per second",
    "exact_match": "Exact match",
}
LOGARITHMIC = {"loss", "perplexity", "learning_rate"}  # ratios matter, not differences
FROM_ZERO = {"bleu", "target_tokens_per_s", "source_tokens_per_s"}  # heights are to be compared


@dataclass(frozen=True)
class Curve:
    """One metric, in training and (names that start with `val_`) in validation."""

    name: str
    title: str
    position: str
    training: tuple[tuple[float, float], ...]
    validation: tuple[tuple[float, float], ...]
    last: float  # position of the run: charts of one run have the same x axis

    def summary(self) -> str:
        """The curve in one sentence, for those who do not see it."""
        parts = []
        for kind, points in (("Training", self.training), ("Validation", self.validation)):
            if points:
                (start, first), (stop, last) = points[0], points[-1]
                values = [value for _, value in points]
                low, high = _short(min(values)), _short(max(values))
                parts.append(
                    f"{kind}: {_short(first)} at {self.position} {start:,.0f}, {_short(last)} at "
                    f"{self.position} {stop:,.0f}; lowest {low}, highest {high}."
                )
        return " ".join(parts)

    def figure(self):
        """The curve as a `plotly.graph_objects.Figure`."""
        go = plots.graph_objects()
        both = bool(self.training and self.validation)
        axis = {"automargin": True, "zeroline": False, "showgrid": True}
        figure = go.Figure(
            layout=plots.layout(
                height=260,
                margin={"l": 8, "r": 12, "t": 28 if both else 8, "b": 8},
                showlegend=both,
                legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
                hovermode="x unified",
                xaxis=axis | {"title": {"text": self.position}, "range": [0, self.last * 1.01]},
                yaxis=axis | self._scale(),
            )
        )
        for kind, points, colour in (
            ("training", self.training, plots.BLUE),
            ("validation", self.validation, plots.ORANGE),
        ):
            if points:
                figure.add_trace(
                    go.Scatter(
                        x=[x for x, _ in points],
                        y=[y for _, y in points],
                        name=kind,
                        # A single point has no line, and few points should be told apart.
                        mode="lines+markers" if len(points) <= 30 else "lines",
                        line={"color": colour, "width": 2},
                        marker={"color": colour, "size": 5},
                    )
                )
        return figure

    def _scale(self) -> dict:
        values = [value for _, value in (*self.training, *self.validation)]
        if self.name in LOGARITHMIC and min(values) > 0:
            ticks = _logarithmic_ticks(min(values), max(values))
            return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
        return {"rangemode": "tozero" if self.name in FROM_ZERO else "normal"}


def read_metrics(path) -> list[dict]:
    """The records of a `metrics.jsonl`: one JSON object per line.

    A last line that is not finished (the run was stopped while it wrote) is left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is no JSON object; the message names it.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        ...     _ = file.write('{"step": 10, "loss": 5.5}\\n{"step": 20, "lo')
        ...     file.flush()
        ...     read_metrics(file.name)
        [{'step': 10, 'loss': 5.5}]
    """
    path = os.fspath(path)
    with open(path, "rb") as file:  # bytes, since a letter may be cut in half
        *lines, unfinished = file.read().split(b"\n")
    if unfinished.strip():
        try:
            json.loads(unfinished)
            lines.append(unfinished)
        except ValueError:
            pass
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: no JSON: {error}") from error
        if not isinstance(record, dict):
            raise ValueError(f"{path}:{number}: got {line.decode()[:60]!r}, expected a JSON object")
        records.append(record)
    return records


def learning_curves(metrics: Iterable[Mapping] | str | os.PathLike) -> list[Curve]:
    """The curves of a run, training and validation of a metric together, against the step.

    Where a step was logged twice (a run that was stopped and resumed), the later record counts.
    Values that are no finite numbers are left out.

    Args:
        metrics: the path of a `metrics.jsonl`, or its records. Their position is `step`, or
            `epoch` where no record has a step.

    Raises:
        ValueError: no record has a position.

    Example:
        >>> curves = learning_curves([{"step": 1, "loss": 3.0}, {"step": 2, "val_loss": 2.0}])
        >>> [(curve.name, curve.training, curve.validation) for curve in curves]
        [('loss', ((1, 3.0),), ((2, 2.0),))]
    """
    records = read_metrics(metrics) if isinstance(metrics, str | os.PathLike) else list(metrics)
    position = next((key for key in POSITIONS if any(key in record for record in records)), None)
    if position is None:
        raise ValueError(f"metrics: no record has one of {POSITIONS}")
    series: dict[str, dict[float, float]] = {}
    for record in records:
        if not _is_number(record.get(position)):
            continue
        for key, value in record.items():
            if key not in NO_CURVES and _is_number(value):
                series.setdefault(key, {})[record[position]] = value
    names = dict.fromkeys(key.removeprefix("val_") for key in series)
    last = max((x for points in series.values() for x in points), default=0)
    order = {name: place for place, name in enumerate(TITLES)}
    return [
        Curve(
            name=name,
            title=TITLES.get(name, name.replace("_", " ").capitalize()),
            position=position,
            training=tuple(sorted(series.get(name, {}).items())),
            validation=tuple(sorted(series.get(f"val_{name}", {}).items())),
            last=last,
        )
        for name in sorted(names, key=lambda name: order.get(name, len(order)))
    ]


def _logarithmic_ticks(low: float, high: float) -> list[float]:
    """Round numbers from below `low` to above `high`: few over decades, many within one.

    >>> _logarithmic_ticks(1.1, 6.8), _logarithmic_ticks(0.0002, 0.4)
    ([1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0], [0.0001, 0.001, 0.01, 0.1, 1.0])
    """
    ratio = high / low
    steps = [1, 1.5, 2, 3, 4, 5, 7] if ratio < 10 else [1, 2, 5] if ratio < 300 else [1]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
    first = max((i for i, tick in enumerate(ticks) if tick <= low), default=0)
    last = min((i for i, tick in enumerate(ticks) if tick >= high), default=len(ticks) - 1)
    return ticks[first : last + 1]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
