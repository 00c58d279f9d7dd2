"""A GPT from scratch: a decoder learns to predict the next character, byte or subword of your text.

    python -m recipes.pretrain_decoder quickstart                 Python's own library, no download
    python -m recipes.pretrain_decoder shakespeare-cpu --data-dir D       nanoGPT's setting for CPUs
    python -m recipes.pretrain_decoder shakespeare-minutes --data-dir D   better, in some minutes
    python -m recipes.pretrain_decoder shakespeare-gpu --data-dir D       nanoGPT's for one GPU
    python -m recipes.pretrain_decoder files --data-dir D         your text: files, folders, JSONL

`python -m recipes.pretrain_decoder PRESET --help` lists every setting. The same command again
resumes a run that was interrupted. On two cores `quickstart` took 218 s and reached a loss of
1.64; the Shakespeare presets 1.79 and 1.56 (docs/results.md).
"""

import dataclasses
import math
import pathlib
import sysconfig
from typing import Literal

import keras
import numpy as np

from keras_transformer import data, explain, generation, models, text
from keras_transformer.checkpoints.files import write_json
from recipes import runs


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the chosen preset."""

    run_dir: pathlib.Path
    """Folder of the run: checkpoints, weights, scores, report."""
    data_dir: pathlib.Path | None = None
    """A text file, or a folder of .txt, .md, .rst, .jsonl, plain or .gz; none: Python's library."""
    validation: float = 0.1
    """Share of the text, at its end, that is kept for validation."""
    tokens: Literal["characters", "bytes", "subwords"] = "characters"
    """What the model reads and predicts."""
    vocab_size: int | None = None
    """Of characters or subwords at most; none: all characters, 4096 subwords."""

    num_layers: int = 4
    """Blocks."""
    num_heads: int = 4
    """Attention heads."""
    hidden_dim: int = 128
    """Width of the model; its feed-forward layers are four times as wide."""
    positions: Literal["learned", "rotary"] = "learned"
    """How the model knows where a token stands."""
    block_length: int = 64
    """Tokens that the model sees."""
    dropout: float = 0.0
    """Rate on embeddings, attention and the output of each sublayer."""

    batch_size: int = 12
    """Blocks of a batch."""
    steps: int = 2000
    """Training steps."""
    steps_per_epoch: int = 250
    """Steps between two checkpoints, with validation and a sample; all steps, if these are less."""
    learning_rate: float = 1e-3
    """Peak of the schedule; it falls to a tenth along a cosine."""
    warmup_steps: int = 100
    """Steps until the peak."""
    weight_decay: float = 0.1
    """Of matrices; vectors have none."""
    clip_norm: float = 1.0
    """Largest norm of the whole gradient."""

    temperature: float = 0.8
    """Of the samples."""
    mixed_precision: bool = False
    """Compute in bfloat16."""
    xla: bool = True
    """Compile the training step with XLA (JAX always does)."""
    seed: int = 1337
    """Seed of weights, dropout and the order of the data."""


