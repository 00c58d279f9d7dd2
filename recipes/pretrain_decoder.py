"""A GPT from scratch: a decoder learns to predict the next character, byte or subword of your text.

    python -m recipes.pretrain_decoder quickstart                 Python's own library, no download
    python -m recipes.pretrain_decoder shakespeare-cpu --data-dir D       nanoGPT's setting for CPUs
    python -m recipes.pretrain_decoder shakespeare-minutes --data-dir D   better, in some minutes
    python -m recipes.pretrain_decoder shakespeare-gpu --data-dir D       nanoGPT's for one GPU
    python -m recipes.pretrain_decoder files --data-dir D         your text: files, folders, JSONL
    python -m recipes.pretrain_decoder files --data-dir D --from-checkpoint C   goes on with a GPT

C is a folder or a name on the Hugging Face hub with a decoder and its tokenizer. Text larger than
memory is fine: it is read line by line, and its tokens lie in the run's folder. That opens with
`tasks.TextGenerator.from_pretrained`, and holds a SavedModel that continues strings.

`python -m recipes.pretrain_decoder PRESET --help` lists every setting. The same command again
resumes a run that was interrupted. On two cores `quickstart` took 218 s and reached a loss of
1.64; the Shakespeare presets 1.79 and 1.58 (docs/results.md).
"""

import dataclasses
import math
import pathlib
from typing import Literal

import keras
import tyro

