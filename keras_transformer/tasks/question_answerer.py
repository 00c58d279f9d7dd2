"""Answers to questions, found in contexts.

R windows, T tokens of a window, N tokens of a context, L tokens of an answer at most
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np

from keras_transformer.generation.decoding import check_positive
from keras_transformer.models import SpanExtractor
from keras_transformer.tasks.entity_tagger import check_overlap
from keras_transformer.tasks.long_texts import make_windows
from keras_transformer.tasks.task import Task, check_number, two_lists

USUAL_LENGTH = 384  # tokens of a window, as in BERT's own script
LONGEST_QUESTION = 64


@dataclass(frozen=True)
class Span:
    """A part of a context that may be the answer.

    Args:
        text: the characters themselves.
        score: the probability that the answer starts and ends there, in its window.
        start, end: its place in the context in characters, the end excluded.

    Example:

    >>> print(Span("in 1066", 0.75, 20, 27))
    in 1066 (0.750)
    """

    text: str
    score: float
    start: int
    end: int

    def __str__(self):
        return f"{self.text} ({self.score:.3f})"

    def to_dict(self) -> dict:
        """All of it."""
        return {"text": self.text, "score": self.score, "start": self.start, "end": self.end}


@dataclass(frozen=True)
class Answer:
    """The answer to a question; printed, it is its text.

    Args:
        text: the characters of the context; empty where the context does not answer.
        score: its probability; that of no answer where there is none.
        start, end: its place in the context in characters; both 0 where there is no answer.
        no_answer_score: the probability that the context has no answer.
        alternatives: the others of the n best spans, best first.

    Example:

    >>> answer = Answer("1066", 0.75, 23, 27, 0.125, (Span("in 1066", 0.0625, 20, 27),))
    >>> print(answer, *answer.alternatives)
    1066 in 1066 (0.062)
    """

    text: str
    score: float
    start: int
    end: int
    no_answer_score: float
    alternatives: tuple[Span, ...] = ()

    def __str__(self):
        return self.text

    def to_dict(self) -> dict:
        """All of it; alternatives where there are any."""
        found = {
            "text": self.text,
            "score": self.score,
            "start": self.start,
            "end": self.end,
            "no_answer_score": self.no_answer_score,
        }
        if self.alternatives:
            found["alternatives"] = [span.to_dict() for span in self.alternatives]
        return found


class QuestionAnswerer(Task):
    """Finds answers in contexts with a `SpanExtractor` and its tokenizer.

    A span from token i to token j of a window has the probability

        p(i, j) = softmax(start)ᵢ · softmax(end)ⱼ

    over the context's tokens and the input's first one, which stands for "no answer". That one's
    probability is the lowest of all windows. Contexts longer than the model come in overlapping
    windows, and an answer is looked for in the window where its start stands nearest the middle.

    Args:
        model: a `models.SpanExtractor`.
        tokenizer: the `text.Tokenizer` it was trained with.
        max_length: tokens of a window at most, question and special ones included; by default
            384, the model's or the tokenizer's, whichever is least.

    Call:
        questions: a string, or a list of them.
        contexts: a string, or as many as questions, of any length.
        n_best: spans wanted; those after the best become `alternatives`.
        no_answer_threshold: where log p(no answer) - log p(best span) is above this, the answer is
            "". None, for models that were trained on nothing but answers, leaves "" to contexts
            without any token.
        max_answer_length: tokens of an answer at most.
        overlap: tokens that two windows share; by default a third of `max_length`, at most 128.
        batch_size: windows that the model is given together; they are sorted by length first.
        truncate: cut questions that are too long, and warn with their number, in place of an
            error. A question may have a sixth of `max_length` tokens, at most 64.
        progress: whether to show a progress bar; by default on a terminal, for long work.

    Returns:
        An `Answer` for strings, a list of them in the order of the questions for lists.

    Raises:
        TypeError: an argument is neither a string nor a list of them.
        ValueError: a question is too long, or an argument is out of its range.

    Example:

    >>> from keras_transformer import models, tasks, text
    >>> tokenizer = text.SentencePieceTokenizer.train([["who runs ?", "the dog runs"]], 24)
    >>> config = models.EncoderConfig(
    ...     vocab_size=24, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> answerer = tasks.QuestionAnswerer(models.SpanExtractor(config), tokenizer)   # untrained
    >>> context = "the dog runs"
    >>> answer = answerer("who runs ?", context)
    >>> answer.text == context[answer.start : answer.end] != ""
    True

    Reference:
        Rajpurkar et al. 2018, "Know What You Don't Know"; Devlin et al. 2019, "BERT", section 4.3.
    """

    model_class = SpanExtractor
    pairs = True

    def default_max_length(self):
        return min(USUAL_LENGTH, super().default_max_length())

    @property
    def max_question_length(self):
        """Tokens that a question may have."""
        return max(1, min(LONGEST_QUESTION, self.max_length // 6))

    def __call__(
        self,
        questions,
        contexts,
        *,
        n_best=1,
        no_answer_threshold=None,
        max_answer_length=30,
        overlap=None,
        batch_size=32,
        truncate=False,
        progress=None,
    ):
        single = isinstance(questions, str)
        questions, contexts = two_lists(questions, contexts, ("questions", "contexts"))
        check_positive("n_best", n_best)
        check_positive("max_answer_length", max_answer_length)
        check_no_answer_threshold(no_answer_threshold)
        overlap = self.check_overlap(overlap)
        asked = self._questions(questions, truncate)
        tokens = self.tokenizer.encode_with_offsets(contexts)
        all_windows = [
            make_windows(
                self.tokenizer.template, context, found, self.max_length, overlap, first=first
            )
            for context, found, first in zip(contexts, tokens, asked, strict=True)
        ]
        rows = [encoding for own in all_windows for encoding in own.encodings]
        logits = iter(self.forward(rows, batch_size, progress))
        answers = []
        for context, own in zip(contexts, all_windows, strict=True):
            of_windows = [next(logits) for _ in own.encodings]
            longest = min(max_answer_length, self.max_length)
            spans, none = best_spans(own, of_windows, n_best, longest)
            answers.append(make_answer(context, own, spans, none, no_answer_threshold))
        return answers[0] if single else answers

    def check_overlap(self, overlap=None):
        """An overlap in its range, whatever the question; None stands for the default."""
        added = self.tokenizer.template.num_added(True)
        room = self.max_length - added - self.max_question_length
        return check_overlap(overlap, self.max_length, room)

    def _questions(self, questions, truncate):
        limit = self.max_question_length
        asked = self.tokenizer.encode(questions)
        long = [i for i, ids in enumerate(asked) if len(ids) > limit]
        if long and not truncate:
            raise ValueError(
                f"questions[{long[0]}] has {len(asked[long[0]])} tokens; the limit is {limit}. "
                "truncate=True cuts what is too long."
            )
        if long:
            warnings.warn(
                f"{len(long)} of {len(questions)} questions were cut to {limit} tokens.",
                stacklevel=3,
            )
        return [ids[:limit] for ids in asked]


def best_spans(windows, logits, n_best, max_answer_length):
    """The n best spans of a context, and log p of no answer.

    Args:
        windows: the context's `Windows`.
        logits: of each window, (T, 2).

    Returns:
        `(log p, first token, last token)` of each span, best first; and a number.
    """
    spans, none = [], np.inf
    real = np.array([start < end for start, end in windows.offsets], bool)  # (N,)
    first_column = windows.columns[0] if len(real) else 0
    for row, (encoding, scores) in enumerate(zip(windows.encodings, logits, strict=True)):
        if not len(encoding):  # nothing at all was asked of nothing
            return [], 0.0
        of_context = np.array(encoding.sources) == 1  # (T,)
        allowed = of_context.copy()
        allowed[0] = True
        log_p = log_softmax(np.where(allowed[:, None], scores, -np.inf))  # (T, 2)
        none = min(none, float(log_p[0].sum()))
        own = np.flatnonzero((windows.rows == row) & real)  # tokens that may start an answer
        if not own.size:
            continue
        offset = windows.columns[own[0]] - own[0]  # from a token's number to its column
        starts = log_p[windows.columns[own], 0]  # (n,)
        ends = own[:, None] + np.arange(max_answer_length)  # (n, L)
        columns = ends + offset
        inside = columns < first_column + of_context.sum()
        inside &= real[np.minimum(ends, len(real) - 1)]
        columns = np.minimum(columns, len(scores) - 1)
        totals = np.where(inside, starts[:, None] + log_p[columns, 1], -np.inf)
        best = np.argsort(-totals, axis=None, kind="stable")[:n_best]
        for i, j in zip(*np.unravel_index(best, totals.shape), strict=True):
            if totals[i, j] > -np.inf:
                spans.append((float(totals[i, j]), int(own[i]), int(ends[i, j])))
    return sorted(spans, key=lambda span: -span[0])[:n_best], none


def make_answer(context, windows, spans, none, threshold):
    """The `Answer` that these spans and log p of no answer make."""
    no_answer_score = float(np.exp(none))
    found = []
    for score, first, last in spans:
        start, end = windows.offsets[first][0], windows.offsets[last][1]
        found.append(Span(context[start:end], float(np.exp(score)), start, end))
    if not found or (threshold is not None and none - spans[0][0] > threshold):
        return Answer("", no_answer_score, 0, 0, no_answer_score, tuple(found))
    best, *others = found
    return Answer(best.text, best.score, best.start, best.end, no_answer_score, tuple(others))


def log_softmax(logits):
    """Log-probabilities over the first axis; -inf stays what it is."""
    shifted = logits - logits.max(axis=0, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=0, keepdims=True))


def check_no_answer_threshold(threshold):
    """Refuses what is neither None nor a number."""
    if threshold is None:
        return
    check_number("no_answer_threshold", threshold, "a number or None")
    if math.isnan(threshold):
        raise ValueError("no_answer_threshold must be a number or None, got NaN.")
