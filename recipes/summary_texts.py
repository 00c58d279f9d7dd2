"""What summaries are learned from: texts with their summaries, of files or of docstrings."""

import dataclasses
import functools

from keras_transformer import data
from recipes import docstrings, splits

SUFFIXES = (".jsonl", ".csv", ".tsv")


@dataclasses.dataclass(frozen=True)
class Examples:
    """Texts with their summaries, and where they are from."""

    texts: list
    summaries: list
    bodies: list
    """The texts as their first sentence is taken from them."""
    path: str
    lines: list

    def __len__(self):
        return len(self.texts)

    def take(self, numbers):
        """Those of these numbers."""
        columns = (self.texts, self.summaries, self.bodies, self.lines)
        texts, summaries, bodies, lines = ([column[i] for i in numbers] for column in columns)
        return Examples(texts, summaries, bodies, self.path, lines)


def read_corpus(settings):
    """Training, validation and test examples; None where there is no test."""
    if settings.corpus == "docstrings":
        return [of_docstrings(part) for part in docstrings.corpus(seed=settings.seed)]
    read = functools.partial(read_examples, settings)
    train, valid, test = splits.read_splits(settings.data_dir, SUFFIXES, read)
    if valid is None:
        train, valid = splits.hold_out(train, settings.seed)
    return train, valid, test


def of_docstrings(part):
    """Docstrings as examples."""
    numbers = list(range(1, len(part) + 1))
    return Examples(part.texts, part.summaries, part.bodies, "docstrings", numbers)


def read_examples(settings, path):
    """The examples of a file, by the settings' columns; blank ones are left out, and counted."""
    column = str if settings.header or ".jsonl" in path.name else splits.column_number
    wanted = {"text": column(settings.text_column), "summary": column(settings.summary_column)}
    table = data.read_table(path, wanted, header=settings.header)
    texts, summaries = table.texts("text"), table.texts("summary")
    kept = [i for i in range(len(table)) if texts[i].strip() and summaries[i].strip()]
    if len(kept) < len(table):
        print(f"{path}: {len(table) - len(kept):,} records with a blank side are left out")
    if not kept:
        raise ValueError(f"{path}: no record has both a text and a summary")
    examples = Examples(texts, summaries, texts, str(path), table.lines)
    return examples.take(kept)
