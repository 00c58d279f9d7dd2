"""How well a task's answers agree with what people said.

N examples
"""

import collections
import math
import numbers
import re
import string

import numpy as np

from keras_transformer.tasks.entity_tagger import EntityTagger
from keras_transformer.tasks.mask_filler import MaskFiller
from keras_transformer.tasks.question_answerer import QuestionAnswerer
from keras_transformer.tasks.text_classifier import TextClassifier
from keras_transformer.tasks.text_embedder import TextEmbedder
from keras_transformer.tasks.translator import Translator

ARTICLES = re.compile(r"\b(a|an|the)\b")


def evaluate(task, examples, **settings):
    """The usual scores of a task on examples.

    | task | an example's keys | scores |
    |---|---|---|
    | `TextClassifier` | `text`, `pair`, `label` | `accuracy`, `macro_f1` |
    | ... of several labels | `text`, `pair`, `labels` | `exact_match`, `micro_f1` |
    | ... a regression | `text`, `pair`, `value` | `pearson`, `spearman`, `rmse` |
    | `EntityTagger` | `text`, `entities`: `type`, `start`, `end` | `precision`, `recall`, `f1` |
    | `QuestionAnswerer` | `question`, `context`, `answers` | `exact_match`, `f1`, as in SQuAD |
    | `TextEmbedder` | `text`, `pair`, `value` | `spearman` of the cosine |
    | `MaskFiller` | `text`, `tokens`, one for each mask | `accuracy`, `accuracy_at_5` |
    | `Translator` | `text`, `target` | `bleu`, `chrf` |

    Args:
        task: one of these.
        examples: dictionaries with these keys; `pair` may be missing.
        **settings: of the task's call.

    Returns:
        A dictionary of numbers: `examples` and the scores. Correlations of constants are NaN.

    Raises:
        TypeError: the task has no score.
        ValueError: there are no examples, or one lacks a key.

    Example:

    >>> from keras_transformer import models, tasks, text
    >>> tokenizer = text.WordPieceTokenizer.train([["a dog runs", "a dog eats"]], vocab_size=30)
    >>> config = models.EncoderConfig(
    ...     vocab_size=30, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> filler = tasks.MaskFiller(models.MaskedLM(config), tokenizer)      # untrained
    >>> sorted(evaluate(filler, [{"text": "a [MASK] runs", "tokens": ["dog"]}]))
    ['accuracy', 'accuracy_at_5', 'examples']
    """
    examples = list(examples)
    if not examples:
        raise ValueError("examples must be at least one; got none.")
    for kind, score in SCORES.items():
        if isinstance(task, kind):
            return {"examples": len(examples), **score(task, Column(examples), settings)}
    raise TypeError(f"There is no score for {type(task).__name__}.")


def _is_text(x):
    return isinstance(x, str)


def _are_texts(x):
    return isinstance(x, (list, tuple, set, frozenset)) and all(map(_is_text, x))


def _is_number(x):
    return isinstance(x, numbers.Real) and not isinstance(x, bool)


def _are_entities(x):
    return isinstance(x, (list, tuple)) and all(
        isinstance(entity, dict) and {"type", "start", "end"} <= set(entity) for entity in x
    )


# What the values of a key must be
KINDS = {
    **dict.fromkeys(("text", "pair", "question", "context", "target"), ("a string", _is_text)),
    "label": ("a string", _is_text),
    **dict.fromkeys(("labels", "answers", "tokens"), ("a list of strings", _are_texts)),
    "value": ("a number", _is_number),
    "entities": ("a list of objects with type, start and end", _are_entities),
}


class Column:
    """The values of examples by key."""

    def __init__(self, examples):
        self._examples = examples

    def __getitem__(self, key):
        missing = [i for i, example in enumerate(self._examples) if key not in example]
        if missing:
            own = sorted(self._examples[missing[0]])
            raise ValueError(f"examples[{missing[0]}] lacks {key!r}; it has {own}.")
        found = [example[key] for example in self._examples]
        wanted, check = KINDS[key]
        for i, value in enumerate(found):
            if not check(value):
                raise ValueError(f"examples[{i}]: {key!r} must be {wanted}; got {value!r}.")
        return found

    def pairs(self):
        """The second texts, or None where there are none."""
        return self["pair"] if any("pair" in example for example in self._examples) else None


def of_classifier(task, column, settings):
    """Scores of labels."""
    answers = task(column["text"], column.pairs(), **settings)
    problem = task.model.problem
    if problem == "regression":
        found, wanted = np.array([a.value for a in answers]), np.array(column["value"], "float64")
        error = math.sqrt(np.mean((found - wanted) ** 2))
        return {
            "pearson": correlation(found, wanted),
            "spearman": correlation(ranks(found), ranks(wanted)),
            "rmse": error,
        }
    if problem == "multi_label":
        found, wanted = [set(a.labels) for a in answers], [set(x) for x in column["labels"]]
        _check_labels(task, set().union(*wanted))
        hits = sum(len(a & b) for a, b in zip(found, wanted, strict=True))
        exact = np.mean([a == b for a, b in zip(found, wanted, strict=True)])
        sizes = sum(map(len, found)), sum(map(len, wanted))
        return {"exact_match": float(exact), "micro_f1": f1_of(hits, *sizes)[2]}
    found, wanted = [a.label for a in answers], column["label"]
    _check_labels(task, set(wanted))
    right = collections.Counter(a for a, b in zip(found, wanted, strict=True) if a == b)
    counts = collections.Counter(found), collections.Counter(wanted)
    f1 = [f1_of(right[x], counts[0][x], counts[1][x])[2] for x in {*found, *wanted}]
    return {"accuracy": right.total() / len(wanted), "macro_f1": float(np.mean(f1))}


