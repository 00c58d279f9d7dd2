"""The report of a run: scores, curves, samples and alignments in one HTML file."""

import difflib
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from keras_transformer.checkpoints.files import replacing
from keras_transformer.explain import plots
from keras_transformer.explain.attention import attention_heatmap, select_heads
from keras_transformer.explain.confusion import (
    confusion_heatmap,
    confusion_matrix,
    confusions,
)
from keras_transformer.explain.curves import learning_curves
from keras_transformer.explain.machine import environment
from keras_transformer.explain.marked import marked_text
from keras_transformer.explain.page import escape, page


@dataclass
class Section:
    """A heading and the HTML under it; `before` and `after` stand around all parts."""

    heading: str
    before: str = ""
    parts: list[str] = field(default_factory=list)
    after: str = ""

    def html(self) -> str:
        return self.before + "".join(self.parts) + self.after


class Report:
    """Builds one self-contained HTML file, section by section, in the order of the calls.

    The file opens without a network, on a phone and on paper, in light and dark. All text is
    escaped; right-to-left text is set as such.

    Args:
        title: the page's title and first heading.
        summary: a sentence or two below it.

    Raises:
        ImportError: plotly is not installed (extra `recipes`).

    Example:
        >>> import pathlib, tempfile
        >>> report = Report("Dates to English", "37 languages, 2,000 held-out dates.")
        >>> report.add_scores({"Exact match": "99.6 %", "Time": ("3.2 min", "two cores")})
        >>> report.add_translations(["21 mars 2026"], ["21 March 2026"], ["21 March 2026"])
        >>> report.add_alignment([[0.9, 0.1], [0.2, 0.8]], ["21", "March"], ["21", "mars"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = report.write(pathlib.Path(folder) / "report.html")
        ...     path.read_text(encoding="utf-8")[:15]
        '<!DOCTYPE html>'
    """

    def __init__(self, title: str, summary: str = ""):
        plots.graph_objects()  # missing: said before the run and not after it
        self.title = title
        self.summary = summary
        self.sections: list[Section] = []
        self.figures: list = []

    def add_scores(self, scores: Mapping[str, object], heading: str = "Key figures") -> None:
        """Cards with one figure each.

        Args:
            scores: label to value as text with its unit, or to (value, note).
            heading: of the section.
        """
        cards = []
        for label, value in scores.items():
            value, note = value if isinstance(value, tuple) else (value, "")
            note = f'<span class="note">{escape(note)}</span>' if note else ""
            cards.append(
                f'<div class="card"><dt>{escape(label)}</dt>'
                f'<dd><div class="value">{escape(value)}</div>{note}</dd></div>'
            )
        self._add(heading, f'<dl class="cards">{"".join(cards)}</dl>')

    def add_text(self, heading: str, *paragraphs: str) -> None:
        """Paragraphs of plain text."""
        self._add(heading, "".join(f'<p dir="auto">{escape(text)}</p>' for text in paragraphs))

    def add_curves(self, metrics, heading: str = "Learning curves") -> None:
        """One chart per metric of a run, training and validation together.

        Args:
            metrics: path of a `metrics.jsonl`, or its records (see `learning_curves`).
            heading: of the section.

        Raises:
            FileNotFoundError, ValueError: as `read_metrics` and `learning_curves`.
        """
        charts = []
        for curve in learning_curves(metrics):
            summary = escape(curve.summary())
            plot = self._plot(curve.figure(), f"{curve.title}. {curve.summary()}")
            charts.append(
                f'<figure class="card"><h3>{escape(curve.title)}</h3>{plot}'
                f'<figcaption class="soft">{summary}</figcaption></figure>'
            )
        self._add(heading, f'<div class="plots">{"".join(charts)}</div>')

    def add_translations(
        self,
        sources: Sequence[str],
        references: Sequence[str],
        translations: Sequence[str],
        languages: Sequence[str] | None = None,
        heading: str = "Sample translations",
    ) -> None:
        """A table that marks in each translation the words that the reference does not have.

        Args:
            sources, references, translations: as many of each, line by line.
            languages: of the sources, as locales such as "de" or "ar_EG"; helps browsers and
                screen readers to choose fonts and voices.
            heading: of the section.

        Raises:
            ValueError: the lists differ in length.
        """
        count = len(sources)
        lists = {"references": references, "translations": translations}
        if languages is not None:
            lists["languages"] = languages
        for name, values in lists.items():
            if len(values) != count:
                raise ValueError(f"{name}: got {len(values)}, expected one per source: {count}")
        rows, exact = [], 0
        for i in range(count):
            same = references[i] == translations[i]
            exact += same
            language = (
                "" if languages is None else f' lang="{escape(languages[i]).replace("_", "-")}"'
            )
            verdict = ("yes", "✓ exact") if same else ("no", "✗ differs")
            rows.append(
                f'<tr role="row">{_cell("Source", escape(sources[i]), language)}'
                f"{_cell('Reference', escape(references[i]))}"
                f"{_cell('Translation', mark_differences(translations[i], references[i]))}"
                f'<td role="cell" class="match {verdict[0]}">{verdict[1]}</td></tr>'
            )
        head = "".join(
            f'<th role="columnheader" scope="col">{name}</th>'
            for name in ("Source", "Reference", "Translation", "Match")
        )
        self._add(
            heading,
            f'<div class="table"><table class="samples" role="table">'
            f"<caption>{exact} of these {count} equal their reference exactly.</caption>"
            f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
            f'<tbody role="rowgroup">{"".join(rows)}</tbody></table></div>',
        )

    def add_alignment(
        self,
        scores,
        rows: Sequence[str],
        columns: Sequence[str],
        title: str = "",
        heads: str | int = "mean",
        heading: str = "Cross-attention",
    ) -> None:
        """Attention weights as a heatmap, with the strongest link of each row as text below.

        Alignments that follow each other under the same heading share a section.

        Args:
            scores, rows, columns, heads: as in `attention_heatmap`.
            title: above the heatmap.
            heading: of the section.

        Raises:
            ValueError: as `attention_heatmap`.
        """
        figure = attention_heatmap(scores, rows, columns, heads=heads)
        mean = select_heads(scores, rows, columns, heads).mean(axis=0)
        links = "".join(
            f"<li><bdi>{escape(row)}</bdi> → <bdi>{escape(columns[best])}</bdi> "
            f"({weights[best]:.2f})</li>"
            for row, weights, best in zip(rows, mean, mean.argmax(axis=1), strict=True)
        )
        label = f"Heatmap of attention weights. {title}".strip()
        caption = f'<h3 dir="auto">{escape(title)}</h3>' if title else ""
        if not self.sections or self.sections[-1].heading != heading:
            note = "Rows attend to columns: the stronger the colour, the more."
            before = f'<p class="soft">{note}</p><div class="maps">'
            self.sections.append(Section(heading, before, after="</div>"))
        self.sections[-1].parts.append(
            f'<figure class="card">{caption}'
            f'<div class="wide" tabindex="0" role="region" aria-label="{escape(label)}">'
            f"{self._plot(figure, label)}</div><figcaption><details>"
            f"<summary>Strongest link of each word</summary><ul>{links}</ul>"
            f"</details></figcaption></figure>"
        )

    def add_confusion(
        self,
        expected: Sequence[str],
        predicted: Sequence[str],
        labels: Sequence[str],
        heading: str = "Confusion matrix",
    ) -> None:
        """Which classes were taken for which: a heatmap, and the most frequent mistakes as text.

        Args:
            expected, predicted: a label for each record.
            labels: the classes, in the order of the figure.
            heading: of the section.

        Raises:
            ValueError: as `confusion_matrix`.
        """
        matrix = confusion_matrix(expected, predicted, labels)
        wrong = confusions(matrix, labels)
        links = "".join(
            f"<li><bdi>{escape(a)}</bdi> → <bdi>{escape(b)}</bdi> ({n:,})</li>" for a, b, n in wrong
        )
        plot = self._plot(confusion_heatmap(matrix, labels), "Heatmap of classes taken for others")
        self._add(
            heading,
            f'<figure class="card">{plot}<figcaption><details><summary>Most frequent mistakes'
            f"</summary><ul>{links}</ul></details></figcaption></figure>",
        )

    def add_records(
        self, heading: str, columns: Sequence[str], rows: Iterable[Sequence], note: str = ""
    ) -> None:
        """A table of records, such as the worst errors or an embedding's nearest neighbours.

        Args:
            heading: of the section.
            columns: names.
            rows: as many values each; a pair (text, spans) is shown with the spans, (label, start,
                end), in colour.
            note: above the table.

        Raises:
            ValueError: a row has more or fewer values than there are columns.
        """
        head = "".join(
            f'<th role="columnheader" scope="col">{escape(name)}</th>' for name in columns
        )
        body = "".join(
            f'<tr role="row">{"".join(map(_record_cell, columns, row))}</tr>'
            for row in _checked_rows(columns, rows)
        )
        caption = f"<caption>{escape(note)}</caption>" if note else ""
        self._add(
            heading,
            f'<div class="table"><table class="samples" role="table">{caption}'
            f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
            f'<tbody role="rowgroup">{body}</tbody></table></div>',
        )

    def add_table(self, heading: str, facts: Mapping[str, object] | Iterable[tuple]) -> None:
        """Names and values, such as the settings of a run."""
        pairs = facts.items() if isinstance(facts, Mapping) else facts
        rows = "".join(
            f'<tr><th scope="row" dir="auto">{escape(name)}</th>'
            f'<td dir="auto">{escape(value)}</td></tr>'
            for name, value in pairs
        )
        self._add(
            heading, f'<div class="table"><table class="facts"><tbody>{rows}</tbody></table></div>'
        )

    def add_environment(self, heading: str = "Environment", **more: object) -> None:
        """Versions and hardware of this process (see `environment`), and what else is given."""
        self.add_table(heading, {**environment(), **more})

    def html(self) -> str:
        """The page as text."""
        sections = [(section.heading, section.html()) for section in self.sections]
        return page(self.title, self.summary, sections, self.figures)

    def write(self, path) -> pathlib.Path:
        """Writes the page to a file; returns its path.

        An earlier file at the same place is replaced whole or, if this fails, not at all. A
        missing folder is made.

        Raises:
            OSError: the folder cannot be written to, or the disk is full.
        """
        path = pathlib.Path(path)
        # Halves of characters, as JSON may have them, have no place in UTF-8.
        content = re.sub("[\ud800-\udfff]", "\ufffd", self.html()).encode("utf-8")
        with replacing(path) as file:
            file.write(content)
        return path

    def _add(self, heading: str, body: str) -> None:
        self.sections.append(Section(heading, body))

    def _plot(self, figure, label: str) -> str:
        self.figures.append(figure)
        number = len(self.figures) - 1
        return (
            f'<div class="plot" id="figure-{number}" role="img" aria-label="{escape(label)}"></div>'
        )


def mark_differences(text: str, reference: str) -> str:
    """HTML of a text, with `<mark>` around the words that are not in the reference at that place.

    >>> mark_differences("21 March 2025", "21 March 2026")
    '21 March <mark>2025</mark>'
    >>> mark_differences("", "21 March 2026")
    '<mark>(nothing)</mark>'
    """
    words, expected = text.split(), reference.split()
    if not words and expected:
        return "<mark>(nothing)</mark>"
    parts = []
    matcher = difflib.SequenceMatcher(None, expected, words, autojunk=False)
    for kind, _, _, start, stop in matcher.get_opcodes():
        if start == stop:
            continue
        span = escape(" ".join(words[start:stop]))
        parts.append(span if kind == "equal" else f"<mark>{span}</mark>")
    return " ".join(parts)


def _checked_rows(columns, rows):
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"rows: got {len(row)} values, expected {len(columns)}: {columns}")
        yield row


def _record_cell(label, value):
    marked = marked_text(*value) if isinstance(value, tuple) else escape(value)
    return _cell(escape(label), marked)


def _cell(label: str, content: str, attributes: str = "") -> str:
    return f'<td role="cell" data-label="{label}" dir="auto"{attributes}>{content}</td>'
