"""What stood where a text is masked.

M masks of a text, V vocabulary
"""

from dataclasses import dataclass

import numpy as np

from keras_transformer.generation.decoding import check_positive
from keras_transformer.models import MaskedLM
from keras_transformer.tasks.task import Task, list_of_strings
from keras_transformer.tasks.text_classifier import softmax
from keras_transformer.text import WordPieceTokenizer
from keras_transformer.text.word_piece import CONTINUING

SPACES = " \t\n\r\f\v"  # what may stand between a word and the piece that continues it


@dataclass(frozen=True)
class Candidate:
    """What may stand in the place of a mask.

    Args:
        token: its text, without white space around; `##` begins one that continues a word, where
            the tokenizer's pieces are written so.
        score: its probability.
        token_id: its id.

    Example:

    >>> print(Candidate("Paris", 0.75, 17))
    Paris (0.750)
    """

    token: str
    score: float
    token_id: int

    def __str__(self):
        return f"{self.token} ({self.score:.3f})"

    def to_dict(self) -> dict:
        """All of it."""
        return {"token": self.token, "score": self.score, "token_id": self.token_id}


@dataclass(frozen=True)
class Filling:
    """A text whose masks are filled; printed, it is the text.

    Args:
        text: with the best candidate in the place of each mask; one that continues a word is
            written behind it, without `##` and without white space between.
        masks: the k best candidates of each mask, best first.

    Example:

    >>> filling = Filling("Paris is big.", ((Candidate("Paris", 0.75, 17),),))
    >>> print(filling, "|", *filling.masks[0])
    Paris is big. | Paris (0.750)
    """

    text: str
    masks: tuple[tuple[Candidate, ...], ...]

    def __str__(self):
        return self.text

    def to_dict(self) -> dict:
        """All of it."""
        return {
            "text": self.text,
            "masks": [[candidate.to_dict() for candidate in mask] for mask in self.masks],
        }


class MaskFiller(Task):
    """Fills masks in strings with a `MaskedLM` and its tokenizer.

    Each mask is filled for itself, without regard to what others become.

    Args:
        model: a `models.MaskedLM`.
        tokenizer: the `text.Tokenizer` it was trained with, which has a mask token.
        max_length: tokens of an input at most; by default the model's and the tokenizer's.

    Call:
        texts: a string, or a list of them, with `mask_token` in any number of places.
        top_k: candidates wanted for each mask.
        batch_size: texts that the model is given together; they are sorted by length first.
        truncate: cut texts that are too long, and warn with their number, in place of an error;
            masks that are cut off have no candidates, and stay in the text.
        progress: whether to show a progress bar; by default on a terminal, for long work.

    Returns:
        A `Filling` for a string, a list of them in the order of the texts for a list. A text
        without masks stays what it is.

    Raises:
        TypeError: `texts`, or an item of it, is no string.
        ValueError: the tokenizer has no mask token, a text is too long, or an argument is out of
            its range.

    Example:

    >>> from keras_transformer import models, tasks, text
    >>> tokenizer = text.WordPieceTokenizer.train([["a dog runs", "a dog eats"]], vocab_size=30)
    >>> config = models.EncoderConfig(
    ...     vocab_size=30, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> filler = tasks.MaskFiller(models.MaskedLM(config), tokenizer)   # untrained
    >>> filler.mask_token
    '[MASK]'
    >>> len(filler("a [MASK] runs", top_k=3).masks[0])
    3

    Reference:
        Devlin et al. 2019, "BERT", section 3.1.
    """

    model_class = MaskedLM

    def __init__(self, model, tokenizer, max_length=None):
        super().__init__(model, tokenizer, max_length)
        if tokenizer.mask_id < 0:
            raise ValueError(f"tokenizer must have a mask token; {tokenizer!r} has none.")
        self.mask_token = tokenizer.pieces([tokenizer.mask_id])[0]
        if tokenizer.encode(self.mask_token) != [tokenizer.mask_id]:
            raise ValueError(f"tokenizer must find its {self.mask_token} in texts; it does not.")

    def __call__(self, texts, *, top_k=5, batch_size=32, truncate=False, progress=None):
        single = isinstance(texts, str)
        lines = [texts] if single else list_of_strings(texts)
        self.check_top_k(top_k)
        encodings = self.encode(lines, None, truncate)
        places = [self._places(encoding) for encoding in encodings]
        with_masks = [i for i, own in enumerate(places) if own]
        logits = self.forward(
            [encodings[i] for i in with_masks],
            batch_size,
            progress,
            mask_positions=[places[i] for i in with_masks],
        )
        answers = [Filling(line, ()) for line in lines]
        for i, found in zip(with_masks, logits, strict=True):
            masks = tuple(self._candidates(row, top_k) for row in found)
            answers[i] = Filling(self._filled(lines[i], masks), masks)
        return answers[0] if single else answers

    def check_top_k(self, top_k):
        """Refuses what is no number of tokens."""
        check_positive("top_k", top_k)
        if top_k > self.tokenizer.vocab_size:
            raise ValueError(
                f"top_k must be at most the vocabulary's size, {self.tokenizer.vocab_size}; "
                f"got {top_k}."
            )

    def token_text(self, ids):
        """The text of single tokens, without white space around; a special one's is its name."""
        decoded = self.tokenizer.decode([[i] for i in ids])
        pieces = self.tokenizer.pieces(ids)
        special = set(self.tokenizer.special_ids)
        named = zip(ids, decoded, pieces, strict=True)
        return [piece if i in special else word.strip() for i, word, piece in named]

    def joined(self, ids):
        """Whether each of the tokens is the continuation of a word, `##` and more."""
        if not isinstance(self.tokenizer, WordPieceTokenizer):
            return [False] * len(ids)
        special = set(self.tokenizer.special_ids)
        return [
            i not in special and piece.startswith(CONTINUING) and piece != CONTINUING
            for i, piece in zip(ids, self.tokenizer.pieces(ids), strict=True)
        ]

    def _places(self, encoding):
        mask = self.tokenizer.mask_id
        return [place for place, token in enumerate(encoding.ids) if token == mask]

    def _candidates(self, logits, top_k):
        scores = softmax(logits)[: self.tokenizer.vocab_size]  # (V,)
        best = np.argsort(-scores, kind="stable")[:top_k].tolist()
        words = self.token_text(best)
        return tuple(Candidate(w, float(scores[i]), i) for w, i in zip(words, best, strict=True))

    def _filled(self, line, masks):
        text, *parts = line.split(self.mask_token)
        best = [mask[0] for mask in masks]
        words = [candidate.token for candidate in best]
        joined = self.joined([candidate.token_id for candidate in best])
        words += [self.mask_token] * (len(parts) - len(words))
        joined += [False] * (len(parts) - len(joined))
        for word, joins, part in zip(words, joined, parts, strict=False):
            if joins:
                text, word = text.rstrip(SPACES), word.removeprefix(CONTINUING)
            text += word + part
        return text
