"""Fine-tuning of a published encoder: the recipe's training beside transformers on torch.

    python -m benchmarks.fine_tuning CHECKPOINT sst2 --data-dir DIR [--seeds 1 2 3] [--json FILE]

CHECKPOINT is a folder of BERT's family, such as that of all-MiniLM-L6-v2; the corpus one that
`recipes.classify` or `recipes.tag` reads from DIR: sst2, banking77, clinc150, wnut17, restaurant8k.
Both sides start from the same weights and train as many epochs, with the same batch size, peak
rate, schedule, decay and clipping, on the same tokens: ours with the recipe's batches of few
lengths and XLA, the other as the Trainer of transformers does, batches in random order padded to
their longest. They take turns epoch by epoch, so that whatever else the machine does slows both
alike. What torch has trained is saved and opened as our task, so that the same code scores both.

Prints, and appends to FILE, a JSON line for each seed; a corpus and seed that FILE has already is
not trained again. Needs `torch` and `transformers`.
"""

import argparse
import dataclasses
import json
import pathlib
import statistics
import tempfile

import numpy as np
import torch
import transformers

from benchmarks.turns import timed
from keras_transformer import data, models, tasks, training
from recipes import classify, finetuning, runs, tag

IGNORED = -100


class Classification:
    """`recipes.classify`: a label for each text."""

    recipe, task, metric = classify, tasks.TextClassifier, "accuracy"
    head, peer = models.SequenceClassifier, transformers.AutoModelForSequenceClassification
    loss = staticmethod(classify.LOSSES["single_label"])

    @staticmethod
    def learn_labels(settings, train):
        return classify.learn_labels(settings, train)

    @staticmethod
    def score(settings, task, valid):
        return 100 * classify.evaluate(settings, task, valid)["accuracy"]

    @staticmethod
    def targets(labels, encodings, examples):
        """(N,)"""
        return labels.ids(examples.targets, examples.where)


class Tagging:
    """`recipes.tag`: a label for each word."""

    recipe, task, metric = tag, tasks.EntityTagger, "F1"
    head, peer = models.TokenClassifier, transformers.AutoModelForTokenClassification

    @staticmethod
    def loss():
        return training.TokenCrossEntropy(reduction="sum")

    @staticmethod
    def learn_labels(settings, train):
        return tag.learn_labels(train)

    @staticmethod
    def score(settings, task, valid):
        return tag.evaluate(task, valid)["f1"]

    @staticmethod
    def targets(labels, encodings, examples):
        """A list of (T,), -100 where no word begins."""
        rows = zip(encodings, examples.texts, examples.spans, strict=True)
        return [tag.label_tokens(*row, labels)[0] for row in rows]


def main(checkpoint, corpus, data_dir, seeds, epochs=None, examples=None, path=None):
    job = Classification if corpus in classify.PRESETS else Tagging
    done = [json.loads(line) for line in path.open()] if path and path.exists() else []
    for seed in seeds:
        if any((record["corpus"], record["seed"]) == (corpus, seed) for record in done):
            continue
        settings = job.recipe.PRESETS[corpus][1]
        settings = dataclasses.replace(
            settings, from_checkpoint=checkpoint, data_dir=data_dir, seed=seed, truncate=True
        )
        if epochs is not None:
            settings = dataclasses.replace(settings, epochs=epochs)
        record = {"corpus": corpus, "seed": seed, **compare(job, settings, examples)}
        print(json.dumps(record), flush=True)
        if path:
            with path.open("a") as file:
                file.write(json.dumps(record) + "\n")


def compare(job, settings, num_examples):
    """Trains both in turns; their scores and speeds."""
    runs.prepare_backend(settings.seed, settings.xla, settings.mixed_precision)
    train, valid, _ = job.recipe.read_corpus(settings)
    labels = job.learn_labels(settings, train)
    if num_examples is not None:
        order = np.random.default_rng(settings.seed).permutation(len(train))
        train = train.take(order[:num_examples].tolist())
    sides = {
        "ours": Ours(job, settings, labels, train),
        "transformers": Theirs(job, settings, labels, train),
    }
    seconds = {name: [] for name in sides}
    for epoch in range(settings.epochs):
        for name, side in sides.items():
            seconds[name].append(timed(side.train, epoch))
    speeds = {name: len(train) / statistics.median(each[1:]) for name, each in seconds.items()}
    totals = {name: settings.epochs * len(train) / sum(each) for name, each in seconds.items()}
    scores = {name: job.score(settings, side.as_task(), valid) for name, side in sides.items()}
    return {
        "metric": job.metric,
        "scores": {name: round(score, 2) for name, score in scores.items()},
        "examples_per_s": {name: round(speed, 1) for name, speed in speeds.items()},
        "times_faster": round(speeds["ours"] / speeds["transformers"], 2),
        "times_faster_with_compilation": round(totals["ours"] / totals["transformers"], 2),
        "examples": len(train),
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
    }


