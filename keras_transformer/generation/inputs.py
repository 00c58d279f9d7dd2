"""What a user may pass to `generate`: checked, and brought into few shapes."""

from typing import NamedTuple

import numpy as np

from keras_transformer.generation.decoding import check_positive, end_tokens

TOKENS, MASK = "encoder_token_ids", "encoder_padding_mask"
PROMPT_TOKENS, PROMPT_MASK = "token_ids", "padding_mask"


class Names(NamedTuple):
    """What the inputs of a kind of model are called."""

    tokens: str
    mask: str
    row: str  # one of them, in messages


SOURCES = Names(TOKENS, MASK, "source")
PROMPTS = Names(PROMPT_TOKENS, PROMPT_MASK, "prompt")


def names_of(model):
    """`PROMPTS` for models whose new tokens follow the inputs, `SOURCES` for encoder-decoders."""
    return PROMPTS if hasattr(model, "prompt") else SOURCES


def check_sources(inputs, config, names=SOURCES):
    """Ids as a rectangle, checked where they enter: compiled code would clamp them.

    Args:
        inputs: a dictionary with `encoder_token_ids` and perhaps `encoder_padding_mask`
            (`decoder_*` entries of a training batch are ignored), or the ids alone: (B, S)
            integers, a tensor of any backend, or a list of B lists.
        config: the model's.
        names: the dictionary's keys.

    Returns:
        tokens (B, S) int32, `pad_id` where padded; mask (B, S) bool, no column all padding
        after the last that is not.
    """
    mask = None
    if isinstance(inputs, dict):
        known = (names.tokens, names.mask)
        unknown = [k for k in inputs if k not in known and not k.startswith("decoder_")]
        if unknown or names.tokens not in inputs:
            raise ValueError(
                f"inputs must have {names.tokens!r} and may have {names.mask!r}; "
                f"received {sorted(inputs)}."
            )
        inputs, mask = inputs[names.tokens], inputs.get(names.mask)
    if hasattr(inputs, "to_list"):  # tf.RaggedTensor
        inputs = inputs.to_list()
    if isinstance(inputs, (list, tuple)):
        tokens, ragged_mask = rectangle(inputs, names.tokens)
        mask = ragged_mask if mask is None else mask
    else:
        tokens = _to_numpy(inputs)
    if tokens.ndim != 2 or (tokens.size and tokens.dtype.kind not in "iu"):
        raise ValueError(
            f"{names.tokens} must be integers of shape (batch, {names.row} length); "
            f"received {tokens.dtype} of shape {tokens.shape}."
        )
    mask = np.ones(tokens.shape, bool) if mask is None else _to_numpy(mask).astype(bool)
    if mask.shape != tokens.shape:
        raise ValueError(
            f"{names.mask} must have the shape {tokens.shape} of the ids; received {mask.shape}."
        )
    check_ids(tokens, mask, config.vocab_size, names.tokens)

    empty = np.flatnonzero(~mask.any(axis=1))
    if empty.size:
        raise ValueError(f"Every {names.row} needs at least one token; row {empty[0]} has none.")
    if names is PROMPTS:  # what stands between real tokens is nothing to the model
        order = np.argsort(~mask, axis=1, kind="stable")
        tokens, mask = (np.take_along_axis(x, order, axis=1) for x in (tokens, mask))
    length = int(np.flatnonzero(mask.any(axis=0))[-1]) + 1 if mask.size else 0
    if length > config.max_length:
        row = int(np.flatnonzero(mask[:, config.max_length :].any(axis=1))[0])
        raise ValueError(
            f"A {names.row} may have at most {config.max_length} tokens (max_length); "
            f"row {row} of {names.tokens} has {int(np.flatnonzero(mask[row])[-1]) + 1}."
        )
    tokens = np.where(mask, tokens, config.pad_id or 0).astype(np.int32)
    return tokens[:, :length], mask[:, :length]


def check_limits(max_new_tokens, batch, config):
    """The (B,) int32 limits that an int, or one integer per sentence, stands for."""
    if np.ndim(max_new_tokens) == 0:
        if isinstance(max_new_tokens, np.integer):
            max_new_tokens = int(max_new_tokens)
        check_positive("max_new_tokens", max_new_tokens)
        limits = np.full((batch,), max_new_tokens, np.int64)
    else:
        limits = _to_numpy(max_new_tokens)
    if limits.shape != (batch,) or (batch and limits.dtype.kind not in "iu"):
        raise ValueError(
            f"max_new_tokens must be an integer or {batch} integers, one for each source; "
            f"received {limits.dtype} of shape {limits.shape}."
        )
    wrong = np.flatnonzero((limits < 1) | (limits > config.max_length))
    if wrong.size:
        raise ValueError(
            f"max_new_tokens must be from 1 to the model's max_length, {config.max_length}; "
            f"received {limits[wrong[0]]}."
        )
    return limits.astype(np.int32)


