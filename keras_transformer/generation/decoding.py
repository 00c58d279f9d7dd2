"""What all methods share: their result, and one step's log-probabilities.

Letters: B sentences, G hypotheses of a sentence, N = B * G rows, L tokens at most, V vocabulary.

A model that can be decoded has `config` (`vocab_size pad_id bos_id eos_id max_length`; `eos_id` may
be several) and

`start(inputs, max_new_tokens, beams)`
    encodes the sources once, or reads the prompts but for their last tokens, and returns a state
    for `B * beams` rows, row-major by sentence. Where steps read several tokens, as in speculative
    decoding and for token scores, it is given `lookahead` too, how many beyond the next.
`step(token_ids, state)`
    takes (N, 1) token ids, returns logits (N, 1, V) and the next state.
`reorder(state, rows)`
    returns the state whose row i is what row `rows[i]` was.

`prompt(inputs)`
    only where decoding does not start from `bos_id`: the prompts' tokens and mask, (B, P) each,
    padding on the left. The first step is given the last of them.

The state is a nest of tuples of tensors, whose shapes and dtypes stay the same from step to step.
"""

import numbers
from typing import NamedTuple

from keras import ops

BLOCK = 128  # tokens of the vocabulary that `largest` looks at together


class Generated(NamedTuple):
    """What was generated, best hypothesis first.

    Attributes:
        sequences: (B, n_best, L) int32, the new tokens: without `bos` and without the prompt;
            `eos`, where it was reached, is included; `pad_id` after it.
        lengths: (B, n_best) int32, new tokens of each hypothesis, `eos` included. 0 where fewer
            hypotheses exist than were asked for.
        scores: (B, n_best) float32, total log-probability over the length penalty; -inf where
            the length is 0 for want of a hypothesis; NaN for a sentence on which the model's
            logits were not finite.

    Example:

    >>> import numpy as np
    >>> found = Generated(np.array([[[5, 3, 0]]]), np.array([[2]]), np.array([[-0.5]]))
    >>> found.sequences[0, 0, : found.lengths[0, 0]].tolist()
    [5, 3]
    """

    sequences: object
    lengths: object
    scores: object


def check_positive(name, value):
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1; received {value!r}.")


def end_tokens(config):
    """The tokens that end a sequence, as a tuple: `config.eos_id` may be none, one or several."""
    if config.eos_id is None:
        return ()
    return tuple(config.eos_id) if isinstance(config.eos_id, (list, tuple)) else (config.eos_id,)


def is_end(token, config):
    """Whether tokens of any shape end their sequence: a boolean tensor of that shape."""
    ends = ops.zeros_like(token, dtype="bool")
    for end in end_tokens(config):
        ends = ends | (token == end)
    return ends


def check_length(max_new_tokens):
    """An integer of at least 1, or a scalar tensor: known when the program runs, and unchecked."""
    if not hasattr(max_new_tokens, "shape"):
        check_positive("max_new_tokens", max_new_tokens)


def as_limits(limits, max_new_tokens, batch):
    """(B,) int32: how many tokens each sentence may get, none above `max_new_tokens`."""
    if limits is None:
        limits = max_new_tokens
    limits = ops.cast(ops.convert_to_tensor(limits), "int32")
    return ops.minimum(ops.broadcast_to(limits, (batch,)), max_new_tokens)


def token_scores(logits, config):
    """Splits the step's log-probabilities `log softmax(logits)` into logits and normaliser.

    The order of tokens within a row is that of the logits, so that the vocabulary-sized
    log-softmax is never written out. `pad_id` is what follows an end, never a choice.

    Returns:
        (N, V) float32 logits, those of `pad_id` at -inf, and their (N, 1) normaliser over the
        whole vocabulary; not finite where the logits are of no use.
    """
    logits = ops.cast(logits[:, -1, :], "float32")  # (N, V)
    normaliser = ops.logsumexp(logits, axis=-1, keepdims=True)  # (N, 1)
    if config.pad_id is not None and config.pad_id not in end_tokens(config):
        is_pad = ops.arange(logits.shape[-1], dtype="int32") == config.pad_id
        logits = ops.where(is_pad, ops.full_like(logits, -float("inf")), logits)
    return logits, normaliser


def largest(x, count):
    """`ops.top_k(x, count)` of (N, V), sooner where V is large.

    The largest are in the blocks with the largest maxima, and to find these is one pass over the
    vocabulary that compiled code makes with vector instructions.

    Returns:
        `(values, tokens)`, (N, count) each, the tokens int32; of equal values the first.
    """
    size = x.shape[-1]
    whole = size // BLOCK * BLOCK
    if size < 4 * count * BLOCK:
        values, tokens = ops.top_k(x, count)
        return values, ops.cast(tokens, "int32")
    rows = ops.shape(x)[0]
    maxima = ops.max(
        ops.reshape(x[:, :whole], (rows, whole // BLOCK, BLOCK)), axis=-1, initial=-float("inf")
    )
    _, blocks = ops.top_k(maxima, count)
    blocks = ops.sort(ops.cast(blocks, "int32"), axis=-1)[:, :, None] * BLOCK  # (N, count, 1)
    within = ops.arange(BLOCK, dtype="int32")
    tokens = ops.reshape(blocks + within, (rows, count * BLOCK))
    if whole < size:
        rest = ops.arange(whole, size, dtype="int32")[None]
        rest = ops.broadcast_to(rest, (rows, size - whole))
        tokens = ops.concatenate([tokens, rest], axis=1)
    values, place = ops.top_k(pick(x, tokens), count)
    return values, pick(tokens, ops.cast(place, "int32"))


def pick(x, index):
    """Picks along axis 1: x (B, A, ...) and index (B, M) int32 give (B, M, ...)."""
    shape = ops.shape(x)
    flat = ops.reshape(x, (shape[0] * shape[1], *shape[2:]))
    picked = ops.take(flat, flat_rows(index, shape[1]), axis=0)
    return ops.reshape(picked, (*ops.shape(index), *shape[2:]))


def flat_rows(index, width):
    """(B, M) indices within sentences of `width` rows each -> (B * M,) indices of rows."""
    first = ops.arange(ops.shape(index)[0], dtype="int32")[:, None] * width
    return ops.reshape(first + index, (-1,))


def write_token(tokens, step, token):
    """Writes `token` (...,) at position `step` of `tokens` (..., L)."""
    here = ops.arange(ops.shape(tokens)[-1], dtype="int32") == step
    return ops.where(here, ops.expand_dims(token, -1), tokens)


def mask_after(tokens, lengths, pad_id):
    """Puts `pad_id` behind the first `lengths` (...,) tokens of `tokens` (..., L)."""
    inside = ops.arange(ops.shape(tokens)[-1], dtype="int32") < ops.expand_dims(lengths, -1)
    return ops.where(inside, tokens, ops.full_like(tokens, pad_id or 0))
