"""Files that are either the old or the new version, never half of one."""

import contextlib
import errno
import hashlib
import json
import math
import os
import pathlib


@contextlib.contextmanager
def replacing(path):
    """Opens a file beside `path` that takes its place, flushed to the disk, when the block ends.

    If the block raises, or the disk is full, whatever was at `path` before is untouched.

    Args:
        path: the file to write; its folder is made if missing.

    Returns:
        Context manager that gives a binary file to write to.

    Raises:
        OSError: the disk is full, with a message that says what is safe.

    Example:

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with replacing(folder / "a.txt") as file:
    ...     _ = file.write(b"whole")
    >>> (folder / "a.txt").read_text()
    'whole'
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        raise_if_disk_full(error, path)
        raise


def raise_if_disk_full(error, path):
    """Raises a clear OSError in place of `error` where that means that no space is left."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        message = "The disk is full; what was there before is untouched. Could not write"
        raise OSError(error.errno, message, str(path)) from error


def sync_folder(folder):
    """Makes names that were added to or renamed in a folder survive a power cut."""
    if os.name == "nt":  # folders cannot be opened there, and renames are journalled
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path):
    """Hexadecimal sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path, value):
    """Replaces a JSON file in one step; a number that is not finite is null.

    Example:

    >>> import json, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "scores.json"
    >>> write_json(path, {"bleu": 41.0})
    >>> json.loads(path.read_text())
    {'bleu': 41.0}
    """
    with replacing(path) as file:
        file.write(json.dumps(finite(value), indent=2, allow_nan=False).encode())


def finite(value):
    """A value for JSON, which has no word for numbers that are not finite: they become None."""
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
