"""Find entities in texts: which words they are, and of which type.

    python -m recipes.tag quickstart                                 dates, money, territories
    python -m recipes.tag wnut17 --data-dir D --from-checkpoint C         names in tweets
    python -m recipes.tag restaurant8k --data-dir D --from-checkpoint C   slots of reservations
    python -m recipes.tag files --data-dir D                         your train, val, test files

C is a folder or a name on the Hugging Face hub with an encoder and its tokenizer. Your files are
CoNLL columns or JSONL with spans of characters; without `val`, a tenth of `train` is kept for
validation, and without `test`, scores are of the validation. An entity is right if its type and
both its ends are. The run's folder opens with `tasks.EntityTagger.from_pretrained`.

`python -m recipes.tag PRESET --help` lists every setting. The same command again resumes a run that
was interrupted. On two busy cores `quickstart` took 216 s and reached an F1 of 85.4 %
(docs/results.md).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import numpy as np

from keras_transformer import data, explain, models, tasks, training
from keras_transformer.checkpoints.files import write_json
from keras_transformer.data.json_lines import read_json
from keras_transformer.tasks.long_texts import group_words, trimmed
from recipes import attention_maps, command_line, dates, finetuning, runs, sentences, splits

SUFFIXES = (".conll", ".iob", ".txt", ".jsonl")
IGNORED = -100
# Scripts that write no spaces have words which end in the middle of what others call one.
LANGUAGES = tuple(language for language in dates.LANGUAGES if language not in ("my", "th"))


@dataclasses.dataclass(frozen=True)
class Settings(finetuning.FineTuning):
    """Settings of a run; the defaults are those of the chosen preset."""

    corpus: Literal["sentences", "wnut17", "restaurant8k", "files"] = "files"
    """Where the data come from."""
    token_column: int = 0
    """The token's column of a CoNLL file, from 0."""
    tag_column: int = -1
    """The tag's column, -1 for the last."""
    balance: bool = False
    """Give each tag the same weight in the loss, however many words have it; O is one of them."""


FINE_TUNING = dict(learning_rate=5e-5, num_shapes=8)

PRESETS = {
    "quickstart": (
        "Dates, amounts and territories in 35 languages; generated on the spot, some minutes.",
        Settings(
            runs.RUNS / "tag",
            corpus="sentences",
            vocab_size=6000,
            truncate=True,
            dropout=0.0,
            epochs=8,
            batch_size=64,
            learning_rate=3e-3,
        ),
    ),
    "wnut17": (
        "New names in tweets: wnut17train.conll and emerging.dev.conll.",
        Settings(runs.RUNS / "wnut17", corpus="wnut17", epochs=5, **FINE_TUNING),
    ),
    "restaurant8k": (
        "Slots of restaurant reservations: train_0.json; a tenth of it is kept for validation.",
        Settings(runs.RUNS / "restaurant8k", corpus="restaurant8k", epochs=5, **FINE_TUNING),
    ),
    "files": (
        "Your own train, val and test as .conll, .iob, .txt or .jsonl in --data-dir.",
        Settings(runs.RUNS / "tagger"),
    ),
}


@dataclasses.dataclass(frozen=True)
class Examples:
    """Texts with spans of characters, (label, start, end)."""

    texts: list
    spans: list
    where: Callable
    """From a record's number to "file:line"."""

    def __len__(self):
        return len(self.texts)

    def take(self, numbers):
        """Those of these numbers."""
        texts, spans = ([column[i] for i in numbers] for column in (self.texts, self.spans))
        return Examples(texts, spans, lambda n: self.where(numbers[n]))


@command_line.saying_flags()
def main(settings):
    """Trains, or goes on training; then scores, explains and exports."""
    finetuning.check(settings)
    finetuning.check_data_dir(settings, made="sentences")
    watch = runs.Stopwatch()
    report = explain.Report(f"Entities: {settings.run_dir.name}", __doc__.split("\n")[0])
    runs.prepare_backend(settings.seed, settings.xla, settings.mixed_precision)
    train, valid, test = read_corpus(settings)
    labels = learn_labels(train)
    tokenizer = finetuning.make_tokenizer(settings, train.texts)
    arguments = {"num_classes": len(labels), "labels": labels.names}
    model = finetuning.make_model(settings, models.TokenClassifier, tokenizer, **arguments)
    tagger = tasks.EntityTagger(model, tokenizer, settings.max_length)
    batches = plan_batches(settings, tagger, labels, train)
    valid_batches = plan_batches(settings, tagger, labels, valid, shuffle=False)
    if test is not None:
        plan_batches(settings, tagger, labels, test, shuffle=False)  # what is wrong, now
    print(batches.describe())
    loss = training.TokenCrossEntropy(reduction="sum")  # the weights hold the divisor
    finetuning.compile_model(settings, model, batches, loss)

    score = functools.partial(evaluate, tagger, valid)
    both = finetuning.weighted(settings, batches, valid_batches)
    watch.earlier = finetuning.fit(settings, tagger, *both, score, "val_f1")
    tagger.save_pretrained(settings.run_dir)
    split, examples = ("validation", valid) if test is None else ("test", test)
    found = find(tagger, examples)
    scores = training.entity_scores(found, examples.spans)
    scores = {"split": split, "records": len(examples), **scores, **watch.costs()}
    write_json(settings.run_dir / "scores.json", scores)
    explain_run(settings, report, scores, tagger, examples, found)
    finetuning.export(settings, tagger)
    print(f"\n{settings.run_dir}: report.html, scores.json, weights, tokenizer")
    print(f"{split} F1: {scores['f1']:.2f} %")


