"""From token ids to token ids: the checked, batched and compiled way into decoding."""

import dataclasses
from typing import NamedTuple

import numpy as np

from keras_transformer.generation.compile import program, takes_any_shape
from keras_transformer.generation.decoding import Generated, check_positive
from keras_transformer.generation.details import token_details, with_details
from keras_transformer.generation.greedy import Greedy
from keras_transformer.generation.inputs import (
    PROMPTS,
    bucket,
    check_ends,
    check_limits,
    check_prefixes,
    check_room,
    check_sources,
    names_of,
    pad_to,
)
from keras_transformer.generation.processors import PrefixOfRows


def generate(
    model,
    inputs,
    max_new_tokens=None,
    method=None,
    *,
    prefixes=None,
    details=False,
    alignments=False,
    cache_dtype=None,
    batch_size=64,
    jit_compile=True,
    on_batch=None,
):
    """Generates a target for every source, or what follows every prompt, compiled whole.

    Rows are sorted by length into batches of `batch_size`, padded to one of a few lengths, and
    the results returned in the order of the inputs. Neither the batch nor the padding changes a
    result. Programs are kept with the model (`num_programs` counts them), one per shape, and read
    its weights anew at every call. The cache holds the padded prompt and the new tokens.

    Args:
        model: an encoder-decoder, as `models.Seq2SeqLM`, or a decoder, as `models.CausalLM`.
        inputs: dictionary with `encoder_token_ids` (B, S) and perhaps `encoder_padding_mask`
            (B, S), for a decoder `token_ids` and `padding_mask`; or the ids alone; arrays,
            tensors, or a list of B lists of ids. Padding may stand on either side.
        max_new_tokens: tokens at most, `eos` included: an int, or B of them, one per row; by
            default `config.max_length`, for a decoder less the length of the prompt.
        method: `Greedy()` (the default), `BeamSearch(...)`, `Sampling(...)` or alike.
        prefixes: B lists of token ids, the tokens that each row's target starts with; they are
            among the new tokens. Lists may be empty.
        details: whether to return `GeneratedDetails`, with finished flags and each token's score.
        alignments: whether to return those and the attention to the source.
        cache_dtype: of the cached keys and values, such as "bfloat16"; by default the model's
            compute dtype.
        batch_size: rows decoded together.
        jit_compile: compile with XLA on the TensorFlow backend; otherwise one graph serves all
            shapes, which starts sooner and runs slower.
        on_batch: called after each batch with the number of its rows, such as to show progress.

    Returns:
        `Generated` of NumPy arrays: `sequences` (B, n_best, L) int32 with L the largest
        `max_new_tokens`, of new tokens alone; `lengths` (B, n_best) int32; `scores` (B, n_best)
        float32. `GeneratedDetails` where more was asked for.

    Raises:
        ValueError: ids outside the vocabulary (with their place), a row that is empty or
            longer than `config.max_length`, `max_new_tokens` outside 1 to `max_length`, a prompt
            that leaves no room for them, an end token outside the vocabulary, limits that
            contradict a processor.
        TypeError: `method` cannot decode, or has no hash to keep its program under.
        FloatingPointError: the model's logits were not finite, or processors left no token.

    Example:

    >>> from keras_transformer import models
    >>> model = models.Seq2SeqLM.from_preset("transformer_tiny", vocab_size=11)
    >>> found = generate(model, [[5, 6, 7], [8]], max_new_tokens=4, jit_compile=False)
    >>> found.sequences.shape, found.scores.shape
    ((2, 1, 4), (2, 1))
    """
    check_positive("batch_size", batch_size)
    if alignments and not hasattr(model, "step_attention"):
        raise ValueError(f"alignments need a model with a source; received {type(model).__name__}.")
    config, names = model.config, names_of(model)
    call = check_call(model, inputs, max_new_tokens, method, prefixes)
    method, tokens, mask, limits, longest, extra = call
    result = _empty(len(tokens), method.n_best, longest, config)
    if not len(tokens):
        if not (details or alignments):
            return result
        return with_details(result, *_gather([], result, mask.shape[1], alignments), config)

    steps = bucket(longest, config.max_length)
    settings = (steps, cache_dtype, details or alignments, alignments)
    found = []  # of each batch: its rows, and what is no part of `Generated`
    ends = mask.shape[1] - np.argmax(mask[:, ::-1], axis=1)  # position after the last token
    order = np.argsort(-ends, kind="stable")  # longest first: what does not fit fails at once
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        size, length = len(rows), int(ends[rows[0]])
        batch = {
            names.tokens: tokens[rows, :length],
            names.mask: mask[rows, :length],
            "limits": limits[rows],
            **{name: x[rows] for name, x in extra.items()},
        }
        any_shape = takes_any_shape(jit_compile)
        if not any_shape:
            size, length = _batch_bucket(size, batch_size), bucket(length, config.max_length)
            # What is padding has limit 0, so that it costs no step.
            fill = {names.tokens: config.pad_id or 0}
            shapes = {names.tokens: (size, length), names.mask: (size, length)}
            batch = {
                name: pad_to(x, shapes.get(name, (size, *x.shape[1:])), fill.get(name, 0))
                for name, x in batch.items()
            }
        specs = {
            name: ((None,) * x.ndim if any_shape else x.shape, str(x.dtype))
            for name, x in batch.items()
        }
        run = program(
            model,
            (method, *settings, jit_compile, tuple(specs.items())),
            _Decode(method, *settings),
            specs,
            jit_compile,
            getattr(method, "models", ()),
        )
        sequences, lengths, scores, *more = (x[: len(rows)] for x in run(batch))
        found.append((rows, more))
        result.sequences[rows] = sequences[:, :, :longest]
        result.lengths[rows] = lengths
        result.scores[rows] = scores
        if on_batch is not None:
            on_batch(len(rows))
    check_scores(result.scores, names)
    if not (details or alignments):
        return result
    return with_details(result, *_gather(found, result, mask.shape[1], alignments), config)