from keras_transformer import data, explain, models, tasks, training
from keras_transformer.checkpoints.files import write_json
from recipes import decoders, finetuning, running_text, runs
from recipes.final_weights import FinalWeights
from recipes.samples import Samples


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the chosen preset."""

    run_dir: pathlib.Path
    """Folder of the run: tokens, checkpoints, weights, scores, report, SavedModel."""
    data_dir: pathlib.Path | None = None
    """A text file, or a folder of .txt, .md, .rst, .jsonl, plain or .gz; for `quickstart` none."""
    corpus: tyro.conf.Fixed[Literal["library", "files"]] = "files"
    from_checkpoint: str | None = None
    """Folder, or name on the Hugging Face hub, of a decoder to go on with; none: a new one."""
    validation: float = 0.1
    """Share of the text, at its end, that is kept for validation."""
    tokens: Literal["characters", "bytes", "subwords"] = "characters"
    """What a new model reads and predicts; subwords are byte-level BPE, which loses nothing."""
    vocab_size: int | None = None
    """Of characters or subwords at most; none: all characters, 4096 subwords."""

    num_layers: int = 4
    """Blocks of a new model."""
    num_heads: int = 4
    """Attention heads of a new model."""
    hidden_dim: int = 128
    """Width of a new model; its feed-forward layers are four times as wide."""
    positions: Literal["learned", "rotary"] = "learned"
    """How a new model knows where a token stands."""
    block_length: int = 64
    """Tokens that the model sees."""
    dropout: float = 0.0
    """Rate of a new model on embeddings, attention and the output of each sublayer."""

    batch_size: int = 12
    """Blocks of a batch."""
    gradient_accumulation_steps: int = 1
    """Batches of one step; together they learn as one large batch would."""
    steps: int = 2000
    """Training steps."""
    steps_per_epoch: int = 250
    """Steps between two checkpoints; all steps, if these are less."""
    validate_every: int = 1
    """Checkpoints between two validations, each with a sample; after the last there is one."""
    learning_rate: float = 1e-3
    """Peak of the schedule."""
    schedule: Literal["cosine", "linear", "inverse_sqrt", "constant"] = "cosine"
    """After the warm-up: to a tenth along a cosine, to nothing along a line, with 1 / √step, or as
    it is."""
    warmup_steps: int = 100
    """Steps until the peak."""
    weight_decay: float = 0.1
    """Of matrices; vectors have none."""
    clip_norm: float = 1.0
    """Largest norm of the whole gradient."""
    ema: float | None = None
    """Momentum of a moving average of the weights, which is then scored and saved."""
    average: int = 1
    """Number of last checkpoints whose weights are averaged."""
    patience: int | None = None
    """Stop after so many validations without a lower loss, and take the best; none: never."""

    temperature: float = 0.8
    """Of the samples."""
    mixed_precision: bool = False
    """Compute in bfloat16."""
    xla: bool = True
    """Compile the training step with XLA (JAX always does)."""
    seed: int = 1337
    """Seed of weights, dropout and the order of the data."""
    export: bool = True
    """Write a SavedModel (needs the TensorFlow backend)."""


PRESETS = {
    "quickstart": (
        "Characters of the Python library's source; generated on the spot, some minutes.",
        Settings(
            runs.RUNS / "pretrain_decoder",
            corpus="library",
            block_length=96,
            batch_size=32,
            steps=1000,
        ),
    ),
    "shakespeare-cpu": (
        "nanoGPT's setting for CPUs: 4 layers, width 128, blocks of 64, 2,000 steps of 12.",
        Settings(runs.RUNS / "shakespeare-cpu", validate_every=4, learning_rate=2e-3),
    ),
    "shakespeare-minutes": (
        "The same size with larger batches, a higher rate and rotary positions.",
        Settings(
            runs.RUNS / "shakespeare-minutes",
            positions="rotary",
            batch_size=48,
            block_length=96,
            steps=1200,
            steps_per_epoch=100,
            validate_every=4,
            learning_rate=4e-3,
            warmup_steps=150,
        ),
    ),
    "shakespeare-gpu": (
        "nanoGPT's setting for one GPU: 6 layers, width 384, blocks of 256, dropout 0.2.",
        Settings(
            runs.RUNS / "shakespeare-gpu",
            num_layers=6,
            num_heads=6,
            hidden_dim=384,
            block_length=256,
            dropout=0.2,
            batch_size=64,
            steps=5000,
        ),
    ),
    "files": (
        "Your own text as subwords: --data-dir FILE or FOLDER.",
        Settings(runs.RUNS / "decoder", tokens="subwords", block_length=256, steps=5000),
    ),
}


def main(settings):
    """Trains, or goes on training; then scores, samples, explains and exports."""
    check(settings)
    watch = runs.Stopwatch()
    report = explain.Report(f"Language model: {settings.run_dir.name}", __doc__.split("\n")[0])
    runs.prepare_backend(settings.seed, settings.xla, settings.mixed_precision)
    corpus = running_text.prepare(settings)
    train, valid = blocks(settings, corpus)
    print(train.describe())
    model = build_model(settings, corpus.tokenizer)
    generator = tasks.TextGenerator(model, corpus.tokenizer, settings.block_length)

    samples = Samples(settings, generator)
    watch.earlier = fit(settings, corpus, generator, train, valid, samples)
    generator.save_pretrained(settings.run_dir)
    scores = evaluate(model, valid, corpus) | watch.costs()
    write_json(settings.run_dir / "scores.json", scores)
    explain_run(settings, report, scores, samples)
    finetuning.export(settings, generator)
    print(f"\n{settings.run_dir}: report.html, scores.json, weights, tokenizer")
    print(f"validation loss: {scores['loss']:.4f}")


def check(settings):
    """Refuses settings out of their range, before anything is read."""
    finetuning.require_text(settings)
    finetuning.check_run_dir(settings)
    finetuning.check_apart(settings)
    runs.whole_epochs(settings)
    if not 0 <= settings.warmup_steps < settings.steps:
        raise ValueError(
            f"warmup_steps must be below steps, {settings.steps}; got {settings.warmup_steps}."
        )
    for name in ("validation", "ema"):
        value = getattr(settings, name)
        if value is not None and not 0 < value < 1:
            raise ValueError(f"{name} must be between 0 and 1; got {value}.")
    for name, least in (
        ("block_length", 2),  # a sample has room for a token
        ("batch_size", 1),
        ("gradient_accumulation_steps", 1),
        ("validate_every", 1),
        ("average", 1),
        ("patience", 1),
    ):
        value = getattr(settings, name)
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least}; got {value}.")
    if settings.ema is not None and settings.average > 1:
        raise ValueError("ema and average are two ways to average the weights; choose one.")


def blocks(settings, corpus):
    """Random blocks to train on, and the text behind them, every token of it predicted once."""
    length = settings.block_length
    for name, tokens, least in (
        ("train on", corpus.train, length + 1),
        ("validate with", corpus.valid, 2),
    ):
        if len(tokens) < least:
            raise ValueError(
                f"{running_text.place(settings)}: {len(tokens)} tokens to {name}, at least {least} "
                "are needed: more text, a smaller --block-length or another --validation"
            )
    train = data.PackedBlocks(corpus.train, length, settings.batch_size, settings.seed)
    return train, data.PackedBlocks(corpus.valid, length, 64, order="sequential")


# The model


def build_model(settings, tokenizer):
    """The checkpoint's model or a new one, compiled for training."""
    if settings.from_checkpoint is not None:
        model = decoders.load_decoder(
            settings.from_checkpoint, settings.block_length, "block_length"
        )
    else:
        model = new_model(settings, tokenizer)
    accumulate = settings.gradient_accumulation_steps
    average = {} if settings.ema is None else {"use_ema": True, "ema_momentum": settings.ema}
    optimizer = training.LayerwiseAdamW(
        make_schedule(settings),
        weight_decay=settings.weight_decay,
        beta_2=0.99,
        epsilon=1e-8,
        global_clipnorm=settings.clip_norm,
        gradient_accumulation_steps=accumulate if accumulate > 1 else None,
        **average,
    )
    optimizer.exclude_from_weight_decay([v for v in model.trainable_variables if v.ndim < 2])
    model.compile(optimizer, jit_compile=settings.xla, weighted_metrics=None)
    return model


