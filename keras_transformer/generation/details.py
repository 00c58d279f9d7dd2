"""What can be said of generated tokens by reading them once more: their probabilities, alignments.

B inputs, R hypotheses of each, N = B * R rows, L new tokens, S source length, V vocabulary
"""

from typing import NamedTuple

import numpy as np
from keras import ops

from keras_transformer.generation.decoding import end_tokens
from keras_transformer.generation.history import prompt_of


class GeneratedDetails(NamedTuple):
    """`Generated`, and what was asked for besides.

    Attributes:
        sequences, lengths, scores: as in `Generated`.
        finished: (B, n_best) bool, whether an end token was reached.
        token_scores: (B, n_best, L) float32, the model's log-probability of each token; 0 after
            the last.
        alignments: (B, n_best, L, S) float32, how much each new token was made while attending to
            each token of the source, the mean over layers and heads; 0 after the last. None where
            not asked for.

    Example:

    >>> from keras_transformer import models
    >>> model = models.Seq2SeqLM.from_preset("transformer_tiny", vocab_size=11)
    >>> found = model.generate([[5, 6, 7]], 4, alignments=True)
    >>> found.alignments.shape
    (1, 1, 4, 3)
    """

    sequences: object
    lengths: object
    scores: object
    finished: object
    token_scores: object
    alignments: object = None


def token_details(model, inputs, found, alignments=False):
    """Within a program: the token scores (B, R, L), and where asked for alignments (B, R, L, S).

    The tokens are read in one pass, as a prompt is: no method needs to keep them step by step.
    """
    batch, times, length = ops.shape(found.sequences)
    targets = ops.reshape(found.sequences, (-1, length))  # (N, L)
    first = ops.repeat(prompt_of(model, inputs).last(), times, axis=0)
    fed = ops.concatenate([first[:, None], targets[:, :-1]], axis=1)
    state = model.start(inputs, length, beams=times, lookahead=length - 1)
    attention = None
    if alignments:
        hidden, attention, _ = model.step_attention(fed, state)
    else:
        hidden, _ = model.step_hidden(fed, state)
    scores = log_probabilities(model, hidden, targets)
    there = ops.arange(length, dtype="int32") < ops.reshape(found.lengths, (-1, 1))
    details = [ops.reshape(ops.where(there, scores, 0.0), (batch, times, length))]
    if alignments:
        attention = ops.where(there[:, :, None], attention, 0.0)
        details.append(ops.reshape(attention, (batch, times, length, ops.shape(attention)[2])))
    return details


def log_probabilities(model, hidden, targets):
    """The log-probability (N, L) of each target; a position's logits at a time are in memory."""
    scores = ops.zeros(ops.shape(targets), "float32")

    def more(place, scores):
        return place < ops.shape(targets)[1]

    def score(place, scores):
        logits = model.logits(ops.take(hidden, place[None], axis=1))[:, 0]  # (N, V)
        logs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
        own = ops.take_along_axis(logs, ops.take(targets, place[None], axis=1), axis=1)  # (N, 1)
        here = ops.arange(ops.shape(targets)[1], dtype="int32") == place
        return place + 1, ops.where(here, own, scores)

    return ops.while_loop(more, score, (ops.zeros((), "int32"), scores))[1]


def with_details(result, token_scores, alignments, config):
    """The NumPy arrays of `Generated` and of a program's details as `GeneratedDetails`."""
    last = np.maximum(result.lengths - 1, 0)[..., None]
    ended = np.isin(np.take_along_axis(result.sequences, last, axis=2)[..., 0], end_tokens(config))
    return GeneratedDetails(*result, ended & (result.lengths > 0), token_scores, alignments)
