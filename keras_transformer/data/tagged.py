"""Text with entities: CoNLL columns with one tag a token, and JSONL with spans of characters."""

import dataclasses
import os

import numpy as np

from keras_transformer.data.json_lines import iter_json_lines, require, require_text
from keras_transformer.data.reading import iter_lines
from keras_transformer.data.tags import SCHEMES, Span, check_tags, sorted_spans

DOCSTART = "-DOCSTART-"


@dataclasses.dataclass(frozen=True)
class TaggedText:
    """Sentences of tokens with a tag each.

    Attributes:
        path: str.
        tokens, tags: lists of lists of str, of the same lengths.
        lines: list of lists of int, the line of each token, from 1.

    Example:

    >>> from keras_transformer.data import Labels
    >>> text = TaggedText("dev.conll", [["New", "York"]], [["B-LOC", "I-LOC"]], [[7, 8]])
    >>> [ids.tolist() for ids in text.tag_ids(Labels.of(text.tags))]
    [[0, 1]]
    """

    path: str
    tokens: list
    tags: list
    lines: list

    def __len__(self):
        return len(self.tokens)

    def where(self, sentence):
        """The place of a sentence, from 0, for errors: "path:line"."""
        return f"{self.path}:{self.lines[sentence][0]}"

    def tag_ids(self, labels):
        """The ids of all tags.

        Args:
            labels: `Labels`.

        Returns:
            list of int32 arrays, one a sentence.

        Raises:
            ValueError: naming file and line of a tag that is not among the labels.
        """
        return [
            np.array(
                [
                    labels.id(tag, f"{self.path}:{n}" if tag not in labels else None)
                    for tag, n in zip(tags, lines, strict=True)
                ],
                "int32",
            )
            for tags, lines in zip(self.tags, self.lines, strict=True)
        ]


@dataclasses.dataclass(frozen=True)
class SpanText:
    """Texts with spans of their characters.

    Attributes:
        path: str.
        texts: list of str.
        spans: list of lists of `Span`, in their order and without overlaps.
        lines: list of int, the line of each text, from 1.

    Example:

    >>> text = SpanText("dev.jsonl", ["in New York"], [[Span("LOC", 3, 11)]], [1])
    >>> text.texts[0][3:11], text.where(0)
    ('New York', 'dev.jsonl:1')
    """

    path: str
    texts: list
    spans: list
    lines: list

    def __len__(self):
        return len(self.texts)

    def where(self, record):
        """The place of a text, from 0, for errors: "path:line"."""
        return f"{self.path}:{self.lines[record]}"


def read_conll(path, token_column=0, tag_column=-1, scheme=None):
    r"""Sentences of tokens with tags: a token a line, a blank line after each sentence.

    Columns are parted by a tab where the first token's line has one, else by spaces. Lines whose
    token is -DOCSTART- end a sentence and are left out.

    Args:
        path: a UTF-8 file, plain or `.gz`.
        token_column, tag_column: from 0, or from the end with -1.
        scheme: "IOB1", "IOB2", "IOBES" or "BILOU", by which the tags are checked; `None`: tags are
            any words, such as parts of speech.

    Returns:
        `TaggedText`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: naming file and line: text that is not UTF-8, a line with more or fewer columns
            than the first, a blank token or tag, a tag that the scheme forbids; no sentence at all.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "train.conll"
    >>> _ = path.write_text("in\tO\nNew\tB-LOC\nYork\tI-LOC\n\nYes\tO\n", "utf-8")
    >>> text = read_conll(path, scheme="IOB2")
    >>> text.tokens, text.tags[1], text.lines[1]
    ([['in', 'New', 'York'], ['Yes']], ['O'], [5])

    Reference: Tjong Kim Sang and De Meulder 2003, "Introduction to the CoNLL-2003 Shared Task".
    """
    path = os.fspath(path)
    if scheme is not None and scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)} or None; got {scheme!r}")
    sentences, sentence = [], []
    is_tabbed = width = first = None
    for n, line in enumerate(iter_lines(path), 1):
        if not line.strip(" \t") or _is_document_start(line, token_column):
            if sentence:
                sentences.append(sentence)
            sentence = []
            continue
        if width is None:
            is_tabbed = "\t" in line
        columns = line.split("\t") if is_tabbed else line.strip(" ").split(" ")
        if not is_tabbed:
            columns = [column for column in columns if column]
        if width is None:
            width, first = len(columns), n
            for name, column in (("token_column", token_column), ("tag_column", tag_column)):
                if not -width <= column < width or width < 2:
                    parted = "tabs" if is_tabbed else "spaces"
                    raise ValueError(
                        f"{path}:{n}: {width} columns, parted by {parted}; expected at least 2, "
                        f"and {name} {column} among them"
                    )
        if len(columns) != width:
            raise ValueError(
                f"{path}:{n}: {len(columns)} columns, expected {width} as in line {first}"
            )
        token, tag = columns[token_column], columns[tag_column].strip(" ")
        if not token.strip(" ") or not tag:
            raise ValueError(f"{path}:{n}: expected a token and a tag; got {token!r} and {tag!r}")
        sentence.append((token, tag, n))
    if sentence:
        sentences.append(sentence)
    if not sentences:
        raise ValueError(f"{path}: no sentences, the file is blank")
    tokens, tags, lines = (list(x) for x in zip(*map(_columns, sentences), strict=True))
    if scheme is not None:
        _check(path, tags, lines, scheme)
    return TaggedText(path, tokens, tags, lines)


