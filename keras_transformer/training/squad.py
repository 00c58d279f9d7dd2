"""Exact match and F1 as the evaluation script of SQuAD 2.0 defines them.

On SQuAD 1.1, where every question has an answer, they are those of its own script.
"""

import collections
import re
import string

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text):
    """Text in lower case, without ASCII punctuation, English articles and spare white space.

    Example:

    >>> normalize_answer("The  cat's pyjamas!")
    'cats pyjamas'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction, answer):
    """1.0 where the two are equal once normalised, else 0.0.

    Example:

    >>> exact_match("the Broncos.", "Broncos")
    1.0
    """
    return float(normalize_answer(prediction) == normalize_answer(answer))


def answer_f1(prediction, answer):
    """F1 of the two as bags of normalised words; where one has none, whether both have none.

    Example:

    >>> round(answer_f1("Denver Broncos", "the Broncos"), 4)
    0.6667
    """
    predicted, expected = (normalize_answer(text).split() for text in (prediction, answer))
    if not predicted or not expected:
        return float(predicted == expected)
    common = sum((collections.Counter(predicted) & collections.Counter(expected)).values())
    return 2 * common / (len(predicted) + len(expected))


def squad_scores(predictions, references):
    """Exact match and F1 of predicted answers, in percent.

    Each question counts its best answer among those that are more than articles and punctuation.
    Where there is none, the right prediction is the empty text.

    Args:
        predictions: dict of question id to str; "" says that there is no answer.
        references: list of `data.squad.Question`, or dict of question id to a list of str.

    Returns:
        dict of "exact", "f1" and "total"; where some questions have answers and others none, also
        "has_answer_exact", "has_answer_f1", "has_answer_total" and likewise "no_answer_...".

    Raises:
        ValueError: a question without prediction, a prediction without question, no questions, a
            prediction that is no str, or one str in place of a list of answers.

    Example:

    >>> scores = squad_scores({"q1": "Denver Broncos", "q2": ""}, {"q1": ["the Broncos"], "q2": []})
    >>> scores["exact"], round(scores["f1"], 2), scores["no_answer_exact"]
    (50.0, 83.33, 100.0)

    Reference: Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text",
        section 6.1; Rajpurkar et al. 2018, "Know What You Don't Know", section 5.
    """
    if not isinstance(references, dict):
        references = {question.id: [a.text for a in question.answers] for question in references}
    _check_ids(predictions, references)
    pairs = {"has_answer": [], "no_answer": []}  # (exact match, F1) of each question
    for id, answers in references.items():
        if isinstance(answers, str):
            raise ValueError(f"the answers to question {id!r} must be a list; got {answers!r}")
        # The script takes all answers to say whether there is one, and these to score it.
        scored = [answer for answer in answers if normalize_answer(answer)] or [""]
        prediction = predictions[id]
        if not isinstance(prediction, str):
            raise ValueError(f"the prediction of question {id!r} must be str; got {prediction!r}")
        exact = max(exact_match(prediction, answer) for answer in scored)
        f1 = max(answer_f1(prediction, answer) for answer in scored)
        pairs["has_answer" if answers else "no_answer"].append((exact, f1))
    scores = _means("", pairs["has_answer"] + pairs["no_answer"])
    if all(pairs.values()):
        for kind, group in pairs.items():
            scores |= _means(f"{kind}_", group)
    return scores


def _means(prefix, pairs):
    exact, f1 = (100 * sum(values) / len(pairs) for values in zip(*pairs, strict=True))
    return {f"{prefix}exact": exact, f"{prefix}f1": f1, f"{prefix}total": len(pairs)}


def _check_ids(predictions, references):
    if not references:
        raise ValueError("references must have at least one question; got none")
    for name, ids in (
        ("predictions lack", references.keys() - predictions.keys()),
        ("references lack", predictions.keys() - references.keys()),
    ):
        if ids:
            raise ValueError(f"{name} {len(ids)} of the questions, such as {min(ids)!r}")
