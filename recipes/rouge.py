"""How near summaries come to those that people wrote: ROUGE of Google's `rouge-score`, and chrF.

Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries"; Popović 2015, "chrF: character
n-gram F-score for automatic MT evaluation".
"""

import re

import numpy as np
from rouge_score import rouge_scorer
from sacrebleu.metrics import CHRF

NAMES = ("rouge1", "rouge2", "rougeL")
TITLES = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "chrf": "chrF"}


def mean_scores(found, wanted, words="english"):
    """F1 of ROUGE-1, 2 and L, the means over all summaries, and chrF of all: in percent.

    Args:
        found, wanted: lists of as many str.
        words: "english" for stems of a-z and 0-9, as scores are published; "any" for the words of
            any language, as they are but in lower case.

    >>> mean_scores(["A dog runs."], ["Dogs run."])["rougeL"]
    80.0
    """
    each = scores(found, wanted, words)
    means = {name: 100 * float(np.mean([one[name] for one in each])) for name in NAMES}
    means["chrf"] = CHRF().corpus_score(found, [wanted]).score
    return {name: round(value, 2) for name, value in means.items()}


def scores(found, wanted, words="english"):
    """F1 of ROUGE-1, 2 and L of each summary, 0 to 1."""
    own = None if words == "english" else Words()
    scorer = rouge_scorer.RougeScorer(list(NAMES), use_stemmer=own is None, tokenizer=own)
    all_scores = (scorer.score(b, a) for a, b in zip(found, wanted, strict=True))
    return [{name: score.fmeasure for name, score in one.items()} for one in all_scores]


class Words:
    """Words of any language, and each sign of the scripts that write no spaces."""

    SIGNS = r"\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff"
    PATTERN = re.compile(rf"[{SIGNS}]|[^\W{SIGNS}]+")

    def tokenize(self, line):
        """The words of a line.

        >>> Words().tokenize("Über 3 Hügel: 東京")
        ['über', '3', 'hügel', '東', '京']
        """
        return self.PATTERN.findall(line.lower())


def first_sentences(texts, summaries):
    """The first sentence of each text, cut to the mean length of a summary: what is to be beaten.

    >>> first_sentences(["It barks. It runs.", "No end of it all"], ["Dogs.", "A long story"])
    ['It barks.', 'No end']
    """
    size = round(np.mean([len(summary.split()) for summary in summaries]))
    firsts = [re.split(r"(?<=[.!?。])\s", text.strip(), maxsplit=1)[0] for text in texts]
    return [" ".join(first.split()[:size]) for first in firsts]
