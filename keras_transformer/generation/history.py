"""The tokens that a step's logits follow, as logit processors see them.

B prompts, N rows, P prompt length, L new tokens at most, W = P + L, V vocabulary
"""

from typing import NamedTuple

from keras import ops


class Prompt(NamedTuple):
    """What the decoder has read before the first new token.

    Attributes:
        tokens: (B, P) int32; padding stands on the left. Of an encoder-decoder it is `bos_id`.
        mask: (B, P) boolean, True = real token.
        limits: (B,) int32, how many new tokens each row may get, where that is known.
    """

    tokens: object
    mask: object
    limits: object = None

    def last(self):
        """(B,) int32: what the first step is given."""
        return self.tokens[:, -1]

    def repeat(self, times):
        """Each row `times` times, side by side."""
        if times == 1:
            return self
        return Prompt(*(None if x is None else ops.repeat(x, times, axis=0) for x in self))


def prompt_of(model, inputs):
    """The `Prompt` that the model's decoder starts from."""
    if hasattr(model, "prompt"):
        return Prompt(*model.prompt(inputs))
    rows = ops.shape(inputs["encoder_token_ids"])[0]
    return Prompt(ops.full((rows, 1), model.config.bos_id, "int32"), ops.ones((rows, 1), "bool"))


class History(NamedTuple):
    """The prompt and what has been generated after it: what a logit processor decides by.

    Attributes:
        tokens: (N, W) int32, padding and what is not yet generated being 0.
        mask: (N, W) boolean, True = a token that is there; a prompt's padding stands on the left.
        generated: (N, W) boolean, True = a token that is there and was generated.
        end: int32 scalar, the place in W that the next token takes.
        step: int32 scalar, the number of tokens generated so far.
        config: the model's configuration, with `vocab_size`, `eos_id` and so on.
        limits: (N,) int32, how many tokens each row may get.

    Example:

    >>> import numpy as np
    >>> prompt = Prompt(np.array([[5, 6]]), np.array([[True, True]]))
    >>> history = History.of(prompt, np.array([[7, 0, 0]]), 1, None)
    >>> np.asarray(history.tokens).tolist(), int(history.end)
    ([[5, 6, 7, 0, 0]], 3)
    """

    tokens: object
    mask: object
    generated: object
    end: object
    step: object
    config: object
    limits: object = None

    @classmethod
    def of(cls, prompt, tokens, step, config):
        """The history of a `Prompt` of N rows and `tokens` (N, L), of which `step` are there."""
        there = ops.arange(ops.shape(tokens)[1], dtype="int32") < step  # (L,)
        there = ops.broadcast_to(there, ops.shape(tokens))
        mask = ops.concatenate([prompt.mask, there], axis=1)
        tokens = ops.concatenate([prompt.tokens, tokens], axis=1)
        nowhere = ops.zeros_like(prompt.mask)
        return cls(
            tokens=ops.where(mask, tokens, 0),
            mask=mask,
            generated=ops.concatenate([nowhere, there], axis=1),
            end=ops.shape(prompt.tokens)[1] + step,
            step=step,
            config=config,
            limits=prompt.limits,
        )

    def last(self, count):
        """The last `count` tokens and whether they are there: a pair of (N, count)."""
        places = self.end - count + ops.arange(count, dtype="int32")
        there = ops.take(self.mask, ops.maximum(places, 0), axis=1) & (places >= 0)
        return ops.take(self.tokens, ops.maximum(places, 0), axis=1), there


def process(processors, scores, prompt, tokens, step, config):
    """The scores (N, V) after all processors."""
    if not processors:
        return scores
    history = History.of(prompt, tokens, step, config)
    for processor in processors:
        scores = processor(scores, history)
    return scores


def check_processors(processors):
    """The processors as a tuple.

    Raises:
        TypeError: one cannot be called, or has no hash to keep a program under.
    """
    processors = tuple(processors) if isinstance(processors, (list, tuple)) else (processors,)
    for processor in processors:
        if not callable(processor):
            raise TypeError(
                "processors must be callables (scores, history) -> scores, such as "
                f"RepetitionPenalty(1.2); received {processor!r}."
            )
    return processors
