"""Prompts to the text that follows.

B prompts, P tokens of a prompt
"""

import dataclasses
import warnings
from dataclasses import dataclass

import numpy as np
from keras import ops

from keras_transformer.checkpoints.pretrained import MODEL_TYPE, read_fields
from keras_transformer.checkpoints.published import CONFIG
from keras_transformer.generation.decoding import check_positive, is_end
from keras_transformer.models import CausalLM
from keras_transformer.tasks.decoding_defaults import (
    DecodingDefaults,
    check_decoding,
    read_continuing,
    write_decoding,
)
from keras_transformer.tasks.task import Task, list_of_strings, progress_bar
from keras_transformer.tasks.translation import Alternative

USUAL_NEW_TOKENS = 64


@dataclass(frozen=True)
class Continuation:
    """What follows a prompt; printed, it is the text.

    Args:
        text: the new text alone.
        score: its total log-probability over the method's length penalty.
        alternatives: the others of the n best, or of what was drawn.

    Example:

    >>> print("Once" + str(Continuation(" upon a time", -0.5)))
    Once upon a time
    """

    text: str
    score: float
    alternatives: tuple[Alternative, ...] = ()

    def __str__(self):
        return self.text

    def to_dict(self) -> dict:
        """`text`, `score` and, where there are any, `alternatives`."""
        found = {"text": self.text, "score": self.score}
        if self.alternatives:
            found["alternatives"] = [other.to_dict() for other in self.alternatives]
        return found


@dataclass(frozen=True)
class KnownTokens:
    """A logit processor that forbids ids beyond a tokenizer's, an end of the model's own excepted.

    Args:
        size: the tokenizer's `vocab_size`.
    """

    size: int

    def __call__(self, scores, history):
        tokens = ops.arange(scores.shape[-1], dtype="int32")
        known = (tokens < self.size) | is_end(tokens, history.config)
        return ops.where(known, scores, -float("inf"))


