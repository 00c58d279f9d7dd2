"""Token ids of a corpus that need not fit into memory: flat files and one JSON beside them."""

import hashlib
import json
import os

import numpy as np

from keras_transformer.data.batches import check_int
from keras_transformer.data.files import replacing
from keras_transformer.data.json_lines import read_json, require

FORMAT = "keras_transformer token shards 1"  # a new format gets a new number
MANIFEST = "tokens.json"
DTYPES = {"uint16": "<u2", "uint32": "<u4"}
CHUNK = 1 << 20


class TokenShards:
    """Token ids on disk, read where they are needed.

    `tokens.json` says how many tokens each file has, in 16 or 32 bits each; the files
    `tokens-00000.bin` and so on hold nothing else. All of them are one row of tokens.

    Args:
        folder: as `write_shards` leaves it.

    Raises:
        FileNotFoundError: there is no `tokens.json`, or no file that it names.
        ValueError: naming the file: `tokens.json` is damaged or of another format, or a file does
            not have the size that it should.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> shards = write_shards(folder, [[5, 6, 7], [8, 9]], vocab_size=11, end_id=3)
    >>> len(shards), shards[2:6].tolist(), TokenShards(folder).num_documents
    (7, [7, 3, 8, 9], 2)
    """

    def __init__(self, folder):
        self.folder = os.fspath(folder)
        path = os.path.join(self.folder, MANIFEST)
        manifest = _read_manifest(path)
        self.vocab_size, self.end_id = manifest["vocab_size"], manifest["end_id"]
        self.num_documents = manifest["num_documents"]
        self._sha256 = [shard["sha256"] for shard in manifest["shards"]]
        sizes = [shard["num_tokens"] for shard in manifest["shards"]]
        dtype = np.dtype(DTYPES[manifest["dtype"]])
        self.paths = [os.path.join(self.folder, _name(n)) for n in range(len(sizes))]
        for shard, size in zip(self.paths, sizes, strict=True):
            if not os.path.isfile(shard):
                raise FileNotFoundError(f"no such file: {shard}, which {path} names")
            if os.path.getsize(shard) != size * dtype.itemsize:
                raise ValueError(
                    f"{shard}: {os.path.getsize(shard)} bytes, expected {size * dtype.itemsize} "
                    f"for {size} tokens of {dtype.name}"
                )
        self._shards = [np.memmap(shard, dtype, "r") for shard in self.paths]
        self._ends = np.cumsum(sizes)

    def __len__(self):
        return int(self._ends[-1])

    def __getitem__(self, item):
        """A slice without step: an int32 array."""
        if not isinstance(item, slice) or item.step not in (None, 1):
            raise TypeError(f"token shards take slices without step; got {item!r}")
        start, stop, _ = item.indices(len(self))
        return self.rows([start], max(stop - start, 0))[0]

    def __reduce__(self):
        return TokenShards, (self.folder,)  # worker processes open the files anew

    def rows(self, starts, length):
        """Stretches of `length` tokens.

        Args:
            starts: (B,) int, the first token of each.
            length: int.

        Returns:
            (B, length) int32.

        Raises:
            IndexError: a stretch is not inside the corpus.
        """
        starts = np.asarray(starts)
        if starts.size and not 0 <= starts.min() <= starts.max() <= len(self) - length:
            raise IndexError(f"starts must be 0 to {len(self) - length}; got {starts}")
        rows = np.empty((len(starts), length), "int32")
        for row, start in zip(rows, starts, strict=True):
            shard = int(np.searchsorted(self._ends, start, side="right"))
            filled = 0
            while filled < length:
                first = start + filled - (self._ends[shard - 1] if shard else 0)
                part = self._shards[shard][first : first + length - filled]
                row[filled : filled + len(part)] = part
                filled, shard = filled + len(part), shard + 1
        return rows

    def verify(self):
        """Reads all files and compares their sha256: a `ValueError` names one that differs."""
        for path, expected in zip(self.paths, self._sha256, strict=True):
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != expected:
                raise ValueError(f"{path} has sha256 {found}, expected {expected}")


