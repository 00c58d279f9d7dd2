"""How well a decoder answers: by the probability of the expected answers, and by its own.

R records, T tokens, V vocabulary
"""

import collections
import math
import re
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_transformer.training.losses import token_cross_entropies


class Scorer(keras.Model):
    """A language model that says of each token how improbable it was, and whether it was the best.

    So no logits (R, T, V) leave the compiled program.

    Args:
        language_model: a `CausalLM`.

    Call:
        inputs: its inputs, and `labels` (R, T).

    Returns:
        pair (R, T) of float32 cross-entropies and bool; for labels of -100 they mean nothing.
    """

    def __init__(self, language_model):
        super().__init__(name="scorer")
        self.language_model = language_model
        self.compile(optimizer=None, jit_compile=False)

    def call(self, inputs, training=None):
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        logits = self.language_model(inputs, training=False)
        best = ops.cast(ops.argmax(logits, axis=-1), "int32")
        return token_cross_entropies(labels, logits), ops.equal(best, labels)

    def scores(self, batches):
        """Perplexity and accuracy over all tokens that batches, in their own order, ask for."""
        getattr(self.language_model, "jax_state_sync", lambda: None)()
        loss, right, count = 0.0, 0, 0
        for step in range(len(batches)):
            x, y = batches.batch(0, step)
            losses, is_right = self.predict_on_batch({**x, "labels": y})
            asked = y >= 0
            loss += float(losses[asked].sum())
            right += int(is_right[asked].sum())
            count += int(asked.sum())
        return {"perplexity": math.exp(loss / count), "token_accuracy": 100 * right / count}


def guess(train, tested, vocab_size):
    """What one scores who knows how often each token is there in the training answers.

    Args:
        train, tested: with `labels`, lists of arrays, -100 where there is nothing to learn.
        vocab_size: V.

    Returns:
        dict of `perplexity_guess` and `token_accuracy_guess`.
    """
    seen, asked = (np.concatenate(part.labels) for part in (train, tested))
    seen, asked = seen[seen >= 0], asked[asked >= 0]
    counts = 1 + np.bincount(seen, minlength=vocab_size)  # unseen ones are possible
    losses = -np.log(counts[asked] / counts.sum())
    return {
        "perplexity_guess": math.exp(losses.mean()),
        "token_accuracy_guess": 100 * float((asked == counts.argmax()).mean()),
    }


def check(settings):
    """Refuses numbers of answers, and lengths of them, that cannot be; before anything is read."""
    if settings.num_answers < 0:
        raise ValueError(f"num_answers must be at least 0; got {settings.num_answers}.")
    if settings.answer_length < 1:
        raise ValueError(f"answer_length must be at least 1; got {settings.answer_length}.")


def check_room(settings, generator):
    """Refuses answers for which the model leaves no room beside a question; before training."""
    if not settings.num_answers:
        return
    try:
        generator.check_max_new_tokens(settings.answer_length)
    except ValueError as error:
        raise ValueError(f"answer_length {settings.answer_length}: {error}") from None


class Answered(NamedTuple):
    """One question, the answer that was expected, the model's, and the usual one."""

    question: str
    expected: str
    answer: str
    usual: str


class Answers:
    """Answers of a model to questions of conversations, each given what was said before it.

    Args:
        settings: with `num_answers` and `answer_length`.
        template: the chat template.
        train: conversations, which the usual answers are from.
        tested: conversations, out of which questions are drawn at even distances.
    """

    def __init__(self, settings, template, train, tested):
        self.settings, self.template, self.rows = settings, template, []
        self.usual, everything = collections.defaultdict(collections.Counter), collections.Counter()
        for talk in train:
            for n, message in answers_of(talk):
                self.usual[ask(talk[n - 1].content)][message.content] += 1
                everything[message.content] += 1
        self.fallback = everything.most_common(1)[0][0] if everything else ""
        places = [(talk, n) for talk in tested for n, _ in answers_of(talk)]
        count = min(settings.num_answers, len(places))
        self.places = [places[i] for i in np.linspace(0, len(places) - 1, count).astype(int)]

    def generate(self, generator):
        """Asks a `TextGenerator` all questions that leave it room for an answer."""
        prompts, kept = [], []
        length = self.settings.answer_length
        room = generator.max_length - length - generator.tokenizer.template.num_added()
        for talk, n in self.places:
            prompt = self.template.render(talk[:n], prompt=True)
            if len(generator.tokenizer.encode(prompt)) <= room:
                prompts.append(prompt)
                kept.append((talk, n))
        found = generator(prompts, max_new_tokens=length) if prompts else []
        for (talk, n), said in zip(kept, found, strict=True):
            question = talk[n - 1].content
            usual = self.usual[ask(question)].most_common(1)
            usual = usual[0][0] if usual else self.fallback
            self.rows.append(Answered(question, talk[n].content, said.text.strip(), usual))

    def scores(self):
        """`exact_match`, and `exact_match_guess` of who always gives the usual answer; percents."""
        if not self.rows:
            return {}
        return {
            "answers": len(self.rows),
            "exact_match": exact(self.rows, "answer"),
            "exact_match_guess": exact(self.rows, "usual"),
        }

    def by_question(self, most=12):
        """Columns and rows: the exact matches of each kind of question, the frequent ones first."""
        kinds = collections.defaultdict(list)
        for row in self.rows:
            kinds[ask(row.question)].append(row)
        frequent = sorted(kinds.items(), key=lambda item: -len(item[1]))[:most]
        columns = ["Question", "Asked", "Exact match, %", "The usual answer, %"]
        return columns, [
            (kind, len(rows), f"{exact(rows, 'answer'):.1f}", f"{exact(rows, 'usual'):.1f}")
            for kind, rows in frequent
        ]

    def samples(self, most=40):
        """Columns and rows: questions with the expected answer and the model's."""
        return ["Question", "Expected", "Answer", "Exact"], [
            (row.question, row.expected, row.answer, "yes" if is_exact(row, "answer") else "no")
            for row in self.rows[:most]
        ]


def answers_of(talk):
    """The places and messages of the assistant."""
    return [(n, message) for n, message in enumerate(talk) if message.role == "assistant"]


def ask(question):
    """The last sentence of a question, by which questions of a kind are told.

    Example:

    >>> ask("There is a dog. Which colour has it?")
    'Which colour has it?'
    """
    return re.split(r"(?<=[.?!:])\s+", question.strip())[-1]


def is_exact(row, key):
    """Whether an answer is the expected one, white space around it apart."""
    return getattr(row, key).strip() == row.expected.strip()


def exact(rows, key):
    """The share of rows whose answer is the expected one, in percent."""
    return 100 * sum(is_exact(row, key) for row in rows) / len(rows)
