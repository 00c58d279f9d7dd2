"""What tasks share: checks of what comes in, batches by length, a progress bar, folders.

B inputs, T tokens
"""

import numbers
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import keras
import numpy as np

from keras_transformer import families, models
from keras_transformer.checkpoints.files import write_json
from keras_transformer.checkpoints.hub import find_folder
from keras_transformer.checkpoints.pretrained import MODEL_TYPE, read_fields
from keras_transformer.checkpoints.published import CONFIG
from keras_transformer.generation.compile import program, takes_any_shape
from keras_transformer.generation.decoding import check_positive
from keras_transformer.generation.inputs import bucket, pad_to
from keras_transformer.models.head import Head
from keras_transformer.tasks.decoding_defaults import FILE_NAME as DECODING
from keras_transformer.text import Tokenizer, pad_encodings

SETTINGS = "task_config.json"  # what a task was made with beside its model and tokenizer
BATCHES_WORTH_A_BAR = 4


class Task:
    """A model and its tokenizer, for one job. Not used by itself.

    A subclass names its `model_class` and answers when it is called.

    Args:
        model: an instance of `model_class`.
        tokenizer: the `text.Tokenizer` that the model was trained with.
        max_length: tokens of one input of the model, special ones included; by default the smaller
            one of the model's and the tokenizer's, and at most the model's.

    Raises:
        TypeError: model or tokenizer is none.
        ValueError: they do not fit each other, or `max_length` is out of its range.
    """

    model_class = None
    pairs = False
    """Whether inputs are pairs of texts."""

    def __init__(self, model, tokenizer, max_length=None):
        if not isinstance(model, self.model_class):
            raise TypeError(
                f"model must be a {self.model_class.__name__}, got {type(model).__name__}."
            )
        if not isinstance(tokenizer, Tokenizer):
            raise TypeError(f"tokenizer must be a Tokenizer, got {type(tokenizer).__name__}.")
        if tokenizer.vocab_size > model.config.vocab_size:
            raise ValueError(
                "The tokenizer does not belong to the model: its vocab_size is "
                f"{tokenizer.vocab_size}, the model's is {model.config.vocab_size}."
            )
        self.model, self.tokenizer = model, tokenizer
        self.max_length = self.check_max_length(max_length)

    def check_max_length(self, max_length=None):
        """A length of inputs in its range; None stands for the default.

        Raises:
            TypeError: it is no integer.
            ValueError: it is above the model's, or leaves no room beside the special tokens.
        """
        limit = self.model.config.max_length
        if max_length is None:
            max_length = min(self.default_max_length(), limit)
        check_integer("max_length", max_length)
        least = self.tokenizer.template.num_added(self.pairs) + (2 if self.pairs else 1)
        if not least <= max_length <= limit:
            raise ValueError(
                f"max_length must be from {least} to the model's max_length, {limit}; "
                f"got {max_length}."
            )
        return int(max_length)

    def default_max_length(self):
        """The length of inputs where nobody says another; the model's is a limit anyway."""
        return self.tokenizer.max_length or self.model.config.max_length

    def encode(self, texts, pairs, truncate):
        """The `Encoding` of each text, or pair, none longer than `max_length`.

        Raises:
            ValueError: one is longer, and not to be cut.
        """
        found = self.tokenizer(texts, pairs)
        long = [i for i, encoding in enumerate(found) if len(encoding) > self.max_length]
        if not long:
            return found
        if not truncate:
            raise ValueError(
                f"texts[{long[0]}] has {len(found[long[0]])} tokens, special ones included; the "
                f"limit is {self.max_length} (max_length). truncate=True cuts what is too long."
            )
        cut = self.tokenizer(
            [texts[i] for i in long],
            None if pairs is None else [pairs[i] for i in long],
            max_length=self.max_length,
        )
        for i, encoding in zip(long, cut, strict=True):
            found[i] = encoding
        warnings.warn(
            f"{len(long)} of {len(texts)} texts were cut to {self.max_length} tokens.",
            stacklevel=3,
        )
        return found

    def forward(self, encodings, batch_size=32, progress=None, mask_positions=None):
        """Runs the model on encodings of similar length together.

        Args:
            encodings: `text.Encoding`s.
            batch_size: how many of them at a time.
            progress: whether to show a bar; by default on a terminal, for long work.
            mask_positions: the positions that a `MaskedLM` shall predict, a list for each.

        Returns:
            The model's outputs as float32 arrays, one for each encoding: (T, ...) where the model
            answers for each token, without padding.
        """
        check_positive("batch_size", batch_size)
        sizes = [len(encoding) for encoding in encodings]
        order = np.argsort(sizes, kind="stable")
        batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
        bar = progress_bar(progress, len(order), len(batches))
        answers = [None] * len(encodings)
        for rows in batches:
            positions = None if mask_positions is None else [mask_positions[i] for i in rows]
            outputs = self._run([encodings[i] for i in rows], positions, batch_size)
            for row, output in zip(rows, outputs, strict=True):
                answers[row] = output
            if bar is not None:
                bar.add(len(rows))
        return answers

    def _run(self, encodings, positions, batch_size):
        batch = pad_encodings(encodings, self.tokenizer.pad_id)
        batch = {name: batch[name] for name in model_inputs(self.model)}
        if positions is not None:
            batch["mask_positions"] = _rectangle(positions)
        rows, length = batch["token_ids"].shape
        sizes = {name: (None, None) for name in batch}
        if not takes_any_shape(jit_compile=False):
            rows = min(1 << (rows - 1).bit_length(), batch_size)
            length = bucket(length, self.model.config.max_length)
            sizes = {name: (rows, length) for name in batch}
            if positions is not None:
                width = batch["mask_positions"].shape[1]
                sizes["mask_positions"] = (rows, 1 << (width - 1).bit_length())
            batch = {name: pad_to(x, sizes[name], 0) for name, x in batch.items()}
        shapes = {name: (sizes[name], str(x.dtype)) for name, x in batch.items()}
        key = (_outputs, tuple(shapes.items()))
        run = program(self.model, key, _outputs, shapes, jit_compile=False)
        (outputs,) = run(batch)
        if not np.isfinite(outputs[: len(encodings)]).all():
            raise FloatingPointError(
                "The model's outputs were not finite: its weights or activations hold NaN or "
                "infinity."
            )
        if positions is not None:
            return [out[: len(own)] for out, own in zip(outputs, positions, strict=False)]
        if outputs.ndim == 2:  # one answer for a text
            return outputs[: len(encodings)]
        return [out[: len(own)] for out, own in zip(outputs, encodings, strict=False)]

    def save_pretrained(self, folder):
        """Writes model and tokenizer into a folder, from which `from_pretrained` reads them.

        A `max_length` that is not the default is written too, into `task_config.json`.
        """
        folder = Path(folder)
        self.model.save_pretrained(folder)
        self.tokenizer.save(folder)
        self.save_settings(folder)
        self.save_decoding(folder)

    def save_settings(self, folder):
        """Writes what the task was made with beside its model and tokenizer."""
        write_max_length(folder, self.max_length, self.check_max_length())

    def save_decoding(self, folder):
        """Writes how the task decodes; here it does not, and what another task wrote is removed."""
        (folder / DECODING).unlink(missing_ok=True)

    @classmethod
    def read_settings(cls, folder):
        """What a folder says beside its model and tokenizer.

        Returns:
            `{argument: value}` of the model's `from_pretrained`, and of the task's constructor.
        """
        return {}, {"max_length": read_max_length(folder)}

    @classmethod
    def from_pretrained(cls, name, revision=None, dtype=None, **arguments):
        """The task of a folder, or of a name on the Hugging Face hub.

        Args:
            name: a folder with a model and its tokenizer, as `save_pretrained` or transformers
                writes it; or a name on the hub.
            revision: commit, tag or branch on the hub.
            dtype: dtype policy of the model; by default Keras's global one.
            **arguments: of the task's constructor, such as `max_length`; None for what is saved.

        Raises:
            FileNotFoundError: there is no such folder or model, or a file of it is missing.
            ValueError: a file is damaged, or model and tokenizer do not fit each other.
        """
        folder = find_folder(name, revision)
        kind = head_of(folder, cls.model_class)
        of_model, of_task = cls.read_settings(folder)
        model = kind.from_pretrained(folder, dtype=dtype, **of_model)
        given = {name: x for name, x in arguments.items() if x is not None}
        return cls(model, Tokenizer.load(folder), **{**of_task, **given})

    def export(self, path, **options):
        """Writes this task for a server: by default a SavedModel of strings and answers.

        Args:
            path: the folder to write; a file where `format` is "onnx" or "litert".
            **options: as in `export.export_task`.
        """
        from keras_transformer.export import export_task

        export_task(self, path, **options)

    def __repr__(self):
        return (
            f"{type(self).__name__}({self.model.name!r}, {self.tokenizer!r}, "
            f"max_length={self.max_length})"
        )