class Ours:
    """The recipe's model, batches and optimizer, trained by `model.fit`."""

    def __init__(self, job, settings, labels, train):
        tokenizer = finetuning.make_tokenizer(settings, train.texts)
        self.model = finetuning.make_model(
            settings, job.head, tokenizer, num_classes=len(labels), labels=labels.names
        )
        self._task = job.task(self.model, tokenizer, settings.max_length)
        self.batches = job.recipe.plan_batches(settings, self._task, labels, train)
        finetuning.compile_model(settings, self.model, self.batches, job.loss())
        self._weighted = data.AccumulatedBatches(self.batches, 1)

    def train(self, epoch):
        """Passes over the training set once."""
        steps = len(self.batches)
        self.model.fit(
            self._weighted.stream(epoch * steps),
            steps_per_epoch=steps,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            verbose=0,
        )

    def as_task(self):
        """What answers texts."""
        return self._task


class Theirs:
    """The model of transformers, trained by the loop of its Trainer."""

    def __init__(self, job, settings, labels, train):
        torch.manual_seed(settings.seed)
        self._job, self._settings = job, settings
        self._tokenizer = finetuning.make_tokenizer(settings, train.texts)
        encodings = self._tokenizer(train.texts, offsets=True, max_length=settings.max_length)
        self._ids = [list(encoding.ids) for encoding in encodings]
        self._targets = job.targets(labels, encodings, train)
        self._model = job.peer.from_pretrained(
            settings.from_checkpoint,
            num_labels=len(labels),
            id2label=dict(enumerate(labels.names)),
            label2id={name: i for i, name in enumerate(labels.names)},
        )
        parameters = list(self._model.parameters())
        matrices = [p for p in parameters if p.ndim > 1]
        vectors = [p for p in parameters if p.ndim < 2]
        groups = [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
        steps = settings.epochs * -(-len(self._ids) // settings.batch_size)
        self._schedule = transformers.get_linear_schedule_with_warmup(
            self._optimizer, int(settings.warmup * steps), steps
        )

    def train(self, epoch):
        """Passes over the training set once."""
        self._model.train()
        order = torch.randperm(len(self._ids)).tolist()
        size = self._settings.batch_size
        for start in range(0, len(order), size):
            loss = self._model(**self._batch(order[start : start + size])).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._settings.clip_norm)
            self._optimizer.step()
            self._schedule.step()
            self._optimizer.zero_grad(set_to_none=True)

    def _batch(self, numbers):
        """The rows of these numbers, padded to the longest of them."""
        lengths = [len(self._ids[n]) for n in numbers]
        targets = [self._targets[n] for n in numbers]
        if np.ndim(targets[0]):
            targets = padded(targets, max(lengths), IGNORED)
        return {
            "input_ids": padded([self._ids[n] for n in numbers], max(lengths), 0),
            "attention_mask": padded([[1] * length for length in lengths], max(lengths), 0),
            "labels": torch.as_tensor(np.asarray(targets), dtype=torch.long),
        }

    def as_task(self):
        """What answers texts: the trained weights, saved and opened by our task."""
        with tempfile.TemporaryDirectory() as folder:
            self._model.save_pretrained(folder)
            self._tokenizer.save(folder)
            return self._job.task.from_pretrained(folder, max_length=self._settings.max_length)


def padded(rows, length, value):
    """Rows of unequal length as one tensor."""
    return torch.tensor([list(row) + [value] * (length - len(row)) for row in rows])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", help="folder of a model of BERT's family")
    parser.add_argument(
        "corpus", choices=["sst2", "banking77", "clinc150", "wnut17", "restaurant8k"]
    )
    parser.add_argument("--data-dir", type=pathlib.Path, required=True, help="the corpus's folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, help="other than the recipe's preset; 2 or more")
    parser.add_argument("--examples", type=int, help="so many of the training set alone")
    parser.add_argument("--json", type=pathlib.Path, help="file to which results are appended")
    arguments = parser.parse_args()
    if arguments.epochs is not None and arguments.epochs < 2:
        parser.error("--epochs must be at least 2: the first compiles")
    main(
        arguments.checkpoint,
        arguments.corpus,
        arguments.data_dir,
        arguments.seeds,
        arguments.epochs,
        arguments.examples,
        arguments.json,
    )
