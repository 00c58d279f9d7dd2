"""Texts with spans in colour, as HTML."""

import zlib
from collections.abc import Iterable

from keras_transformer.explain.page import escape

# Light backgrounds with dark text: at least 7:1, on a light and on a dark page.
COLOURS = (
    "#cfe3ff", "#ffd9b8", "#c9efd2", "#f6cfe4", "#fff0a8", "#d9d2fb", "#c4ecef", "#e3dcc9",
)  # fmt: skip


def marked_text(text: str, spans: Iterable[tuple]) -> str:
    """HTML of a text with its spans in the colour of their label, and the label behind them.

    Args:
        text: plain text.
        spans: (label, start, end) in characters, `end` exclusive; none that overlap.

    Raises:
        ValueError: a span lies outside the text, or overlaps another.

    Example:
        >>> marked_text("in Rome", [("LOC", 3, 7)]).startswith('in <mark class="span" style=')
        True
    """
    parts, done = [], 0
    for label, start, end in sorted(spans, key=lambda span: span[1]):
        if not done <= start < end <= len(text):
            raise ValueError(f"spans: {(label, start, end)} overlaps another or leaves the text")
        colour = COLOURS[zlib.crc32(label.encode()) % len(COLOURS)]
        parts.append(
            f'{escape(text[done:start])}<mark class="span" style="background: {colour}">'
            f"{escape(text[start:end])}<small> {escape(label)}</small></mark>"
        )
        done = end
    return "".join(parts) + escape(text[done:])