def new_model(settings, tokenizer):
    """GPT-2's architecture without biases, as nanoGPT."""
    config = models.DecoderConfig(
        vocab_size=tokenizer.vocab_size,
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
        hidden_dim=settings.hidden_dim,
        ffn_dim=4 * settings.hidden_dim,
        max_length=settings.block_length,
        positions=settings.positions,
        dropout=settings.dropout,
        attention_dropout=settings.dropout,
        activation="gelu",
        use_bias=False,
        pad_id=max(tokenizer.pad_id, 0),
    )
    model = models.CausalLM(config)
    model.build()
    return model


def make_schedule(settings):
    """The learning rate: a rise to its peak, and then as `schedule` says."""
    peak, warmup, steps = settings.learning_rate, settings.warmup_steps, settings.steps
    if settings.schedule == "inverse_sqrt":
        schedule = training.InverseSquareRoot(peak, max(warmup, 1))
    elif settings.schedule == "linear":
        schedule = training.LinearDecay(peak, steps, warmup)
    else:
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0,
            steps - warmup,
            alpha={"cosine": 0.1, "constant": 1.0}[settings.schedule],  # where it ends
            warmup_target=peak,
            warmup_steps=warmup,
        )
    return training.PerUpdate(schedule, settings.gradient_accumulation_steps)


# The run


def fit(settings, corpus, generator, train, valid, samples):
    """Trains on from the last checkpoint, and leaves the weights that are to be saved.

    Returns:
        The seconds that training took before this process.
    """
    model = generator.model

    def score():
        return {"loss": loss_of(model, valid)}

    final = FinalWeights(settings, model, score, "val_loss", "min", settings.validate_every)
    may_change = ["data_dir", "temperature", "export"]
    if settings.schedule in ("inverse_sqrt", "constant"):
        may_change.append("steps")
    epochs, steps = runs.whole_epochs(settings)
    earlier = runs.fit(
        model,
        train,
        settings,
        epochs=epochs,
        steps_per_epoch=steps * settings.gradient_accumulation_steps,
        configuration={
            **runs.identity(settings, *may_change),
            "tokenizer": corpus.tokenizer.fingerprint,
            "text": corpus.sha256,
        },
        callbacks=[
            training.Throughput(lambda step: settings.batch_size * settings.block_length),
            *final.callbacks,
            samples,
        ],
        kept=[*final.kept, samples],
    )
    final.assign()
    return earlier


# Results


def loss_of(model, batches):
    """Mean loss of a token over all of them."""
    return float(model.evaluate(batches, verbose=0, return_dict=True)["loss"])


def evaluate(model, valid, corpus):
    """Loss per token, and per character, over the whole validation text."""
    loss = loss_of(model, valid)
    return {
        "loss": round(loss, 4),
        "loss_per_character": round(loss * valid.num_predicted / corpus.valid_characters, 4),
        "perplexity": round(math.exp(loss), 3),
        "validation_tokens": valid.num_predicted,
        "vocab_size": corpus.tokenizer.vocab_size,
        "characters": corpus.characters,
        "parameters": model.count_params(),
    }


def explain_run(settings, report, scores, samples):
    """Writes `report.html`: curves, scores, and samples over training."""
    report.add_scores(
        {
            "Validation loss": (f"{scores['loss']:.4f}", "nats per token, all of the split"),
            "Perplexity": f"{scores['perplexity']:.2f}",
            "Parameters": f"{scores['parameters']:,}",
            "Time": f"{scores['seconds'] / 60:.1f} min",
            "Peak memory": f"{scores['peak_memory_mb']:,} MB",
        }
    )
    report.add_curves(settings.run_dir / "metrics.jsonl")
    _, steps = runs.whole_epochs(settings)
    texts = {f"step {epoch * steps:,}": sample for epoch, sample in samples.texts.items()}
    report.add_table("Samples", texts)
    finetuning.finish_report(settings, report)


if __name__ == "__main__":
    runs.start(main, "pretrain_decoder", PRESETS)
