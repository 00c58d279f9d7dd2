"""Pairs, triples and conversations of texts: TSV, CSV and JSONL, plain or gzipped."""

import dataclasses
import os
from typing import NamedTuple

from keras_transformer.data.json_lines import iter_json_lines, require, require_text
from keras_transformer.data.reading import ParallelText
from keras_transformer.data.table import read_table

ROLES = ("system", "user", "assistant")


@dataclasses.dataclass(frozen=True)
class TextTriples:
    """A text, one that means the same, and one that looks alike but does not.

    Unpacks as `anchors, positives, negatives = triples`.

    Attributes:
        anchors, positives, negatives: lists of str.
        lines: list of int, the line of each triple, from 1.
        num_blank: int, triples left out because one of their texts is blank.
        path: str.

    Example:

    >>> anchors, positives, negatives = TextTriples(["May 1"], ["1. Mai"], ["1. Juni"], [1])
    >>> negatives
    ['1. Juni']
    """

    anchors: list
    positives: list
    negatives: list
    lines: list
    num_blank: int = 0
    path: str = ""

    def __len__(self):
        return len(self.lines)

    def __iter__(self):
        return iter((self.anchors, self.positives, self.negatives))


class Message(NamedTuple):
    """What one side of a conversation says.

    Attributes:
        role: "system", "user" or "assistant".
        content: str.

    Example:

    >>> Message("user", "What is 1 + 1?").role
    'user'
    """

    role: str
    content: str


@dataclasses.dataclass(frozen=True)
class Conversations:
    """Conversations, each of which ends with an answer.

    Attributes:
        path: str.
        messages: list of tuples of `Message`.
        lines: list of int, the line of each conversation, from 1.

    Example:

    >>> talk = (Message("user", "1 + 1?"), Message("assistant", "2"))
    >>> Conversations("train.jsonl", [talk], [1]).where(0)
    'train.jsonl:1'
    """

    path: str
    messages: list
    lines: list

    def __len__(self):
        return len(self.lines)

    def where(self, record):
        """The place of a conversation, from 0, for errors: "path:line"."""
        return f"{self.path}:{self.lines[record]}"


def read_pairs(path, columns, header=True, format=None, delimiter=","):
    r"""Pairs of texts from two columns: a text and its summary, a prompt and its completion.

    Pairs with a blank side are left out and counted in `num_blank`.

    Args:
        path: a CSV, TSV or JSONL file; see `read_table`.
        columns: two names, or two numbers from 0: the source and the target.
        header, format, delimiter: see `read_table`.

    Returns:
        `ParallelText`, which unpacks as `source, target` and goes to `ParallelBatches`.

    Raises:
        FileNotFoundError, ValueError: see `read_table`; or no pair at all.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "train.jsonl"
    >>> _ = path.write_text('{"body": "A long story.", "title": "Short"}\n')
    >>> source, target = read_pairs(path, ["body", "title"])
    >>> source, target
    (['A long story.'], ['Short'])
    """
    table, (source, target) = _texts(path, columns, 2, header, format, delimiter)
    text = ParallelText.from_lines(source, target, (table.path, table.path))
    return dataclasses.replace(text, lines=[table.lines[n - 1] for n in text.lines])


def read_triples(path, columns, header=True, format=None, delimiter=","):
    r"""Triples of texts from three columns: an anchor, a positive, a hard negative.

    Triples with a blank text are left out and counted in `num_blank`.

    Args:
        path: a CSV, TSV or JSONL file; see `read_table`.
        columns: three names, or three numbers from 0.
        header, format, delimiter: see `read_table`.

    Returns:
        `TextTriples`, which unpacks as `anchors, positives, negatives`.

    Raises:
        FileNotFoundError, ValueError: see `read_table`; or no triple at all.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "train.tsv"
    >>> _ = path.write_text("May 1\t1. Mai\t1. Juni\n")
    >>> anchors, positives, negatives = read_triples(path, [0, 1, 2], header=False)
    >>> positives, negatives
    (['1. Mai'], ['1. Juni'])
    """
    table, texts = _texts(path, columns, 3, header, format, delimiter)
    rows = list(zip(*texts, table.lines, strict=True))
    kept = [row for row in rows if all(text.strip() for text in row[:3])]
    if not kept:
        raise ValueError(f"{table.path}: no triples ({len(rows)} records, all with a blank text)")
    columns = [list(column) for column in zip(*kept, strict=True)]
    return TextTriples(*columns, num_blank=len(rows) - len(kept), path=table.path)


def read_messages(path):
    """Conversations for instruction tuning, one JSON object a line, in either of two forms.

        {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
        {"prompt": "...", "completion": "..."}

    The second stands for one message of the user and one of the assistant. A conversation begins
    with at most one message of the system; then user and assistant take turns, and the assistant
    has the last word.

    Args:
        path: a JSONL file, plain or `.gz`.

    Returns:
        `Conversations`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: naming file and line: no JSON, a key that is missing, a role that is not known
            or not on turn, an answer that is blank; or no conversation at all.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "train.jsonl"
    >>> _ = path.write_text('{"prompt": "1 + 1?", "completion": "2"}\\n')
    >>> read_messages(path).messages
    [(Message(role='user', content='1 + 1?'), Message(role='assistant', content='2'))]
    """
    path = os.fspath(path)
    conversations, lines = [], []
    for n, record in iter_json_lines(path):
        where = f"{path}:{n}"
        if "prompt" in record or "completion" in record:
            contents = (require_text(record, key, where) for key in ("prompt", "completion"))
            messages = tuple(map(Message, ("user", "assistant"), contents))
        else:
            messages = _messages(record, where)
        _check_turns(messages, where)
        conversations.append(messages)
        lines.append(n)
    if not lines:
        raise ValueError(f"{path}: no conversations, the file is blank")
    return Conversations(path, conversations, lines)


def _texts(path, columns, number, header, format, delimiter):
    """The table and its columns of texts."""
    columns = list(columns)
    if len(columns) != number or len(set(columns)) != number:
        raise ValueError(f"columns must be {number} different ones; got {columns!r}")
    table = read_table(path, columns, header, format, delimiter)
    return table, [table.texts(name) for name in columns]


def _messages(record, where):
    if "messages" not in record:
        there = ", ".join(map(repr, record)) or "none"
        raise ValueError(
            f"{where}: expected 'messages', or 'prompt' and 'completion'; its keys are {there}"
        )
    (found,) = require(record, ["messages"], where)
    if not isinstance(found, list) or not all(isinstance(message, dict) for message in found):
        raise ValueError(f"{where}: 'messages' must be a list of objects")
    return tuple(
        Message(*(require_text(message, key, f"{where}: message {k}") for key in Message._fields))
        for k, message in enumerate(found)
    )


def _check_turns(messages, where):
    for k, message in enumerate(messages):
        if message.role not in ROLES:
            raise ValueError(
                f"{where}: message {k}: role must be one of {', '.join(ROLES)}; "
                f"got {message.role!r}"
            )
    has_system = bool(messages) and messages[0].role == "system"
    turns = messages[has_system:]
    for k, message in enumerate(turns):
        expected = ("user", "assistant")[k % 2]
        if message.role != expected:
            raise ValueError(
                f"{where}: message {k + has_system}: expected {expected}; got {message.role}"
            )
        if expected == "assistant" and not message.content.strip():
            raise ValueError(f"{where}: message {k + has_system}: the answer is blank")
    if not turns or len(turns) % 2:
        last = messages[-1].role if messages else "nothing"
        raise ValueError(f"{where}: the assistant must have the last word; got {last}")
