"""Turn texts into vectors that are near where the texts mean the same.

    python -m recipes.embed quickstart                               dates and names, 40 languages
    python -m recipes.embed files --data-dir D --from-checkpoint C   your pairs or triples

Each text is to find its partner among all of the batch (InfoNCE); with triples, a third text that
looks alike but means something else stands among them. C is a folder or a name on the Hugging Face
hub with an encoder and its tokenizer. Your files are CSV, TSV or JSONL; without `val`, a tenth of
`train` is kept for validation, and without `test`, scores are of the validation: how often the
nearest text is the partner (accuracy at 1), and the mean of 1 / rank (MRR). The run's folder opens
with `tasks.TextEmbedder.from_pretrained`.

`python -m recipes.embed PRESET --help` lists every setting. The same command again resumes a run
that was interrupted. On two busy cores `quickstart` took 208 s and reached an accuracy at 1 of 64.3
% (docs/results.md).
"""

import dataclasses
import functools
import random
from collections.abc import Callable
from typing import Literal

import numpy as np

from keras_transformer import data, explain, models, tasks, training
from keras_transformer.checkpoints.files import write_json
from recipes import attention_maps, command_line, dates, finetuning, names, runs, splits

SUFFIXES = (".csv", ".tsv", ".jsonl")


@dataclasses.dataclass(frozen=True)
class Settings(finetuning.FineTuning):
    """Settings of a run; the defaults are those of the chosen preset."""

    corpus: Literal["meanings", "files"] = "files"
    """Where the data come from."""
    columns: tuple[str, ...] = ("anchor", "positive")
    """Two columns, or three with a hard negative: names, or with --no-header numbers from 0."""
    header: bool = True
    """Whether the first line of CSV and TSV names the columns."""
    scale: float = 20.0
    """Factor on cosines: 1 / temperature."""
    symmetric: bool = True
    """Whether partners look for their anchors, too."""
    pooling: Literal["first", "mean", "max"] | None = None
    """Which tokens make the vector; none: the checkpoint's, or the mean in a new model."""


PRESETS = {
    "quickstart": (
        "Dates and names in 40 languages, and the same in English; generated, some minutes.",
        Settings(
            runs.RUNS / "embed",
            corpus="meanings",
            vocab_size=6000,
            max_length=64,
            truncate=True,
            epochs=8,
            batch_size=128,
            dropout=0.0,
            learning_rate=2e-3,
        ),
    ),
    "files": (
        "Your own train, val and test as .csv, .tsv or .jsonl in --data-dir.",
        Settings(runs.RUNS / "embedder", batch_size=64),
    ),
}


@dataclasses.dataclass(frozen=True)
class Examples:
    """Texts that mean the same, side by side; perhaps with hard negatives."""

    sides: list
    """Two or three lists of str."""
    where: Callable
    """From a pair's number to "file:line"."""

    def __len__(self):
        return len(self.sides[0])

    def take(self, numbers):
        """Those of these numbers."""
        sides = [[side[i] for i in numbers] for side in self.sides]
        return Examples(sides, lambda n: self.where(numbers[n]))


@command_line.saying_flags()
def main(settings):
    """Trains, or goes on training; then scores, explains and exports."""
    finetuning.check(settings)
    finetuning.check_data_dir(settings, made="meanings")
    if settings.gradient_accumulation_steps > 1:
        raise ValueError(
            "gradient_accumulation_steps must be 1: texts are told from others of their batch, and "
            "several batches have fewer of these than one large batch; raise batch_size."
        )
    watch = runs.Stopwatch()
    report = explain.Report(f"Embeddings: {settings.run_dir.name}", __doc__.split("\n")[0])
    runs.prepare_backend(settings.seed, settings.xla, settings.mixed_precision)
    train, valid, test = read_corpus(settings)
    tokenizer = finetuning.make_tokenizer(settings, [text for side in train.sides for text in side])
    arguments = {} if settings.pooling is None else {"pooling": settings.pooling}
    model = finetuning.make_model(settings, models.SentenceEmbedder, tokenizer, **arguments)
    embedder = tasks.TextEmbedder(model, tokenizer, settings.max_length)
    batches = plan_batches(settings, embedder, train)
    valid_batches = plan_batches(settings, embedder, valid, shuffle=False)
    if test is not None:
        plan_batches(settings, embedder, test, shuffle=False)  # what is wrong, now
    print(batches.describe())
    loss = training.ContrastiveLoss(len(train.sides), settings.scale, settings.symmetric)
    finetuning.compile_model(settings, model, batches, loss)

    score = functools.partial(evaluate, settings, embedder, valid)
    watch.earlier = finetuning.fit(settings, embedder, batches, valid_batches, score, "val_mrr")
    embedder.save_pretrained(settings.run_dir)
    split, examples = ("validation", valid) if test is None else ("test", test)
    scores = evaluate(settings, embedder, examples)
    scores = {"split": split, "pairs": len(examples), **scores, **watch.costs()}
    write_json(settings.run_dir / "scores.json", scores)
    explain_run(settings, report, scores, embedder, examples)
    finetuning.export(settings, embedder)
    print(f"\n{settings.run_dir}: report.html, scores.json, weights, tokenizer")
    print(f"{split}: accuracy at 1 {scores['accuracy_at_1']:.2f} %, MRR {scores['mrr']:.2f} %")


# Data


