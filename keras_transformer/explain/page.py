"""The HTML page around a report: one file that needs no network, no server and no other file.

The policy in its head forbids the browser every connection, so that a report opened from a mail
or a shared folder can fetch and tell nothing.
"""

import html
import json

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --text: #171c24; --soft: #566070; --line: #dde2e9;
  --accent: #1d5fd0; --good: #157347; --bad: #b3261e; --bad-page: #fde8e6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1318; --card: #181d25; --text: #e8ecf2; --soft: #a2adbc; --line: #2c343f;
    --accent: #7fb0ff; --good: #63cf98; --bad: #ff9d94; --bad-page: #46211f;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0 auto; padding: 1.5rem clamp(0.75rem, 3vw, 2rem) 4rem; max-width: 72rem;
  background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif;
}
header { margin: 0 0 1.5rem; }
h1 { font-size: clamp(1.5rem, 4vw, 2.1rem); line-height: 1.2; margin: 0 0 0.3rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 0.75rem; }
h3 { font-size: 0.95rem; font-weight: 600; margin: 0 0 0.5rem; }
p { margin: 0 0 0.75rem; max-width: 46rem; overflow-wrap: anywhere; }
.soft, .note { color: var(--soft); }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; }
nav ul { list-style: none; padding: 0; margin: 0.75rem 0 0; }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 1rem; top: 0.5rem; background: var(--card); padding: 0.5rem; z-index: 2; }
.card, .table { background: var(--card); border: 1px solid var(--line); border-radius: 0.6rem; }
.cards, .plots { display: grid; gap: 0.75rem; margin: 0; }
.cards { grid-template-columns: repeat(auto-fill, minmax(min(10rem, 100%), 1fr)); }
.plots { grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); }
.cards .card { padding: 0.8rem 1rem; display: flex; flex-direction: column; }
.cards dt { color: var(--soft); font-size: 0.85rem; }
.cards dd { margin: 0; }
.cards .value { font-size: 1.6rem; font-weight: 650; line-height: 1.25; }
.cards .note { font-size: 0.8rem; }
.cards dd, .facts td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
figure { margin: 0; padding: 0.9rem 1rem; min-width: 0; }
figcaption { font-size: 0.85rem; margin-top: 0.5rem; }
.maps { display: flex; flex-wrap: wrap; gap: 0.75rem; align-items: flex-start; }
.maps figure { max-width: 100%; }
.wide { overflow-x: auto; }
.plot { min-height: 4rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: start; color: var(--soft); padding: 0.6rem 0.9rem; font-size: 0.9rem; }
th, td { text-align: start; vertical-align: top; padding: 0.45rem 0.9rem; }
th, td { border-top: 1px solid var(--line); overflow-wrap: anywhere; }
thead th { font-size: 0.85rem; color: var(--soft); font-weight: 600; white-space: nowrap; }
.facts th { font-weight: 500; color: var(--soft); width: 14rem; }
.facts td { white-space: pre-wrap; }
.match { white-space: nowrap; font-weight: 600; }
.yes { color: var(--good); }
.no { color: var(--bad); }
mark { background: var(--bad-page); color: inherit; border-bottom: 2px solid var(--bad); }
mark.span { color: #171c24; border: 0; border-radius: 0.25rem; padding: 0.05rem 0.2rem; }
mark.span small { font-weight: 600; }
details { font-size: 0.85rem; margin-top: 0.25rem; }
summary { cursor: pointer; color: var(--soft); }
details ul { columns: 12rem; padding-inline-start: 1.1rem; margin: 0.4rem 0 0; }
@media (max-width: 44rem) {
  .samples thead { position: absolute; left: -100vw; }
  .samples tbody, .samples tr, .samples td { display: block; }
  .samples tr { padding: 0.6rem 0; border-top: 1px solid var(--line); }
  .samples td { border: 0; padding: 0.1rem 0.9rem; }
  .samples td[data-label]::before {
    content: attr(data-label); display: block; font-size: 0.75rem; color: var(--soft);
  }
  .facts th { width: 45%; }
}
@media print {
  :root {
    --page: #fff; --card: #fff; --text: #000; --soft: #444; --line: #bbb;
    --accent: #000; --good: #064; --bad: #a00; --bad-page: #fdd;
  }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav, .skip, details { display: none; }
  .plots { grid-template-columns: 1fr 1fr; }
  .card, tr { break-inside: avoid; }
  h2, .soft { break-after: avoid; }
  .wide { overflow: visible; }
}
"""

SCRIPT = """
"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const looks = {
    light: { text: "#171c24", grid: "#e3e7ed", line: "#aab3c0", box: "#ffffff", scale: null },
    dark: { text: "#e8ecf2", grid: "#2a323d", line: "#566070", box: "#10151b",
            scale: [[0, "#1e2530"], [0.35, "#244f93"], [0.7, "#4f8fec"], [1, "#d3e4ff"]] },
  };
  const config = { displaylogo: false, responsive: true, displayModeBar: false };

  function draw(printing) {
    const look = dark.matches && !printing ? looks.dark : looks.light;
    figures.forEach(({ data, layout }, i) => {
      const place = document.getElementById("figure-" + i);
      data = data.map(trace => trace.type === "heatmap" && look.scale
        ? { ...trace, colorscale: look.scale } : trace);
      const font = { ...layout.font, color: look.text };
      layout = { ...layout, font, hoverlabel: { bgcolor: look.box, bordercolor: look.line, font } };
      for (const name of Object.keys(layout)) {
        if (/^[xy]axis/.test(name)) {
          layout[name] = { ...layout[name], gridcolor: look.grid, linecolor: look.line };
        }
      }
      // Paper has its own width, which the browser does not tell beforehand.
      if (printing && !layout.width) layout.width = Math.min(place.clientWidth, 320);
      Plotly.react(place, data, layout, config);
    });
  }

  draw(false);
  dark.addEventListener("change", () => draw(false));
  addEventListener("beforeprint", () => draw(true));
  addEventListener("afterprint", () => draw(false));
})();
"""

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)


def escape(text) -> str:
    """Text as HTML shows it, in an element or between an attribute's quotes."""
    return html.escape(str(text), quote=True)


