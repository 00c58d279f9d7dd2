"""A stream of documents from plain text and JSONL, of any size."""

import os
import pathlib
from typing import NamedTuple

from keras_transformer.data.json_lines import iter_json_lines, require_text
from keras_transformer.data.reading import iter_lines

JSONL = (".jsonl", ".ndjson")
TEXT = (".txt", ".text", ".md", ".rst")
SPLITS = ("file", "paragraph", "line")


class Document(NamedTuple):
    """A text and where it begins.

    Example:

    >>> document = Document("To be, or not to be", "hamlet.txt", 1)
    >>> document.where
    'hamlet.txt:1'
    """

    text: str
    path: str
    line: int

    @property
    def where(self):
        """The place, for errors: "path:line"."""
        return f"{self.path}:{self.line}"


def read_documents(paths, split="file", text_key="text", suffixes=TEXT + JSONL):
    """The documents of files and folders, one by one.

    Of a folder, all files with one of the suffixes are read, those of its folders too, in the order
    of their paths; hidden ones are passed over. A file that is named itself may have any suffix:
    `.jsonl` and `.ndjson` have one object a line, all else is text. Blank documents are left out.

    Args:
        paths: a path or several, of files, plain or `.gz`, or folders.
        split: of a text, what is one document: the whole "file", a "paragraph" (blank lines part
            them) or a "line". Only a whole file must fit into memory.
        text_key: key of the text in JSONL.
        suffixes: of the files to read in a folder, apart from `.gz`.

    Returns:
        iterator of `Document`. Paths are checked before the first is asked for.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: a folder without such files; or, while iterating, naming file and line: text
            that is not UTF-8, not JSON, a key that is missing; a file without any text.

    Example:

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.txt").write_text("To be,\\nor not to be.\\n\\nWords.\\n")
    >>> [document.text for document in read_documents(folder, split="paragraph")]
    ['To be,\\nor not to be.', 'Words.']
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not paths:
        raise ValueError("paths must name at least one file or folder; got none")
    files = [file for path in paths for file in _files(pathlib.Path(path), tuple(suffixes))]
    return _documents(files, split, text_key)


def _documents(files, split, text_key):
    for path in files:
        path, is_blank = os.fspath(path), True
        for text, line in _split(path, split, text_key):
            if text.strip():
                is_blank = False
                yield Document(text, path, line)
        if is_blank:
            raise ValueError(f"{path}: no text, the file is blank")


def _files(path, suffixes):
    """The files of a path: itself, or what a folder holds."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"no such file or folder: {path}")
    files = [
        file
        for file in sorted(path.rglob("*"))
        if file.name.lower().removesuffix(".gz").endswith(suffixes)
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    if not files:
        raise ValueError(f"{path}: no file there ends with {', '.join(suffixes)}, or these and .gz")
    return files


def _split(path, split, text_key):
    """Pairs (text, its first line)."""
    if path.lower().removesuffix(".gz").endswith(JSONL):
        for n, record in iter_json_lines(path):
            yield require_text(record, text_key, f"{path}:{n}"), n
    elif split == "line":
        for n, line in enumerate(iter_lines(path), 1):
            yield line, n
    elif split == "file":
        yield "".join(iter_lines(path, keep_ends=True)), 1
    else:
        paragraph = []
        for n, line in enumerate(iter_lines(path), 1):
            if line.strip():
                paragraph.append(line)
            elif paragraph:
                yield "\n".join(paragraph), n - len(paragraph)
                paragraph = []
        if paragraph:
            yield "\n".join(paragraph), n - len(paragraph) + 1