def read_corpus(settings):
    """Training, validation and test pairs; None where there is no test."""
    if settings.corpus == "meanings":
        return meanings(settings.seed)
    if len(settings.columns) not in (2, 3):
        raise ValueError(f"columns must be two or three; got {settings.columns}")
    read = functools.partial(read_examples, settings)
    train, valid, test = splits.read_splits(settings.data_dir, SUFFIXES, read)
    if valid is None:
        train, valid = splits.hold_out(train, settings.seed)
    return train, valid, test


def read_examples(settings, path):
    """The pairs or triples of a file."""
    is_jsonl = ".jsonl" in path.name
    columns = [
        name if settings.header or is_jsonl else splits.column_number(name)
        for name in settings.columns
    ]
    read = data.read_pairs if len(columns) == 2 else data.read_triples
    found = read(path, columns, header=settings.header)
    if found.num_blank:
        print(f"{path}: {found.num_blank:,} records with a blank text were left out")
    return Examples(list(found), lambda n: f"{path}:{found.lines[n]}")


def meanings(seed, sizes=(20_000, 1_000, 2_000)):
    """Dates and names of 40 languages beside the same in English, in three parts.

    No calendar date is in two parts. A territory, a language or a currency is, but in another
    language: what is new to the model is that these two names mean the same. No English text is
    twice in the validation or the test, where each has one partner.
    """
    half = [size // 2 for size in sizes]
    of_dates = dates.corpus(*half, seed=seed)
    english = {(name.kind, name.code): name.text for name in names.named("en")}
    pairs = [
        (name.text, english[name.kind, name.code])
        for language in names.LANGUAGES
        for name in names.named(language)
        if english.get((name.kind, name.code), name.text) != name.text
    ]
    pairs = sorted(set(pairs))
    random.Random(seed).shuffle(pairs)
    parts = []
    for size, part in zip(half[::-1], reversed(of_dates), strict=True):
        own, rest, seen = [], [], set()
        for pair in pairs:
            fits = len(own) < size and (len(parts) == 2 or not seen & set(pair))
            (own if fits else rest).append(pair)
            seen |= set(pair) if fits else set()
        pairs = rest
        chosen = own + without_repeats(part, distinct=len(parts) < 2)
        random.Random(seed).shuffle(chosen)
        parts.append(Examples(list(map(list, zip(*chosen, strict=True))), "pair {}".format))
    return parts[::-1]


def without_repeats(part, distinct):
    """The date pairs of a part, with each English text once where that is wanted."""
    pairs = list(zip(part.source, part.target, strict=True))
    return (
        list({english: (text, english) for text, english in pairs}.values()) if distinct else pairs
    )


# Training


def plan_batches(settings, embedder, examples, shuffle=True):
    """Batches of all sides, below each other."""
    sides = [
        [
            encoding.ids
            for encoding in finetuning.encode(
                settings, embedder.tokenizer, side, None, examples.where
            )
        ]
        for side in examples.sides
    ]
    return data.ContrastiveBatches(
        sides,
        where=examples.where,
        **finetuning.batch_options(settings, embedder.tokenizer, shuffle),
    )


# Results


def embed(settings, embedder, texts):
    """(N, D) vectors of the embedder as it is."""
    with finetuning.no_warning_of_cuts():
        return embedder(texts, progress=False, truncate=settings.truncate)


def partners(examples):
    """The different partners of all anchors, and the number of each anchor's."""
    candidates = list(dict.fromkeys(examples.sides[1]))
    number = {text: i for i, text in enumerate(candidates)}
    return candidates, np.array([number[text] for text in examples.sides[1]])


def evaluate(settings, embedder, examples):
    """How well each anchor finds its partner among the partners of all."""
    candidates, expected = partners(examples)
    queries = embed(settings, embedder, examples.sides[0])
    return training.retrieval_scores(queries, embed(settings, embedder, candidates), expected)


def explain_run(settings, report, scores, embedder, examples, shown=20, neighbours=3):
    """Writes `report.html`: curves, scores, and what is nearest to some texts."""
    report.add_scores(
        {
            "Accuracy at 1": (f"{scores['accuracy_at_1']:.1f} %", scores["split"]),
            "MRR": f"{scores['mrr']:.1f} %",
            "Pairs": f"{scores['pairs']:,}",
            "Time": f"{scores['seconds'] / 60:.1f} min",
            "Peak memory": f"{scores['peak_memory_mb']:,} MB",
        }
    )
    report.add_curves(settings.run_dir / "metrics.jsonl")
    candidates, expected = partners(examples)
    some = list(range(0, len(examples), max(1, len(examples) // shown)))[:shown]
    anchors = [examples.sides[0][i] for i in some]
    vectors = embed(settings, embedder, anchors), embed(settings, embedder, candidates)
    first, second = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in vectors)
    cosines = first @ second.T  # (shown, N)
    rows = []
    for row, i in enumerate(some):
        nearest = np.argsort(-cosines[row], kind="stable")[:neighbours]
        told = "; ".join(f"{candidates[n]} ({cosines[row, n]:.2f})" for n in nearest)
        is_right = "✓" if nearest[0] == expected[i] else "✗"
        rows.append((anchors[row], candidates[expected[i]], told, is_right))
    report.add_records("Nearest neighbours", ["Text", "Partner", "Nearest", "Right"], rows)
    attention_maps.add_attention(report, embedder.model, embedder.tokenizer, anchors)
    finetuning.finish_report(settings, report)


if __name__ == "__main__":
    runs.start(main, "embed", PRESETS)
