"""Folders that are either the old or the new version, never half of one."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from keras_transformer.checkpoints.files import raise_if_disk_full, sync_folder

# TensorFlow Serving leaves this folder of a SavedModel to its maker.
MARK = Path("assets.extra") / "keras_transformer.json"
WRITTEN = {"assets", MARK.parent.name, "fingerprint.pb", "saved_model.pb", "variables"}


@contextlib.contextmanager
def replacing_folder(path):
    """Gives a folder beside `path` that takes its place, flushed to the disk, when the block ends.

    If the block raises, or the disk is full, whatever was at `path` before is untouched. What is
    there may be nothing, an empty folder, or an earlier export, known by its `MARK`.

    Args:
        path: the folder to write; its parents are made if missing.

    Raises:
        FileExistsError: `path` is a file, or a folder with something else in it, beside an
            earlier export too.
        OSError: the disk is full.
    """
    path = Path(path).resolve()
    check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)  # mkdtemp's is for the owner alone
        _sync(temporary)
        _swap(temporary, path)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise_if_disk_full(error, path)
        raise


def check_replaceable(path):
    """Raises a FileExistsError where `path` holds what a new export may not replace."""
    if not path.exists():
        return
    if not path.is_dir():
        raise FileExistsError(f"path must be a folder for the SavedModel; {path} is a file.")
    if any(path.iterdir()) and not (path / MARK).is_file():
        raise FileExistsError(
            f"{path} is not empty and no earlier export: it is left as it is. "
            "Give another path, or remove it first."
        )
    added = [each for each in path.iterdir() if each.name not in WRITTEN]
    if (path / MARK).is_file():
        added += [each for each in (path / MARK).parent.iterdir() if each.name != MARK.name]
    if added:
        raise FileExistsError(
            f"{path} is an earlier export, but holds {min(added)} too, which would be lost: it is "
            "left as it is. Give another path, or move that file first."
        )


def _swap(temporary, path):
    if not path.exists():
        temporary.rename(path)
        sync_folder(path.parent)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    path.rename(old)  # an empty folder may be renamed to
    try:
        temporary.rename(path)
    except BaseException:
        old.rename(path)
        raise
    sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync(folder):
    """Flushes all files of a folder to the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(place, name), "rb+") as file:
                os.fsync(file.fileno())
        sync_folder(place)
