"""Records in columns: CSV, TSV and JSONL, plain or gzipped."""

import csv
import dataclasses
import json
import math
import os

import numpy as np

from keras_transformer.data.json_lines import iter_json_lines, require
from keras_transformer.data.reading import read_lines

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".txt": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
LARGEST = float(np.finfo("float32").max)
LONGEST_FIELD = 2**31 - 1  # Python's csv module stops at 131,072 characters if not told


@dataclasses.dataclass(frozen=True)
class Table:
    """The columns of a file, and the line that each record begins in.

    Attributes:
        path: str.
        columns: dict of lists, all of one length. Values are str; in JSONL whatever JSON has.
        lines: list of int, from 1.

    Example:

    >>> table = Table("dev.csv", {"text": ["good", "bad"], "stars": ["4.5", "1"]}, [2, 3])
    >>> table.texts("text"), table.numbers("stars").tolist(), table.where(1)
    (['good', 'bad'], [4.5, 1.0], 'dev.csv:3')
    """

    path: str
    columns: dict
    lines: list

    def __len__(self):
        return len(self.lines)

    def where(self, record):
        """The place of a record, from 0, for errors: "path:line"."""
        return f"{self.path}:{self.lines[record]}"

    def texts(self, name):
        """A column of texts.

        Returns:
            list of str, as they stand in the file.

        Raises:
            ValueError: there is no such column, a value is not a text, or all of them are blank.
        """
        values = self._column(name)
        for n, value in enumerate(values):
            if not isinstance(value, str):
                raise self._error(n, name, "a text", value)
        if not any(value.strip() for value in values):
            raise ValueError(f"{self.path}: column {name!r} is blank in all {len(self)} records")
        return values

    def numbers(self, name):
        """A column of finite numbers.

        Returns:
            (N,) float32.

        Raises:
            ValueError: naming file and line of a value that is no number, or none of float32.
        """
        return np.array([self._number(n, name, v) for n, v in enumerate(self._column(name))], "f4")

    def labels(self, name):
        """A column with one label a record, without white space around it.

        Returns:
            list of str; JSON's whole numbers and truth values as they are written.

        Raises:
            ValueError: naming file and line of a value that is blank or no label.
        """
        return [self._label(n, name, value) for n, value in enumerate(self._column(name))]

    def label_lists(self, name, separator=","):
        """A column with any number of labels a record: parted by a separator, or JSON lists.

        Args:
            name: of the column.
            separator: between two labels of a text; blank texts have no label.

        Returns:
            list of lists of str.

        Raises:
            ValueError: naming file and line of a value that is neither, or of a label twice.
        """
        if not separator:
            raise ValueError(f"separator must not be empty; got {separator!r}")
        return [self._labels(n, name, v, separator) for n, v in enumerate(self._column(name))]

    def _labels(self, n, name, value, separator):
        if isinstance(value, str):
            value = value.strip()
            if value.startswith("["):
                try:
                    value = json.loads(value)
                except json.JSONDecodeError:
                    raise self._error(n, name, "a list of labels", value) from None
            else:
                value = value.split(separator) if value else []
        if not isinstance(value, list):
            raise self._error(n, name, "a list of labels", value)
        labels = [self._label(n, name, label) for label in value]
        if len(set(labels)) < len(labels):
            raise self._error(n, name, "labels that differ", value)
        return labels

    def _label(self, n, name, value):
        if isinstance(value, bool | int):
            value = json.dumps(value)
        if not isinstance(value, str) or not value.strip():
            raise self._error(n, name, "a label", value)
        return value.strip()

    def _number(self, n, name, value):
        try:
            number = float(value) if isinstance(value, str | int | float) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        # Python reads 1_000, which no file means; beyond the largest float32 are infinities.
        is_odd = isinstance(value, bool) or isinstance(value, str) and "_" in value
        if is_odd or not abs(number) <= LARGEST:
            raise self._error(n, name, "a finite number", value)
        return number

    def _column(self, name):
        if name not in self.columns:
            raise ValueError(f"{self.path}: {_no_column(name, list(self.columns))}")
        return self.columns[name]

    def _error(self, n, name, expected, value):
        value = repr(value)
        value = value if len(value) <= 80 else f"{value[:77]}..."
        return ValueError(f"{self.where(n)}: column {name!r} must be {expected}; got {value}")


