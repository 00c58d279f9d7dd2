"""The corpora that recipes train on."""

import hashlib
import pathlib

from keras_transformer import data
from recipes import dates

DOWNLOADS = pathlib.Path("runs/data")


def parallel_corpus(settings):
    """Training, validation and test pairs of a translation run, each a `data.ParallelText`.

    `settings.corpus` says where they come from: "dates" are generated, "tok" and "raw" are the
    variants of Multi30k (downloaded once where there is no `data_dir`), "files" are the user's own
    `train`, `val` and `test` with the two languages as suffixes, plain or `.gz`.
    """
    if settings.corpus == "dates":
        corpus = dates.corpus(seed=settings.seed)
        parts = (corpus.train, corpus.validation, corpus.test)
        return [data.ParallelText.from_lines(part.source, part.target) for part in parts]

    languages = settings.source, settings.target
    if settings.corpus == "files":
        if settings.data_dir is None:
            raise ValueError(
                "--data-dir is missing: the folder with your train, val and test files"
            )
        return [
            read_split(settings.data_dir, split, languages) for split in ("train", "val", "test")
        ]

    folder = settings.data_dir or data.multi30k.download(DOWNLOADS, settings.corpus)
    splits = ("train", "val", "test_2016_flickr")
    return [data.multi30k.load(folder, split, settings.corpus, *languages) for split in splits]


def fingerprint(*parts):
    """A sha256 of sentence pairs: a run goes on with the pairs that it began with alone."""
    digest = hashlib.sha256()
    for pairs in parts:
        for line in (*pairs.source, None, *pairs.target, None):
            content = b"" if line is None else line.encode("utf-8", "surrogatepass")
            digest.update(b"%d\n" % (-1 if line is None else len(content)) + content)
    return digest.hexdigest()


def read_split(folder, split, languages):
    """The pairs of `split.SOURCE` and `split.TARGET` in a folder, plain or `.gz`."""
    paths = [folder / f"{split}.{language}" for language in languages]
    packed = [path.with_name(f"{path.name}.gz") for path in paths]
    return data.read_parallel(
        *(
            gz if gz.exists() and not path.exists() else path
            for path, gz in zip(paths, packed, strict=True)
        )
    )