def page(title: str, summary: str, sections: list[tuple[str, str]], figures: list) -> str:
    """The whole page.

    Args:
        title, summary: plain text.
        sections: each a heading (plain text) and its HTML.
        figures: plotly figures; number i is drawn into the element with the id `figure-i`.
    """
    parts = []
    for number, (heading, body) in enumerate(sections):
        parts.append(
            f'<section id="section-{number}" aria-labelledby="heading-{number}">\n'
            f'<h2 id="heading-{number}" dir="auto">{escape(heading)}</h2>\n{body}\n</section>'
        )
    links = "".join(
        f'<li><a href="#section-{number}">{escape(heading)}</a></li>'
        for number, (heading, _) in enumerate(sections)
    )
    contents = f'<nav aria-label="Contents"><ul>{links}</ul></nav>' if len(sections) > 2 else ""
    lead = f'<p class="soft">{escape(summary)}</p>' if summary else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the report</a>
<header>
<h1 dir="auto">{escape(title)}</h1>
{lead}
{contents}
</header>
<main id="main">
{"".join(parts)}
</main>
{_scripts(figures)}
</body>
</html>
"""


def _scripts(figures: list) -> str:
    if not figures:
        return ""
    from plotly.offline import get_plotlyjs

    # "<" would let text in a figure, such as a word on an axis, end the script element.
    data = json.dumps([json.loads(figure.to_json()) for figure in figures], ensure_ascii=False)
    data = data.replace("<", "\\u003c")
    return (
        f"<script>{get_plotlyjs()}</script>\n"
        f'<script type="application/json" id="figures">{data}</script>\n'
        f"<script>{SCRIPT}</script>"
    )
