"""From token ids to token ids: the checked, batched and compiled way into decoding."""

import numpy as np

from keras_transformer.generation.compile import program, takes_any_shape
from keras_transformer.generation.decoding import Generated, check_positive
from keras_transformer.generation.greedy import Greedy
from keras_transformer.generation.inputs import (
    MASK,
    TOKENS,
    bucket,
    check_limits,
    check_sources,
    pad_to,
)


def generate(model, inputs, max_new_tokens=None, method=None, *, batch_size=64, jit_compile=True):
    """Generates a target for every source, in one compiled program per shape.

    Sources are sorted by length into batches of `batch_size`, padded to one of a few lengths,
    and the results returned in the order of the sources. Neither the batch nor the padding
    changes a result. Programs are kept with the model (`num_programs` counts them), and read
    its weights anew at every call.

    Args:
        model: an encoder-decoder model, as `models.Seq2SeqLM`.
        inputs: dictionary with `encoder_token_ids` (B, S) and perhaps
            `encoder_padding_mask` (B, S), or the ids alone; arrays, tensors, or a list of B
            lists of ids.
        max_new_tokens: tokens at most, `eos` included: an int, or B of them, one per source; by
            default `config.max_length`.
        method: `Greedy()` (the default) or `BeamSearch(...)`.
        batch_size: sentences decoded together.
        jit_compile: compile with XLA on the TensorFlow backend; otherwise one graph serves all
            shapes, which starts sooner and runs slower.

    Returns:
        `Generated` of NumPy arrays: `sequences` (B, n_best, L) int32 with L the largest
        `max_new_tokens`, `lengths` (B, n_best) int32, `scores` (B, n_best) float32.

    Raises:
        ValueError: ids outside the vocabulary (with their place), a source that is empty or
            longer than `config.max_length`, `max_new_tokens` outside 1 to `max_length`.
        TypeError: `method` cannot decode, or has no hash to keep its program under.
        FloatingPointError: the model's logits were not finite.

    Example:

    >>> from keras_transformer import models
    >>> model = models.Seq2SeqLM.from_preset("transformer_tiny", vocab_size=11)
    >>> found = generate(model, [[5, 6, 7], [8]], max_new_tokens=4, jit_compile=False)
    >>> found.sequences.shape, found.scores.shape
    ((2, 1, 4), (2, 1))
    """
    method = Greedy() if method is None else method
    if not hasattr(method, "decode"):
        raise TypeError(f"method must be Greedy(), BeamSearch(...) or alike; received {method!r}.")
    check_positive("batch_size", batch_size)
    config = model.config
    max_new_tokens = config.max_length if max_new_tokens is None else max_new_tokens
    tokens, mask = check_sources(inputs, config)
    limits = check_limits(max_new_tokens, len(tokens), config)
    longest = int(limits.max() if len(limits) else np.max(max_new_tokens, initial=0))
    result = _empty(len(tokens), method.n_best, longest, config)
    if not len(tokens):
        return result

    steps = bucket(longest, config.max_length)
    ends = mask.shape[1] - np.argmax(mask[:, ::-1], axis=1)  # position after the last token
    order = np.argsort(-ends, kind="stable")  # longest first: what does not fit fails at once
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        shape = (len(rows), int(ends[rows[0]]))
        batch = {
            TOKENS: tokens[rows, : shape[1]],
            MASK: mask[rows, : shape[1]],
            "limits": limits[rows],
        }
        if takes_any_shape(jit_compile):
            compiled_shape = (None, None)
        else:
            length = bucket(shape[1], config.max_length)
            compiled_shape = (_batch_bucket(len(rows), batch_size), length)
            batch = {
                TOKENS: pad_to(batch[TOKENS], compiled_shape, config.pad_id or 0),
                MASK: pad_to(batch[MASK], compiled_shape, False),
                "limits": pad_to(batch["limits"], compiled_shape[:1], 0),  # limit 0: no step
            }
        run = program(
            model,
            (method, steps, compiled_shape, jit_compile),
            _Decode(method, steps),
            {
                TOKENS: (compiled_shape, "int32"),
                MASK: (compiled_shape, "bool"),
                "limits": (compiled_shape[:1], "int32"),
            },
            jit_compile,
        )
        sequences, lengths, scores = (x[: len(rows)] for x in run(batch))
        result.sequences[rows] = sequences[:, :, :longest]
        result.lengths[rows] = lengths
        result.scores[rows] = scores
    broken = np.flatnonzero(np.isnan(result.scores).any(axis=1))
    if broken.size:
        raise FloatingPointError(
            f"The model's logits were not finite for {broken.size} of {len(tokens)} sources, "
            f"the first at row {broken[0]}: its weights or activations hold NaN or infinity."
        )
    return result


class _Decode:
    """The function that is compiled; refers to no model."""

    def __init__(self, method, steps):
        self.method, self.steps = method, steps

    def __call__(self, model, batch):
        batch = dict(batch)
        limits = batch.pop("limits")
        return self.method.decode(model, batch, self.steps, limits)


def _batch_bucket(size, batch_size):
    """The next power of two, or the full batch."""
    return min(1 << (size - 1).bit_length(), batch_size)


def _empty(batch, n_best, longest, config):
    return Generated(
        np.full((batch, n_best, longest), config.pad_id or 0, np.int32),
        np.zeros((batch, n_best), np.int32),
        np.zeros((batch, n_best), np.float32),
    )
