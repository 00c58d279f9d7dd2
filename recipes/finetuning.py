"""What the recipes over encoders share: settings, the start, the optimizer, the run.

An encoder starts from a checkpoint, or small and new with a vocabulary of the training text. Its
loss is a sum over targets whose weights hold the divisor (`data.AccumulatedBatches`), so that a
step over several batches is that of one large batch.
"""

import contextlib
import dataclasses
import hashlib
import pathlib
import warnings
from typing import Literal

import keras
import numpy as np

from keras_transformer import data, models, text, training
from keras_transformer.checkpoints.hub import find_folder
from keras_transformer.checkpoints.sentence_transformers import read_modules
from keras_transformer.export.folder import check_replaceable
from recipes import runs
from recipes.encoders import load_model, train_word_pieces
from recipes.final_weights import FinalWeights


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """Settings of a run; the defaults are those of the chosen preset."""

    run_dir: pathlib.Path
    """Folder of the run: checkpoints, weights, scores, report, SavedModel."""
    data_dir: pathlib.Path | None = None
    """Folder with your files; none: a corpus that is made on the spot."""
    from_checkpoint: str | None = None
    """Folder, or name on the Hugging Face hub, to start from; none: a small new model."""

    vocab_size: int = 4000
    """WordPiece vocabulary of a new model, at most: a small text fills less."""
    num_layers: int = 2
    """Blocks of a new model."""
    hidden_dim: int = 128
    """Width of a new model; its feed-forward layers are four times as wide."""
    num_heads: int = 4
    """Attention heads of a new model."""
    dropout: float = 0.1
    """Rate of a new model on embeddings, attention, and the output of each sublayer."""
    max_length: int = 128
    """Longest input in tokens, special ones included."""
    truncate: bool = False
    """Cut longer inputs (they are counted) instead of refusing them."""

    epochs: int = 3
    """Passes over the training data."""
    batch_size: int = 32
    """Records of a batch."""
    gradient_accumulation_steps: int = 1
    """Batches of one step; together they learn as one large batch would."""
    num_shapes: int = 4
    """The most lengths of a batch; each costs a compilation, and spares padding."""
    max_padding: float = 0.1
    """Share of padding that is good enough: no more shapes than it takes."""
    learning_rate: float = 1e-3
    """Peak of the schedule."""
    schedule: Literal["linear", "cosine", "inverse_sqrt"] = "linear"
    """Decay after the warm-up: to nothing along a line or a cosine, or with 1 / √step."""
    warmup: float = 0.1
    """Share of the steps until the peak."""
    layer_decay: float = 1.0
    """Factor on the learning rate with each layer towards the input."""
    freeze_embeddings: bool = False
    """Keep the embeddings as they are."""
    freeze_blocks: int = 0
    """Keep so many first blocks, and the embeddings, as they are."""
    weight_decay: float = 0.01
    """Of matrices; vectors have none."""
    clip_norm: float = 1.0
    """Largest norm of the whole gradient."""
    ema: float | None = None
    """Momentum of a moving average of the weights, which is then scored and saved."""
    average: int = 1
    """Number of last fit-epochs whose weights are averaged."""
    patience: int | None = None
    """Stop after so many epochs without a better score, from 1, and take the best; none: never."""

    mixed_precision: bool = False
    """Compute in bfloat16."""
    xla: bool = True
    """Compile the training step with XLA (JAX always does)."""
    seed: int = 1
    """Seed of weights, dropout and the order of the data."""
    export: bool = True
    """Write a SavedModel (needs the TensorFlow backend)."""


def check(settings):
    """Refuses settings that contradict each other, before anything is read."""
    check_run_dir(settings)
    if settings.epochs < 1:
        raise ValueError(f"epochs must be at least 1; got {settings.epochs}.")
    if settings.gradient_accumulation_steps < 1:
        raise ValueError(
            "gradient_accumulation_steps must be at least 1; "
            f"got {settings.gradient_accumulation_steps}."
        )
    if not 0 <= settings.warmup < 1:
        raise ValueError(f"warmup must be at least 0 and less than 1; got {settings.warmup}.")
    if settings.ema is not None and settings.average > 1:
        raise ValueError("ema and average are two ways to average the weights; choose one.")
    if settings.ema is not None and not 0 < settings.ema < 1:
        raise ValueError(f"ema must be between 0 and 1; got {settings.ema}.")
    if settings.patience is not None and settings.patience < 1:
        raise ValueError(
            f"patience must be at least 1, or None for no early stop; got {settings.patience}."
        )


def check_run_dir(settings):
    """Refuses a SavedModel's place where something else is, before anything is trained."""
    if settings.export:
        check_replaceable(settings.run_dir / "saved_model")


