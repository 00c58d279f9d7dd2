"""Files of a tokenizer's folder: read within limits, and written whole or not at all."""

import gzip
import json
import os
import secrets
import zlib
from collections.abc import Iterable
from pathlib import Path

TOKENIZER, SETTINGS = "tokenizer.json", "tokenizer_config.json"
SPECIAL_TOKENS, ADDED_TOKENS = "special_tokens_map.json", "added_tokens.json"
# All that a tokenizer's folder may hold, of any kind that is read or written here.
KNOWN = (
    TOKENIZER,
    SETTINGS,
    SPECIAL_TOKENS,
    ADDED_TOKENS,
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "source.spm",
    "target.spm",
)
# The largest published ones have some 35 MB (a vocabulary of 260,000): more is none.
MAX_FILE_BYTES = 256 * 2**20


def read_bytes(path) -> bytes:
    """The content of a file of a tokenizer.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is too large for a tokenizer's.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(
            f"{path} is no file of a tokenizer: {path.stat().st_size:,} bytes; "
            f"at most {MAX_FILE_BYTES:,} are read."
        )
    return path.read_bytes()


def read_text(path) -> str:
    """The same as text, which must be UTF-8."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not valid UTF-8: {error.reason}.") from None


def read_json_object(path) -> dict:
    """The same as a JSON object."""
    try:
        value = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(value).__name__}.")
    return value


def write_atomically(path, content: bytes) -> Path:
    """Replaces a file in one step: what was there before stays until the new one is whole."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # such as a full disk
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    return path


def write_tokenizer(folder, contents: dict) -> Path:
    """Makes a folder's tokenizer the one of these files; other files stay as they are.

    Each is written in one step. Then the files of the tokenizer that was there before go, as far as
    the new one has none of that name: they would be taken for its own.

    Args:
        folder: made where it is not there.
        contents: the content of each file by its name.

    Returns:
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_atomically(folder / name, content)
    for name in KNOWN:
        if name not in contents and ((folder / name).is_file() or (folder / name).is_symlink()):
            (folder / name).unlink()
    return folder


def json_bytes(value) -> bytes:
    """A JSON file's content, as readable as it can be."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def read_lines(sources):
    """All lines of all sources, one after the other.

    Args:
        sources: a path, or a list whose items are each the path of a UTF-8 file (`.gz` is
            unpacked) or a list of lines.

    Raises:
        FileNotFoundError: a source is not there.
        ValueError: a file is no valid UTF-8, or no whole gzip file.
        TypeError: a source is neither a path nor a list of lines.
    """
    if isinstance(sources, (str, os.PathLike)):
        sources = [sources]
    for i, source in enumerate(sources):
        if isinstance(source, (str, os.PathLike)):
            yield from _read_file(source, f"sources[{i}]")
        elif isinstance(source, Iterable) and not isinstance(source, bytes):
            for j, line in enumerate(source):
                if not isinstance(line, str):
                    raise TypeError(
                        f"sources[{i}][{j}] must be a line of text, got {type(line).__name__}."
                    )
                yield line
        else:
            raise TypeError(
                f"sources[{i}] must be a path or a list of lines, got {type(source).__name__}."
            )


def _read_file(path, name):
    # A line given by mistake for a path may be too long for one, or hold a NUL.
    try:
        found = Path(path).is_file()
    except (OSError, ValueError):
        found = False
    if not found:
        raise FileNotFoundError(
            f"{name} is no file: {str(path)[:200]!r}. To train on lines, give a list of lists: "
            "train([lines], ...)."
        )
    opener = gzip.open if str(path).endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    # The byte order mark belongs to the file, not to its first word.
                    yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    message = f"{path}:{number} is not valid UTF-8: {error.reason}."
                    raise ValueError(message) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is no whole gzip file: {error}.") from error