PRESETS = {
    "quickstart": (
        "Characters of the Python library's source; generated on the spot, some minutes.",
        Settings(runs.RUNS / "pretrain_decoder", block_length=96, batch_size=32, steps=1000),
    ),
    "shakespeare-cpu": (
        "nanoGPT's setting for CPUs: 4 layers, width 128, blocks of 64, 2,000 steps of 12.",
        Settings(runs.RUNS / "shakespeare-cpu", learning_rate=2e-3),
    ),
    "shakespeare-minutes": (
        "The same size with larger batches, a higher rate and rotary positions.",
        Settings(
            runs.RUNS / "shakespeare-minutes",
            positions="rotary",
            batch_size=48,
            block_length=96,
            steps=1700,
            steps_per_epoch=100,
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
    """Trains, or goes on training; then scores, samples and explains."""
    runs.whole_epochs(settings)
    if settings.warmup_steps >= settings.steps:
        raise ValueError(
            f"warmup_steps must be below steps, {settings.steps}; got {settings.warmup_steps}."
        )
    watch = runs.Stopwatch()
    report = explain.Report(f"Language model: {settings.run_dir.name}", __doc__.split("\n")[0])
    runs.prepare_backend(settings.seed, settings.xla, settings.mixed_precision)
    corpus = read_corpus(settings)
    tokenizer = learn_tokenizer(settings, corpus)
    train, valid = split(settings, tokenizer, corpus)
    print(train.describe())
    model = build_model(settings, tokenizer)

    samples = Samples(settings, model, tokenizer)
    watch.earlier = runs.fit(
        model,
        train,
        settings,
        configuration={
            **runs.identity(settings, "data_dir", "temperature"),
            "tokenizer": tokenizer.fingerprint,
            "tokens": train.num_tokens,
        },
        callbacks=[samples],
        validation_data=valid,
    )
    tokenizer.save(settings.run_dir)
    model.save_pretrained(settings.run_dir)
    scores = evaluate(model, valid, tokenizer, len(corpus)) | watch.costs()
    write_json(settings.run_dir / "scores.json", scores)
    explain_run(settings, report, scores, samples)
    print(f"\n{settings.run_dir}: report.html, scores.json, weights, tokenizer")
    print(f"validation loss: {scores['loss']:.4f}")


def read_corpus(settings):
    """All text, one document after the other."""
    if settings.data_dir is None:
        folder = pathlib.Path(sysconfig.get_path("stdlib"))
        paths = sorted(path for path in folder.glob("*.py") if path.stat().st_size > 0)
        return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in paths)
    return "\n".join(document.text for document in data.read_documents(settings.data_dir))


def learn_tokenizer(settings, corpus):
    """The vocabulary, of the training text alone. The same text gives the same one again."""
    seen = corpus[: boundary(settings, corpus)]
    if settings.tokens == "bytes":
        return text.ByteTokenizer(extra_ids=0)
    if settings.tokens == "characters":
        return text.CharacterTokenizer.train([[seen]], settings.vocab_size)
    return text.SentencePieceTokenizer.train(
        [seen.splitlines()], settings.vocab_size or 4096, byte_fallback=True
    )


def boundary(settings, corpus):
    """Where the training text ends."""
    if not 0 < settings.validation < 1:
        raise ValueError(f"validation must be between 0 and 1; got {settings.validation}.")
    return int(len(corpus) * (1 - settings.validation))


def split(settings, tokenizer, corpus):
    """Random blocks to train on, and the text behind them, every token of it predicted once."""
    end = boundary(settings, corpus)
    ids = [np.array(tokenizer.encode(part), "int32") for part in (corpus[:end], corpus[end:])]
    train = data.PackedBlocks(ids[0], settings.block_length, settings.batch_size, settings.seed)
    valid = data.PackedBlocks(ids[1], settings.block_length, 64, order="sequential")
    return train, valid


def build_model(settings, tokenizer):
    """The model, compiled for training: GPT-2's architecture without biases, as nanoGPT."""
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
        pad_id=tokenizer.pad_id,
    )
    model = models.CausalLM(config)
    model.build()
    optimizer = keras.optimizers.AdamW(
        keras.optimizers.schedules.CosineDecay(
            0.0,
            settings.steps - settings.warmup_steps,
            alpha=0.1,
            warmup_target=settings.learning_rate,
            warmup_steps=settings.warmup_steps,
        ),
        weight_decay=settings.weight_decay,
        beta_2=0.99,
        epsilon=1e-8,
        global_clipnorm=settings.clip_norm,
    )
    optimizer.exclude_from_weight_decay([v for v in model.trainable_variables if v.ndim < 2])
    model.compile(optimizer, jit_compile=settings.xla, weighted_metrics=None)
    return model


class Samples(keras.callbacks.Callback):
    """Writes a text after every fit-epoch, so that one can read how the model learns."""

    def __init__(self, settings, language_model, tokenizer):
        super().__init__()
        self.language_model, self.tokenizer = language_model, tokenizer
        self.length = settings.block_length
        self.method = generation.Sampling(temperature=settings.temperature, seed=settings.seed)
        self.texts = {}

    def on_epoch_end(self, epoch, logs=None):
        self.texts[epoch + 1] = self.sample()
        print(f"--- {self.texts[epoch + 1]}\n---", flush=True)

    def sample(self):
        """A text that follows a line feed."""
        prompt = self.tokenizer.encode("\n") or [self.tokenizer.bos_id]
        found = self.language_model.generate(
            [prompt], self.length - len(prompt), self.method, jit_compile=False
        )
        return self.tokenizer.decode(found.sequences[0, 0, : found.lengths[0, 0]].tolist())


def evaluate(model, valid, tokenizer, num_characters):
    """Loss per token and per character over the whole validation text."""
    loss = float(model.evaluate(valid, verbose=0, return_dict=True)["loss"])
    return {
        "loss": round(loss, 4),
        "perplexity": round(math.exp(loss), 3),
        "validation_tokens": valid.num_predicted,
        "vocab_size": tokenizer.vocab_size,
        "characters": num_characters,
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
    epochs, steps = runs.whole_epochs(settings)
    texts = samples.texts or {epochs: samples.sample()}
    report.add_table("Samples", {f"step {epoch * steps:,}": t for epoch, t in texts.items()})
    report.add_table("Settings", runs.plain(settings))
    report.add_environment()
    report.write(settings.run_dir / "report.html")


if __name__ == "__main__":
    runs.start(main, "pretrain_decoder", PRESETS)
