"""Multi30k: where its files are, and that they are the ones."""

import hashlib

import pytest

from keras_transformer.data import multi30k


@pytest.mark.parametrize("variant", ["raw", "tok"])
def test_pinned_sums_are_those_of_the_corpus(data_dir, variant):
    for file in multi30k.remote_files(variant):
        content = (data_dir / "multi30k" / file.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.sha256
        assert len(content) <= file.max_bytes


@pytest.mark.parametrize("variant", ["raw", "tok"])
@pytest.mark.parametrize("nested", [True, False])
def test_splits_have_their_size(data_dir, variant, nested):
    folder = data_dir / "multi30k"
    folder = folder if nested else folder / variant
    sizes = [len(multi30k.load(folder, split, variant)) for split in multi30k.SPLITS]
    assert sizes == [29_000, 1_014, 1_000]


def test_directions_are_mirrored(data_dir):
    de_en = multi30k.load(data_dir / "multi30k", "val", "tok")
    en_de = multi30k.load(data_dir / "multi30k", "val", "tok", source="en", target="de")
    assert (de_en.source, de_en.target) == (en_de.target, en_de.source)
    assert de_en.source[0].startswith("eine gruppe von männern")


def test_download_fetches_nothing_that_is_there(data_dir):
    folder = multi30k.download(data_dir / "multi30k", "tok")
    assert folder == data_dir / "multi30k" / "tok"


def test_urls_are_those_of_the_repository():
    files = {file.name: file.url for file in multi30k.remote_files("raw", ["val"])}
    assert files["raw/val.de"].endswith("/multi30k/dataset/master/data/task1/raw/val.de.gz")
    files = {file.name: file.url for file in multi30k.remote_files("tok", ["val"])}
    assert files["tok/val.lc.norm.tok.en"].endswith("/task1/tok/val.lc.norm.tok.en")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="val.lc.norm.tok.de"):
        multi30k.load(tmp_path, "val", "tok")
    with pytest.raises(ValueError, match="split must be one of train, val, test_2016_flickr"):
        multi30k.load(tmp_path, "test", "tok")
    with pytest.raises(ValueError, match="variant must be one of raw, tok"):
        multi30k.load(tmp_path, "val", "bpe")
