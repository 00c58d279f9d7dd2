"""The report: well-formed, escaped, one file that needs no other, and what it says is so."""

import doctest
import html.parser
import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

pytest.importorskip("plotly")

from keras_transformer.explain import Report, page, report  # noqa: E402

VOID = {"meta", "link", "img", "br", "hr", "input"}
EVIL = "</script><script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"


class Outline(html.parser.HTMLParser):
    """Elements with their attributes and own text; asserts that they nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", **dict(attributes)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1]["tag"] == tag, (tag, self.getpos())
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1]["tag"] not in ("script", "style"):
            for element in self.open:  # an element's text includes that of its children
                element["text"] += data
        elif self.open:
            self.open[-1]["text"] += data

    def all(self, tag, **attributes):
        return [
            element
            for element in self.elements
            if element["tag"] == tag
            and all(element.get(name) == value for name, value in attributes.items())
        ]


def filled(text="Wort"):
    """A report with one of everything; `text` is wherever a caller's text can be."""
    made = Report(f"Title {text}", f"Summary {text}")
    made.add_scores({f"Score {text}": "99.6 %", "Time": ("3 min", f"note {text}")})
    made.add_text(f"Text {text}", f"one {text}", "two")
    made.add_curves(
        [{"step": i, "loss": 5 / i, "val_loss": 6 / i, f"odd {text}": i} for i in range(1, 5)]
    )
    made.add_translations(
        ["21 mars 2026", text, "יום שבת"],
        ["21 March 2026", "a b c", text],
        ["21 March 2026", "a x c", text + " z"],
        ["fr", "ar_EG", text],
    )
    scores = np.random.default_rng(0).dirichlet(np.ones(2), size=(4, 3))
    made.add_alignment(scores, ["a", text, "c"], ["x", text], title=f"map {text}")
    made.add_alignment(scores, ["a", "b", "c"], ["x", "y"], heads="each")
    made.add_table(f"Settings {text}", {f"name {text}": text, "hidden_dim": 128})
    made.add_environment(**{"training time": text})
    return made


@pytest.fixture(scope="module")
def outline():
    return Outline(filled().html())


def without_plotly(text):
    """The page without the script of others, which may speak of addresses it never asks."""
    scripts = re.findall(r"<script>.*?</script>", text, re.DOTALL)
    largest = max(scripts, key=len)
    assert "plotly.js" in largest[:200]
    return text.replace(largest, "")


def test_half_a_character_as_json_may_have_it_is_shown_and_stops_no_report(tmp_path):
    half = json.loads('"cut \\ud83d"')
    path = filled(half).write(tmp_path / "report.html")
    content = path.read_text("utf-8")
    assert "cut \ufffd" in content
    assert '<span class="' in content and "\ud83d" not in content


def test_docstrings():
    assert doctest.testmod(report).failed == 0


def test_one_heading_per_section_and_links_that_lead_to_them(outline):
    assert len(outline.all("h1")) == 1 and outline.all("html", lang="en")
    headings = [element["text"] for element in outline.all("h2")]
    assert headings == [
        "Key figures",
        "Text Wort",
        "Learning curves",
        "Sample translations",
        "Cross-attention",
        "Settings Wort",
        "Environment",
    ]
    ids = [element["id"] for element in outline.elements if "id" in element]
    assert len(ids) == len(set(ids))
    for link in outline.all("a"):
        assert link["href"].removeprefix("#") in ids
    for element in outline.elements:
        assert element.get("aria-labelledby", ids[0]) in ids


def test_every_figure_has_its_place_and_is_told_in_words(outline):
    figures = json.loads(outline.all("script", id="figures")[0]["text"])
    places = outline.all("div", **{"class": "plot"})
    assert [place["id"] for place in places] == [f"figure-{i}" for i in range(len(figures))]
    assert len(figures) == 4
    assert all(place["role"] == "img" and place["aria-label"] for place in places)
    assert "5 at step 1, 1.25 at step 4" in places[0]["aria-label"]


