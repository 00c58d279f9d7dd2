"""Files fetched once, and known by their sha256."""

import gzip
import hashlib
import http.client
import pathlib
import urllib.error
import urllib.request
import zlib
from typing import NamedTuple

from keras_transformer.data.files import replacing

CHUNK = 1 << 20
TIMEOUT = 30  # seconds without a byte


class RemoteFile(NamedTuple):
    """A file to fetch.

    Attributes:
        name: path below the folder it is stored in, with forward slashes.
        url: where it is. A `.gz` file is unpacked unless `name` ends with `.gz` too.
        sha256: hex digest of the content as it is stored: of what is unpacked, not of the archive,
            since the same text can be packed in many ways.
        max_bytes: the most bytes it may have; more are not read.

    Example:

    >>> file = RemoteFile("train.de", "https://example.org/train.de.gz", sha256=64 * "0")
    >>> file.max_bytes == 2**30
    True
    """

    name: str
    url: str
    sha256: str
    max_bytes: int = 1 << 30


def fetch(files, folder):
    """Fetches the files that the folder does not hold yet.

    A file is there whole or not at all: it is written beside, checked, synced and renamed. So an
    interrupted download is simply started again, and files that are there are never fetched twice.

    Args:
        files: list of `RemoteFile`.
        folder: made if missing.

    Returns:
        list of `pathlib.Path`, in the order of `files`.

    Raises:
        ConnectionError: a server cannot be reached or does not have the file.
        ValueError: a file, fetched or already there, has another sha256. What is there is kept.

    Example:

    >>> import hashlib, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "remote.de").write_bytes(b"Ein Hund.")
    >>> url, digest = (folder / "remote.de").as_uri(), hashlib.sha256(b"Ein Hund.").hexdigest()
    >>> [path] = fetch([RemoteFile("train.de", url, digest)], folder)
    >>> path.name, path.read_text()
    ('train.de', 'Ein Hund.')
    """
    paths = [pathlib.Path(folder, file.name) for file in files]
    for file, path in zip(files, paths, strict=True):
        if not path.exists():
            _download(file, path)
        elif (found := _sha256_of(path)) != file.sha256:
            raise ValueError(
                f"{path} has sha256 {found}, expected {file.sha256}; "
                f"remove it to have it fetched from {file.url}"
            )
    return paths


def _download(file, path):
    digest = hashlib.sha256()
    with replacing(path) as target:
        for chunk in _chunks(file, path):
            digest.update(chunk)
            target.write(chunk)
        if digest.hexdigest() != file.sha256:
            raise ValueError(f"{file.url} has sha256 {digest.hexdigest()}, expected {file.sha256}")


def _chunks(file, path):
    """What is at the URL, unpacked."""
    size = 0
    try:
        with urllib.request.urlopen(file.url, timeout=TIMEOUT) as response:
            is_packed = file.url.endswith(".gz") and not file.name.endswith(".gz")
            source = gzip.GzipFile(fileobj=response) if is_packed else response
            while chunk := source.read(CHUNK):
                size += len(chunk)
                if size > file.max_bytes:
                    raise ValueError(f"{file.url} has more than {file.max_bytes} bytes")
                yield chunk
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{file.url} is not a gzip file ({error})") from error
    except urllib.error.HTTPError as error:
        raise ConnectionError(f"cannot fetch {file.url} ({error})") from error
    except (OSError, EOFError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise ConnectionError(
            f"cannot fetch {file.url} ({reason}); without a network, put the file at {path}"
        ) from error


def _sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
