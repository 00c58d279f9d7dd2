"""Named arrays in one file of the safetensors format: written atomically, read without trust."""

import json
import os
import pathlib
import struct

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from keras_transformer.checkpoints.files import replacing

# The format's name of each NumPy dtype that is written and read.
DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    np.dtype(ml_dtypes.bfloat16).name: "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}


def save_weights(path, weights, metadata=None):
    """Writes named arrays to a safetensors file that replaces `path` in one step.

    The array's bytes go straight to the file, so that no second copy of the weights is held.

    Args:
        path: the file; its folder is made if missing.
        weights: {name: array}; arrays of any dtype in `DTYPES`, bfloat16 among them.
        metadata: {str: str} kept in the header, or None.

    Raises:
        TypeError: a name or metadata that is no string, or an array of another dtype.
        OSError: the disk is full; what was at `path` before is untouched.

    Example:

    >>> import numpy as np, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> save_weights(path, {"kernel": np.ones((2, 3), "float32")}, {"format": "keras"})
    >>> load_weights(path)["kernel"].shape, read_metadata(path)
    ((2, 3), {'format': 'keras'})

    Reference: [the format](https://github.com/huggingface/safetensors#format).
    """
    metadata = metadata or {}
    for text in (*weights, *metadata, *metadata.values()):
        if not isinstance(text, str):
            raise TypeError(f"names and metadata must be strings, got {text!r}")
    arrays = {name: _storable(name, array) for name, array in weights.items()}
    # The widest dtypes first: then every array starts at a multiple of its item size.
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header, end = {"__metadata__": metadata} if metadata else {}, 0
    for name in order:
        array, start = arrays[name], end
        end = start + array.nbytes
        header[name] = {
            "dtype": DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(arrays[name].reshape(-1).view(np.uint8).data)


def load_weights(path):
    """Reads all arrays of a safetensors file.

    Header, offsets and sizes are checked against the file's length before memory is taken.

    Args:
        path: the file.

    Returns:
        {name: NumPy array}, in the order of the file; bfloat16 as `ml_dtypes.bfloat16`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, is none of this format, or has a dtype not in `DTYPES`.

    Example:

    >>> import numpy as np, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> save_weights(path, {"kernel": np.ones((2, 3), "float32")})
    >>> [(name, array.shape) for name, array in load_weights(path).items()]
    [('kernel', (2, 3))]
    """
    with opened(path) as file:
        known = set(DTYPES.values())
        for name in file.keys():
            dtype = file.get_slice(name).get_dtype()
            if dtype not in known:
                raise ValueError(f"{path}: {name!r} is of dtype {dtype}, known are {sorted(known)}")
        return {name: file.get_tensor(name) for name in file.keys()}


def read_metadata(path):
    """The {str: str} metadata of a safetensors file; raises as `load_weights`.

    Example:

    >>> import numpy as np, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> save_weights(path, {"kernel": np.ones((2, 3), "float32")}, {"step": "8000"})
    >>> read_metadata(path)
    {'step': '8000'}
    """
    with opened(path) as file:
        return file.metadata() or {}


def opened(path):
    """The open file, checked by the library; raises as `load_weights`."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such weights file: {path}")
    try:
        return safe_open(os.fspath(path), framework="np")
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from error


def _storable(name, array):
    """The array as contiguous little-endian bytes of a dtype that the format knows."""
    array = np.asarray(array)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    if array.dtype.name not in DTYPES:
        raise TypeError(f"{name!r} is of dtype {array.dtype}, possible are {list(DTYPES)}")
    return np.ascontiguousarray(array).reshape(array.shape)  # keeps scalars scalar
