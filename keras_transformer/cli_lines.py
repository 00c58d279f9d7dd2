"""What the command line reads and prints: lines of text and of JSON."""

import json
import os
import sys
from pathlib import Path


def read_items(options):
    """The texts that were given: where each is, and dictionaries with the keys of examples."""
    if bool(options.text) == (options.file is not None):
        raise ValueError("give either texts or --file.")
    if options.file is None:
        numbered = [(n, {"text": text}) for n, text in enumerate(options.text, start=1)]
    elif options.file.endswith(".jsonl"):
        numbered = read_jsonl(options.file)
    else:
        numbered = [(n, {"text": line}) for n, line in enumerate(_lines(options.file), start=1)]
    places = [f"text {n}" if options.file is None else f"{options.file}:{n}" for n, _ in numbered]
    items = [item for _, item in numbered]
    for name in ("pair", "context"):
        if getattr(options, name) is not None:
            items = [{**item, name: getattr(options, name)} for item in items]
    if options.context is not None:
        items = [{"question" if key == "text" else key: x for key, x in item.items()}
                 for item in items]  # fmt: skip
    return places, items


def read_jsonl(path):
    """The objects of a file of JSON lines with their lines' numbers; blank lines are skipped."""
    found = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}:{number} is no JSON: {error}") from None
        if not isinstance(item, dict):
            raise ValueError(f"{path}:{number} must be an object; got {line[:80]!r}")
        found.append((number, item))
    return found


def _lines(path):
    content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}:{number} is no UTF-8: {error}") from None
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def flush():
    """Writes what was printed, here and not when the interpreter ends, which says less."""
    if sys.stdout is None:  # closed from the start
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or it is tried once more
        raise


def as_line(item):
    """An object as one line of JSON, with escapes where a terminal cannot show it."""
    from keras_transformer.checkpoints.files import finite

    item = finite(item)  # JSON has no NaN
    line = json.dumps(item, ensure_ascii=False)
    try:
        line.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(item)
    return line
