"""Speculative decoding: several tokens guessed, then checked by the model in one pass.

N rows, K guessed tokens, W tokens of prompt and generated, L new tokens at most, V vocabulary
"""

from collections.abc import Callable
from dataclasses import dataclass

from keras import ops, tree

from keras_transformer.generation.decoding import check_positive, token_scores, write_token
from keras_transformer.generation.greedy import Greedy
from keras_transformer.generation.history import History, check_processors
from keras_transformer.generation.length_penalty import check_length_penalty
from keras_transformer.generation.token_loop import TokenLoop


@dataclass(frozen=True)
class PromptLookup:
    """Guesses that the text goes on as it did before: after the last few tokens, the last time.

    Looks in what was generated, the prompt, and an encoder-decoder's source.

    Args:
        size: the most tokens at the end that are looked for; then fewer, down to one.

    Raises:
        ValueError: the size is not a positive integer.

    Example:

    >>> PromptLookup(size=2).size
    2

    Reference:
        Saxena 2023, "Prompt Lookup Decoding".
    """

    size: int = 3

    def __post_init__(self):
        check_positive("size", self.size)

    models = ()

    def start(self, inputs, max_new_tokens, lookahead):
        """The source's tokens (B, S) and mask, or () where there is none."""
        if "encoder_token_ids" not in inputs:
            return ()
        tokens = ops.cast(inputs["encoder_token_ids"], "int32")
        mask = inputs.get("encoder_padding_mask")
        mask = ops.ones_like(tokens, dtype="bool") if mask is None else ops.cast(mask, "bool")
        return tokens, mask

    def guess(self, history, last, count, state):
        """The next `count` tokens (N, count) int32, and the state."""
        tokens, there = history.tokens, history.mask
        if state:
            tokens = ops.concatenate([state[0], tokens], axis=1)
            there = ops.concatenate([state[1], there], axis=1)
        width = ops.shape(tokens)[1]
        end = width - ops.shape(history.tokens)[1] + history.end
        place = ops.arange(width, dtype="int32")  # of the token that followed
        found = ops.full_like(last, -1)
        same = there & (place < end)  # what follows is there
        for back in range(1, self.size + 1):
            own = ops.take(tokens, ops.maximum(end - back, 0), axis=1)[:, None]  # (N, 1)
            source = ops.maximum(place - back, 0)
            match = ops.take((tokens == own) & there, source, axis=1) & (place >= back)
            same = same & match
            best = ops.max(ops.where(same, place, -1), axis=1)
            found = ops.where(best >= 0, best, found)  # the longest match is looked up last
        places = ops.maximum(found, 0)[:, None] + ops.arange(count, dtype="int32")
        return ops.take_along_axis(tokens, ops.minimum(places, width - 1), axis=1), state

    def rewind(self, state, count):
        """The state as it was before the last tokens; this one has none."""
        return state


@dataclass(frozen=True)
class DraftModel:
    """Guesses what a smaller model with the same vocabulary would say.

    Args:
        model: of the same kind as the model that decodes. The compiled programs of that one keep
            it alive.

    Example:

    >>> from keras_transformer import models
    >>> DraftModel(models.Seq2SeqLM.from_preset("transformer_tiny", vocab_size=11)).model.name
    'seq2_seq_lm...'

    Reference:
        Leviathan et al. 2023, "Fast Inference from Transformers via Speculative Decoding".
    """

    model: object

    @property
    def models(self):
        return (self.model,)

    def start(self, inputs, max_new_tokens, lookahead):
        """The model's state after the prompts."""
        return self.model.start(inputs, max_new_tokens, beams=1, lookahead=lookahead)

    def guess(self, history, last, count, state):
        """The next `count` tokens (N, count) int32, and the state, which has read all of them."""
        tokens = ops.zeros((ops.shape(last)[0], count + 1), "int32")

        def more(place, tokens, last, state):
            return place <= count

        def step(place, tokens, last, state):
            logits, state = self.model.step(last[:, None], state)
            logits, _ = token_scores(logits, self.model.config)
            last = ops.cast(ops.argmax(logits, axis=-1), "int32")
            return place + 1, write_token(tokens, place, last), last, state

        first = (ops.zeros((), "int32"), tokens, last, state)
        _, tokens, _, state = ops.while_loop(more, step, first)
        return tokens[:, :count], state

    def rewind(self, state, count):
        """The state as it was before the last `count` tokens."""
        return self.model.rewind(state, count)


