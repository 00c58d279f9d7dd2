"""Diverse beam search: groups of hypotheses, each told apart from those before it."""

from dataclasses import dataclass

from keras import ops

from keras_transformer.generation.beam_search import BeamSearch
from keras_transformer.generation.decoding import (
    as_limits,
    check_length,
    check_positive,
    flat_rows,
    pick,
)
from keras_transformer.generation.history import prompt_of
from keras_transformer.generation.length_penalty import as_length_penalty
from keras_transformer.generation.penalties import counts


@dataclass(frozen=True)
class DiverseBeamSearch(BeamSearch):
    """Beam search in groups, in which a group avoids the tokens that others took at the same step.

    The `beam_size` hypotheses are divided into `num_groups` beam searches. In each step they go on
    one after the other; a token costs `diversity_penalty` for each live hypothesis of the groups
    before that has just taken it, in the scores too. The results of all groups compete at the end.

    Args:
        num_groups: a divisor of `beam_size`.
        diversity_penalty: above 0.
        **others: as in `BeamSearch`, but for `coverage_penalty`.

    Raises:
        ValueError: an argument is out of its range.

    Example:

    >>> DiverseBeamSearch(beam_size=6, num_groups=3, n_best=3).group().beam_size
    2

    Reference:
        Vijayakumar et al. 2018, "Diverse Beam Search for Improved Description of Complex Scenes".
    """

    beam_size: int = 6
    num_groups: int = 3
    diversity_penalty: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        check_positive("num_groups", self.num_groups)
        if self.beam_size % self.num_groups:
            raise ValueError(
                f"num_groups must divide beam_size ({self.beam_size}); received {self.num_groups}."
            )
        if not self.diversity_penalty > 0:
            raise ValueError(
                f"diversity_penalty must be above 0; received {self.diversity_penalty!r}."
            )
        if self.coverage_penalty:
            raise ValueError("coverage_penalty must be 0 in DiverseBeamSearch.")

    def group(self):
        """The beam search of one group."""
        width = self.beam_size // self.num_groups
        return BeamSearch(
            width,
            self.length_penalty,
            min(self.n_best, width),
            self.early_stopping,
            self.processors,
        )

    def decode(self, model, inputs, max_new_tokens, limits=None):
        check_length(max_new_tokens)
        group, config = self.group(), model.config
        width = group.beam_size
        prompt = prompt_of(model, inputs)
        state = model.start(inputs, max_new_tokens, beams=self.beam_size)
        batch = ops.shape(prompt.tokens)[0]
        limits = as_limits(limits, max_new_tokens, batch)
        lengths = ops.cast(ops.arange(1, max_new_tokens + 1, dtype="int32"), "float32")
        penalties = as_length_penalty(self.length_penalty)(lengths)  # (L,)
        rows = prompt._replace(limits=limits).repeat(width)

        def unfinished(groups, state):
            return ops.any(ops.stack([ops.any(ops.logical_not(beams.done)) for beams in groups]))

        def advance(groups, state):
            last = ops.concatenate([beams.live_last for beams in groups], axis=1)  # (B, G)
            logits, state = model.step(ops.reshape(last, (-1, 1)), state)
            size = logits.shape[-1]
            logits = ops.reshape(logits, (-1, self.num_groups, width, size))
            taken = ops.zeros((batch, size), "float32")
            advanced, parents = [], []
            for i, beams in enumerate(groups):
                own = ops.reshape(logits[:, i], (-1, 1, size))
                bonus = -self.diversity_penalty * taken if i else None
                beams, chosen = group._advance(
                    beams, own, config, penalties, limits, rows, bonus=bonus
                )
                there = ops.ones_like(beams.live_last, dtype="bool")
                new = counts(beams.live_last, there, size)
                taken = taken + ops.cast(new, "float32")
                advanced.append(beams)
                parents.append(chosen + i * width)
            parents = ops.concatenate(parents, axis=1)  # (B, G)
            return tuple(advanced), model.reorder(state, flat_rows(parents, self.beam_size))

        first = group._first(batch, max_new_tokens, limits, config, prompt.last())
        groups, _ = ops.while_loop(unfinished, advance, ((first,) * self.num_groups, state))
        return self._best(groups, group, penalties, config)

    def _best(self, groups, group, penalties, config):
        """The best of all groups: each group's own result, merged.

        Hypotheses without an end come after all that have one, as in `BeamSearch`.
        """
        pools = []
        for beams in groups:
            whole = BeamSearch(group.beam_size, self.length_penalty, group.beam_size)
            found = whole._result(beams, penalties, config)
            ended = ops.sum(ops.cast(beams.finished_scores > -float("inf"), "int32"), axis=1)
            place = ops.arange(group.beam_size, dtype="int32")[None]
            pools.append((*found, place < ended[:, None]))
        tokens, lengths, scores, ended = (
            ops.concatenate(parts, axis=1) for parts in zip(*pools, strict=True)
        )
        lowest = ops.full_like(scores, -1e30)
        usable = ops.where(ops.isnan(scores), lowest, ops.maximum(scores, lowest))
        order = ops.argsort(-usable, axis=1)  # by score
        rank = ops.argsort(order, axis=1) + ops.where(ended, 0, self.beam_size)
        best = ops.cast(ops.argsort(rank, axis=1), "int32")[:, : self.n_best]
        result = type(found)(pick(tokens, best), pick(lengths, best), pick(scores, best))
        broken = ops.any(ops.isnan(scores), axis=1)[:, None]
        return result._replace(scores=ops.where(broken, float("nan"), result.scores))
