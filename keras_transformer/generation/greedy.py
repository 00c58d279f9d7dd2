"""Greedy search: the most probable token at every step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from keras import ops

from keras_transformer.generation.decoding import (
    Generated,
    as_limits,
    check_length,
    mask_after,
    token_scores,
    write_token,
)
from keras_transformer.generation.length_penalty import as_length_penalty


class _Greedy(NamedTuple):
    step: object  # () int32: tokens generated so far
    tokens: object  # (B, L) int32
    last: object  # (B,) int32: the token fed next
    lengths: object  # (B,) int32
    scores: object  # (B,) float32: total log-probability
    done: object  # (B,) bool
    broken: object  # (B,) bool: logits were not finite


@dataclass(frozen=True)
class Greedy:
    """Takes the most probable token at every step, until `eos` or the limit.

    Args:
        length_penalty: the power of the length, or a callable, that the total log-probability is
            divided by in the score. It does not change which tokens are chosen.

    Example:

    >>> Greedy().n_best
    1
    """

    length_penalty: float | Callable = 1.0

    @property
    def n_best(self):
        return 1

    def decode(self, model, inputs, max_new_tokens, limits=None):
        """Decodes inside a compiled program; `generation.generate` is the checked way in.

        Args:
            model: anything with `config start step reorder`.
            inputs: dictionary of tensors that `model.start` takes, B rows.
            max_new_tokens: int, L; in a TensorFlow graph without XLA also an int32 scalar tensor.
            limits: (B,) int32, tokens at most per sentence, or None for `max_new_tokens`. A
                sentence with limit 0 costs no step.

        Returns:
            `Generated` with `sequences` (B, 1, L).
        """
        check_length(max_new_tokens)
        config, penalty = model.config, as_length_penalty(self.length_penalty)
        state = model.start(inputs, max_new_tokens, beams=1)
        batch = ops.shape(inputs["encoder_token_ids"])[0]
        limits = as_limits(limits, max_new_tokens, batch)
        search = _Greedy(
            step=ops.zeros((), "int32"),
            tokens=ops.zeros((batch, max_new_tokens), "int32"),
            last=ops.full((batch,), config.bos_id, "int32"),
            lengths=ops.zeros((batch,), "int32"),
            scores=ops.zeros((batch,), "float32"),
            done=limits <= 0,
            broken=ops.zeros((batch,), "bool"),
        )

        def unfinished(search, state):
            return ops.any(ops.logical_not(search.done))

        def advance(search, state):
            logits, state = model.step(search.last[:, None], state)
            logits, normaliser = token_scores(logits, config)
            token = ops.cast(ops.argmax(logits, axis=-1), "int32")  # (B,)
            gain = ops.max(logits, axis=-1) - normaliser[:, 0]
            active = ops.logical_not(search.done)
            broken = ops.logical_or(
                search.broken, active & ops.logical_not(ops.isfinite(normaliser[:, 0]))
            )
            length = search.step + 1
            search = _Greedy(
                step=length,
                tokens=write_token(search.tokens, search.step, token),
                last=token,
                lengths=ops.where(active, length, search.lengths),
                scores=ops.where(active, search.scores + gain, search.scores),
                done=search.done | (token == config.eos_id) | (length >= limits) | broken,
                broken=broken,
            )
            return search, state

        search, _ = ops.while_loop(unfinished, advance, (search, state))
        lengths = search.lengths
        scores = search.scores / penalty(ops.cast(ops.maximum(lengths, 1), "float32"))
        scores = ops.where(search.broken, ops.full_like(scores, float("nan")), scores)
        tokens = mask_after(search.tokens, lengths, config.pad_id)
        return Generated(tokens[:, None, :], lengths[:, None], scores[:, None])