# Data


def read_corpus(settings):
    """Training, validation and test examples; None where there is no test."""
    if settings.corpus == "sentences":
        sizes = (12_000, 1_000, 2_000)
        seeds = (3 * settings.seed + part for part in range(3))
        parts = map(sentences.tagged, sizes, seeds, [LANGUAGES] * 3)
        return [Examples(part.texts, part.spans, part.where) for part in parts]
    read = functools.partial(read_examples, settings)
    if settings.corpus == "files":
        train, valid, test = splits.read_splits(settings.data_dir, SUFFIXES, read)
    elif settings.data_dir is None:
        raise ValueError(f"--data-dir is missing: the folder with {settings.corpus}'s files")
    elif settings.corpus == "wnut17":
        paths = ("wnut17train.conll", "emerging.dev.conll")
        train, valid, test = *(read(settings.data_dir / path) for path in paths), None
    else:
        train, valid, test = read_slots(settings.data_dir / "train_0.json"), None, None
    if valid is None:
        types = [[span.label for span in spans] for spans in train.spans]
        train, valid = splits.hold_out(train, settings.seed, labels=types)
    return train, valid, test


def read_examples(settings, path):
    """The examples of a JSONL or CoNLL file."""
    if ".jsonl" in path.name:
        found = data.read_spans(path)
        return Examples(found.texts, found.spans, found.where)
    found = data.read_conll(path, settings.token_column, settings.tag_column)
    spans = []
    for n, (tokens, tags) in enumerate(zip(found.tokens, found.tags, strict=True)):
        try:
            spans.append(character_spans(tokens, data.tags.tags_to_spans(tags)))
        except ValueError as error:
            raise ValueError(f"{found.where(n)}: the sentence that begins here: {error}") from None
    return Examples([" ".join(tokens) for tokens in found.tokens], spans, found.where)


def character_spans(tokens, spans):
    """Spans of tokens as spans of characters, where spaces stand between the tokens.

    >>> character_spans(["in", "New", "York"], [data.Span("LOC", 1, 3)])
    [Span(label='LOC', start=3, end=11)]
    """
    ends, end = [], -1
    for token in tokens:
        end += 1 + len(token)
        ends.append(end)
    return [
        data.Span(label, ends[start] - len(tokens[start]), ends[end - 1])
        for label, start, end in spans
    ]


def read_slots(path):
    """Restaurant-8K: a JSON list of utterances with the places of slots."""
    texts, all_spans, num_overlaps = [], [], 0
    for n, record in enumerate(read_json(path)):
        try:
            text = record["userInput"]["text"]
            spans = []
            for label in record.get("labels", ()):
                place = label.get("valueSpan", {})
                if place:
                    span = data.Span(label["slot"], place.get("startIndex", 0), place["endIndex"])
                    spans.append(span)
            kept = without_overlaps(spans)
            all_spans.append(data.tags.sorted_spans(kept, len(text)))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: record {n}: expected a text with slots; {error!r}") from None
        texts.append(text)
        num_overlaps += len(spans) - len(kept)
    print(f"{num_overlaps} slots that overlap a longer one were left out")
    return Examples(texts, all_spans, f"{path}: record {{}}".format)


def without_overlaps(spans):
    """Of spans that overlap the longest; a word has one tag.

    >>> without_overlaps([data.Span("A", 0, 3), data.Span("B", 2, 9)])
    [Span(label='B', start=2, end=9)]
    """
    kept = []
    for span in sorted(spans, key=lambda span: span.start - span.end):
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    return kept


# Training


def learn_labels(train):
    """O, and B and I of each type of the training set, which are all that there may be."""
    types = sorted({span.label for spans in train.spans for span in spans})
    if not types:
        raise ValueError("the training data have no entity at all")
    return data.Labels(("O", *(f"{prefix}-{kind}" for kind in types for prefix in "BI")))