def write_shards(folder, documents, vocab_size, end_id=None, tokens_per_shard=1 << 27):
    """Writes the token ids of documents, of which no more than one shard is in memory at a time.

    Each file is written beside and renamed, and `tokens.json` last: a folder with it is whole.

    Args:
        folder: made if missing; must not hold shards yet.
        documents: iterable of lists or arrays of int, one a document.
        vocab_size: V; up to 65,536 a token takes 2 bytes, else 4.
        end_id: the token written behind each document; `None`: nothing parts them.
        tokens_per_shard: tokens of a file, but for the last.

    Returns:
        `TokenShards`.

    Raises:
        FileExistsError: the folder holds shards.
        ValueError: naming the document: an id outside 0 to V - 1, or no list of int; or there are
            no tokens at all.

    Example:

    >>> import tempfile
    >>> shards = write_shards(tempfile.mkdtemp(), ([i, i + 1] for i in range(3)), vocab_size=7)
    >>> shards[:].tolist()
    [0, 1, 1, 2, 2, 3]
    """
    check_int("vocab_size", vocab_size, 1)
    check_int("tokens_per_shard", tokens_per_shard, 1)
    if end_id is not None and not 0 <= end_id < vocab_size:
        raise ValueError(f"end_id must be 0 to {vocab_size - 1}; got {end_id}")
    path = os.path.join(folder, MANIFEST)
    if os.path.exists(path):
        raise FileExistsError(f"{path} is there; remove the folder to write its shards anew")
    dtype = "uint16" if vocab_size <= 1 << 16 else "uint32"
    shards, pending, num_pending, num_documents = [], [], 0, 0
    for number, document in enumerate(documents):
        ids = _checked(document, number, vocab_size).astype(DTYPES[dtype])
        pending.append(ids if end_id is None else np.append(ids, ids.dtype.type(end_id)))
        num_pending += len(pending[-1])
        num_documents += 1
        while num_pending >= tokens_per_shard:
            tokens = np.concatenate(pending)
            shards.append(_write(folder, len(shards), tokens[:tokens_per_shard]))
            pending = [tokens[tokens_per_shard:]]
            num_pending = len(pending[0])
    if num_pending:
        shards.append(_write(folder, len(shards), np.concatenate(pending)))
    if not shards:
        raise ValueError("documents must have at least one token; got none")
    manifest = {
        "format": FORMAT,
        "dtype": dtype,
        "vocab_size": int(vocab_size),
        "end_id": None if end_id is None else int(end_id),
        "num_documents": num_documents,
        "shards": shards,
    }
    with replacing(path) as file:
        file.write(json.dumps(manifest, indent=1).encode())
    return TokenShards(folder)


def _checked(document, number, vocab_size):
    ids = np.asarray(document)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise ValueError(f"document {number}: expected a list of int; got {document!r:.80}")
    wrong = (ids < 0) | (ids >= vocab_size)
    if wrong.any():
        raise ValueError(
            f"document {number}: token ids must be 0 to {vocab_size - 1}; got {ids[wrong][0]}"
        )
    return ids


def _write(folder, number, tokens):
    with replacing(os.path.join(folder, _name(number))) as file:
        for start in range(0, len(tokens), CHUNK):
            file.write(tokens[start : start + CHUNK].tobytes())
    digest = hashlib.sha256(np.ascontiguousarray(tokens)).hexdigest()
    return {"num_tokens": len(tokens), "sha256": digest}


def _name(number):
    return f"tokens-{number:05}.bin"


def _read_manifest(path):
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"{path}: expected the format {FORMAT!r}")
    keys = ("dtype", "vocab_size", "end_id", "num_documents", "shards")
    dtype, vocab_size, end_id, num_documents, shards = require(manifest, keys, path)
    if dtype not in DTYPES:
        raise ValueError(f"{path}: 'dtype' must be one of {', '.join(DTYPES)}; got {dtype!r}")
    if not isinstance(shards, list) or not shards:
        raise ValueError(f"{path}: 'shards' must be a list of at least one")
    for shard in shards:
        if not isinstance(shard, dict):
            raise ValueError(f"{path}: 'shards' must be objects; got {shard!r}")
        size, digest = require(shard, ("num_tokens", "sha256"), f"{path}: 'shards'")
        _check_count(path, "num_tokens", size, 1)
        if not isinstance(digest, str):
            raise ValueError(f"{path}: 'sha256' must be a text; got {digest!r}")
    _check_count(path, "vocab_size", vocab_size, 1)
    _check_count(path, "num_documents", num_documents, 0)
    if end_id is not None:
        _check_count(path, "end_id", end_id, 0)
    return manifest


def _check_count(path, name, value, least):
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{path}: {name!r} must be an int of at least {least}; got {value!r}")
