"""Classify texts, or pairs of texts: one label, several labels, or a number.

    python -m recipes.classify quickstart                            language of a name, minutes
    python -m recipes.classify sst2 --data-dir D --from-checkpoint C      sentiment
    python -m recipes.classify banking77 --data-dir D --from-checkpoint C   77 intents of a bank
    python -m recipes.classify clinc150 --data-dir D --from-checkpoint C    150 intents and none
    python -m recipes.classify files --data-dir D                    your train, val, test files

C is a folder or a name on the Hugging Face hub with an encoder and its tokenizer. Your files are
CSV, TSV or JSONL; without `val`, a tenth of `train` is kept for validation, and without `test`,
scores are of the validation. The run's folder opens with `tasks.TextClassifier.from_pretrained`.

`python -m recipes.classify PRESET --help` lists every setting. The same command again resumes a run
that was interrupted. On two busy cores `quickstart` took 74 s and reached an accuracy of 87.3 %
(docs/results.md).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import keras
import numpy as np

from keras_transformer import data, explain, models, tasks
from keras_transformer.checkpoints.files import write_json
from keras_transformer.data.json_lines import read_json
from recipes import attention_maps, command_line, finetuning, names, runs, splits

SUFFIXES = (".csv", ".tsv", ".jsonl")
METRIC = {"single_label": "accuracy", "multi_label": "micro_f1", "regression": "spearman"}


@dataclasses.dataclass(frozen=True)
class Settings(finetuning.FineTuning):
    """Settings of a run; the defaults are those of the chosen preset."""

    corpus: Literal["names", "sst2", "banking77", "clinc150", "files"] = "files"
    """Where the data come from."""
    problem: Literal["single_label", "multi_label", "regression"] = "single_label"
    """What a record has: one label, any number of them, or a number."""
    text_column: str = "text"
    """The text: a column's name, or with --no-header its number from 0."""
    pair_column: str | None = None
    """The second text, where records are pairs."""
    label_column: str = "label"
    """The label, the labels ("a,b" or a JSON list), or the number."""
    header: bool = True
    """Whether the first line of CSV and TSV names the columns."""
    balance: bool = False
    """Give each class the same weight in the loss, however many records it has (single labels)."""
    pooling: Literal["first", "mean", "max"] | None = None
    """Which tokens a text is classified by; none: the checkpoint's, or the first of a new model."""


FINE_TUNING = dict(learning_rate=5e-5, max_length=128, epochs=3, num_shapes=8)

PRESETS = {
    "quickstart": (
        "Which of 40 languages a name is in; generated on the spot, some minutes on two cores.",
        Settings(
            runs.RUNS / "classify",
            corpus="names",
            vocab_size=6000,
            max_length=64,
            truncate=True,
            num_layers=1,
            epochs=5,
            batch_size=64,
            learning_rate=3e-3,
            pooling="mean",
            dropout=0.0,
        ),
    ),
    "sst2": (
        "Sentiment of film reviews: train.tsv and dev.tsv, a sentence and 0 or 1.",
        Settings(runs.RUNS / "sst2", corpus="sst2", **FINE_TUNING),
    ),
    "banking77": (
        "77 intents of a bank's customers: train.csv; a tenth of it is kept for validation.",
        Settings(runs.RUNS / "banking77", corpus="banking77", **FINE_TUNING | {"epochs": 10}),
    ),
    "clinc150": (
        "150 intents, and those out of scope where the file has them: train_val.json.",
        Settings(runs.RUNS / "clinc150", corpus="clinc150", **FINE_TUNING | {"epochs": 5}),
    ),
    "files": (
        "Your own train, val and test as .csv, .tsv or .jsonl in --data-dir.",
        Settings(runs.RUNS / "classifier"),
    ),
}