def plan_batches(settings, tagger, labels, examples, shuffle=True):
    """Batches with the label of each word at its first token."""
    for n, spans in enumerate(examples.spans):
        for span in spans:
            if f"B-{span.label}" not in labels:
                known = ", ".join(repr(x[2:]) for x in labels if x.startswith("B-"))
                raise ValueError(
                    f"{examples.where(n)}: type {span.label!r} is not in the training data; "
                    f"its types are {known}"
                )
    encodings = finetuning.encode(
        settings, tagger.tokenizer, examples.texts, None, examples.where, offsets=True
    )
    token_labels, num_inexact = [], 0
    for encoding, line, spans in zip(encodings, examples.texts, examples.spans, strict=True):
        own, inexact = label_tokens(encoding, line, spans, labels)
        token_labels.append(own)
        num_inexact += inexact
    if num_inexact:
        print(f"{num_inexact:,} entities begin or end inside a word, and cannot be found exactly")
    weights = tag_weights(token_labels, len(labels)) if settings.balance and shuffle else None
    return finetuning.plan(
        settings,
        tagger.tokenizer,
        tagger.model,
        encodings,
        shuffle,
        token_labels=token_labels,
        label_weights=weights,
    )


def tag_weights(token_labels, num_tags):
    """(C,): N / (C·n) for a tag that n of N words have: all tags together weigh the same."""
    learned = np.array([label for own in token_labels for label in own if label != IGNORED])
    count = np.bincount(learned, minlength=num_tags)
    return len(learned) / (num_tags * np.maximum(count, 1))


def label_tokens(encoding, line, spans, labels):
    """The ids of a text's labels, -100 but at the first tokens of words; and inexact entities."""
    places = [i for i, source in enumerate(encoding.sources) if source == 0]
    offsets = [trimmed(line, *encoding.offsets[i]) for i in places]
    token_labels = [IGNORED] * len(encoding)
    begun, ended = {}, set()
    for word in group_words(line, offsets):
        start, end = offsets[word[0]][0], offsets[word[-1]][1]
        span = next((s for s in spans if s.start < end and start < s.end), None)
        tag = "O"
        if span is not None:
            tag = f"{'I' if span in begun else 'B'}-{span.label}"
            begun.setdefault(span, start)
            if end == span.end:
                ended.add(span)
        token_labels[places[word[0]]] = labels.id(tag)
    exact = [span for span in ended if begun[span] == span.start]
    return token_labels, len(spans) - len(exact)


# Results


def find(tagger, examples):
    """What the tagger finds: lists of (type, start, end)."""
    answers = tagger(examples.texts, progress=False)
    return [[(e.type, e.start, e.end) for e in entities] for entities in answers]


def evaluate(tagger, examples):
    """Scores of the tagger as it is, in percent."""
    scores = training.entity_scores(find(tagger, examples), examples.spans)
    return {name: round(scores[name], 3) for name in ("precision", "recall", "f1")}


def explain_run(settings, report, scores, tagger, examples, found):
    """Writes `report.html`: curves, scores of each type, and texts with entities in colour."""
    report.add_scores(
        {
            "F1": (f"{scores['f1']:.1f} %", f"{scores['split']}, type and both ends right"),
            "Precision": f"{scores['precision']:.1f} %",
            "Recall": f"{scores['recall']:.1f} %",
            "Time": f"{scores['seconds'] / 60:.1f} min",
            "Peak memory": f"{scores['peak_memory_mb']:,} MB",
        }
    )
    report.add_curves(settings.run_dir / "metrics.jsonl")
    rows = [
        (kind, own["support"], *(f"{own[key]:.1f} %" for key in ("precision", "recall", "f1")))
        for kind, own in scores["types"].items()
    ]
    report.add_records("Types", ["Type", "Entities", "Precision", "Recall", "F1"], rows)
    wrong = [
        n for n, own in enumerate(found) if set(own) != {tuple(span) for span in examples.spans[n]}
    ]
    right = sorted(set(range(len(examples))) - set(wrong))
    for heading, numbers in (("Errors", wrong), ("Right", right)):
        some = numbers[:: max(1, len(numbers) // 20)][:20]
        rows = [
            ((examples.texts[n], found[n]), (examples.texts[n], examples.spans[n])) for n in some
        ]
        report.add_records(heading, ["Found", "Expected"], rows, f"{len(numbers):,} texts")
    attention_maps.add_attention(report, tagger.model, tagger.tokenizer, examples.texts)
    finetuning.finish_report(settings, report)


if __name__ == "__main__":
    runs.start(main, "tag", PRESETS)
