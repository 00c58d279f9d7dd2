"""A small model with the decoding protocol, and an exhaustive search over what it can say.

The hidden state depends on the whole prefix, so that a state that is not reordered with its
hypotheses gives other tokens. The oracle is NumPy in float64 and shares no code with the package.
"""

import itertools
from types import SimpleNamespace
from typing import NamedTuple

import keras
import numpy as np
from keras import ops


class ToyState(NamedTuple):
    hidden: object  # (B * G, D)
    source: object  # (B * G, D)
    index: object  # () int32


class ToyModel:
    """h' = tanh(h U + E[token] + sum of E[source]), logits = scale * h' W + end, at eos.

    Sources of different lengths and hypotheses of different prefixes get different logits.
    """

    def __init__(self, vocab_size=5, width=7, seed=0, max_length=64, eos_id=3, scale=2.5, end=0.0):
        rng = np.random.default_rng(seed)
        self.config = SimpleNamespace(
            vocab_size=vocab_size, max_length=max_length, pad_id=0, bos_id=2, eos_id=eos_id
        )
        self.scale = scale

        def weight(*shape):
            return keras.Variable(rng.normal(size=shape).astype("float32"), trainable=False)

        self.embed = weight(vocab_size, width)
        self.mix = weight(width, width)
        self.project = weight(width, vocab_size)
        self.end = np.where(np.arange(vocab_size) == eos_id, end, 0.0).astype("float32")
        self.variables = [self.embed, self.mix, self.project]

    def start(self, inputs, max_length, beams=1):
        tokens = inputs["encoder_token_ids"]
        mask = inputs.get("encoder_padding_mask")
        mask = ops.ones_like(tokens) if mask is None else mask
        vectors = ops.take(self.embed, tokens, axis=0)
        source = ops.sum(vectors * ops.cast(mask, "float32")[:, :, None], axis=1)
        rows = ops.shape(tokens)[0] * beams
        hidden = ops.zeros((rows, self.mix.shape[0]), "float32")
        return ToyState(hidden, ops.repeat(source, beams, axis=0), ops.zeros((), "int32"))

    def step(self, token_ids, state):
        hidden = state.hidden @ self.mix + ops.take(self.embed, token_ids[:, 0], axis=0)
        hidden = ops.tanh(hidden + state.source)
        logits = self.scale * (hidden @ self.project) + ops.convert_to_tensor(self.end)
        return logits[:, None, :], ToyState(hidden, state.source, state.index + 1)

    def reorder(self, state, rows):
        return state._replace(hidden=ops.take(state.hidden, rows, axis=0))

    def log_probs(self, source, prefix):
        """float64 (V,): of the token after ``prefix`` (without bos), without any cache."""
        embed, mix, project = (np.array(v.numpy(), "float64") for v in self.variables)
        vector = embed[list(source)].sum(axis=0)
        hidden = np.zeros(mix.shape[0])
        for token in [self.config.bos_id, *prefix]:
            hidden = np.tanh(hidden @ mix + embed[token] + vector)
        logits = self.scale * (hidden @ project) + self.end
        return logits - np.log(np.exp(logits).sum())


def exhaustive(model, source, limit, penalty, n_best):
    """The best finished hypotheses of at most ``limit`` tokens, by looking at all of them."""
    config = model.config
    words = [t for t in range(config.vocab_size) if t not in (config.pad_id, config.eos_id)]
    found = []
    for length in range(limit):
        for prefix in itertools.product(words, repeat=length):
            tokens = [*prefix, config.eos_id]
            total = sum(model.log_probs(source, tokens[:i])[t] for i, t in enumerate(tokens))
            found.append((total / penalty(float(len(tokens))), tokens))
    return sorted(found, key=lambda pair: -pair[0])[:n_best]


def beam_search(model, source, limit, width, penalty, n_best):
    """Beam search with lists, run to the limit without any early stop.

    Finished hypotheses by score; then, where they are too few, the unfinished of ``limit`` tokens.
    """
    config = model.config
    live, finished = [(0.0, [])], []
    for length in range(1, limit + 1):
        candidates = []
        for total, prefix in live:
            scores = model.log_probs(source, prefix)
            for token in range(config.vocab_size):
                if token != config.pad_id:
                    candidates.append((total + scores[token], [*prefix, token]))
        candidates = sorted(candidates, key=lambda pair: -pair[0])[: 2 * width]
        ended = [(t / penalty(float(length)), s) for t, s in candidates if s[-1] == config.eos_id]
        finished = sorted(finished + ended, key=lambda pair: -pair[0])[:width]
        live = [(t, s) for t, s in candidates if s[-1] != config.eos_id][:width]
    return (finished + [(t / penalty(float(limit)), s) for t, s in live])[:n_best]


def transformers_beam_search(model, source, limit, width, penalty, n_best, early_stopping):
    """Beam search by the rules of transformers, with lists: `early_stopping` is False or True."""
    config = model.config
    live, finished = [(0.0, [])], []
    for length in range(1, limit + 1):
        candidates = []
        for total, prefix in live:
            scores = model.log_probs(source, prefix)
            for token in range(config.vocab_size):
                if token != config.pad_id:
                    candidates.append((total + scores[token], [*prefix, token]))
        candidates = sorted(candidates, key=lambda pair: -pair[0])[: 2 * width]
        stops = [s[-1] == config.eos_id or length == limit for _, s in candidates]
        ended = [
            (t / penalty(float(length)), s)
            for (t, s), stop in zip(candidates[:width], stops, strict=False)
            if stop
        ]
        finished = sorted(finished + ended, key=lambda pair: -pair[0])[:width]
        live = [(t, s) for (t, s), stop in zip(candidates, stops, strict=True) if not stop][:width]
        if (
            length < limit
            and len(finished) == width
            and (early_stopping or finished[-1][0] >= live[0][0] / penalty(float(length)))
        ):
            break
    return finished[:n_best]


def greedy_oracle(model, source, limit):
    """The most probable token after each prefix, computed without a cache."""
    tokens, total = [], 0.0
    while len(tokens) < limit and (not tokens or tokens[-1] != model.config.eos_id):
        scores = model.log_probs(source, tokens)
        scores[model.config.pad_id] = -np.inf
        tokens.append(int(scores.argmax()))
        total += scores[tokens[-1]]
    return tokens, total
