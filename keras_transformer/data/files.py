"""Files that are there whole or not at all."""

import contextlib
import os
import tempfile


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
    descriptor, beside = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)  # mkstemp makes files for their owner alone
        os.replace(beside, path)
    except BaseException as error:
        os.unlink(beside)
        if type(error) is OSError and error.filename is None:  # a failed write does not say where
            raise OSError(error.errno, error.strerror, path) from error
        raise