def read_table(path, columns=None, header=True, format=None, delimiter=","):
    r"""The columns of a CSV, TSV or JSONL file.

    CSV is quoted as in RFC 4180, line feeds inside quotes included. TSV has no quoting: a quote is
    a quote. What spreadsheets call tab-separated may be quoted: `format="csv", delimiter="\t"`.
    JSONL has one object a line. Blank lines are passed over.

    Args:
        path: a UTF-8 file, plain or `.gz`; `.csv`, `.tsv`, `.tab`, `.txt` (as TSV), `.jsonl` or
            `.ndjson`.
        columns: which to read, by name or by number from 0; a dict gives them other names:
            `{"text": "sentence"}`. `None`: all (in JSONL: those of the first record).
        header: `True`: the first line names the columns; `False`: the file has no such line;
            or the names, for a file without. JSONL has its names with it.
        format: "csv", "tsv" or "jsonl", where the name of the file does not tell.
        delimiter: of CSV, one character.

    Returns:
        `Table`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: naming file and line: text that is not UTF-8, a record with more or fewer
            columns than the first, wrong quotes; a column that is not there; no record at all.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "train.csv"
    >>> _ = path.write_text('text,category\n"Well, no.",7\nYes.,9\n', "utf-8")
    >>> table = read_table(path)
    >>> table.texts("text"), table.labels("category"), table.lines
    (['Well, no.', 'Yes.'], ['7', '9'], [2, 3])

    Reference: [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180).
    """
    path = os.fspath(path)
    format = _format_of(path) if format is None else format
    wanted = _wanted(columns)
    if format == "jsonl":
        return _read_jsonl(path, wanted)
    if format == "csv":
        rows = _csv_rows(path, delimiter)
    elif format == "tsv":
        rows = ((n, line.split("\t")) for n, line in enumerate(read_lines(path), 1) if line.strip())
    else:
        raise ValueError(f"format must be one of csv, tsv, jsonl; got {format!r}")
    return _from_rows(path, rows, wanted, header)


def _from_rows(path, rows, wanted, header):
    rows = list(rows)
    if not rows:
        raise ValueError(f"{path}: no records, the file is blank")
    first, width = rows[0][0], len(rows[0][1])
    if header is True:
        names, rows = rows[0][1], rows[1:]
    elif header is False:
        names = list(range(width))
    else:
        names = list(header)
        if len(names) != width:
            raise ValueError(f"{path}:{first}: {width} columns, header names {len(names)}")
    if not rows:
        raise ValueError(f"{path}: no records, only the line of column names")
    for n, row in rows:
        if len(row) != width:
            raise ValueError(f"{path}:{n}: {len(row)} columns, expected {width} as in line {first}")
    if wanted is None:
        wanted = {name: name for name in names}
    indices = {new: _index(path, old, names, header, first) for new, old in wanted.items()}
    columns = {new: [row[i] for _, row in rows] for new, i in indices.items()}
    return Table(path, columns, [n for n, _ in rows])


def _index(path, column, names, header, first):
    """The place of a column, which is given by number or by name."""
    if isinstance(column, int) and 0 <= column < len(names):
        return column
    if names.count(column) == 1:
        return names.index(column)
    if column in names:
        raise ValueError(f"{path}:{first}: {names.count(column)} columns are called {column!r}")
    message = f"{path}:{first}: {_no_column(column, names)}"
    if isinstance(column, str) and header is True:
        message += "; if the first line is a record, pass header=False and columns by number"
    elif isinstance(column, str) and header is False:
        message += "; header=False leaves them without names"
    raise ValueError(message)


def _csv_rows(path, delimiter):
    """Pairs (line that a record begins in, its columns)."""
    lines = read_lines(path)
    limit = csv.field_size_limit(LONGEST_FIELD)
    start = 1
    try:
        reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, strict=True)
        rows = []
        for row in reader:
            if any(value.strip() for value in row):
                rows.append((start, row))
            start = reader.line_num + 1
        return rows
    except csv.Error as error:
        raise ValueError(f"{path}:{start}: not CSV, the record that begins here: {error}") from None
    finally:
        csv.field_size_limit(limit)


def _read_jsonl(path, wanted):
    lines, columns = [], None
    for n, record in iter_json_lines(path):
        if columns is None:
            wanted = {key: key for key in record} if wanted is None else wanted
            columns = {new: [] for new in wanted}
        values = require(record, wanted.values(), f"{path}:{n}")
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
        lines.append(n)
    if not lines:
        raise ValueError(f"{path}: no records, the file is blank")
    return Table(path, columns, lines)


def _wanted(columns):
    """What to read, as a dict of new name to name or number in the file; `None`: everything."""
    if columns is None:
        return None
    if isinstance(columns, str | int):
        raise TypeError(f"columns must be a list or a dict; got {columns!r}")
    wanted = dict(columns) if isinstance(columns, dict) else {name: name for name in columns}
    for column in wanted.values():
        if isinstance(column, bool) or not isinstance(column, str | int):
            raise TypeError(f"columns must be names or numbers; got {column!r}")
        if isinstance(column, int) and column < 0:
            raise ValueError(f"columns are numbered from 0; got {column}")
    if not wanted:
        raise ValueError("columns must name at least one column; got none")
    return wanted


def _format_of(path):
    suffix = os.path.splitext(path.lower().removesuffix(".gz"))[1]
    if suffix not in FORMATS:
        raise ValueError(
            f"{path}: cannot tell the format from the name; expected one of {', '.join(FORMATS)}, "
            "perhaps with .gz, or pass format"
        )
    return FORMATS[suffix]


def _no_column(name, there):
    return f"no column {name!r}; its columns are {', '.join(map(repr, there))}"
