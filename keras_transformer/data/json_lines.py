"""Readers of JSON that say where something is wrong."""

import json
import os

from keras_transformer.data.reading import iter_lines, read_lines


def iter_json_lines(path):
    """The objects of a JSONL file, plain or `.gz`, one by one. Blank lines are passed over.

    Yields:
        pair (line from 1, dict).

    Raises:
        FileNotFoundError, ValueError: naming file and line: not UTF-8, not JSON, not an object.
    """
    path = os.fspath(path)
    for n, line in enumerate(iter_lines(path), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{path}:{n}: expected one JSON object a line; {error}") from None
        if not isinstance(record, dict):
            raise ValueError(
                f"{path}:{n}: expected one JSON object a line; got {type(record).__name__}"
            )
        yield n, record


def read_json(path):
    """What a JSON file holds, plain or `.gz`.

    Raises:
        FileNotFoundError, ValueError: naming file and line: not UTF-8, or not JSON.
    """
    path = os.fspath(path)
    try:
        return json.loads("\n".join(read_lines(path)))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON; {error.msg}") from None
    except RecursionError:
        raise ValueError(f"{path}: JSON nested too deeply") from None


def require(record, keys, where):
    """The values of keys that an object must have.

    Raises:
        ValueError: `where`, the key that is missing, and those that are there.
    """
    for key in keys:
        if key not in record:
            there = ", ".join(map(repr, record)) or "none"
            raise ValueError(f"{where}: no key {key!r}; its keys are {there}")
    return [record[key] for key in keys]


def require_text(record, key, where):
    """The str of a key.

    Raises:
        ValueError: the key is missing, or not a str.
    """
    (value,) = require(record, [key], where)
    if not isinstance(value, str):
        raise ValueError(f"{where}: {key!r} must be a text; got {type(value).__name__}")
    return value
