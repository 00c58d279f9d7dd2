"""The tensors of a checkpoint folder, in one safetensors file or several, read one at a time."""

import dataclasses
import json
import math
import pathlib
import struct

import numpy as np

from keras_transformer.checkpoints.safetensors import DTYPES, opened

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".h5", ".ckpt", ".msgpack", ".pkl")
NUMPY_DTYPES = {theirs: ours for ours, theirs in DTYPES.items()}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a tensor lies: its file, NumPy dtype, shape, and first byte."""

    path: pathlib.Path
    dtype: str
    shape: tuple
    offset: int


class TensorFiles:
    """The tensors of a folder with `model.safetensors`, or with parts and their index.

    Headers are read and checked at once; a tensor's bytes only when it is asked for, and not
    through a memory map, so that no more than one tensor is held at a time.

    Args:
        folder: the folder.

    Raises:
        FileNotFoundError: there are no such files.
        ValueError: a file is damaged, the index names a file outside the folder or a tensor that
            the file does not have, or there are only pickled weights.

    Example:

    >>> import numpy as np, pathlib, tempfile
    >>> from keras_transformer.checkpoints import save_weights
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> save_weights(folder / "model.safetensors", {"kernel": np.ones((2, 3), "float32")})
    >>> files = TensorFiles(folder)
    >>> list(files), files["kernel"].shape, int(files.read("kernel").sum())
    (['kernel'], (2, 3), 6)
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.places = {}
        headers = {path.name: read_header(path) for path in self.paths()}
        for places in headers.values():
            self.places.update(places)
        if (self.folder / INDEX).is_file() and not (self.folder / WEIGHTS).is_file():
            index = self.index()
            missing = sorted(set(index) - set(self.places))
            if missing:
                raise ValueError(f"{self.folder / INDEX} names tensors that no file has: {missing}")
            moved = sorted(name for name, file in index.items() if name not in headers[file])
            if moved:
                raise ValueError(
                    f"{self.folder / INDEX} names tensors that lie in another file: {moved}"
                )
            # a tensor may lie in several; the index says where it counts
            self.places.update({name: headers[file][name] for name, file in index.items()})

    def paths(self):
        """The files, each once."""
        if (self.folder / WEIGHTS).is_file():
            return [self.folder / WEIGHTS]
        if not (self.folder / INDEX).is_file():
            raise_missing(self.folder)
        names = self.index().values()
        for name in names:
            if not isinstance(name, str) or pathlib.PurePath(name).name != name or "\\" in name:
                raise ValueError(
                    f"{self.folder / INDEX} names {name!r}; files must lie in the folder itself"
                )
            if not (self.folder / name).is_file():
                raise FileNotFoundError(f"{self.folder / name} is missing; {INDEX} names it")
        return [self.folder / name for name in sorted(set(names))]

    def index(self):
        """{tensor: file} of the index."""
        path = self.folder / INDEX
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not valid JSON: {error}") from None
        weight_map = found.get("weight_map") if isinstance(found, dict) else None
        if not isinstance(weight_map, dict) or not weight_map:
            raise ValueError(f"{path} has no weight_map from tensors to files")
        return weight_map

    def __iter__(self):
        return iter(self.places)

    def __contains__(self, name):
        return name in self.places

    def __getitem__(self, name):
        return self.places[name]

    def read(self, name):
        """A tensor as a NumPy array of its own memory; bfloat16 as `ml_dtypes.bfloat16`."""
        place = self.places[name]
        count = math.prod(place.shape)
        array = np.fromfile(place.path, np.dtype(place.dtype), count, offset=place.offset)
        return array.reshape(place.shape)


def read_header(path):
    """{tensor: `Place`} of one file, checked against the file's length."""
    with opened(path):  # the library checks sizes, offsets and gaps
        pass
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    places = {}
    for name, entry in header.items():
        if entry["dtype"] not in NUMPY_DTYPES:
            raise ValueError(
                f"{path}: {name!r} is of dtype {entry['dtype']}, known are {sorted(NUMPY_DTYPES)}"
            )
        start = entry["data_offsets"][0]
        dtype = NUMPY_DTYPES[entry["dtype"]]
        places[name] = Place(path, dtype, tuple(entry["shape"]), 8 + length + start)
    return places


def raise_missing(folder):
    """Says what a folder without weights lacks, and what to do with pickled ones."""
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickled:
        raise ValueError(
            f"{folder} has its weights only as {pickled}, formats that can run code or need "
            "another framework, so they are not read. Convert them where they come from: with "
            "transformers and torch, AutoModel.from_pretrained(folder).save_pretrained(new_folder) "
            f"writes {WEIGHTS}"
        )
    raise FileNotFoundError(f"{folder} has neither {WEIGHTS} nor {INDEX}")