def check_room(max_new_tokens, lengths, config):
    """The (B,) limits after prompts of (B,) `lengths`, or a refusal of what has no room.

    None stands for all the room there is.
    """
    room = config.max_length - lengths
    full = np.flatnonzero(room < 1)
    if full.size:
        raise ValueError(
            f"A prompt must leave room for a new token; row {full[0]} has {lengths[full[0]]} tokens"
            f" and the model's max_length is {config.max_length}."
        )
    if max_new_tokens is None:
        return room.astype(np.int32)
    limits = check_limits(max_new_tokens, len(lengths), config)
    wrong = np.flatnonzero(limits > room)
    if wrong.size:
        row = wrong[0]
        raise ValueError(
            f"Prompt and new tokens may be at most {config.max_length} (max_length) together; row "
            f"{row} has {lengths[row]} tokens and max_new_tokens is {limits[row]}."
        )
    return limits


def check_ends(config):
    """Refuses end tokens that no model of this vocabulary could say."""
    for token in end_tokens(config):
        if not 0 <= token < config.vocab_size:
            raise ValueError(
                f"eos_id must be from 0 to {config.vocab_size - 1} (vocab_size "
                f"{config.vocab_size}); received {token}."
            )


def check_prefixes(prefixes, limits, config):
    """Prefixes as tokens (B, K) int32 and lengths (B,) int32, each within its row's limit."""
    tokens, mask = rectangle(list(prefixes), "prefixes")
    if len(tokens) != len(limits):
        raise ValueError(
            f"prefixes must be {len(limits)} lists of token ids, one for each row; "
            f"received {len(tokens)}."
        )
    check_ids(tokens, mask, config.vocab_size, "prefixes")
    lengths = mask.sum(axis=1).astype(np.int32)
    wrong = np.flatnonzero(lengths > limits)
    if wrong.size:
        raise ValueError(
            f"A prefix may have at most max_new_tokens tokens, {limits[wrong[0]]}; row {wrong[0]} "
            f"of prefixes has {lengths[wrong[0]]}."
        )
    return tokens.astype(np.int32), lengths


def bucket(size, largest=None):
    """The next size that programs are compiled for: 8, 16, 24, 32, then steps of a quarter.

    >>> [bucket(n) for n in (1, 8, 9, 40, 41, 100)]
    [8, 8, 16, 40, 48, 112]
    """
    step = 8
    while size > 4 * step:
        step *= 2
    step = max(step // 2, 8)
    rounded = -(-size // step) * step
    return rounded if largest is None else max(size, min(rounded, largest))


def pad_to(x, shape, value):
    """`x` in the corner of an array of `shape` filled with `value`."""
    padded = np.full(shape, value, x.dtype)
    padded[tuple(slice(n) for n in x.shape)] = x
    return padded


def rectangle(rows, name):
    """A list of lists of ids as an array (B, S), filled up with 0, and its mask."""
    if rows and not all(hasattr(row, "__len__") for row in rows):
        raise ValueError(
            f"{name} must be a list of lists of ids; received a list of {type(rows[0]).__name__}."
        )
    rows = [_to_numpy(row) for row in rows]
    for i, row in enumerate(rows):
        if row.ndim != 1 or (row.size and row.dtype.kind not in "iu"):
            raise ValueError(
                f"Row {i} of {name} must be a list of integers; "
                f"received {row.dtype} of shape {row.shape}."
            )
    lengths = np.array([len(row) for row in rows], np.int64)
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]  # (B, S)
    tokens = np.zeros(mask.shape, np.int64)
    tokens[mask] = np.concatenate(rows) if lengths.sum() else 0
    return tokens, mask


def _to_numpy(x):
    if isinstance(x, (np.ndarray, list, tuple)):
        return np.asarray(x)
    from keras import ops

    return np.asarray(ops.convert_to_numpy(x))


def check_ids(tokens, mask, vocab_size, name):
    """Refuses ids outside of the vocabulary, where the mask is True."""
    wrong = np.argwhere(mask & ((tokens < 0) | (tokens >= vocab_size)))
    if wrong.size:
        row, column = wrong[0]
        raise ValueError(
            f"Token ids must be from 0 to {vocab_size - 1} (vocab_size {vocab_size}); "
            f"received {tokens[row, column]} at row {row}, column {column} of {name}."
        )
