"""Questions on texts with the file that they are from, and some of them held out."""

import dataclasses

import numpy as np

from keras_transformer import data


@dataclasses.dataclass(frozen=True)
class Questions:
    """Questions, and the file that they are from."""

    found: list
    path: str

    def __len__(self):
        return len(self.found)

    def __iter__(self):
        return iter(self.found)

    def where(self, question):
        """The place of a question, for errors."""
        return f"{self.path}: question {question.id!r}"


def read_questions(path):
    """The questions of a SQuAD file."""
    return Questions(data.read_squad(path), str(path))


def hold_out(questions, seed, share=0.1):
    """Questions without those on a share of the contexts, and these."""
    contexts = sorted({question.context for question in questions})
    size = max(1, int(share * len(contexts)))
    if size >= len(contexts):
        raise ValueError(f"{questions.path}: one context alone: none is left for validation")
    order = np.random.default_rng(seed).permutation(len(contexts))
    kept = {contexts[i] for i in order[:size]}
    parts = [], []
    for question in questions:
        parts[question.context in kept].append(question)
    return [Questions(part, questions.path) for part in parts]
