"""Contrastive search: probable tokens that do not bring the model back to where it was.

B prompts, C candidates, W places of prompt and new tokens, L new tokens at most, D width
V vocabulary
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from keras import ops

from keras_transformer.generation.decoding import (
    Generated,
    as_limits,
    check_length,
    check_positive,
    is_end,
    largest,
    mask_after,
    pick,
    token_scores,
    write_token,
)
from keras_transformer.generation.history import check_processors, process, prompt_of
from keras_transformer.generation.length_penalty import as_length_penalty, check_length_penalty


class _Search(NamedTuple):
    step: object  # () int32: tokens generated so far
    tokens: object  # (B, L) int32
    logits: object  # (B, V) of the next token
    hidden: object  # (B, W, D) float32, of length 1, of all tokens so far
    there: object  # (B, W) bool: which of them are there
    lengths: object  # (B,) int32
    scores: object  # (B,) float32: total log-probability
    done: object  # (B,) bool
    broken: object  # (B,) bool: logits were not finite, or nothing was allowed


@dataclass(frozen=True)
class ContrastiveSearch:
    """Of the most probable tokens, takes the one whose hidden state is least like those before.

        v ← argmax over the `top_k` of  (1 - α) p(v) - α max cos(h_v, h_j) over all tokens j so far

    Each step reads all candidates, so it costs about as much as a beam of `top_k`.

    Args:
        top_k: C, candidates.
        alpha: α, from 0, which is greedy search, to 1.
        processors: logit processors, applied before candidates are chosen.
        length_penalty: as in `Greedy`: of the scores alone.

    Raises:
        ValueError: an argument is out of its range.

    Example:

    >>> ContrastiveSearch(top_k=4, alpha=0.6).n_best
    1

    Reference:
        Su et al. 2022, "A Contrastive Framework for Neural Text Generation", section 3.2.
    """

    top_k: int = 4
    alpha: float = 0.6
    processors: tuple = ()
    length_penalty: float | Callable = 1.0

    n_best = 1

    def __post_init__(self):
        object.__setattr__(self, "processors", check_processors(self.processors))
        check_length_penalty(self.length_penalty)
        check_positive("top_k", self.top_k)
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha must be from 0 to 1; received {self.alpha!r}.")

    def decode(self, model, inputs, max_new_tokens, limits=None):
        """Decodes inside a compiled program; `generation.generate` is the checked way in.

        Args:
            model: anything with `config start step_hidden logits reorder`, and `prompt_hidden`
                where it has a `prompt`.
            inputs, max_new_tokens, limits: as in `Greedy.decode`.

        Returns:
            `Generated` with `sequences` (B, 1, L).
        """
        check_length(max_new_tokens)
        config, width = model.config, min(self.top_k, model.config.vocab_size)
        prompt = prompt_of(model, inputs)
        batch = ops.shape(prompt.tokens)[0]
        limits = as_limits(limits, max_new_tokens, batch)
        prompt = prompt._replace(limits=limits)
        state = model.start(inputs, max_new_tokens + 1, beams=width)
        last = ops.repeat(prompt.last(), width, axis=0)[:, None]
        hidden, state = model.step_hidden(last, state)  # (B·C, 1, D)
        size = hidden.shape[-1]  # D
        hidden = ops.reshape(hidden, (batch, width, size))[:, :1]
        past, logits = hidden, model.logits(hidden)[:, 0]
        if hasattr(model, "prompt_hidden"):
            past = ops.concatenate([model.prompt_hidden(inputs)[:, :-1], past], axis=1)
        room = ops.zeros((batch, max_new_tokens, size), "float32")
        search = _Search(
            step=ops.zeros((), "int32"),
            tokens=ops.zeros((batch, max_new_tokens), "int32"),
            logits=logits,
            hidden=ops.concatenate([unit(past), room], axis=1),
            there=ops.concatenate(
                [prompt.mask, ops.zeros((batch, max_new_tokens), "bool")], axis=1
            ),
            lengths=ops.zeros((batch,), "int32"),
            scores=ops.zeros((batch,), "float32"),
            done=limits <= 0,
            broken=ops.zeros((batch,), "bool"),
        )
        first = ops.shape(prompt.tokens)[1]

        def unfinished(search, state):
            return ops.any(ops.logical_not(search.done))

        def advance(search, state):
            own, normaliser = token_scores(search.logits[:, None], config)
            logits = process(self.processors, own, prompt, search.tokens, search.step, config)
            kept, tokens = largest(logits, width)  # (B, C)
            total = ops.logsumexp(logits, axis=-1, keepdims=True)
            probability = ops.exp(kept - ops.where(ops.isfinite(total), total, 0.0))

            hidden, state = model.step_hidden(ops.reshape(tokens, (-1, 1)), state)
            hidden = ops.reshape(hidden, (batch, width, size))
            candidates = unit(hidden)
            likeness = ops.einsum("bcd,bwd->bcw", candidates, search.hidden)
            likeness = ops.max(ops.where(search.there[:, None], likeness, -1.0), axis=-1)  # (B, C)
            worth = (1.0 - self.alpha) * probability - self.alpha * likeness
            worth = ops.where(kept > -float("inf"), worth, -float("inf"))
            best = ops.cast(ops.argmax(worth, axis=-1), "int32")[:, None]  # (B, 1)

            token = pick(tokens, best)[:, 0]
            gain = ops.take_along_axis(own, token[:, None], axis=1) - normaliser
            active = ops.logical_not(search.done)
            usable = ops.isfinite(normaliser[:, 0]) & (kept[:, 0] > -float("inf"))
            broken = search.broken | (active & ops.logical_not(usable))
            length = search.step + 1
            here = ops.arange(ops.shape(search.there)[1], dtype="int32") == first + search.step
            rows = best + width * ops.arange(batch, dtype="int32")[:, None]  # (B, 1)
            state = model.reorder(state, ops.repeat(rows[:, 0], width, axis=0))
            search = _Search(
                step=length,
                tokens=write_token(search.tokens, search.step, token),
                logits=model.logits(pick(hidden, best))[:, 0],
                hidden=ops.where(here[:, None], pick(candidates, best), search.hidden),
                there=search.there | here,
                lengths=ops.where(active, length, search.lengths),
                scores=ops.where(active, search.scores + gain[:, 0], search.scores),
                done=search.done | is_end(token, config) | (length >= limits) | broken,
                broken=broken,
            )
            return search, state

        search, _ = ops.while_loop(unfinished, advance, (search, state))
        penalty = as_length_penalty(self.length_penalty)
        scores = search.scores / penalty(ops.cast(ops.maximum(search.lengths, 1), "float32"))
        scores = ops.where(search.broken, float("nan"), scores)
        tokens = mask_after(search.tokens, search.lengths, config.pad_id)
        return Generated(tokens[:, None], search.lengths[:, None], scores[:, None])


def unit(x):
    """The vectors in float32, of length 1."""
    x = ops.cast(x, "float32")
    return x / ops.sqrt(ops.maximum(ops.sum(x * x, axis=-1, keepdims=True), 1e-20))
