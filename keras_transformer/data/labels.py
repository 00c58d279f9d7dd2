"""The vocabulary of labels: names to ids and back."""

import dataclasses
from collections.abc import Iterable

import numpy as np

SHOWN = 20  # labels that an error lists


@dataclasses.dataclass(frozen=True)
class Labels:
    """Names of classes in a fixed order: the id of a name is its place, from 0.

    Labels are made from the training set and used for all others, where a name that is not among
    them is an error that says where it stands.

    Attributes:
        names: tuple of str, no two alike.

    Raises:
        TypeError, ValueError: no names, one that is not a str or blank, or two alike.

    Example:

    >>> labels = Labels(("negative", "positive"))
    >>> labels.ids(["positive", "negative"]).tolist(), labels.name(1)
    ([1, 0], 'positive')
    >>> labels.ids(["neutral"], where=lambda i: f"dev.tsv:{i + 1}")
    Traceback (most recent call last):
    ValueError: dev.tsv:1: unknown label 'neutral'; expected one of 'negative', 'positive'
    """

    names: tuple

    def __post_init__(self):
        if isinstance(self.names, str):
            raise TypeError(f"names must be several str; got the one str {self.names!r}")
        object.__setattr__(self, "names", tuple(self.names))
        if not self.names:
            raise ValueError("names must have at least one label; got none")
        for name in self.names:
            if not isinstance(name, str):
                raise TypeError(f"names must be str; got {name!r}")
            if not name.strip():
                raise ValueError(f"names must not be blank; got {name!r}")
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise ValueError(f"names must differ; {twice!r} comes more than once")
        object.__setattr__(self, "_id_of", {name: i for i, name in enumerate(self.names)})

    @classmethod
    def of(cls, values):
        """The labels that occur, in the order of the alphabet; whole numbers by their size.

        Args:
            values: str, or lists of str where a record has several; nested as deep as wanted.

        Returns:
            `Labels`.

        Raises:
            TypeError: one str in place of a list, or a value that is neither.

        Example:

        >>> Labels.of(["b", "a", "b"]).names, Labels.of([["10", "9"], []]).names
        (('a', 'b'), ('9', '10'))
        """
        if isinstance(values, str):
            raise TypeError(f"values must be a list of str; got the one str {values!r}")
        found = set(_flatten(values))
        if all(name.removeprefix("-").isdecimal() for name in found):
            return cls(tuple(sorted(found, key=lambda name: (int(name), name))))
        return cls(tuple(sorted(found)))

    def __len__(self):
        return len(self.names)

    def __iter__(self):
        return iter(self.names)

    def __contains__(self, name):
        return name in self._id_of

    def id(self, name, where=None):
        """The id of a name.

        Args:
            name: str.
            where: what an error begins with, such as "dev.tsv:17".

        Raises:
            ValueError: where, the name, and the labels that are known.
        """
        try:
            return self._id_of[name]
        except KeyError:
            known = ", ".join(map(repr, self.names[:SHOWN]))
            if len(self) > SHOWN:
                known += f" and {len(self) - SHOWN} more"
            start = f"{where}: " if where else ""
            raise ValueError(f"{start}unknown label {name!r}; expected one of {known}") from None

    def name(self, id):
        """The name of an id, an int of 0 to C - 1."""
        if not 0 <= id < len(self):
            raise ValueError(f"id must be 0 to {len(self) - 1}; got {id}")
        return self.names[id]

    def ids(self, names, where=None):
        """The ids of one name a record.

        Args:
            names: list of str.
            where: function from the number of a record to what an error begins with, such as
                `Table.where`.

        Returns:
            (N,) int32.

        Raises:
            ValueError: see `id`.
        """
        ids = [self.id(name, where and _Where(where, n)) for n, name in enumerate(names)]
        return np.array(ids, "int32")

    def indicators(self, name_lists, where=None):
        """Which labels each record has.

        Args:
            name_lists: list of lists of str; an empty one has none of the labels.
            where: see `ids`.

        Returns:
            (N, C) float32 of 0 and 1.

        Raises:
            ValueError: see `id`.
            TypeError: one str in place of a list.

        Example:

        >>> Labels(("a", "b", "c")).indicators([["c", "a"], []]).tolist()
        [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
        """
        indicators = np.zeros((len(name_lists), len(self)), "float32")
        for n, names in enumerate(name_lists):
            if isinstance(names, str):
                start = f"{where(n)}: " if where else ""
                raise TypeError(f"{start}name_lists must hold lists of str; got {names!r}")
            for name in names:
                indicators[n, self.id(name, where and _Where(where, n))] = 1.0
        return indicators


def balanced_weights(ids, num_classes):
    """A weight for each record, so that all classes weigh the same: N / (C · records of its class).

    Args:
        ids: (N,) int, the class of each record.
        num_classes: C; a class without records changes nothing for the others.

    Returns:
        (N,) float32, as `RecordBatches` takes `weights`; their mean is 1 if every class occurs.

    Raises:
        ValueError: an id outside 0 to C - 1.

    Example:

    >>> balanced_weights([0, 0, 0, 0, 1, 1, 2, 3], num_classes=4).tolist()
    [0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 2.0, 2.0]

    Reference: King and Zeng 2001, "Logistic Regression in Rare Events Data".
    """
    ids = np.asarray(ids)
    wrong = (ids < 0) | (ids >= num_classes)
    if wrong.any():
        raise ValueError(f"ids must be 0 to {num_classes - 1}; got {ids[wrong][0]}")
    count = np.bincount(ids, minlength=num_classes)
    return (len(ids) / (num_classes * np.maximum(count, 1)))[ids].astype("float32")


class _Where:
    """A place that is put into words only when there is an error."""

    def __init__(self, where, record):
        self.where, self.record = where, record

    def __str__(self):
        return self.where(self.record)


def _flatten(values):
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Iterable) and not isinstance(value, bytes | dict):
            yield from _flatten(value)
        else:
            raise TypeError(f"values must be str, or lists of str; got {value!r}")