def read_spans(path, text_key="text", spans_key="spans"):
    """Texts with spans of characters, one JSON object a line.

    A span is an object with "start", "end" (exclusive) and "label", as Prodigy and spaCy write
    them, or a list of the three, `[start, end, label]`, as doccano does.

    Args:
        path: a JSONL file, plain or `.gz`.
        text_key, spans_key: keys of the object.

    Returns:
        `SpanText`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: naming file and line: no JSON, a key that is missing, a span that is empty,
            overlaps another or lies outside the text, blank labels; or no text at all.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "train.jsonl"
    >>> _ = path.write_text('{"text": "in New York", "spans": [[3, 11, "LOC"]]}')
    >>> read_spans(path).spans
    [[Span(label='LOC', start=3, end=11)]]
    """
    path = os.fspath(path)
    texts, spans, lines = [], [], []
    for n, record in iter_json_lines(path):
        where = f"{path}:{n}"
        text = require_text(record, text_key, where)
        (found,) = require(record, [spans_key], where)
        if not isinstance(found, list):
            raise ValueError(f"{where}: {spans_key!r} must be a list; got {type(found).__name__}")
        try:
            spans.append(sorted_spans([_span(span, where) for span in found], len(text)))
        except ValueError as error:
            message = str(error)
            raise ValueError(
                message if message.startswith(where) else f"{where}: {message}"
            ) from None
        texts.append(text)
        lines.append(n)
    if not texts:
        raise ValueError(f"{path}: no texts, the file is blank")
    return SpanText(path, texts, spans, lines)


def _is_document_start(line, token_column):
    if DOCSTART not in line:
        return False
    columns = line.split("\t") if "\t" in line else line.split()
    place = columns.index(DOCSTART) if DOCSTART in columns else None
    return place in (0, token_column % len(columns))


def _columns(sentence):
    return [list(column) for column in zip(*sentence, strict=True)]


def _check(path, tags, lines, scheme):
    for sentence, numbers in zip(tags, lines, strict=True):
        try:
            check_tags(sentence, scheme)
        except ValueError as error:
            message = str(error).partition(": ")[2]  # the line says where, not the token's number
            raise ValueError(f"{path}:{numbers[error.place]}: {message}") from None


def _span(span, where):
    if isinstance(span, dict):
        start, end, label = require(span, ("start", "end", "label"), where)
    elif isinstance(span, list) and len(span) == 3:
        start, end, label = span
    else:
        raise ValueError(f"a span must be an object or [start, end, label]; got {span!r}")
    if any(isinstance(x, bool) or not isinstance(x, int) for x in (start, end)):
        raise ValueError(f"start and end of a span must be whole numbers; got {span!r}")
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"the label of a span must be a text; got {span!r}")
    return Span(label, start, end)