def of_tagger(task, column, settings):
    """Scores of entities, which must agree in type and place."""
    found = [{(e.type, e.start, e.end) for e in own} for own in task(column["text"], **settings)]
    wanted = [{(e["type"], e["start"], e["end"]) for e in own} for own in column["entities"]]
    hits = sum(len(a & b) for a, b in zip(found, wanted, strict=True))
    names = ("precision", "recall", "f1")
    return dict(zip(names, f1_of(hits, sum(map(len, found)), sum(map(len, wanted))), strict=True))


def of_answerer(task, column, settings):
    """SQuAD's scores: of the normalised answer, the best of those that people gave."""
    answers = task(column["question"], column["context"], **settings)
    exact, f1 = [], []
    for answer, wanted in zip(answers, column["answers"], strict=True):
        found = normalised(answer.text)
        wanted = [normalised(text) for text in wanted] or [[]]
        exact.append(max(found == words for words in wanted))
        f1.append(max(overlap_f1(found, words) for words in wanted))
    return {"exact_match": float(np.mean(exact)), "f1": float(np.mean(f1))}


def of_embedder(task, column, settings):
    """How well the order of cosines agrees with that of people."""
    first, second = (task(column[key], **settings) for key in ("text", "pair"))
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = np.sum(first * second, axis=1) / np.maximum(norms, 1e-12)
    return {"spearman": correlation(ranks(cosines), ranks(np.array(column["value"], "float64")))}


def of_filler(task, column, settings):
    """How often the masked token is the best candidate, or among the five best."""
    answers = task(column["text"], **{"top_k": min(5, task.tokenizer.vocab_size), **settings})
    best, among = [], []
    for answer, wanted in zip(answers, column["tokens"], strict=True):
        if len(answer.masks) != len(wanted):
            raise ValueError(
                f"tokens must be one for each mask; got {wanted} for {len(answer.masks)} in "
                f"{answer.text!r}."
            )
        for mask, token in zip(answer.masks, wanted, strict=True):
            best.append(mask[0].token == token)
            among.append(token in [candidate.token for candidate in mask[:5]])
    return {"accuracy": float(np.mean(best)), "accuracy_at_5": float(np.mean(among))}


def of_translator(task, column, settings):
    """BLEU and chrF of sacrebleu."""
    import sacrebleu

    found, wanted = [a.text for a in task(column["text"], **settings)], [column["target"]]
    return {
        "bleu": sacrebleu.corpus_bleu(found, wanted).score,
        "chrf": sacrebleu.corpus_chrf(found, wanted).score,
    }


SCORES = {
    TextClassifier: of_classifier,
    EntityTagger: of_tagger,
    QuestionAnswerer: of_answerer,
    TextEmbedder: of_embedder,
    MaskFiller: of_filler,
    Translator: of_translator,
}


def f1_of(hits, found, wanted):
    """Precision, recall and F1 of numbers; 0 where nothing is divided by.

    >>> f1_of(2, 4, 2)
    (0.5, 1.0, 0.6666666666666666)
    """
    precision, recall = hits / max(found, 1), hits / max(wanted, 1)
    return precision, recall, 2 * hits / max(found + wanted, 1)


def normalised(text):
    """The words of an answer, without case, punctuation and articles, as SQuAD's script has it.

    >>> normalised("The  Normans!")
    ['normans']
    """
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return ARTICLES.sub(" ", kept).split()


def overlap_f1(found, wanted):
    """F1 of two lists of words as bags; of two empty ones 1."""
    if not found or not wanted:
        return float(found == wanted)
    common = (collections.Counter(found) & collections.Counter(wanted)).total()
    return f1_of(common, len(found), len(wanted))[2]


def ranks(x):
    """The rank of each number, equal ones sharing the mean of theirs.

    >>> ranks(np.array([3.0, 1.0, 3.0])).tolist()
    [1.5, 0.0, 1.5]
    """
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[inverse]


def correlation(x, y):
    """Pearson's; NaN where one side is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:  # what is left of its mean would be rounding
        return math.nan
    x, y = x - np.mean(x), y - np.mean(y)
    norm = math.sqrt(float(np.sum(x * x) * np.sum(y * y)))
    return float(np.sum(x * y)) / norm if norm else math.nan


def _check_labels(task, labels):
    unknown = sorted(map(str, labels - set(task.labels)))
    if unknown:
        raise ValueError(f"labels must be of {list(task.labels)}; got {unknown}.")
