"""Records held out of a training set, where there is no other validation set."""

import dataclasses

import numpy as np

from keras_transformer.data.batches import check_int


def hold_out(records, share=0.1, seed=0):
    """Parts records at random into those to train on and those kept for validation.

    Both parts keep the order of the file, and each record its line. The same seed gives the same
    parts.

    Args:
        records: what a reader gave: `Table`, `TaggedText`, `SpanText`, `ParallelText`,
            `TextTriples` or `Conversations`; or a list, or what can be made one, as an iterator.
        share: of the records to hold out, more than 0 and less than 1; rounded to at least one.
        seed: int of 0 or more.

    Returns:
        pair (to train on, held out), both of the type of `records`.

    Raises:
        ValueError: fewer than two records, or a share out of its range.

    Example:

    >>> train, valid = hold_out(["a", "b", "c", "d", "e"], share=0.2)
    >>> len(train), len(valid), sorted(train + valid)
    (4, 1, ['a', 'b', 'c', 'd', 'e'])
    """
    check_int("seed", seed, 0)
    if not 0 < share < 1:
        raise ValueError(f"share must be more than 0 and less than 1; got {share!r}")
    if not hasattr(records, "__len__"):
        records = list(records)
    number = len(records)
    if number < 2:
        raise ValueError(f"records must be at least 2 to hold some of them out; got {number}")
    size = min(max(1, round(share * number)), number - 1)
    is_held_out = np.zeros(number, bool)
    is_held_out[np.random.default_rng(seed).permutation(number)[:size]] = True
    return tuple(
        _select(records, np.flatnonzero(chosen).tolist()) for chosen in (~is_held_out, is_held_out)
    )


def _select(records, chosen):
    if not dataclasses.is_dataclass(records):
        return [records[n] for n in chosen]
    changes = {}
    for field in dataclasses.fields(records):
        value = getattr(records, field.name)
        if isinstance(value, list):
            changes[field.name] = [value[n] for n in chosen]
        elif isinstance(value, dict):  # of columns
            changes[field.name] = {k: [v[n] for n in chosen] for k, v in value.items()}
    return dataclasses.replace(records, **changes)