@dataclasses.dataclass(frozen=True)
class Examples:
    """Texts, or pairs of them, with what is to be said about each."""

    texts: list
    pairs: list | None
    targets: list
    """str, lists of str, or numbers."""
    where: Callable
    """From a record's number to "file:line"."""

    def __len__(self):
        return len(self.texts)

    def take(self, numbers):
        """Those of these numbers."""
        pairs = None if self.pairs is None else [self.pairs[i] for i in numbers]
        texts, targets = ([column[i] for i in numbers] for column in (self.texts, self.targets))
        return Examples(texts, pairs, targets, lambda n: self.where(numbers[n]))

    def records(self, problem):
        """As `tasks.evaluate` takes them."""
        key = {"single_label": "label", "multi_label": "labels", "regression": "value"}[problem]
        found = [{"text": x, key: y} for x, y in zip(self.texts, self.targets, strict=True)]
        if self.pairs is not None:
            found = [{**r, "pair": pair} for r, pair in zip(found, self.pairs, strict=True)]
        return found


@command_line.saying_flags()
def main(settings):
    """Trains, or goes on training; then scores, explains and exports."""
    check(settings)
    watch = runs.Stopwatch()
    report = explain.Report(f"Classification: {settings.run_dir.name}", __doc__.split("\n")[0])
    runs.prepare_backend(settings.seed, settings.xla, settings.mixed_precision)
    train, valid, test = read_corpus(settings)
    labels = learn_labels(settings, train)
    tokenizer = finetuning.make_tokenizer(settings, train.texts + (train.pairs or []))
    model = make_model(settings, tokenizer, labels)
    classifier = tasks.TextClassifier(model, tokenizer, settings.max_length)
    batches = plan_batches(settings, classifier, labels, train)
    valid_batches = plan_batches(settings, classifier, labels, valid, shuffle=False)
    if test is not None:
        plan_batches(settings, classifier, labels, test, shuffle=False)  # what is wrong, now
    print(batches.describe())
    finetuning.compile_model(settings, model, batches, LOSSES[settings.problem]())

    score = functools.partial(evaluate, settings, classifier, valid)
    monitor = f"val_{METRIC[settings.problem]}"
    both = finetuning.weighted(settings, batches, valid_batches)
    watch.earlier = finetuning.fit(settings, classifier, *both, score, monitor)
    classifier.save_pretrained(settings.run_dir)
    split, examples = ("validation", valid) if test is None else ("test", test)
    scores = evaluate(settings, classifier, examples)
    scores = {"split": split, "records": len(examples), **scores, **watch.costs()}
    write_json(settings.run_dir / "scores.json", scores)
    explain_run(settings, report, scores, classifier, examples)
    finetuning.export(settings, classifier)
    print(f"\n{settings.run_dir}: report.html, scores.json, weights, tokenizer")
    metric = METRIC[settings.problem]
    print(f"{split} {metric}: {scores[metric]:.4f}")


def check(settings):
    """Refuses settings that contradict each other, before anything is read."""
    finetuning.check(settings)
    finetuning.check_data_dir(settings, made="names")
    if settings.balance and settings.problem != "single_label":
        raise ValueError(f"balance is for problem 'single_label' alone; got {settings.problem!r}.")
    if settings.corpus != "files":
        usual = Settings(settings.run_dir)
        for name in ("problem", "text_column", "pair_column", "label_column", "header"):
            if getattr(settings, name) != getattr(usual, name):
                raise ValueError(
                    f"{name} is for your own files (the preset `files`); corpus "
                    f"{settings.corpus!r} has one way to be read. Got {getattr(settings, name)!r}."
                )


# Data