def head_of(folder, base):
    """The class of a folder's model, `base` or one derived from it.

    A decoder that classifies texts, say, is a `SequenceClassifier` of a class of its own.

    Raises:
        ValueError: the folder is of another head.
    """
    if not (folder / CONFIG).is_file():
        return base  # whose error says what is missing
    fields = read_fields(folder / CONFIG)
    if fields.get("model_type") == MODEL_TYPE:
        found = [getattr(models, str(name), None) for name in fields.get("architectures") or ()]
        others = [head for head in found if isinstance(head, type) and issubclass(head, Head)]
        if others and not any(issubclass(head, base) for head in others):
            raise ValueError(f"{folder} holds a {others[0].__name__}, not a {base.__name__}.")
    else:
        found = families.get_family(fields.get("model_type")).all_heads
        refuse_other_head(folder, fields, found, base)
    found = [head for head in found if isinstance(head, type) and issubclass(head, base)]
    return found[0] if found and base not in found else base


def refuse_other_head(folder, fields, heads, base):
    """Refuses a published classifier of another kind, whose weights would fit and mean nothing.

    A checkpoint without a trained head, or with that of pretraining, is taken: it is said there
    which weights are new.
    """
    trained = (models.SequenceClassifier, models.TokenClassifier, models.SpanExtractor)
    if not issubclass(base, trained):
        return
    for name in fields.get("architectures") or ():
        kinds = [kind for kind, head in heads.items() if head.architecture == name]
        if any(issubclass(kind, trained) and not issubclass(kind, base) for kind in kinds):
            raise ValueError(f"{folder} holds a {name}, not a {base.__name__}.")