def _gather(found, result, source_length, alignments):
    """The token scores of all batches, and their alignments or None."""
    token_scores = np.zeros(result.sequences.shape, np.float32)
    maps = np.zeros((*result.sequences.shape, source_length), np.float32) if alignments else None
    for rows, (scores, *attention) in found:
        token_scores[rows] = scores[:, :, : token_scores.shape[2]]
        for x in attention:
            x = x[:, :, : token_scores.shape[2], :source_length]
            maps[rows, :, :, : x.shape[3]] = x
    return token_scores, maps


class Call(NamedTuple):
    """A call of `generate`, checked."""

    method: object
    tokens: object  # (B, S) int32
    mask: object  # (B, S) bool
    limits: object  # (B,) int32
    longest: int  # the largest of them
    extra: dict  # further inputs of the program, by name: arrays of B rows


def check_call(model, inputs, max_new_tokens=None, method=None, prefixes=None):
    """Refuses all that `generate` refuses, before anything runs; returns the rest as a `Call`."""
    method = Greedy() if method is None else method
    if isinstance(method, type) or not hasattr(method, "decode"):
        raise TypeError(f"method must be Greedy(), BeamSearch(...) or alike; received {method!r}.")
    config, names = model.config, names_of(model)
    check_ends(config)
    tokens, mask = check_sources(inputs, config, names)
    if names is PROMPTS:
        limits = check_room(max_new_tokens, mask.sum(axis=1), config)
    else:
        max_new_tokens = config.max_length if max_new_tokens is None else max_new_tokens
        limits = check_limits(max_new_tokens, len(tokens), config)
    check_method(method, config, limits)
    most = 0 if max_new_tokens is None else np.max(max_new_tokens, initial=0)
    longest = int(limits.max() if len(limits) else most)
    extra = {}
    if prefixes is not None:
        if not hasattr(method, "processors"):
            raise TypeError(f"prefixes need a method with processors; received {method!r}.")
        prefix, extra["prefix_lengths"] = check_prefixes(prefixes, limits, config)
        width = bucket(max(prefix.shape[1], 1))
        extra["prefix_tokens"] = pad_to(prefix, (len(tokens), width), 0)
    if hasattr(method, "prepare"):
        extra.update(method.prepare(np.arange(len(tokens))))
    return Call(method, tokens, mask, limits, longest, extra)


def check_method(method, config, limits):
    """Refuses a method, or logit processors of it, that do not fit a model or the limits (B,)."""
    for checked in (method, *getattr(method, "processors", ())):
        if hasattr(checked, "check"):
            checked.check(config, limits)


def check_scores(scores, names):
    """Refuses scores that are not numbers: of a model that is broken."""
    broken = np.flatnonzero(np.isnan(scores).any(axis=1))
    if broken.size:
        raise FloatingPointError(
            f"The model's logits were not finite for {broken.size} of {len(scores)} {names.row}s, "
            f"the first at row {broken[0]}: its weights or activations hold NaN or infinity, or "
            "processors left no token."
        )


class _Decode:
    """The function that is compiled; refers to no model."""

    def __init__(self, method, steps, cache_dtype, details, alignments):
        self.method, self.steps, self.cache_dtype = method, steps, cache_dtype
        self.details, self.alignments = details, alignments

    def __call__(self, model, batch):
        batch, method = dict(batch), self.method
        limits = batch.pop("limits")
        if "prefix_tokens" in batch:
            prefix = PrefixOfRows(batch.pop("prefix_tokens"), batch.pop("prefix_lengths"))
            method = dataclasses.replace(method, processors=(*method.processors, prefix))
        own = {name: batch.pop(name) for name in getattr(method, "call_inputs", ())}
        model = with_cache_of(model, self.cache_dtype)
        found = method.decode(model, batch, self.steps, limits, **own)
        if not self.details:
            return found
        return (*found, *token_details(model, batch, found, self.alignments))


def with_cache_of(model, dtype):
    """The model, whose decoding starts with a cache of this dtype where it is not None."""
    return model if dtype is None else _WithCacheOf(model, dtype)


class _WithCacheOf:
    """A model whose decoding starts with a cache of this dtype."""

    def __init__(self, model, dtype):
        self._model, self._dtype = model, dtype

    def __getattr__(self, name):
        return getattr(self._model, name)

    def start(self, *args, **kwargs):
        return self._model.start(*args, **kwargs, cache_dtype=self._dtype)


def _batch_bucket(size, batch_size):
    """The next power of two, or the full batch."""
    return min(1 << (size - 1).bit_length(), batch_size)


def _empty(batch, n_best, longest, config):
    return Generated(
        np.full((batch, n_best, longest), config.pad_id or 0, np.int32),
        np.zeros((batch, n_best), np.int32),
        np.zeros((batch, n_best), np.float32),
    )
