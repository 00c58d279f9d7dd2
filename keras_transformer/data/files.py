"""Files that are there whole or not at all."""

import contextlib
import os
import secrets


@contextlib.contextmanager
def replacing(path):
    """A binary file to write, which takes the place of `path` once all of it is on the disk.

    It is written beside, synced and renamed; after an error nothing is left of it and what was at
    `path` is untouched. The folder is made if missing.

    Raises:
        OSError: naming `path`, for instance where the disk is full.
    """
    path = os.path.abspath(path)
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    beside = os.path.join(folder, f".{name}.{secrets.token_hex(4)}")
    try:
        with open(beside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        if type(error) is OSError and error.filename is None:  # a failed write does not say where
            raise OSError(error.errno, error.strerror, path) from error
        raise
