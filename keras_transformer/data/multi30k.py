"""Multi30k: 29,000 image captions, English and German.

Reference: Elliott et al. 2016, "Multi30K: Multilingual English-German Image Descriptions".
"""

import pathlib

from keras_transformer.data.download import RemoteFile, fetch
from keras_transformer.data.reading import read_parallel

SPLITS = ("train", "val", "test_2016_flickr")
VARIANTS = {
    "raw": "",  # cased, as written
    "tok": ".lc.norm.tok",  # lower-cased, normalised, tokenised: what papers score
}

# sha256 of the text. The repository packs the raw files with gzip: they are unpacked first.
_URL = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1"
_SHA256 = {
    "raw/train.de": "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72",
    "raw/train.en": "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6",
    "raw/val.de": "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660",
    "raw/val.en": "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227",
    "raw/test_2016_flickr.de": "4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16",
    "raw/test_2016_flickr.en": "399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182",
    "tok/train.de": "cb5a23529b65ec2061f1dc446192a9c37382b63cc75f81a0be59d34894b3a505",
    "tok/train.en": "08925f8e0572bcd5a006702fc5fe20e2d77c6917d4eebd576fc20de6693c2119",
    "tok/val.de": "97232bd273eceb7207f689527386a97e4be2616b18ada47576bdaf96c8ae1f00",
    "tok/val.en": "46573ce391ae227f1c72f873392436a20ef18e0a6d518098cfbd70b77c8572ec",
    "tok/test_2016_flickr.de": "c6a33d39d48f9f510de147651316cd9d918e09ad0219df734a2f16b6baccacc4",
    "tok/test_2016_flickr.en": "5b7f32627cf99eced828311b955dae9800bb52bc8b91cf8b6526829e605b29d2",
}


def remote_files(variant, splits=SPLITS, languages=("de", "en")):
    """The files of a variant, as `fetch` takes them, in folders named by variant.

    Example:

    >>> [file.name for file in remote_files("tok", splits=["val"])]
    ['tok/val.lc.norm.tok.de', 'tok/val.lc.norm.tok.en']
    """
    _check("variant", variant, VARIANTS)
    files = []
    for split in splits:
        for language in languages:
            name = f"{variant}/{split}{VARIANTS[variant]}.{language}"
            url = f"{_URL}/{name}" + (".gz" if variant == "raw" else "")
            sha256 = _SHA256[f"{variant}/{split}.{language}"]
            files.append(RemoteFile(name, url, sha256, max_bytes=1 << 24))
    return files


def download(folder, variant, splits=SPLITS):
    """Fetches what is missing of a variant, checked by sha256, and returns the folder for `load`.

    Args:
        folder: holds one folder a variant; made if missing.
        variant: "raw" or "tok".
        splits: of "train", "val", "test_2016_flickr".

    Returns:
        `pathlib.Path` of the variant's folder.

    Raises:
        ConnectionError, ValueError: see `fetch`.

    Example:

    >>> import tempfile
    >>> download(tempfile.mkdtemp(), "raw", splits=[]).name     # nothing to fetch
    'raw'
    """
    fetch(remote_files(variant, splits), folder)
    return pathlib.Path(folder, variant)


def find(folder, split, variant, source="de", target="en"):
    """The two files of a split, plain or `.gz`, in the folder or in its folder named by variant.

    Returns:
        pair of `pathlib.Path`: source, target.

    Raises:
        FileNotFoundError: naming the file and the folder.

    Example:

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "val.de").touch(), (folder / "val.en").touch()
    >>> [path.name for path in find(folder, "val", "raw")]
    ['val.de', 'val.en']
    """
    _check("split", split, SPLITS)
    _check("variant", variant, VARIANTS)
    names = [f"{split}{VARIANTS[variant]}.{language}" for language in (source, target)]
    return tuple(_find_one(pathlib.Path(folder), name, variant) for name in names)


def load(folder, split, variant, source="de", target="en"):
    """The sentence pairs of a split.

    Args:
        folder: with the files of the variant, or with a folder of them named "raw" or "tok".
        split: "train" (29,000 pairs), "val" (1,014) or "test_2016_flickr" (1,000).
        variant: "raw" (as written) or "tok" (lower-cased, normalised, tokenised).
        source, target: languages, "de" and "en".

    Returns:
        `ParallelText`, which unpacks as `source, target`.

    Raises:
        FileNotFoundError, ValueError: see `read_parallel`.

    Example:

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "val.de").write_text("Ein Hund.")
    >>> _ = (folder / "val.en").write_text("A dog.")
    >>> source, target = load(folder, "val", "raw")
    >>> source, target
    (['Ein Hund.'], ['A dog.'])
    """
    return read_parallel(*find(folder, split, variant, source, target))


def _find_one(folder, name, variant):
    for path in (folder / name, folder / f"{name}.gz"):
        for candidate in (path, folder / variant / path.name):
            if candidate.is_file():
                return candidate
    raise FileNotFoundError(f"no {name} or {name}.gz in {folder} or {folder / variant}")


def _check(name, value, allowed):
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
