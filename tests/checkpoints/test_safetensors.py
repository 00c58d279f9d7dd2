import errno
import json
import os
import struct

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from keras_transformer.checkpoints import load_weights, read_metadata, save_weights


def arrays():
    rng = np.random.default_rng(3)
    return {
        "b/kernel": rng.normal(size=(3, 5)).astype("float32"),
        "a/half": rng.normal(size=(7,)).astype(ml_dtypes.bfloat16),
        "scalar": np.asarray(11, "int64"),
        "empty": np.zeros((0, 5), "float16"),
        "flags": np.asarray([True, False, True]),
        "transposed": rng.normal(size=(2, 13)).astype("float64").T,
    }


def same(left, right):
    assert set(left) == set(right)
    for name in left:
        assert left[name].dtype == right[name].dtype and left[name].shape == right[name].shape
        assert left[name].tobytes() == right[name].tobytes()


def test_saved_equals_loaded(tmp_path):
    save_weights(tmp_path / "new" / "w.safetensors", arrays(), {"step": "800"})
    same(load_weights(tmp_path / "new" / "w.safetensors"), arrays())
    assert read_metadata(tmp_path / "new" / "w.safetensors") == {"step": "800"}
    assert os.listdir(tmp_path / "new") == ["w.safetensors"]


def test_the_reference_library_reads_ours_and_we_read_its(tmp_path):
    save_weights(tmp_path / "ours", arrays())
    same(safetensors.numpy.load_file(tmp_path / "ours"), arrays())
    dense = {name: np.array(array, order="C") for name, array in arrays().items()}
    safetensors.numpy.save_file(dense, tmp_path / "theirs")
    same(load_weights(tmp_path / "theirs"), arrays())
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def write(path, header, data, length=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    "header, data, length",
    [
        (b"no json at all", b"", None),
        (b"{}", b"", 2**62),
        ({"w": entry()}, b"\0" * 7, None),
        ({"w": entry()}, b"\0" * 9, None),
        ({"w": entry(offsets=(4, 12))}, b"\0" * 12, None),
        ({"w": entry(), "v": entry()}, b"\0" * 8, None),
        ({"w": entry(shape=(3,))}, b"\0" * 8, None),
        ({"w": entry(shape=(-2,))}, b"\0" * 8, None),
        ({"w": entry(shape=(2**40, 2**40))}, b"\0" * 8, None),
        ({"w": entry(shape=(2**38,), offsets=(0, 2**40))}, b"\0" * 8, None),
        ({"w": entry(dtype="PICKLE")}, b"\0" * 8, None),
        ({"w": entry(dtype="F8_E4M3", shape=(8,))}, b"\0" * 8, None),
    ],
)
def test_a_crafted_or_damaged_file_is_refused_by_name(tmp_path, header, data, length):
    path = tmp_path / "bad.safetensors"
    write(path, header, data, length)
    with pytest.raises(ValueError, match="bad.safetensors"):
        load_weights(path)


def test_a_cut_file_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, arrays())
    whole = path.read_bytes()
    for length in (0, 3, 8, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="damaged"):
            load_weights(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "nowhere.safetensors", tmp_path):
        with pytest.raises(FileNotFoundError, match=path.name):
            load_weights(path)


def test_what_cannot_be_stored_is_refused(tmp_path):
    with pytest.raises(TypeError, match="'w' is of dtype complex64"):
        save_weights(tmp_path / "w", {"w": np.zeros(2, "complex64")})
    with pytest.raises(TypeError, match="object"):
        save_weights(tmp_path / "w", {"w": np.array([{}])})
    with pytest.raises(TypeError, match="strings"):
        save_weights(tmp_path / "w", {"w": np.zeros(2)}, {"step": 3})
    assert not os.listdir(tmp_path)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"w": np.zeros(3, "float32")})

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk is full.*untouched") as error:
        save_weights(path, {"w": np.ones(3, "float32")})
    assert error.value.errno == errno.ENOSPC and str(path) in str(error.value)
    np.testing.assert_array_equal(load_weights(path)["w"], np.zeros(3))
    assert os.listdir(tmp_path) == ["w.safetensors"]