@dataclass(frozen=True)
class Speculative(TokenLoop):
    """Greedy search that has several tokens guessed and then checks them in one pass.

    The tokens are those of `Greedy`; what changes is how many the model reads at a time. Of the
    guessed tokens the first wrong one and all after it are dropped. Rows of a batch go on in step,
    by the tokens that all of them have guessed right, so that it is of most use for one row.

    Args:
        draft: `PromptLookup(...)` or `DraftModel(...)`.
        num_draft: K, tokens guessed at a time.
        length_penalty, processors: as in `Greedy`.

    Raises:
        TypeError: the draft cannot guess.
        ValueError: `num_draft` is not a positive integer; from `generate`: the draft's vocabulary
            is another.

    Example:

    >>> Speculative(PromptLookup(2), num_draft=5).n_best
    1

    Reference:
        Leviathan et al. 2023, section 2; Stern et al. 2018, "Blockwise Parallel Decoding".
    """

    draft: object = PromptLookup()
    num_draft: int = 4
    length_penalty: float | Callable = 1.0
    processors: tuple = ()

    n_best = 1
    choose = Greedy.choose

    def __post_init__(self):
        object.__setattr__(self, "processors", check_processors(self.processors))
        check_length_penalty(self.length_penalty)
        check_positive("num_draft", self.num_draft)
        if not hasattr(self.draft, "guess"):
            raise TypeError(
                f"draft must be PromptLookup(...) or DraftModel(...); received {self.draft!r}."
            )

    @property
    def room(self):
        return self.num_draft

    @property
    def models(self):
        """What is decoded with besides the model itself."""
        return self.draft.models

    def check(self, config, limits):
        """Refuses a draft with another vocabulary."""
        for model in self.models:
            if model.config.vocab_size != config.vocab_size:
                raise ValueError(
                    f"The draft must have the model's vocab_size, {config.vocab_size}; "
                    f"received {model.config.vocab_size}."
                )

    def decode(self, model, inputs, max_new_tokens, limits=None):
        search, state, setting = self.begin(model, inputs, max_new_tokens, limits)
        draft_state = self.draft.start(inputs, max_new_tokens + self.room, self.room)
        config, count = model.config, self.num_draft

        def unfinished(search, state, draft_state):
            return ops.any(ops.logical_not(search.done))

        def advance(search, state, draft_state):
            history = History.of(setting.prompt, search.tokens, search.step, config)
            guess, draft_state = self.draft.guess(history, search.last, count, draft_state)
            fed = ops.concatenate([search.last[:, None], guess], axis=1)  # (N, K + 1)
            logits, state = model.step(fed, state)
            before, right = search.step, None  # whether all guesses so far were right
            for i in range(count + 1):
                following = self.advance(search, logits[:, i : i + 1], config, setting)
                search = choose(right, following, search)
                if i < count:
                    agrees = ops.all(search.done | (search.last == guess[:, i]))
                    right = agrees if right is None else right & agrees
            dropped = count + 1 - (search.step - before)
            state = model.rewind(state, dropped)
            return search, state, self.draft.rewind(draft_state, dropped)

        search, *_ = ops.while_loop(unfinished, advance, (search, state, draft_state))
        return self.result(search, config)


def choose(condition, first, second):
    """One of two nests of tensors; a condition of None stands for True."""
    if condition is None:
        return first
    return tree.map_structure(lambda x, y: ops.where(condition, x, y), first, second)
