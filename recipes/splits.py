"""Training, validation and test data: their files, and what is done where one is missing."""

import collections

import numpy as np


def find_split(folder, name, suffixes):
    """The file of a split, `name.SUFFIX` or `name.SUFFIX.gz`; None where there is none.

    Raises:
        ValueError: there are several.
    """
    paths = [folder / f"{name}{suffix}{gz}" for suffix in suffixes for gz in ("", ".gz")]
    found = [path for path in paths if path.exists()]
    if len(found) > 1:
        there = ", ".join(path.name for path in found)
        raise ValueError(f"{folder}: one {name} file is expected; there are {there}")
    return found[0] if found else None


def read_splits(folder, suffixes, read):
    """Training, validation and test data of a folder's `train`, `val` and `test` files.

    Args:
        folder: of the files.
        suffixes: those that a file may have, such as ".csv".
        read: function from a path to its data.

    Returns:
        What `read` gives for each; None where there is no `val` or `test`.

    Raises:
        ValueError: no folder was given.
        FileNotFoundError: there is no training file.
    """
    if folder is None:
        raise ValueError("--data-dir is missing: the folder with your train, val and test files")
    paths = [find_split(folder, name, suffixes) for name in ("train", "val", "test")]
    if paths[0] is None:
        expected = ", ".join(f"train{suffix}" for suffix in suffixes)
        raise FileNotFoundError(f"{folder}: no training file; expected one of {expected}, or .gz")
    return [None if path is None else read(path) for path in paths]


def column_number(column):
    """The number of a column of a file that has no line of names."""
    if not column.isdecimal():
        raise ValueError(f"columns must be numbers from 0 with --no-header; got {column!r}")
    return int(column)


def hold_out(examples, seed, share=0.1, labels=None):
    """Examples without a share of them, drawn at random, and that share.

    Args:
        examples: with `take(numbers)` and a length.
        seed: of the draw.
        share: between 0 and 1.
        labels: a collection of labels for each example; the last example of a label stays, so that
            all that validation asks for can be learned. None: any example may be drawn.

    Raises:
        ValueError: there are too few examples, or each is the last one of a label.
    """
    order = np.random.default_rng(seed).permutation(len(examples))
    size = max(1, int(share * len(examples)))
    if size >= len(examples):
        raise ValueError(f"{len(examples)} records are too few to keep some for validation")
    labels = [set() if labels is None else set(labels[n]) for n in range(len(examples))]
    left = collections.Counter(label for own in labels for label in own)
    held = []
    for n in order:
        if len(held) < size and all(left[label] > 1 for label in labels[n]):
            held.append(n)
            left.subtract(labels[n])
    if not held:
        raise ValueError(
            f"none of {len(examples)} records can be kept for validation: each has a label that no "
            "other has; add a val file"
        )
    return examples.take(sorted(set(order) - set(held))), examples.take(sorted(held))