def write_max_length(folder, max_length, usual):
    """Writes a task's `max_length` where it is not the usual one."""
    if max_length == usual:
        (folder / SETTINGS).unlink(missing_ok=True)
    else:
        write_json(folder / SETTINGS, {"max_length": max_length})


def read_max_length(folder):
    """The `max_length` that a task was saved with; None for the usual one.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / SETTINGS
    if not path.is_file():
        return None
    found = read_fields(path).get("max_length")
    if found is not None and (type(found) is not int or found < 1):
        raise ValueError(f"{path}: max_length must be a positive integer; got {found!r}")
    return found


def check_integer(name, value):
    """Refuses what is no integer, of Python or of NumPy."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}.")


def check_number(name, value, allowed="a number"):
    """Refuses what is no real number, of Python or of NumPy."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be {allowed}, got {value!r}.")


def _outputs(model, inputs):
    return (keras.ops.cast(model(inputs, training=False), "float32"),)


def model_inputs(model):
    """The names of the inputs that a model of one stack takes."""
    segments = getattr(model.config, "num_segments", 0)
    return ("token_ids", "padding_mask") + ("segment_ids",) * bool(segments)


def class_names(model):
    """The names of a classifier's classes, `LABEL_0` and so on where it has none."""
    return model.labels or tuple(f"LABEL_{i}" for i in range(model.num_classes))


def list_of_strings(texts, name="texts"):
    """The strings that were passed as a list; a single string is not one of them here.

    Raises:
        TypeError: it is no list of strings; the message names the item.
    """
    if isinstance(texts, (str, bytes, Mapping)) or not isinstance(texts, Iterable):
        raise TypeError(f"{name} must be a string or a list of them, got {type(texts).__name__}.")
    texts = list(texts)
    for i, line in enumerate(texts):
        if not isinstance(line, str):
            raise TypeError(f"{name}[{i}] must be a string, got {type(line).__name__}.")
    return texts


def two_lists(first, second, names):
    """Two strings, or lists of as many strings, as two lists of strings.

    Raises:
        TypeError: one is a string and the other is not, or an item is no string.
        ValueError: there are not as many.
    """
    if isinstance(first, str) != isinstance(second, str):
        raise TypeError(
            f"{names[0]} and {names[1]} must both be strings or both lists; "
            f"got {type(first).__name__} and {type(second).__name__}."
        )
    if isinstance(first, str):
        return [first], [second]
    first, second = (
        list_of_strings(x, name) for x, name in zip((first, second), names, strict=True)
    )
    if len(first) != len(second):
        raise ValueError(
            f"{names[1]} must be as many as {names[0]}, {len(first)}; got {len(second)}."
        )
    return first, second


def progress_bar(progress, num_texts, num_batches):
    """A bar where it is asked for, or, with `progress=None`, on a terminal for long work."""
    if progress is None:
        is_seen = sys.stdout is not None and sys.stdout.isatty()
        progress = is_seen and num_batches >= BATCHES_WORTH_A_BAR
    return keras.utils.Progbar(num_texts, unit_name="text") if progress and num_texts else None


def _rectangle(rows):
    filled = np.zeros((len(rows), max(1, *map(len, rows))), np.int32)
    for place, row in zip(filled, rows, strict=True):
        place[: len(row)] = row
    return filled