def check_apart(settings):
    """Refuses a run inside the folder of its text, whose files would be read as text."""
    if settings.data_dir is None or not settings.data_dir.is_dir():
        return
    if settings.run_dir.resolve().is_relative_to(settings.data_dir.resolve()):
        raise ValueError(
            f"run_dir {settings.run_dir} lies in data_dir {settings.data_dir}, so that its files "
            "would be read as text; --run-dir names another place"
        )


def check_data_dir(settings, made):
    """Refuses a folder of data beside the corpus `made` on the spot, which would pass it over."""
    if settings.corpus == made and settings.data_dir is not None:
        raise ValueError(
            f"--data-dir must be left out, as corpus {made!r} is made on the spot; "
            f"got {settings.data_dir}. The preset `files` takes your own."
        )


def require_text(settings):
    """Refuses a run on the user's own text without any: another's would be learned silently."""
    if settings.corpus == "files" and settings.data_dir is None:
        raise ValueError("--data-dir is missing: the file or folder with your text")


# The start


def make_tokenizer(settings, lines):
    """The checkpoint's; or WordPiece, learned from the training text, accents and case kept."""
    if settings.from_checkpoint is not None:
        return text.Tokenizer.load(read_modules(find_folder(settings.from_checkpoint))[0])
    return train_word_pieces(lines, settings.vocab_size)


def make_model(settings, head, tokenizer, **arguments):
    """A head over the checkpoint's encoder, or over a new one."""
    if settings.from_checkpoint is not None:
        model = load_model(settings.from_checkpoint, head, arguments)
        if settings.max_length > model.config.max_length:
            raise ValueError(
                f"max_length must be at most that of {settings.from_checkpoint}, "
                f"{model.config.max_length}; got {settings.max_length}."
            )
        return model
    config = models.EncoderConfig(
        vocab_size=tokenizer.vocab_size,
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
        hidden_dim=settings.hidden_dim,
        ffn_dim=4 * settings.hidden_dim,
        max_length=settings.max_length,
        dropout=settings.dropout,
        attention_dropout=settings.dropout,
        num_segments=2,
        positions="rotary",
        norm_first=True,
        embedding_norm=False,
        pad_id=tokenizer.pad_id,
    )
    return head(config, **arguments)


def encode(settings, tokenizer, texts, pairs, where, offsets=False):
    """Encodings no longer than `max_length`; others are cut, or refused with file and line."""
    encodings = tokenizer(texts, pairs, offsets=offsets)
    long = [i for i, encoding in enumerate(encodings) if len(encoding) > settings.max_length]
    if long and not settings.truncate:
        raise ValueError(
            f"{where(long[0])}: {len(encodings[long[0]])} tokens, max_length is "
            f"{settings.max_length}; --truncate cuts what is longer"
        )
    if long:
        print(f"{len(long):,} of {len(texts):,} texts were cut to {settings.max_length} tokens")
        encodings = tokenizer(texts, pairs, max_length=settings.max_length, offsets=offsets)
    return encodings


def batch_options(settings, tokenizer, shuffle):
    """The arguments that batches of every kind have in common."""
    return dict(
        batch_size=settings.batch_size,
        seed=settings.seed,
        pad_id=max(tokenizer.pad_id, 0),
        num_shapes=settings.num_shapes if shuffle else 2,
        max_padding=settings.max_padding,
        shuffle=shuffle,
    )


def plan(settings, tokenizer, model, encodings, shuffle=True, **targets):
    """Batches of few lengths; `targets` are labels and weights as `data.RecordBatches` has them."""
    segments = [e.segments for e in encodings] if model.config.num_segments else None
    return data.RecordBatches(
        [encoding.ids for encoding in encodings],
        segment_ids=segments,
        **batch_options(settings, tokenizer, shuffle),
        **targets,
    )


# The optimizer


def num_updates(settings, batches):
    """Steps of the optimizer, at least one."""
    total = settings.epochs * len(batches)
    if total < settings.gradient_accumulation_steps:
        raise ValueError(
            f"gradient_accumulation_steps must be at most {total}, the batches of all epochs; got "
            f"{settings.gradient_accumulation_steps}, with which nothing would be learned."
        )
    return total // settings.gradient_accumulation_steps


def make_schedule(settings, updates):
    """The learning rate by the number of the optimizer's step."""
    warmup = int(settings.warmup * updates)
    if settings.schedule == "inverse_sqrt":
        schedule = training.InverseSquareRoot(settings.learning_rate, max(warmup, 1))
    else:
        kind = {"linear": training.LinearDecay, "cosine": training.CosineDecay}[settings.schedule]
        schedule = kind(settings.learning_rate, max(updates, 1), warmup)
    return training.PerUpdate(schedule, settings.gradient_accumulation_steps)


