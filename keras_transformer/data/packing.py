"""Several short records in one row, each in a segment of its own."""

import bisect
from typing import NamedTuple

import numpy as np

from keras_transformer.data.batches import IGNORED, check_int
from keras_transformer.data.records import flatten


class PackedRecords(NamedTuple):
    """Records side by side, as `RecordBatches` takes them.

    Attributes:
        ids, token_labels, segment_ids: lists of int arrays, one a row; segments count from 1.
        members: list of lists of int, the records of each row from 0, in their order.

    Example:

    >>> packed = pack_records([[5, 6], [7]], [[6, 3], [3]], length=3)
    >>> packed.segment_ids[0].tolist(), packed.members
    ([1, 1, 2], [[0, 1]])
    """

    ids: list
    token_labels: list
    segment_ids: list
    members: list


def pack_records(ids, token_labels, length, where=None):
    """Puts records into as few rows of `length` tokens as best-fit decreasing finds.

    Records stay whole. The longest comes first, into the row whose space it leaves least of.

    Args:
        ids: list of lists or arrays of int.
        token_labels: list like `ids`, one label a token.
        length: tokens of a row.
        where: function from the number of a record to what an error begins with.

    Returns:
        `PackedRecords`.

    Raises:
        ValueError: naming the record: it is longer than a row, has not as many labels as tokens, or
            holds what is no id.

    Example:

    >>> packed = pack_records([[1] * 3, [2] * 4, [3] * 2], [[1] * 3, [2] * 4, [3] * 2], length=6)
    >>> [row.tolist() for row in packed.ids]
    [[2, 2, 2, 2, 3, 3], [1, 1, 1]]
    """
    check_int("length", length, 1)
    where = where or "ids[{}]".format
    if len(ids) != len(token_labels):
        raise ValueError(
            f"token_labels must be as many as ids; got {len(token_labels)} for {len(ids)} records"
        )
    flatten("ids", ids, where)
    flatten("token_labels", token_labels, where)
    for n, (own, labels) in enumerate(zip(ids, token_labels, strict=True)):
        if len(own) > length:
            raise ValueError(f"{where(n)}: {len(own)} tokens, a row has {length}")
        if len(own) != len(labels):
            raise ValueError(f"{where(n)}: {len(labels)} token_labels for {len(own)} tokens")
    members = _best_fit([len(own) for own in ids], length)
    rows = [
        [
            np.concatenate([np.asarray(side[n], "int32") for n in row])
            for side in (ids, token_labels)
        ]
        + [np.repeat(np.arange(1, len(row) + 1, dtype="int32"), [len(ids[n]) for n in row])]
        for row in members
    ]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    return PackedRecords(*columns, members)


def next_tokens(ids, is_learned):
    """A sequence as a causal model reads it, and the labels of what it shall learn to write.

    Args:
        ids: (n + 1,) ints, a conversation with its end.
        is_learned: (n + 1,) bool, True for the tokens of answers.

    Returns:
        `(ids[:-1], labels)`, both (n,) int32: the label at t is token t + 1 if that is learned,
        else -100.

    Example:

    >>> inputs, labels = next_tokens([5, 6, 7, 3], [False, False, True, True])
    >>> inputs.tolist(), labels.tolist()
    ([5, 6, 7], [-100, 7, 3])
    """
    ids, is_learned = np.asarray(ids), np.asarray(is_learned, bool)
    if ids.ndim != 1 or ids.shape != is_learned.shape or len(ids) < 2:
        raise ValueError(
            "ids and is_learned must have the same length of at least 2; "
            f"got shapes {ids.shape} and {is_learned.shape}"
        )
    ids = flatten("ids", [ids], lambda n: "next_tokens").ids
    return ids[:-1], np.where(is_learned[1:], ids[1:], IGNORED).astype("int32")


def _best_fit(lengths, capacity):
    """Lists of records that fill rows: the longest first, each where it fits best."""
    rows, spaces, by_space = [], [], {}  # `spaces`: sorted sizes of what is left of some row
    for n in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        k = bisect.bisect_left(spaces, lengths[n])
        if k == len(spaces):
            rows.append([])
            row, space = len(rows) - 1, capacity
        else:
            space = spaces[k]
            row = by_space[space].pop()
            if not by_space[space]:
                del by_space[space], spaces[k]
        rows[row].append(n)
        left = space - lengths[n]
        if left not in by_space:
            bisect.insort(spaces, left)
            by_space[left] = []
        by_space[left].append(row)
    return rows