def read_corpus(settings):
    """Training, validation and test examples; None where there is no test."""
    if settings.corpus == "names":
        return [of_names(part) for part in names.corpus(settings.seed)]
    if settings.corpus == "files":
        read = functools.partial(read_examples, settings)
        train, valid, test = splits.read_splits(settings.data_dir, SUFFIXES, read)
    else:
        if settings.data_dir is None:
            raise ValueError(f"--data-dir is missing: the folder with {settings.corpus}'s files")
        train, valid, test = {
            "sst2": read_sst2,
            "banking77": read_banking77,
            "clinc150": read_clinc150,
        }[settings.corpus](settings.data_dir)
    if valid is None:
        train, valid = splits.hold_out(train, settings.seed, labels=labels_of(settings, train))
    return train, valid, test


def labels_of(settings, examples):
    """The labels of each example as a list; None where these are numbers."""
    if settings.problem == "single_label":
        return [[label] for label in examples.targets]
    return examples.targets if settings.problem == "multi_label" else None


def of_names(part):
    """Names with their language."""
    texts, languages = ([getattr(name, key) for name in part] for key in ("text", "language"))
    return Examples(texts, None, languages, lambda n: f"name {texts[n]!r}")


def read_examples(settings, path):
    """The examples of a file, by the settings' columns."""
    is_jsonl = ".jsonl" in path.name
    column = str if settings.header or is_jsonl else splits.column_number
    wanted = {"text": column(settings.text_column), "label": column(settings.label_column)}
    if settings.pair_column is not None:
        wanted["pair"] = column(settings.pair_column)
    return of_table(data.read_table(path, wanted, header=settings.header), settings.problem)


def of_table(table, problem="single_label"):
    """The examples of a table with the columns text, label and perhaps pair."""
    read = {
        "single_label": table.labels,
        "multi_label": table.label_lists,
        "regression": lambda name: table.numbers(name).tolist(),
    }[problem]
    pairs = table.texts("pair") if "pair" in table.columns else None
    return Examples(table.texts("text"), pairs, read("label"), table.where)


def read_sst2(folder):
    """Tab-separated sentence and label, without header."""
    columns = {"text": 0, "label": 1}
    paths = folder / "train.tsv", folder / "dev.tsv"
    return *(of_table(data.read_table(path, columns, header=False)) for path in paths), None


def read_banking77(folder):
    """CSV of text and category."""
    columns = {"text": "text", "label": "category"}
    path = folder / "test.csv"
    test = of_table(data.read_table(path, columns)) if path.exists() else None
    return of_table(data.read_table(folder / "train.csv", columns)), None, test


def read_clinc150(folder):
    """One JSON object of parts, each a list of [text, intent]."""
    path = folder / "train_val.json"
    parts = read_json(path)
    found = []
    for part in ("train", "val"):
        rows = parts.get(part) if isinstance(parts, dict) else None
        if not isinstance(rows, list) or not rows:
            raise ValueError(f"{path}: expected {part!r}, a list of [text, intent]")
        for n, row in enumerate(rows):
            if not isinstance(row, list) or [type(value) for value in row] != [str, str]:
                raise ValueError(
                    f"{path}: {part}[{n}]: expected [text, intent], both texts; got {row!r:.80}"
                )
        texts, intents = map(list, zip(*rows, strict=True))
        found.append(Examples(texts, None, intents, f"{path}: {part}[{{}}]".format))
    return *found, None


# Training

LOSSES = {  # sums: the batches' weights hold the divisor
    "single_label": functools.partial(
        keras.losses.SparseCategoricalCrossentropy, from_logits=True, reduction="sum"
    ),
    "multi_label": functools.partial(
        keras.losses.BinaryCrossentropy, from_logits=True, reduction="sum"
    ),
    "regression": functools.partial(keras.losses.MeanSquaredError, reduction="sum"),
}


def learn_labels(settings, train):
    """The labels of the training set, which are all that there may be."""
    if settings.problem == "regression":
        return data.Labels((settings.label_column,))
    if not any(train.targets):
        raise ValueError(
            f"{train.where(0)}: column {settings.label_column!r} has no label, here and in all "
            "other records of the training data"
        )
    labels = data.Labels.of(train.targets)
    if settings.problem == "single_label" and len(labels) < 2:
        raise ValueError(f"the training data have one label alone, {labels.names[0]!r}")
    return labels