def compile_model(settings, model, batches, loss):
    """Freezes what shall stay, and compiles with a rate for each layer: see `compile_with`."""
    if settings.freeze_embeddings or settings.freeze_blocks:
        training.freeze(model, num_blocks=settings.freeze_blocks)
    multipliers = training.layer_multipliers(model, settings.layer_decay)
    compile_with(settings, model, batches, loss, multipliers)


def compile_with(settings, model, batches, loss, multipliers=None, **options):
    """Compiles with AdamW. `loss` sums: the batches' weights hold the divisor."""
    accumulate = settings.gradient_accumulation_steps
    if settings.ema is not None:
        options |= {"use_ema": True, "ema_momentum": settings.ema}
    optimizer = training.LayerwiseAdamW(
        make_schedule(settings, num_updates(settings, batches)),
        multipliers,
        weight_decay=settings.weight_decay,
        global_clipnorm=settings.clip_norm,
        gradient_accumulation_steps=accumulate if accumulate > 1 else None,
        **options,
    )
    optimizer.exclude_from_weight_decay([v for v in model.trainable_variables if v.ndim < 2])
    model.compile(optimizer, loss=loss, weighted_metrics=None, jit_compile=settings.xla)


# The run


def weighted(settings, batches, valid):
    """Both with the weights by which sums of losses are means over targets."""
    steps = settings.gradient_accumulation_steps
    return data.AccumulatedBatches(batches, steps), data.AccumulatedBatches(valid, len(valid))


def fit(settings, task, batches, valid, score, monitor, mode="max", may_change=()):
    """Trains on from the last checkpoint, and leaves the weights that are to be saved.

    Args:
        settings: `FineTuning`.
        task: its model is compiled.
        batches, valid: as they go to `model.fit`; `valid` in its own order.
        score: function without arguments to the validation scores, of the weights as they are.
        monitor: which of them decides, such as "val_accuracy".
        mode: "max" where larger is better.
        may_change: names of settings that a run is gone on with whatever they are.

    Returns:
        The seconds that training took before this process.
    """
    model = task.model
    final = FinalWeights(settings, model, score, monitor, mode)
    free, more = "data_dir export", {}
    if settings.schedule == "inverse_sqrt":  # the same curve for any epochs, but for its start
        free += " epochs"
        more["warmup_steps"] = int(settings.warmup * num_updates(settings, batches))
    earlier = runs.fit(
        model,
        batches,
        settings,
        epochs=settings.epochs,
        steps_per_epoch=len(batches),
        configuration={
            **runs.identity(settings, *free.split(), *may_change),
            "tokenizer": task.tokenizer.fingerprint,
            "batches": len(batches),
            "data": fingerprint(batches, getattr(task, "labels", None)),
            "validation": fingerprint(valid),
            **more,
        },
        callbacks=[training.Throughput(lambda step: count_tokens(batches, step)), *final.callbacks],
        kept=final.kept,
        validation_data=valid,
    )
    final.assign()
    return earlier


def fingerprint(batches, labels=None):
    """The sha256 of the training data as the model sees them: inputs, targets, names of labels.

    A run is gone on with by the same command, whatever its files hold by then; corrected ones make
    another run. Weights are left out: they follow from targets and settings, and their sums of
    floats may differ from machine to machine in the last digit.
    """
    digest = hashlib.sha256(repr(labels and list(labels)).encode())
    for step in range(len(batches)):
        x, *targets = batches.batch(0, step)[:2]
        for name, array in [*sorted(x.items()), *(("targets", y) for y in targets)]:
            array = np.ascontiguousarray(array)
            digest.update(f"{name} {array.shape} {array.dtype.str}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def count_tokens(batches, step):
    """Real tokens of a batch; of source and target where it has both."""
    x = batches.batch(*divmod(step, len(batches)))[0]
    if "padding_mask" in x:
        return int(x["padding_mask"].sum())
    return tuple(int(x[f"{side}_padding_mask"].sum()) for side in ("encoder", "decoder"))


@contextlib.contextmanager
def no_warning_of_cuts():
    """A run says once how many texts are cut, and not with every score."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* were cut to .* tokens")
        yield


def export(settings, task, **options):
    """Writes the SavedModel with the task's options, where TensorFlow is there to write it."""
    if not settings.export:
        return
    if keras.backend.backend() != "tensorflow":
        print("No SavedModel was written: that needs KERAS_BACKEND=tensorflow.")
        return
    task.export(settings.run_dir / "saved_model", **options)


def finish_report(settings, report):
    """The end of every report, and the file."""
    report.add_table("Settings", runs.plain(settings))
    report.add_environment()
    report.write(settings.run_dir / "report.html")
