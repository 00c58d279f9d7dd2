"""Readers of parallel text: two files of equally many lines, or one file of tab-separated pairs.

Lines end with a line feed or a carriage return and line feed, and with nothing else: U+2028, form
feeds and the like stand inside sentences, and splitting at them would shift all that follows.
"""

import dataclasses
import gzip
import os
import zlib


@dataclasses.dataclass(frozen=True)
class ParallelText:
    """Sentence pairs, and where each came from. Unpacks as `source, target = text`.

    A pair of which one side or both are blank (nothing but white space) has nothing to learn from:
    it is left out and counted.

    Attributes:
        source, target: lists of str of one length, without the ends of lines.
        lines: list of int, the line of each pair in its files, from 1.
        num_blank: int, pairs left out as blank.
        names: pair of str, what source and target are called in errors.

    Example:

    >>> text = ParallelText.from_lines(["Ein Hund.", " "], ["A dog.", "A cat."])
    >>> source, target = text
    >>> source, target, text.num_blank
    (['Ein Hund.'], ['A dog.'], 1)
    """

    source: list
    target: list
    lines: list
    num_blank: int = 0
    names: tuple = ("source", "target")

    @classmethod
    def from_lines(cls, source, target, names=("source", "target")):
        """From two lists of str. Raises `ValueError` if unequally long, or all blank."""
        for name, side in zip(names, (source, target), strict=True):
            for n, line in enumerate(side):
                if not isinstance(line, str):
                    raise TypeError(f"{name}[{n}] must be a str; got {type(line).__name__}")
        if len(source) != len(target):
            raise ValueError(
                f"source and target must have equally many lines; "
                f"{names[0]} has {len(source)}, {names[1]} has {len(target)}"
            )
        kept = [
            (s, t, n)
            for n, (s, t) in enumerate(zip(source, target, strict=True), 1)
            if s.strip() and t.strip()
        ]
        if not kept:
            where = " and ".join(dict.fromkeys(names))
            raise ValueError(f"{where}: no sentence pairs ({len(source)} lines, all of them blank)")
        num_blank = len(source) - len(kept)
        source, target, lines = (list(x) for x in zip(*kept, strict=True))
        return cls(source, target, lines, num_blank, names)

    def __len__(self):
        return len(self.lines)

    def __iter__(self):
        return iter((self.source, self.target))


def read_lines(path):
    """The lines of a UTF-8 text file, plain or gzipped (a name that ends with `.gz`).

    A byte order mark at the beginning and the ends of lines are not part of the text.

    Returns:
        list of str.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: naming file and line, where the text is not UTF-8; or a damaged gzip file.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "train.de"
    >>> _ = path.write_bytes("Ein Hund läuft.\\r\\nEine Katze.".encode())
    >>> read_lines(path)
    ['Ein Hund läuft.', 'Eine Katze.']
    """
    return list(iter_lines(path))


def iter_lines(path, keep_ends=False):
    """The lines of a file one by one, as `read_lines` gives them, of files of any size.

    Args:
        path: see `read_lines`.
        keep_ends: leave a line feed, and nothing else, at the end of each line that has one.

    Yields:
        str.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        why = " (it is a folder)" if os.path.isdir(path) else ""
        raise FileNotFoundError(f"no such file: {path}{why}")
    try:
        with (gzip.open if path.lower().endswith(".gz") else open)(path, "rb") as file:
            for n, line in enumerate(file, 1):  # binary files are split at line feeds alone
                if n == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                    if not line:  # an empty file with a byte order mark
                        continue
                text = _decode(line.removesuffix(b"\n").removesuffix(b"\r"), path, n)
                yield f"{text}\n" if keep_ends and line.endswith(b"\n") else text
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: not a whole gzip file ({error})") from error


def read_parallel(source_path, target_path):
    """Sentence pairs from two files, line by line: line n of one translates line n of the other.

    Pairs with a blank side are left out and counted in `num_blank`.

    Args:
        source_path, target_path: UTF-8 text files, one sentence a line, plain or `.gz`.

    Returns:
        `ParallelText`, which unpacks as `source, target`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: unequal numbers of lines, text that is not UTF-8, or no pair at all.

    Example:

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "train.de").write_text("Ein Hund.\\n", "utf-8")
    >>> _ = (folder / "train.en").write_text("A dog.\\n", "utf-8")
    >>> source, target = read_parallel(folder / "train.de", folder / "train.en")
    >>> source, target
    (['Ein Hund.'], ['A dog.'])
    """
    names = os.fspath(source_path), os.fspath(target_path)
    return ParallelText.from_lines(read_lines(source_path), read_lines(target_path), names)


def read_tsv(path, source_column=0, target_column=1):
    """Sentence pairs from one file of tab-separated columns, without quoting.

    Pairs with a blank side are left out and counted in `num_blank`.

    Args:
        path: a UTF-8 text file, plain or `.gz`.
        source_column, target_column: columns of the pair, from 0.

    Returns:
        `ParallelText`, which unpacks as `source, target`.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: naming file and line: too few columns, text that is not UTF-8; or no pair.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "pairs.tsv"
    >>> _ = path.write_text("1\\tA dog.\\tEin Hund.\\n", "utf-8")
    >>> source, target = read_tsv(path, source_column=2, target_column=1)
    >>> source, target
    (['Ein Hund.'], ['A dog.'])
    """
    path = os.fspath(path)
    if min(source_column, target_column) < 0:
        raise ValueError(
            f"source_column and target_column count from 0; got {source_column}, {target_column}"
        )
    needed = max(source_column, target_column) + 1
    source, target = [], []
    for n, line in enumerate(read_lines(path), 1):
        columns = line.split("\t")
        if not line.strip():
            columns = [""] * needed
        elif len(columns) < needed:
            raise ValueError(f"{path}:{n}: {len(columns)} columns, at least {needed} are needed")
        source.append(columns[source_column])
        target.append(columns[target_column])
    return ParallelText.from_lines(source, target, (path, path))


def _decode(line, path, number):
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}:{number}: not UTF-8 (byte {line[error.start]:#04x} at position {error.start})"
        ) from None
