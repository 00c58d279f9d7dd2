"""Text while it is generated: tokens in chunks, and pieces of text that never split a character."""

import numpy as np
from keras import ops

from keras_transformer.generation.compile import nest_program
from keras_transformer.generation.decoding import check_positive
from keras_transformer.generation.generate import check_call, check_scores, with_cache_of
from keras_transformer.generation.inputs import bucket, names_of, pad_to
from keras_transformer.generation.token_loop import TokenLoop

UNFINISHED = "\ufffd"  # what decoders write for bytes that are no whole character


class TextStream:
    """Turns token ids that come one after the other into pieces of text.

    A token may hold a part of a character only (byte-level tokens do), and how a token is written
    may depend on the one before it (spaces do). A piece is therefore given out when the text ends
    in a whole character, and what is decoded always begins with tokens that were given out before.
    The pieces together are the text of all tokens.

    Args:
        decode: from a list of token ids to a string, such as a tokenizer's `decode`.

    Example:

    >>> stream = TextStream(lambda ids: bytes(ids).decode("utf-8", "replace"))
    >>> [stream.push(byte) for byte in "aé".encode()], stream.close()
    (['a', '', 'é'], '')
    """

    def __init__(self, decode):
        if not callable(decode):
            raise TypeError(f"decode must be a callable; received {decode!r}.")
        self._decode = decode
        self._ids = []  # those given out last, as what the next ones follow, and those that wait
        self._given = 0  # how many of them are given out

    def push(self, *ids):
        """The text that these tokens complete; perhaps an empty string."""
        self._ids.extend(int(token) for token in ids)
        return self._take(whole=True)

    def close(self):
        """What is left: text whose last character was never completed."""
        return self._take(whole=False)

    def _take(self, whole):
        before, text = self._decode(self._ids[: self._given]), self._decode(self._ids)
        if len(text) <= len(before) or (whole and text.endswith(UNFINISHED)):
            return ""
        self._ids = self._ids[self._given :]
        self._given = len(self._ids)
        return text[len(before) :]


def stream_text(ids, decode):
    """The pieces of text of token ids: an iterator of strings, none empty, as soon as they are.

    Args:
        ids: an iterable of token ids, or of lists of them, such as `stream_tokens` gives.
        decode: as in `TextStream`.

    Example:

    >>> decode = lambda ids: bytes(ids).decode("utf-8", "replace")
    >>> list(stream_text([[97, 195], [169], [98]], decode))
    ['a', 'é', 'b']
    """
    stream = TextStream(decode)
    for some in ids:
        for token in np.atleast_1d(some):
            piece = stream.push(token)
            if piece:
                yield piece
    rest = stream.close()
    if rest:
        yield rest


def stream_tokens(
    model, inputs, max_new_tokens=None, method=None, *, chunk=4, cache_dtype=None, jit_compile=True
):
    """The new tokens of one source or prompt, as they are generated.

    The loop is compiled as in `generate` and runs `chunk` tokens at a time; the tokens are those
    that `generate` gives.

    Args:
        model, inputs, max_new_tokens, method, cache_dtype, jit_compile: as in `generate`, with one
            row of inputs, and a method that makes one token final after the other: `Greedy` or
            `Sampling`.
        chunk: tokens at a time.

    Yields:
        Lists of token ids, none empty; an ending token is the last.

    Raises:
        TypeError: the method is a search over several hypotheses.
        ValueError, FloatingPointError: as in `generate`.

    Example:

    >>> from keras_transformer import models
    >>> model = models.Seq2SeqLM.from_preset("transformer_tiny", vocab_size=11)
    >>> ids = [token for some in stream_tokens(model, [[5, 6]], 4, chunk=3) for token in some]
    >>> ids == model.generate([[5, 6]], 4).sequences[0, 0, : len(ids)].tolist()
    True
    """
    check_positive("chunk", chunk)
    call = check_call(model, inputs, max_new_tokens, method)
    method, names = call.method, names_of(model)
    if not isinstance(method, TokenLoop) or method.n_best != 1:
        raise TypeError(f"Only a method with one sequence can be streamed; received {method!r}.")
    if len(call.tokens) != 1:
        raise ValueError(f"inputs must be one row to be streamed; received {len(call.tokens)}.")
    return _chunks(model, call, method, names, chunk, cache_dtype, jit_compile)


def _chunks(model, call, method, names, chunk, cache_dtype, jit_compile):
    limit, largest = int(call.limits[0]), model.config.max_length
    steps, shape = bucket(limit, largest), (1, bucket(call.tokens.shape[1], largest))
    batch = {
        names.tokens: pad_to(call.tokens, shape, model.config.pad_id or 0),
        names.mask: pad_to(call.mask, shape, False),
        "limits": call.limits,
        **call.extra,
    }
    batch = {name: ops.convert_to_tensor(x) for name, x in batch.items()}
    key = (method, shape, steps, chunk, cache_dtype, jit_compile)
    begin = nest_program(model, ("begin", *key), _Begin(method, steps, cache_dtype), jit_compile)
    carry = begin(batch)
    go_on = nest_program(model, ("go on", *key), _GoOn(method, chunk), jit_compile)
    given = 0
    while True:
        carry = go_on(*carry)
        search = carry[0]
        check_scores(np.where(ops.convert_to_numpy(search.broken), np.nan, 0.0)[:, None], names)
        length = int(ops.convert_to_numpy(search.lengths)[0])
        yield ops.convert_to_numpy(search.tokens)[0, given:length].tolist()
        given = length
        if ops.convert_to_numpy(search.done)[0]:
            return


class _Begin:
    """What is compiled first; refers to no model."""

    def __init__(self, method, steps, cache_dtype):
        self.method, self.steps, self.cache_dtype = method, steps, cache_dtype

    def __call__(self, model, batch):
        batch = dict(batch)
        limits = batch.pop("limits")
        own = {name: batch.pop(name) for name in getattr(self.method, "call_inputs", ())}
        model = with_cache_of(model, self.cache_dtype)
        return self.method.begin(model, batch, self.steps, limits, **own)


class _GoOn:
    """What is compiled for all chunks."""

    def __init__(self, method, chunk):
        self.method, self.chunk = method, chunk

    def __call__(self, model, search, state, setting):
        stop = search.step + self.chunk
        return (*self.method.run(model, search, state, setting, stop), setting)