class TextGenerator(Task):
    """Continues strings with a `CausalLM` and its tokenizer.

    Ids that the model has and its tokenizer has not are never generated.

    Args:
        model: a `models.CausalLM`.
        tokenizer: the `text.Tokenizer` it was trained with.
        max_length: tokens of prompt and new text together; by default the model's and the
            tokenizer's.
        decoding: the `DecodingDefaults` of the model, without `max_new_tokens` and
            `forced_first_id`; by default greedy search without penalties.
            `from_pretrained` reads those of a folder's `generation_config.json`.

    Call:
        texts: a prompt, or a list of them. One without tokens starts from the tokenizer's `bos_id`
            or else its `eos_id`.
        max_new_tokens: new tokens at most, the ending one included; by default 64, or half of
            what a smaller `max_length` has, the rest being the prompt's.
        method: `generation.Greedy()`, `generation.Sampling(...)`, `generation.BeamSearch(...)` or
            alike, taken as it is, with no penalties but its own; by default that of `decoding`.
        batch_size: prompts decoded together; they are sorted by length first.
        truncate: cut prompts that leave no room for the new tokens at their beginning, and warn
            with their number, in place of an error.
        progress: whether to show a progress bar; by default on a terminal, for long work.

    Returns:
        A `Continuation` for a string, a list of them in the order of the prompts for a list.

    Raises:
        TypeError: `texts`, or an item of it, is no string.
        ValueError: a prompt is too long or has no token to start from, or an argument is out of its
            range.

    Example:

    >>> from keras_transformer import generation, models, tasks, text
    >>> tokenizer = text.SentencePieceTokenizer.train([["a dog runs", "a dog eats"]], 22)
    >>> config = models.DecoderConfig(
    ...     vocab_size=22, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16, max_length=32)
    >>> generator = tasks.TextGenerator(models.CausalLM(config), tokenizer)   # untrained
    >>> method = generation.Sampling(temperature=0.7, seed=1)
    >>> len(generator(["a dog", ""], max_new_tokens=4, method=method))
    2
    """

    model_class = CausalLM

    def __init__(self, model, tokenizer, max_length=None, decoding=None):
        super().__init__(model, tokenizer, max_length)
        self.decoding = DecodingDefaults(beam_size=1) if decoding is None else decoding
        check_decoding(self.decoding)
        for name in ("max_new_tokens", "forced_first_id"):
            value = getattr(self.decoding, name)
            if value is not None:
                raise ValueError(
                    f"{name} must be None in a TextGenerator's decoding, got {value}: give "
                    "max_new_tokens to the call, and what an answer begins with in the prompt."
                )

    def __call__(
        self,
        texts,
        *,
        max_new_tokens=None,
        method=None,
        batch_size=64,
        truncate=False,
        progress=None,
    ):
        single = isinstance(texts, str)
        lines = [texts] if single else list_of_strings(texts)
        max_new_tokens = self.check_max_new_tokens(max_new_tokens)
        check_positive("batch_size", batch_size)
        prompts = self._prompts(lines, self.max_length - max_new_tokens, truncate)
        if not prompts:
            return []
        bar = progress_bar(progress, len(prompts), -(-len(prompts) // batch_size))
        found = self.model.generate(
            prompts,
            max_new_tokens,
            self.method(method),
            batch_size=batch_size,
            jit_compile=False,
            on_batch=None if bar is None else bar.add,
        )
        answers = [self._answer(prompt, *row) for prompt, *row in zip(prompts, *found, strict=True)]
        return answers[0] if single else answers

    def check_max_new_tokens(self, max_new_tokens=None):
        """A number of new tokens in its range; None stands for the default."""
        limit = self.max_length - self.tokenizer.template.num_added() - 1
        if max_new_tokens is None:
            least = self.decoding.min_new_tokens + 1
            usual = min(USUAL_NEW_TOKENS, (limit + 1) // 2)
            return max(1, min(max(usual, least), limit))
        check_positive("max_new_tokens", max_new_tokens)
        if max_new_tokens > limit:
            raise ValueError(
                f"max_new_tokens must be at most {limit}, which max_length {self.max_length} "
                f"leaves beside a prompt; got {max_new_tokens}."
            )
        return max_new_tokens

    def method(self, method=None):
        """The decoding method for the tokenizer's ids alone; None stands for the default."""
        method = self.decoding.method() if method is None else method
        size = self.tokenizer.vocab_size
        has_processors = dataclasses.is_dataclass(method) and hasattr(method, "processors")
        if size == self.model.config.vocab_size or not has_processors or isinstance(method, type):
            return method
        return dataclasses.replace(method, processors=(*method.processors, KnownTokens(size)))

    def start_id(self):
        """The token that an empty prompt starts from, or -1."""
        tokenizer = self.tokenizer
        return tokenizer.bos_id if tokenizer.bos_id >= 0 else tokenizer.eos_id

    def _prompts(self, lines, limit, truncate):
        """The ids of each prompt, none longer than `limit`."""
        template = self.tokenizer.template
        room = limit - template.num_added()
        found = self.tokenizer.encode(lines)
        long = [i for i, ids in enumerate(found) if len(ids) > room]
        if long and not truncate:
            raise ValueError(
                f"texts[{long[0]}] has {len(found[long[0]]) + template.num_added()} tokens; beside "
                f"the new ones there is room for {limit}. truncate=True cuts its beginning."
            )
        if long:
            warnings.warn(
                f"{len(long)} of {len(lines)} prompts were cut to their last {limit} tokens.",
                stacklevel=3,
            )
        prompts = [template.apply((ids[max(len(ids) - room, 0) :], None)).ids for ids in found]
        for i, ids in enumerate(prompts):
            if not ids:
                if self.start_id() < 0:
                    raise ValueError(f"texts[{i}] has no token for the model to start from.")
                prompts[i] = [self.start_id()]
        return prompts

    def _answer(self, prompt, sequences, lengths, scores):
        """The Continuation of one prompt; places that hold no sequence are left out."""
        kept = np.flatnonzero(lengths > 0)
        before = self.tokenizer.decode(prompt)
        size = self.tokenizer.vocab_size  # beyond it there may be an end of the model's own
        new = [[x for x in sequences[i, : lengths[i]].tolist() if x < size] for i in kept]
        texts = self.tokenizer.decode([[*prompt, *ids] for ids in new])
        # Decoded together, since a first piece is decoded without the space before it.
        texts = [
            text[len(before) :] if text.startswith(before) else self.tokenizer.decode(ids)
            for text, ids in zip(texts, new, strict=True)
        ]
        best, *others = zip(texts, scores[kept].tolist(), strict=True)
        return Continuation(*best, tuple(Alternative(*other) for other in others))

    def save_decoding(self, folder):
        if self.decoding != DecodingDefaults(beam_size=1) or self.model.published is not None:
            write_decoding(self.decoding, self.model.config, folder)
        else:
            super().save_decoding(folder)

    @classmethod
    def read_settings(cls, folder):
        published = read_fields(folder / CONFIG).get("model_type") != MODEL_TYPE
        decoding, of_model = read_continuing(folder, published)
        _, of_task = super().read_settings(folder)
        return of_model, {"decoding": decoding, **of_task}