def test_exactly_the_equal_translations_count_as_exact(outline):
    caption = outline.all("caption")[0]["text"]
    assert caption == "1 of these 3 equal their reference exactly."
    verdicts = [cell["text"] for cell in outline.all("td") if "match" in cell.get("class", "")]
    assert verdicts == ["✓ exact", "✗ differs", "✗ differs"]
    assert [element["text"] for element in outline.all("mark")] == ["x", "z"]


def test_right_to_left_text_can_run_from_the_right(outline):
    cells = [cell for cell in outline.all("td") if "data-label" in cell]
    assert len(cells) == 9 and all(cell["dir"] == "auto" for cell in cells)
    assert [cell["lang"] for cell in cells if "lang" in cell] == ["fr", "ar-EG", "Wort"]


def test_alignments_under_one_heading_share_a_section(outline):
    assert len(outline.all("div", **{"class": "maps"})) == 1
    links = [element["text"] for element in outline.all("li") if "→" in element["text"]]
    assert len(links) == 6 and links[0].startswith("a → ")


def test_callers_text_stays_text():
    text = filled(EVIL).html()
    outline, harmless = Outline(text), Outline(filled().html())
    tags = [element["tag"] for element in outline.elements]
    extra = ["mark"] * (tags.count("mark") - len(harmless.all("mark")))
    assert sorted(tags) == sorted([element["tag"] for element in harmless.elements] + extra)
    assert not [element for element in outline.elements if "onerror" in element]
    assert "alert(1)</script>" in outline.all("h1")[0]["text"]
    figures = json.loads(outline.all("script", id="figures")[0]["text"])  # still parses
    assert "&lt;/script&gt;" in json.dumps(figures)


def test_the_file_needs_nothing_else(outline):
    text = filled().html()
    assert "://" not in without_plotly(text) and "url(" not in without_plotly(text)
    for element in outline.elements:
        assert "src" not in element and element.get("href", "#").startswith("#")
        assert not [name for name in element if name.startswith("on")]
    policy = outline.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy and "connect-src" not in policy
    assert text.count("* plotly.js v") == 1


def test_a_report_without_figures_carries_no_script():
    made = Report("Small")
    made.add_scores({"BLEU": 41.02})
    text = made.html()
    assert not Outline(text).all("script") and len(text) < 20_000


def test_lists_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="references: got 1, expected one per source: 2"):
        Report("x").add_translations(["a", "b"], ["a"], ["a", "b"])
    with pytest.raises(ValueError, match="languages: got 0, expected one per source: 1"):
        Report("x").add_translations(["a"], ["a"], ["a"], [])


def test_writing_replaces_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    made = Report("First")
    assert made.write(str(path)) == path
    assert path.read_text(encoding="utf-8") == made.html()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk is full"):
        Report("Second").write(path)
    assert path.read_text(encoding="utf-8") == made.html()
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_made(tmp_path):
    assert Report("x").write(tmp_path / "new" / "report.html").exists()


def test_light_and_dark_text_can_be_read():
    """WCAG 2 AA: at least 4.5 to 1 between text and what it stands on."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        parts = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    palettes = re.findall(r":root \{(.*?)\}", page.STYLE, re.DOTALL)[:2]
    for palette in palettes:
        colours = dict(re.findall(r"--([\w-]+): (#\w{6});", palette))
        for text in ("text", "soft", "accent", "good", "bad"):
            for ground in ("page", "card"):
                pair = sorted(luminance(colours[name]) for name in (text, ground))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (text, ground)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium here")
def test_a_browser_draws_every_figure(tmp_path):
    path = filled(EVIL).write(tmp_path / "report.html")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --dump-dom "
        "--disable-background-networking --disable-component-update --disable-sync "
        "--enable-logging=stderr --virtual-time-budget=8000"
    )
    done = subprocess.run(
        ["chromium", *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    assert done.stdout.count('class="main-svg"') >= 4
    assert done.stdout.count("js-plotly-plot") >= 4
    assert ">a</text>" in done.stdout  # a word on an axis
