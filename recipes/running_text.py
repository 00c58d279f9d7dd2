"""A text of any size as token ids on disk, with the vocabulary that is learned from it.

The text is read line by line and never whole. What is made of it lies in the folder of the run, and
is taken from there while text and settings are the same.
"""

import functools
import hashlib
import json
import pathlib
import shutil
import sysconfig
from typing import NamedTuple

from keras_transformer import data, text
from keras_transformer.checkpoints.files import write_json
from keras_transformer.checkpoints.hub import find_folder
from keras_transformer.data.documents import JSONL
from keras_transformer.data.reading import iter_lines
from recipes.vocabularies import train_vocabulary

PIECE = 1 << 20  # characters that are encoded together, at least
SAMPLE = 1 << 27  # characters that subwords are learned from, at most
SUBWORDS = 4096  # of a vocabulary where no one says how many
MARK = "text.json"  # says what a folder of tokens was made of


class Corpus(NamedTuple):
    """A tokenizer and a text as it cuts it: what is trained on, and behind it what is not."""

    tokenizer: text.Tokenizer
    train: data.TokenShards
    valid: data.TokenShards
    characters: int
    """Of both parts."""
    valid_characters: int
    sha256: str
    """Of the text, in UTF-8."""


def prepare(settings):
    """The `Corpus` of settings, read again and, where nothing has changed, not encoded again.

    Args:
        settings: with `data_dir`, `run_dir`, `validation`, `tokens`, `vocab_size` and
            `from_checkpoint`, whose tokenizer is taken where one is named.

    Raises:
        FileNotFoundError: there is no such file, folder or checkpoint.
        ValueError: naming the file: there is too little text, or none.
    """
    where = place(settings)
    lines = functools.partial(read_lines, settings.data_dir)
    characters, sha256 = measure(lines(), where)
    end = int(characters * (1 - settings.validation))
    if not 0 < end < characters:
        raise ValueError(
            f"{where}: {characters} characters are too few to part them into some for training "
            f"and some for validation (--validation {settings.validation})"
        )
    tokenizer = None
    if settings.from_checkpoint is not None:
        tokenizer = text.Tokenizer.load(find_folder(settings.from_checkpoint))
    made_of = {
        "sha256": sha256,
        "validation": settings.validation,
        "tokens": settings.tokens,
        "vocab_size": settings.vocab_size,
        "tokenizer": tokenizer and tokenizer.fingerprint,
    }
    folder = settings.run_dir / "cache"
    if not is_made_of(folder, made_of):
        try:
            write(folder, settings, tokenizer, lines, end)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        write_json(folder / MARK, made_of)  # last: a folder with it is whole
    parts = (data.TokenShards(folder / name) for name in ("train", "valid"))
    tokenizer = text.Tokenizer.load(folder)
    return Corpus(tokenizer, *parts, characters, characters - end, sha256)


def place(settings):
    """What errors call the text."""
    return settings.data_dir or "Python's library"


# Reading


def read_lines(data_dir):
    """The lines with their ends, one document after the other with a line feed between them.

    A file of plain text may be of any size; of a folder, each must fit into memory.
    """
    if data_dir is not None and data_dir.is_file() and not is_jsonl(data_dir):
        yield from iter_lines(data_dir, keep_ends=True)
        return
    for number, document in enumerate(read_documents(data_dir)):
        if number:
            yield "\n"
        yield from document.splitlines(keepends=True)


def is_jsonl(path):
    """Whether a file has an object a line, by its name."""
    return path.name.lower().removesuffix(".gz").endswith(JSONL)


def read_documents(data_dir):
    """The texts of files and folders; without any, the source of Python's library."""
    if data_dir is not None:
        return (document.text for document in data.read_documents(data_dir))
    folder = pathlib.Path(sysconfig.get_path("stdlib"))
    paths = sorted(path for path in folder.glob("*.py") if path.stat().st_size > 0)
    return (path.read_text(encoding="utf-8", errors="replace") for path in paths)


def measure(lines, where):
    """Number of characters, and sha256, of a text that is not blank."""
    digest, count, is_blank = hashlib.sha256(), 0, True
    for line in lines:
        digest.update(line.encode("utf-8", "surrogatepass"))
        count += len(line)
        is_blank = is_blank and not line.strip()
    if is_blank:
        raise ValueError(f"{where}: no text, all of it is blank")
    return count, digest.hexdigest()


def pieces(lines, start=0, end=None):
    """The characters `start` to `end` of a text, in strings of about a million.

    Example:

    >>> "".join(pieces(["to be,\\n", "or not\\n", "to be"], 3, 10))
    'be,\\nor '
    """
    pending, size, begin = [], 0, 0
    for line in lines:
        stop = None if end is None else max(end - begin, 0)
        pending.append(line[max(start - begin, 0) : stop])
        size += len(pending[-1])
        begin += len(line)
        if size >= PIECE:
            yield "".join(pending)
            pending, size = [], 0
        if end is not None and begin >= end:
            break
    if size:
        yield "".join(pending)


# Tokens


def write(folder, settings, tokenizer, lines, end):
    """Fills a folder with the tokenizer, the checkpoint's or a new one, and with both parts."""
    clear(folder)
    if tokenizer is None:
        tokenizer = learn(settings, pieces(lines(), 0, end))
    tokenizer.save(folder)
    for name, part in (("train", pieces(lines(), 0, end)), ("valid", pieces(lines(), end))):
        data.write_shards(folder / name, map(tokenizer.encode, part), tokenizer.vocab_size)


def clear(folder):
    """Removes what a folder has of an earlier text; one of somebody else's is refused."""
    mark = folder / MARK
    there = [*folder.iterdir()] if folder.is_dir() else []
    if there and not mark.is_file():
        raise ValueError(
            f"{folder} is not empty, and no folder of tokens that this recipe has made: it is left "
            "as it is; choose another --run-dir"
        )
    write_json(mark, {"sha256": None})  # first: from now on what is there is ours
    for path in there:
        if path.is_dir():
            shutil.rmtree(path)
        elif path != mark:
            path.unlink()


def is_made_of(folder, made_of):
    """Whether a folder is whole, and of the same text and settings."""
    path = folder / MARK
    return path.is_file() and json.loads(path.read_text("utf-8")) == made_of


def learn(settings, training_text):
    """The vocabulary, of the training text alone. The same text gives the same one again."""
    if settings.tokens == "bytes":
        return text.ByteTokenizer(extra_ids=0)
    if settings.tokens == "characters":
        return text.CharacterTokenizer.train([training_text], settings.vocab_size)
    sample, size = [], 0
    for piece in training_text:
        sample.append(piece)
        size += len(piece)
        if size >= SAMPLE:
            print(f"subwords are learned from the first {size:,} characters")
            break
    train = functools.partial(text.BytePairTokenizer.train, [sample])
    return train_vocabulary(train, settings.vocab_size or SUBWORDS)
