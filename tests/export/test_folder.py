"""A folder is replaced whole or not at all, and only where it is an earlier export."""

import os

import pytest

from keras_transformer.export.folder import MARK, replacing_folder


def write(path, content):
    with replacing_folder(path) as folder:
        (folder / "saved_model.pb").write_text(content)
        (folder / MARK).parent.mkdir()
        (folder / MARK).write_text("{}")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_appears_whole(tmp_path):
    path = tmp_path / "a" / "b"
    with replacing_folder(path) as folder:
        (folder / "saved_model.pb").write_text("new")
        assert not path.exists()
    assert (path / "saved_model.pb").read_text() == "new"
    assert names(path.parent) == ["b"]
    assert path.stat().st_mode & 0o777 == 0o755


def test_an_earlier_export_or_an_empty_folder_is_replaced(tmp_path):
    (tmp_path / "b").mkdir()
    for content in ("old", "new"):
        write(tmp_path / "b", content)
        assert (tmp_path / "b" / "saved_model.pb").read_text() == content
    assert names(tmp_path) == ["b"]


def test_anything_else_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file"):
        write(tmp_path / "file", "new")
    with pytest.raises(FileExistsError, match="no earlier export"):
        write(tmp_path / "folder", "new")
    assert names(tmp_path) == ["file", "folder"]
    assert (tmp_path / "folder" / "file").read_text() == "mine"


def test_a_failure_changes_nothing(tmp_path, monkeypatch):
    write(tmp_path / "b", "old")
    with pytest.raises(KeyError), replacing_folder(tmp_path / "b"):
        raise KeyError

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk is full"):
        write(tmp_path / "b", "new")
    assert (tmp_path / "b" / "saved_model.pb").read_text() == "old"
    assert names(tmp_path) == ["b"]


def test_a_link_keeps_pointing_to_its_folder(tmp_path):
    write(tmp_path / "v1", "old")
    (tmp_path / "current").symlink_to("v1")
    write(tmp_path / "current", "new")
    assert (tmp_path / "current").is_symlink()
    assert (tmp_path / "v1" / "saved_model.pb").read_text() == "new"


@pytest.mark.parametrize("name", ["notes.txt", "1/saved_model.pb", "assets.extra/requests"])
def test_what_was_put_into_an_export_is_not_lost(tmp_path, name):
    write(tmp_path / "b", "old")
    path = tmp_path / "b" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="is an earlier export, but holds"):
        write(tmp_path / "b", "new")
    assert path.read_text() == "mine"
    assert (tmp_path / "b" / "saved_model.pb").read_text() == "old"
