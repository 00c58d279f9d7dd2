"""One token after the other, each final once chosen: what greedy search and sampling share.

B prompts, R sequences of a prompt, N = B * R rows, L tokens at most, V vocabulary
"""

from typing import NamedTuple

from keras import ops

from keras_transformer.generation.decoding import (
    Generated,
    as_limits,
    check_length,
    is_end,
    mask_after,
    token_scores,
    write_token,
)
from keras_transformer.generation.history import process, prompt_of
from keras_transformer.generation.length_penalty import as_length_penalty


class Search(NamedTuple):
    """What a step changes, besides the model's state."""

    step: object  # () int32: tokens generated so far
    tokens: object  # (N, L) int32
    last: object  # (N,) int32: the token fed next
    lengths: object  # (N,) int32
    scores: object  # (N,) float32: total log-probability
    done: object  # (N,) bool
    broken: object  # (N,) bool: logits were not finite, or nothing was allowed


class Setting(NamedTuple):
    """What stays the same from step to step."""

    prompt: object  # `Prompt` of N rows
    limits: object  # (N,) int32
    chance: object  # what `choose` is given: (N,) int32 seeds, or ()


class TokenLoop:
    """Decoding in which a token is final once chosen. Not used by itself.

    A subclass has `length_penalty` and `processors`, and overrides `choose`.
    """

    rows = 1  # R
    room = 0  # tokens beyond the limit that a step may write

    def choose(self, logits, step, chance):
        """The next token (N,) int32 of each row.

        Args:
            logits: (N, V) float32, after all processors.
            step: int32 scalar, tokens generated so far.
            chance: the method's `call_inputs`.
        """
        raise NotImplementedError

    def decode(self, model, inputs, max_new_tokens, limits=None, **call_inputs):
        """Decodes inside a compiled program; `generation.generate` is the checked way in.

        Args:
            model: anything with `config start step reorder`.
            inputs: dictionary of tensors that `model.start` takes, B rows.
            max_new_tokens: int, L; in a TensorFlow graph without XLA also an int32 scalar tensor.
            limits: (B,) int32, tokens at most per sentence, or None for `max_new_tokens`. A
                sentence with limit 0 costs no step.
            **call_inputs: tensors of the method's `call_inputs`.

        Returns:
            `Generated` with `sequences` (B, R, L).
        """
        search, state, setting = self.begin(model, inputs, max_new_tokens, limits, **call_inputs)
        search, _ = self.run(model, search, state, setting)
        return self.result(search, model.config)

    def begin(self, model, inputs, max_new_tokens, limits=None, seeds=None):
        """`(search, state, setting)` before the first token."""
        check_length(max_new_tokens)
        prompt = prompt_of(model, inputs)
        batch = ops.shape(prompt.tokens)[0]
        limits = as_limits(limits, max_new_tokens, batch)
        room = max_new_tokens + self.room
        ahead = {"lookahead": self.room} if self.room else {}
        state = model.start(inputs, room, beams=self.rows, **ahead)
        prompt = prompt._replace(limits=limits).repeat(self.rows)
        limits = prompt.limits
        rows = batch * self.rows
        search = Search(
            step=ops.zeros((), "int32"),
            tokens=ops.zeros((rows, room), "int32"),
            last=prompt.last(),
            lengths=ops.zeros((rows,), "int32"),
            scores=ops.zeros((rows,), "float32"),
            done=limits <= 0,
            broken=ops.zeros((rows,), "bool"),
        )
        return search, state, Setting(prompt, limits, self.chance(seeds, batch))

    def chance(self, seeds, batch):
        """What `choose` needs besides logits, from the call's (B,) seeds."""
        return ()

    def run(self, model, search, state, setting, stop=None):
        """Tokens until all rows are done, or until `stop` tokens: `(search, state)`."""

        def unfinished(search, state):
            going = ops.any(ops.logical_not(search.done))
            return going if stop is None else going & (search.step < stop)

        def advance(search, state):
            logits, state = model.step(search.last[:, None], state)
            return self.advance(search, logits, model.config, setting), state

        return ops.while_loop(unfinished, advance, (search, state))

    def advance(self, search, logits, config, setting):
        """The search after one more token of each row, whose logits are (N, 1, V)."""
        own, normaliser = token_scores(logits, config)
        logits = process(self.processors, own, setting.prompt, search.tokens, search.step, config)
        token = self.choose(logits, search.step, setting.chance)  # (N,)
        gain = ops.take_along_axis(own, token[:, None], axis=1) - normaliser
        active = ops.logical_not(search.done)
        usable = ops.isfinite(normaliser[:, 0])
        if self.processors:
            usable = usable & (ops.max(logits, axis=-1) > -float("inf"))
        broken = search.broken | (active & ops.logical_not(usable))
        length = search.step + 1
        return Search(
            step=length,
            tokens=write_token(search.tokens, search.step, token),
            last=token,
            lengths=ops.where(active, length, search.lengths),
            scores=ops.where(active, search.scores + gain[:, 0], search.scores),
            done=search.done | is_end(token, config) | (length >= setting.limits) | broken,
            broken=broken,
        )

    def result(self, search, config):
        """What was generated, as `Generated`."""
        penalty = as_length_penalty(self.length_penalty)
        scores = search.scores / penalty(ops.cast(ops.maximum(search.lengths, 1), "float32"))
        scores = ops.where(search.broken, ops.full_like(scores, float("nan")), scores)
        tokens = search.tokens[:, : ops.shape(search.tokens)[1] - self.room]
        tokens = mask_after(tokens, search.lengths, config.pad_id)
        batch = ops.shape(tokens)[0] // self.rows
        return Generated(
            ops.reshape(tokens, (batch, self.rows, ops.shape(tokens)[1])),
            ops.reshape(search.lengths, (batch, self.rows)),
            ops.reshape(scores, (batch, self.rows)),
        )
