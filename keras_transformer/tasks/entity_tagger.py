"""Entities in texts.

N tokens of a text, W words, C classes
"""

from dataclasses import dataclass

import numpy as np

from keras_transformer.models import TokenClassifier
from keras_transformer.tasks.long_texts import default_overlap, group_words, make_windows
from keras_transformer.tasks.task import Task, check_integer, class_names, list_of_strings
from keras_transformer.tasks.text_classifier import softmax

OUTSIDE, INSIDE, BEGIN, END, SINGLE = "OIBES"
# The letters of BIOES, BILOU and BMES
PREFIXES = {
    "B": BEGIN, "I": INSIDE, "M": INSIDE, "E": END, "L": END, "S": SINGLE, "U": SINGLE,
}  # fmt: skip


@dataclass(frozen=True)
class Entity:
    """An entity of a text.

    Args:
        type: as the model's labels name it, without the scheme's prefix.
        text: the characters themselves.
        score: the mean probability of its words' labels.
        start, end: its place in the text in characters, the end excluded.

    Example:

    >>> print(Entity("LOC", "Berlin", 0.75, 8, 14))
    Berlin: LOC (0.750)
    """

    type: str
    text: str
    score: float
    start: int
    end: int

    def __str__(self):
        return f"{self.text}: {self.type} ({self.score:.3f})"

    def to_dict(self) -> dict:
        """All of it."""
        return {
            "type": self.type,
            "text": self.text,
            "score": self.score,
            "start": self.start,
            "end": self.end,
        }


class EntityTagger(Task):
    """Finds entities in strings with a `TokenClassifier` and its tokenizer.

    A word is letters, digits and marks in a row, or any one other character, and has the label of
    its first token, as in training. Labels are of any scheme of B, I, O, E and S (BIO, IOB1,
    BIOES, BILOU, or types without a prefix); where a sequence breaks the scheme, an entity begins
    wherever the type changes, as seqeval counts them. Texts longer than the model come in windows.

    Args:
        model: a `models.TokenClassifier`; its `labels` are such as "O", "B-LOC", "I-LOC".
        tokenizer: the `text.Tokenizer` it was trained with.
        max_length: tokens of a window at most; by default the model's and the tokenizer's.

    Call:
        texts: a string, or a list of them, of any length.
        overlap: tokens that two windows share; by default a third of `max_length`, at most 128.
        batch_size: windows that the model is given together; they are sorted by length first.
        progress: whether to show a progress bar; by default on a terminal, for long work.

    Returns:
        For a string the list of its `Entity`s in their order, for a list a list of those.

    Raises:
        TypeError: `texts`, or an item of it, is no string.
        ValueError: an argument is out of its range.

    Example:

    >>> from keras_transformer import models, tasks, text
    >>> tokenizer = text.SentencePieceTokenizer.train([["a dog in Rome", "a dog runs"]], 24)
    >>> config = models.EncoderConfig(
    ...     vocab_size=24, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> model = models.TokenClassifier(config, num_classes=3, labels=["O", "B-LOC", "I-LOC"])
    >>> tagger = tasks.EntityTagger(model, tokenizer)     # untrained
    >>> all(entity.type == "LOC" for entity in tagger("a dog in Rome"))
    True

    Reference:
        Ramshaw and Marcus 1995, "Text Chunking using Transformation-Based Learning"; Devlin et
        al. 2019, "BERT", section 5.3.
    """

    model_class = TokenClassifier

    def __init__(self, model, tokenizer, max_length=None):
        super().__init__(model, tokenizer, max_length)
        self.labels = class_names(model)
        self.tags = [split_label(label) for label in self.labels]

    def __call__(self, texts, *, overlap=None, batch_size=32, progress=None):
        single = isinstance(texts, str)
        lines = [texts] if single else list_of_strings(texts)
        overlap = self.check_overlap(overlap)
        tokens = self.tokenizer.encode_with_offsets(lines)
        texts_windows = [
            make_windows(self.tokenizer.template, line, found, self.max_length, overlap)
            for line, found in zip(lines, tokens, strict=True)
        ]
        rows = [encoding for own in texts_windows for encoding in own.encodings]
        logits = iter(self.forward(rows, batch_size, progress))
        answers = []
        for line, own in zip(lines, texts_windows, strict=True):
            of_windows = [next(logits) for _ in own.encodings]
            answers.append(self._entities(line, own, of_windows))
        return answers[0] if single else answers

    def check_overlap(self, overlap=None):
        """An overlap in its range; None stands for the default."""
        return check_overlap(overlap, self.max_length, self._room())

    def _room(self):
        return self.max_length - self.tokenizer.template.num_added()

    def _entities(self, line, windows, logits):
        """The entities of a text, from the logits of its windows, each (T, C)."""
        words = group_words(line, windows.offsets)
        firsts = [word[0] for word in words]
        if not firsts:
            return []
        places = zip(windows.rows[firsts], windows.columns[firsts], strict=True)
        probabilities = softmax(np.stack([logits[row][column] for row, column in places]))  # (W, C)
        best = probabilities.argmax(axis=1)
        found = []
        for first, last in entity_spans([self.tags[label] for label in best]):
            start = windows.offsets[words[first][0]][0]
            end = windows.offsets[words[last][-1]][1]
            chosen = range(first, last + 1)
            score = np.mean([probabilities[i, best[i]] for i in chosen])
            kind = self.tags[best[first]][1]
            found.append(Entity(kind, line[start:end], float(score), start, end))
        return found


def split_label(label):
    """A label's prefix and type; a type without a prefix counts as inside, as in transformers.

    >>> split_label("B-LOC"), split_label("LOC"), split_label("O")
    (('B', 'LOC'), ('I', 'LOC'), ('O', ''))
    """
    if label == OUTSIDE:
        return OUTSIDE, ""
    prefix, dash, kind = label.partition("-")
    if dash and prefix in PREFIXES:
        return PREFIXES[prefix], kind
    return INSIDE, label


def entity_spans(tags):
    """The (first, last) words of the entities in the tags of a text.

    >>> entity_spans([("B", "A"), ("I", "A"), ("B", "A"), ("O", ""), ("I", "C"), ("I", "D")])
    [(0, 1), (2, 2), (4, 4), (5, 5)]
    """
    spans, before = [], (OUTSIDE, "")
    for number, (prefix, kind) in enumerate(tags):
        if prefix != OUTSIDE:
            goes_on = prefix in (INSIDE, END) and before[0] in (BEGIN, INSIDE)
            if goes_on and kind == before[1]:
                spans[-1] = (spans[-1][0], number)
            else:
                spans.append((number, number))
        before = (prefix, kind)
    return spans


def check_overlap(overlap, max_length, room):
    """An overlap of windows in its range, `room` tokens wide; None stands for the default."""
    if overlap is None:
        overlap = min(default_overlap(max_length), room - 1)
    check_integer("overlap", overlap)
    if not 0 <= overlap < room:
        raise ValueError(f"overlap must be from 0 to {room - 1}; got {overlap}.")
    return int(overlap)