def make_model(settings, tokenizer, labels):
    """A classifier over the checkpoint's encoder, or over a new one."""
    arguments = {"num_classes": len(labels), "problem": settings.problem, "labels": labels.names}
    if settings.pooling is not None:
        arguments["pooling"] = settings.pooling
    return finetuning.make_model(settings, models.SequenceClassifier, tokenizer, **arguments)


def plan_batches(settings, classifier, labels, examples, shuffle=True):
    """Batches with the ids of the labels, and their weights."""
    encodings = finetuning.encode(
        settings, classifier.tokenizer, examples.texts, examples.pairs, examples.where
    )
    weights = None
    if settings.problem == "regression":
        targets = np.array(examples.targets, "float32")[:, None]
    elif settings.problem == "multi_label":
        targets = labels.indicators(examples.targets, examples.where)
    else:
        targets = labels.ids(examples.targets, examples.where)
        if settings.balance and shuffle:
            weights = data.balanced_weights(targets, len(labels))
    return finetuning.plan(
        settings,
        classifier.tokenizer,
        classifier.model,
        encodings,
        shuffle,
        labels=targets,
        weights=weights,
    )


# Results


def evaluate(settings, classifier, examples):
    """Scores of the classifier as it is."""
    with finetuning.no_warning_of_cuts():
        scores = tasks.evaluate(
            classifier,
            examples.records(settings.problem),
            progress=False,
            truncate=settings.truncate,
        )
    return {name: round(value, 4) for name, value in scores.items() if name != "examples"}


def explain_run(settings, report, scores, classifier, examples):
    """Writes `report.html`: curves, scores, confusion matrix, worst errors."""
    metric = METRIC[settings.problem]
    report.add_scores(
        {
            metric.replace("_", " ").capitalize(): (f"{scores[metric]:.3f}", scores["split"]),
            "Records": f"{scores['records']:,}",
            "Time": f"{scores['seconds'] / 60:.1f} min",
            "Peak memory": f"{scores['peak_memory_mb']:,} MB",
        }
    )
    report.add_curves(settings.run_dir / "metrics.jsonl")
    with finetuning.no_warning_of_cuts():
        answers = classifier(
            examples.texts, examples.pairs, progress=False, truncate=settings.truncate
        )
    if settings.problem == "single_label":
        said = [answer.label for answer in answers]
        report.add_confusion(examples.targets, said, classifier.labels)
    report.add_records("Worst errors", *worst_errors(settings.problem, examples, answers))
    attention_maps.add_attention(
        report, classifier.model, classifier.tokenizer, examples.texts, examples.pairs
    )
    finetuning.finish_report(settings, report)


def worst_errors(problem, examples, answers, limit=20):
    """Columns and rows: where the model was furthest from right, or surest of what is wrong."""
    rows = []
    for i, (wanted, answer) in enumerate(zip(examples.targets, answers, strict=True)):
        if problem == "regression":
            said, error = f"{answer.value:.3f}", abs(answer.value - wanted)
        elif problem == "multi_label":
            said = ", ".join(answer.labels)
            right = [p if x in wanted else 1 - p for x, p in answer.scores.items()]
            error = 1 - min(right)
            wanted = ", ".join(wanted)
        else:
            said, error = answer.label, answer.scores[answer.label] - answer.scores[wanted]
        pair = () if examples.pairs is None else (examples.pairs[i],)
        rows.append((error, (examples.texts[i], *pair, wanted, said, f"{error:.3f}")))
    rows.sort(key=lambda row: -row[0])
    columns = ["Text", *(["Second text"] * (examples.pairs is not None)), "Is", "Said", "Error"]
    return columns, [row for error, row in rows[:limit] if error > 0]


if __name__ == "__main__":
    runs.start(main, "classify", PRESETS)
