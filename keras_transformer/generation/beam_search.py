"""Beam search: several hypotheses at once, finished ones kept apart and left alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from keras import ops

from keras_transformer.generation.decoding import (
    Generated,
    as_limits,
    check_length,
    check_positive,
    end_tokens,
    flat_rows,
    is_end,
    largest,
    mask_after,
    pick,
    token_scores,
    write_token,
)
from keras_transformer.generation.history import check_processors, process, prompt_of
from keras_transformer.generation.length_penalty import as_length_penalty, check_length_penalty

NEVER = -float("inf")  # the score of a place in the beam that holds no hypothesis


class _Beams(NamedTuple):
    step: object  # () int32: tokens generated so far
    live_tokens: object  # (B, G, L) int32
    live_last: object  # (B, G) int32: the tokens fed next
    live_scores: object  # (B, G) float32: total log-probability, best first
    live_length: object  # (B,) int32: differs from `step` where the sentence is done
    coverage: object  # (B, G, S) float32: attention to the source so far, or () where unused
    finished_tokens: object  # (B, G, L) int32
    finished_lengths: object  # (B, G) int32
    finished_scores: object  # (B, G) float32: penalised, best first
    done: object  # (B,) bool
    broken: object  # (B,) bool: logits were not finite


@dataclass(frozen=True)
class BeamSearch:
    r"""Keeps the `beam_size` best hypotheses of every sentence at every step.

    A hypothesis y scores `log p(y | x) / penalty(length)`, its `eos` counted. At each step
    every live hypothesis is extended by every token; of the `2 * beam_size` best extensions
    those that end in `eos` join the finished ones, of which the `beam_size` best stay, and
    the best `beam_size` others live on. A finished hypothesis is never extended, and leaves
    only for better finished ones.

    A sentence is done when no live hypothesis can come among its `n_best`: its `n_best`-th
    finished score is at least

        max(live log p) / max(penalty(l) for l from length + 1 to the limit)

    which bounds all continuations, since log p only falls. The result is the same as if the
    search had run to the limit. Hypotheses that reach the limit without `eos` fill up the
    `n_best` only where too few have finished, and come after those, whatever their score.
    Within either kind the order is by score.

    That is `early_stopping="never"`. With False and True the search is that of Hugging Face
    transformers in every respect: of the extensions only the `beam_size` best may end, those
    at the limit compete with those that ended, and a sentence is done when `beam_size` have
    finished and, with False, the worst of them is no worse than the best live one at its
    present length, which is a guess.

    Args:
        beam_size: hypotheses per sentence, G. As wide as the space it is an exhaustive search.
        length_penalty: the power of the length that log p is divided by, or a callable on
            float32 lengths with positive values (`LengthPenalty`, `GnmtLengthPenalty`).
        n_best: hypotheses returned per sentence, at most `beam_size`.
        early_stopping: "never", False or True.
        processors: logit processors such as `NoRepeatNgram(3)`, in the order in which they are
            applied to the log-probabilities. Scores are of what they return.
        coverage_penalty: β of GNMT, for models with attention to a source: a finished hypothesis
            gets β · Σ log(min(attention that a source token got in all, 1)) added to its score,
            attention being the mean over layers and heads. 0 for none.

    Raises:
        ValueError: for sizes below 1, `n_best` above `beam_size`, an unknown `early_stopping`, a
            negative `coverage_penalty`.

    Example:

    >>> BeamSearch(beam_size=4, length_penalty=0.6, n_best=2).n_best
    2

    Reference:
        Wu et al. 2016, "Google's Neural Machine Translation System", section 7.
    """

    beam_size: int = 5
    length_penalty: float | Callable = 1.0
    n_best: int = 1
    early_stopping: bool | str = "never"
    processors: tuple = ()
    coverage_penalty: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "processors", check_processors(self.processors))
        check_length_penalty(self.length_penalty)
        if self.early_stopping not in (True, False, "never"):
            raise ValueError(
                f'early_stopping must be "never", False or True; received {self.early_stopping!r}.'
            )
        if not self.coverage_penalty >= 0:
            raise ValueError(
                f"coverage_penalty must be 0 or more; received {self.coverage_penalty!r}."
            )
        check_positive("beam_size", self.beam_size)
        check_positive("n_best", self.n_best)
        if self.n_best > self.beam_size:
            raise ValueError(
                f"n_best must be at most beam_size ({self.beam_size}); received {self.n_best}."
            )

    def decode(self, model, inputs, max_new_tokens, limits=None):
        """Decodes inside a compiled program; `generation.generate` is the checked way in.

        Args:
            model: anything with `config start step reorder`.
            inputs: dictionary of tensors that `model.start` takes, B rows.
            max_new_tokens: int, L; in a TensorFlow graph without XLA also an int32 scalar tensor.
            limits: (B,) int32, tokens at most per sentence, or None for `max_new_tokens`. A
                sentence with limit 0 costs no step.

        Returns:
            `Generated` with `sequences` (B, n_best, L).
        """
        check_length(max_new_tokens)
        prompt = prompt_of(model, inputs)
        state = model.start(inputs, max_new_tokens, beams=self.beam_size)
        batch = ops.shape(prompt.tokens)[0]
        limits = as_limits(limits, max_new_tokens, batch)
        lengths = ops.cast(ops.arange(1, max_new_tokens + 1, dtype="int32"), "float32")
        penalties = as_length_penalty(self.length_penalty)(lengths)  # (L,)
        source = None
        if self.coverage_penalty:
            source = model.source_mask(state)  # (B, S)
        rows = prompt._replace(limits=limits).repeat(self.beam_size)

        def unfinished(beams, state):
            return ops.any(ops.logical_not(beams.done))

        def advance(beams, state):
            token_ids = ops.reshape(beams.live_last, (-1, 1))  # (N, 1)
            if source is None:
                logits, state = model.step(token_ids, state)
            else:
                hidden, attention, state = model.step_attention(token_ids, state)
                logits = model.logits(hidden)
                shape = (-1, self.beam_size, ops.shape(attention)[2])
                covered = beams.coverage + ops.reshape(attention, shape)  # (B, G, S)
                done = beams.done[:, None, None]
                beams = beams._replace(coverage=ops.where(done, beams.coverage, covered))
            beams, parents = self._advance(
                beams, logits, model.config, penalties, limits, rows, source
            )
            return beams, model.reorder(state, flat_rows(parents, self.beam_size))

        beams = self._first(batch, max_new_tokens, limits, model.config, prompt.last(), source)
        beams, _ = ops.while_loop(unfinished, advance, (beams, state))
        return self._result(beams, penalties, model.config, source)

    def _first(self, batch, max_new_tokens, limits, config, last=None, source=None):
        """One live hypothesis, empty, of probability 1; the other places hold none."""
        last = ops.full((batch,), config.bos_id, "int32") if last is None else last
        beam = (batch, self.beam_size)
        one = ops.arange(self.beam_size, dtype="int32") == 0
        scores = ops.where(one, 0.0, NEVER)  # (G,)
        return _Beams(
            step=ops.zeros((), "int32"),
            live_tokens=ops.zeros((*beam, max_new_tokens), "int32"),
            live_last=ops.broadcast_to(last[:, None], beam),
            live_scores=ops.broadcast_to(ops.cast(scores, "float32"), beam),
            live_length=ops.zeros((batch,), "int32"),
            coverage=() if source is None else ops.zeros((*beam, ops.shape(source)[1]), "float32"),
            finished_tokens=ops.zeros((*beam, max_new_tokens), "int32"),
            finished_lengths=ops.zeros(beam, "int32"),
            finished_scores=ops.full(beam, NEVER, "float32"),
            done=limits <= 0,
            broken=ops.zeros((batch,), "bool"),
        )

    def _advance(
        self, beams, logits, config, penalties, limits, prompt=None, source=None, bonus=None
    ):
        """One step of all sentences: the next beams, and the (B, G) parents of the live ones.

        Args:
            prompt: `Prompt` of N rows, for processors.
            source: (B, S) mask, for the coverage penalty.
            bonus: (B, V), added to the log-probabilities, or None.
        """
        width, wider = self.beam_size, max(2, 1 + len(end_tokens(config))) * self.beam_size
        logits, normaliser = token_scores(logits, config)  # (N, V), (N, 1)
        shape = ops.shape(beams.live_scores)
        usable = ops.reshape(ops.isfinite(normaliser), shape)  # (B, G)
        active = ops.logical_not(beams.done)  # (B,)
        held = beams.live_scores > NEVER
        broken = beams.broken | (active & ops.any(held & ops.logical_not(usable), axis=1))
        if self.processors or bonus is not None:
            logits, normaliser = logits - normaliser, ops.zeros_like(normaliser)
            rows = ops.reshape(beams.live_tokens, (-1, ops.shape(beams.live_tokens)[2]))  # (N, L)
            logits = process(self.processors, logits, prompt, rows, beams.step, config)
        if bonus is not None:
            logits = logits + ops.repeat(bonus, width, axis=0)

        # The K best extensions of a sentence are among the K best of each of its hypotheses.
        k = min(wider, logits.shape[-1])
        gains, tokens = largest(logits, k)  # (N, k)
        scores = beams.live_scores[:, :, None] + ops.reshape(gains - normaliser, (*shape, k))
        scores = ops.reshape(scores, (-1, width * k))
        scores, index = ops.top_k(scores, min(wider, width * k))  # (B, K)
        index = ops.cast(index, "int32")
        token = pick(ops.reshape(tokens, (-1, width * k)), index)  # (B, K)
        parent = index // k
        sequences = write_token(pick(beams.live_tokens, parent), beams.step, token)  # (B, K, L)
        length = beams.step + 1
        ends = is_end(token, config)
        finishes = ends
        if self.early_stopping != "never":  # as transformers: see the class
            cut = ops.broadcast_to((length >= limits)[:, None], ops.shape(ends))
            rank = ops.arange(ops.shape(ends)[1], dtype="int32")
            finishes = (ends | cut) & (rank < width) & (scores > NEVER)

        ended = scores / ops.take(penalties, beams.step)
        if source is not None:
            ended = ended + pick(self._coverage(beams.coverage, source)[:, :, None], parent)[..., 0]
        ended = ops.where(finishes & active[:, None], ended, NEVER)
        pool = ops.concatenate([beams.finished_scores, ended], axis=1)  # (B, G + K)
        finished_scores, best = ops.top_k(pool, width)
        best = ops.cast(best, "int32")
        pool_lengths = ops.broadcast_to(length, ops.shape(ended))
        pool_lengths = ops.concatenate([beams.finished_lengths, pool_lengths], axis=1)
        pool_tokens = ops.concatenate([beams.finished_tokens, sequences], axis=1)

        # At most one extension of a hypothesis by each end token ends it, so G of the K live on.
        live_scores, going = ops.top_k(ops.where(ends, NEVER, scores), width)  # (B, G)
        going = ops.cast(going, "int32")
        live_last = pick(token, going)
        frozen = beams.done[:, None]
        live_scores = ops.where(frozen, beams.live_scores, live_scores)
        live_tokens = ops.where(frozen[:, :, None], beams.live_tokens, pick(sequences, going))
        own = ops.arange(width, dtype="int32")[None]
        parents = ops.where(frozen, own, pick(parent, going))
        if self.processors:  # they may leave nothing that goes on, and nothing that has ended
            nothing = (live_scores[:, 0] <= NEVER) & (finished_scores[:, 0] <= NEVER)
            broken = broken | (active & nothing)

        done = beams.done | broken | (length >= limits)
        if self.early_stopping == "never":
            after = ops.arange(1, ops.shape(penalties)[0] + 1, dtype="int32")  # (L,)
            possible = (after > length) & (after <= limits[:, None])  # (B, L)
            penalty = ops.max(ops.where(possible, penalties, 1e-30), axis=1)
            attainable = live_scores[:, 0] / penalty
            done = done | (finished_scores[:, self.n_best - 1] >= attainable)
        elif self.early_stopping:
            done = done | (finished_scores[:, -1] > NEVER)
        else:
            attainable = live_scores[:, 0] / ops.take(penalties, beams.step)
            full = finished_scores[:, -1] > NEVER
            done = done | (full & (finished_scores[:, -1] >= attainable))

        beams = _Beams(
            step=length,
            live_tokens=live_tokens,
            live_last=live_last,
            live_scores=live_scores,
            live_length=ops.where(active, length, beams.live_length),
            coverage=beams.coverage if source is None else pick(beams.coverage, parents),
            finished_tokens=pick(pool_tokens, best),
            finished_lengths=pick(pool_lengths, best),
            finished_scores=finished_scores,
            done=done,
            broken=broken,
        )
        return beams, parents

    def _coverage(self, coverage, source):
        """GNMT's penalty of each hypothesis: coverage (B, G, S) to (B, G)."""
        logs = ops.log(ops.clip(coverage, 1e-7, 1.0))
        return self.coverage_penalty * ops.sum(ops.where(source[:, None], logs, 0.0), axis=-1)

    def _result(self, beams, penalties, config, source=None):
        """The finished hypotheses, then, where they are too few, the best live ones."""
        width = self.beam_size
        length = beams.live_length[:, None]  # (B, 1)
        live_scores = beams.live_scores / ops.take(penalties, ops.maximum(length - 1, 0))
        if source is not None:
            live_scores = live_scores + self._coverage(beams.coverage, source)
        scores = ops.concatenate([beams.finished_scores, live_scores], axis=1)  # (B, 2G)
        lengths = ops.broadcast_to(length, ops.shape(live_scores))
        lengths = ops.concatenate([beams.finished_lengths, lengths], axis=1)
        tokens = ops.concatenate([beams.finished_tokens, beams.live_tokens], axis=1)

        there = ops.cast(beams.finished_scores > NEVER, "int32")
        count = ops.sum(there, axis=1, keepdims=True)  # (B, 1)
        place = ops.arange(self.n_best, dtype="int32")[None]  # (1, n_best)
        index = ops.where(place < count, place, width + place - count)
        scores, lengths, tokens = (pick(x, index) for x in (scores, lengths, tokens))
        lengths = ops.where(scores > NEVER, lengths, 0)
        scores = ops.where(beams.broken[:, None], float("nan"), scores)
        return Generated(mask_after(tokens, lengths, config.pad_id), lengths, scores)
