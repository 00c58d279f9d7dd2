"""Text to text, such as summaries: a small model from scratch, or a published T5, BART or alike.

    python -m recipes.summarise quickstart                    first lines of docstrings, minutes
    python -m recipes.summarise files --data-dir D            your train, val and test files
    python -m recipes.summarise t5 --data-dir D               T5-small, with "summarize: "
    python -m recipes.summarise bart --data-dir D             BART-base
    python -m recipes.summarise files --data-dir D --from-checkpoint C       any other

C is a folder or a name on the Hugging Face hub with an encoder-decoder and its tokenizer. Your
files are JSONL ({"text": ..., "summary": ...}), CSV or TSV; without `val`, a tenth of `train` is
kept for validation, and without `test`, scores are of the validation. Beside ROUGE and chrF stand
those of the text's own first sentence, cut to the usual length of a summary: a score below is no
summary. The run's folder opens with `tasks.Translator.from_pretrained`.

The quickstart learns the first line of a docstring from its signature and body, on what the
standard library, keras, numpy and tensorflow document; no name of the test is one of the training.

`python -m recipes.summarise PRESET --help` lists every setting. The same command again resumes a
run that was interrupted. On two cores `quickstart` took 285 s and reached a ROUGE-L of 25.2, the
first sentences 19.0 (docs/results.md).
"""

import dataclasses
import functools
import pathlib
import textwrap
from typing import Literal

from keras_transformer import data, explain, models, tasks, text, training
from keras_transformer.checkpoints.files import write_json
from recipes import command_line, finetuning, rouge, runs, seq2seq_layers, summary_texts
from recipes.vocabularies import train_vocabulary


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the chosen preset."""

    run_dir: pathlib.Path
    """Folder of the run: checkpoints, weights, scores, report, SavedModel."""
    data_dir: pathlib.Path | None = None
    """Folder with your files."""
    corpus: Literal["docstrings", "files"] = "files"
    """Where the data come from."""
    text_column: str = "text"
    """The text: a column's name, or with --no-header its number from 0."""
    summary_column: str = "summary"
    """Its summary, likewise."""
    header: bool = True
    """Whether the first line of CSV and TSV names the columns."""
    prefix: str = ""
    """What is put before each text; the first T5 were told their job by "summarize: "."""
    from_checkpoint: str | None = None
    """Folder, or name on the Hugging Face hub, to start from; none: a small new model."""
    source: str | None = None
    """Code of the texts' language, such as "en_XX", for checkpoints that have such codes."""
    target: str | None = None
    """Code of the summaries' language, likewise."""

    vocab_size: int = 8000
    """Joint SentencePiece vocabulary of a new model, at most: a small text fills less."""
    num_layers: int = 4
    """Encoder blocks of a new model, and as many decoder blocks."""
    hidden_dim: int = 256
    """Width of a new model; its feed-forward layers are four times as wide."""
    num_heads: int = 4
    """Attention heads of a new model."""
    dropout: float = 0.1
    """Rate of a new model on embeddings and on the output of each sublayer."""
    max_length: int = 512
    """Longest text and summary in tokens, special ones included."""
    truncate: bool = False
    """Cut longer ones (they are counted) instead of refusing them."""

    epochs: int = 3
    """Passes over the training data."""
    tokens_per_batch: int = 8192
    """Slots of a batch's texts and summaries together, padding included."""
    gradient_accumulation_steps: int = 1
    """Batches of one step; together they learn as one large batch would."""
    num_shapes: int = 8
    """The most batch shapes allowed; each costs a compilation, and spares padding."""
    max_padding: float = 0.1
    """Share of padding that is good enough: no more shapes than it takes."""
    learning_rate: float = 1e-3
    """Peak of the schedule."""
    schedule: Literal["linear", "cosine", "inverse_sqrt"] = "linear"
    """Decay after the warm-up: to nothing along a line or a cosine, or with 1 / √step."""
    warmup: float = 0.1
    """Share of the steps until the peak."""
    label_smoothing: float = 0.1
    """Share of the target's mass that is spread over the vocabulary."""
    layer_decay: float = 1.0
    """Factor on the learning rate with each layer of encoder and decoder towards the input."""
    freeze_embeddings: bool = False
    """Keep the embeddings as they are."""
    freeze_blocks: int = 0
    """Keep so many first blocks of encoder and decoder, and the embeddings, as they are."""
    weight_decay: float = 0.01
    """Of matrices; vectors have none."""
    clip_norm: float = 1.0
    """Largest norm of the whole gradient."""
    ema: float | None = None
    """Momentum of a moving average of the weights, which is then scored and saved."""
    average: int = 1
    """Number of last fit-epochs whose weights are averaged."""
    patience: int | None = None
    """Stop after so many epochs without a better ROUGE-L, and take the best; none: never."""
    validation_texts: int = 400
    """Texts that are summarised after each epoch, spread over the validation data."""

    beam_size: int | None = None
    """Hypotheses of the beam search; none: the checkpoint's, 4 of a new model."""
    max_new_tokens: int = 128
    """Longest summary that is written, in tokens."""
    words: Literal["english", "any"] = "english"
    """What ROUGE compares: stems of a-z and 0-9, as published; or any language's words."""

    mixed_precision: bool = False
    """Compute in bfloat16."""
    xla: bool = True
    """Compile the training step with XLA (JAX always does)."""
    seed: int = 1
    """Seed of weights, dropout and the order of the data."""
    export: bool = True
    """Write a SavedModel (needs the TensorFlow backend)."""


PRESETS = {
    "quickstart": (
        "First lines of installed docstrings; collected on the spot, some minutes on two cores.",
        Settings(
            runs.RUNS / "summarise",
            corpus="docstrings",
            vocab_size=4000,
            num_layers=2,
            hidden_dim=128,
            max_length=64,
            truncate=True,
            epochs=6,
            tokens_per_batch=5888,
            num_shapes=2,
            max_padding=0.2,
            learning_rate=3e-3,
            average=2,
            validation_texts=150,
            max_new_tokens=32,
        ),
    ),
    "files": (
        "Your own train, val and test as .jsonl, .csv or .tsv in --data-dir.",
        Settings(runs.RUNS / "summariser"),
    ),
    "t5": (
        "T5-small trained on, on your own files, each text after the prefix it was trained with.",
        Settings(
            runs.RUNS / "t5",
            from_checkpoint="google-t5/t5-small",
            prefix="summarize: ",
            truncate=True,
            learning_rate=3e-4,
            label_smoothing=0.0,
        ),
    ),
    "bart": (
        "BART-base trained on, on your own files.",
        Settings(
            runs.RUNS / "bart",
            from_checkpoint="facebook/bart-base",
            max_length=1024,
            truncate=True,
            tokens_per_batch=4096,
            gradient_accumulation_steps=4,
            learning_rate=5e-5,
        ),
    ),
}


@command_line.saying_flags()
def main(settings):
    """Trains, or goes on training; then scores, explains and exports."""
    check(settings)
    watch = runs.Stopwatch()
    report = explain.Report(f"Summaries: {settings.run_dir.name}", __doc__.split("\n")[0])
    runs.prepare_backend(settings.seed, settings.xla, settings.mixed_precision)
    train, valid, test = summary_texts.read_corpus(settings)
    translator = make_translator(settings, train)
    batches = plan_batches(settings, translator, train)
    valid_batches = plan_batches(settings, translator, valid, shuffle=False)
    if test is not None:
        plan_batches(settings, translator, test, shuffle=False)  # what is wrong, now
    print(batches.describe())
    compile_model(settings, translator.model, batches)

    some = valid.take(range(0, len(valid), -(-len(valid) // settings.validation_texts)))
    score = functools.partial(validate, settings, translator, some)
    both = finetuning.weighted(settings, batches, valid_batches)
    watch.earlier = finetuning.fit(settings, translator, *both, score, "val_rougeL")
    translator.save_pretrained(settings.run_dir)
    split, examples = ("validation", valid) if test is None else ("test", test)
    written = write_summaries(settings, translator, examples, settings.beam_size)
    scores = {"split": split, "records": len(examples)}
    wanted, words = examples.summaries, settings.words
    scores |= rouge.mean_scores(written, wanted, words)
    leads = rouge.first_sentences(examples.bodies, examples.summaries)
    scores |= {f"lead_{k}": v for k, v in rouge.mean_scores(leads, wanted, words).items()}
    scores |= watch.costs()
    write_json(settings.run_dir / "scores.json", scores)
    explain_run(settings, report, scores, translator, examples, written)
    finetuning.export(settings, translator)
    print(f"\n{settings.run_dir}: report.html, scores.json, weights, tokenizer")
    print(f"{split:>24}", *(f"{title:>8}" for title in rouge.TITLES.values()))
    for name, start in (("summaries", ""), ("first sentences", "lead_")):
        print(f"{name:>24}", *(f"{scores[start + key]:8.2f}" for key in rouge.TITLES))


def check(settings):
    """Refuses settings out of range or in contradiction, before anything is read."""
    finetuning.check(settings)
    for name in ("validation_texts", "beam_size", "max_new_tokens"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1; got {value}.")
    if not 0 < settings.layer_decay <= 1:
        raise ValueError(f"layer_decay must be above 0 and at most 1; got {settings.layer_decay}.")
    if settings.freeze_blocks < 0:
        raise ValueError(f"freeze_blocks must be at least 0; got {settings.freeze_blocks}.")
    if settings.corpus == "docstrings" and settings.data_dir is not None:
        raise ValueError(
            f"--data-dir {settings.data_dir}: docstrings are learned from (quickstart, or --corpus "
            "docstrings), no files; the presets files, t5 and bart take a folder."
        )


# Training


def make_translator(settings, train):
    """The checkpoint's model and tokenizer, or new ones, the vocabulary of the training data."""
    if settings.from_checkpoint is None:
        lines = [train.texts, train.summaries]
        learn = functools.partial(text.SentencePieceTokenizer.train, lines)
        tokenizer = train_vocabulary(learn, settings.vocab_size)
        decoding = tasks.DecodingDefaults(
            beam_size=settings.beam_size or 4,
            max_new_tokens=settings.max_new_tokens,
            no_repeat_ngram_size=3,
        )
        return tasks.Translator(new_model(settings, tokenizer), tokenizer, None, decoding)
    translator = tasks.Translator.from_pretrained(
        settings.from_checkpoint, source=settings.source, target=settings.target
    )
    limit = translator.model.config.max_length
    if settings.max_length > limit:
        raise ValueError(
            f"max_length must be at most that of {settings.from_checkpoint}, {limit}; "
            f"got {settings.max_length}."
        )
    decoding = dataclasses.replace(
        translator.decoding,
        beam_size=settings.beam_size or translator.decoding.beam_size,
        max_new_tokens=settings.max_new_tokens,
    )
    parts = translator.model, translator.tokenizer
    return tasks.Translator(*parts, settings.max_length, decoding)


def new_model(settings, tokenizer):
    """A small pre-norm Transformer, all embeddings shared."""
    config = models.TransformerConfig(
        vocab_size=tokenizer.vocab_size,
        num_encoder_layers=settings.num_layers,
        num_decoder_layers=settings.num_layers,
        num_heads=settings.num_heads,
        hidden_dim=settings.hidden_dim,
        ffn_dim=4 * settings.hidden_dim,
        max_length=settings.max_length,
        dropout=settings.dropout,
        norm_first=True,
        pad_id=tokenizer.pad_id,
        bos_id=tokenizer.bos_id,
        eos_id=tokenizer.eos_id,
    )
    return models.Seq2SeqLM(config)


def compile_model(settings, model, batches):
    """Freezes what shall stay, and compiles with a rate for each layer."""
    if settings.freeze_embeddings or settings.freeze_blocks:
        seq2seq_layers.freeze(model, settings.freeze_blocks)
    rates = seq2seq_layers.layer_multipliers(model, settings.layer_decay)
    loss = training.TokenCrossEntropy(label_smoothing=settings.label_smoothing, reduction="sum")
    finetuning.compile_with(settings, model, batches, loss, rates, beta_2=0.98)


def plan_batches(settings, translator, examples, shuffle=True):
    """Batches of few shapes under the token budget; those not shuffled have one shape."""
    tokenizer = translator.tokenizer
    own = tokenizer
    if settings.target is not None:
        own = tokenizer.with_language(settings.target)
    elif hasattr(tokenizer, "for_target"):
        own = tokenizer.for_target()
    return data.ParallelBatches(
        data.ParallelText(
            [settings.prefix + line for line in examples.texts],
            examples.summaries,
            examples.lines,
            names=(examples.path, examples.path),
        ),
        tokenizer=tokenizer,
        target_tokenizer=own,
        start_id=translator.model.config.bos_id,
        tokens_per_batch=settings.tokens_per_batch,
        count="both",
        seed=settings.seed,
        max_length=settings.max_length,
        truncate=settings.truncate,
        num_shapes=settings.num_shapes if shuffle else 1,
        max_padding=settings.max_padding,
        shuffle=shuffle,
        cache_dir=settings.run_dir / "cache",
    )


# Results


def write_summaries(settings, translator, examples, beam_size=None):
    """The model's summaries of the texts."""
    lines = [settings.prefix + line for line in examples.texts]
    with finetuning.no_warning_of_cuts():
        answers = translator(lines, beam_size=beam_size, truncate=settings.truncate, progress=False)
    return [answer.text for answer in answers]


def validate(settings, translator, examples):
    """Scores while training: greedily, which is fast."""
    found = write_summaries(settings, translator, examples, 1)
    return rouge.mean_scores(found, examples.summaries, settings.words)


def explain_run(settings, report, scores, translator, examples, written):
    """Writes `report.html`: curves, scores, summaries, the worst of them, what was looked at."""
    cards = {}
    for name, title in rouge.TITLES.items():
        cards[title] = (f"{scores[name]:.1f}", f"first sentences {scores[f'lead_{name}']:.1f}")
    cards |= {
        "Records": (f"{scores['records']:,}", scores["split"]),
        "Time": f"{scores['seconds'] / 60:.1f} min",
        "Peak memory": f"{scores['peak_memory_mb']:,} MB",
    }
    report.add_scores(cards)
    report.add_curves(settings.run_dir / "metrics.jsonl")
    some = range(0, len(examples), max(1, len(examples) // 20))
    texts = [textwrap.shorten(line, 400, placeholder=" …") for line in examples.texts]
    columns = texts, examples.summaries, written
    report.add_translations(
        *([column[i] for i in some] for column in columns), heading="Summaries beside references"
    )
    each = rouge.scores(written, examples.summaries, settings.words)
    values = [one["rougeL"] for one in each]
    worst = sorted(range(len(examples)), key=values.__getitem__)[:20]
    rows = [(*(column[i] for column in columns), f"{100 * values[i]:.1f}") for i in worst]
    report.add_records("Worst summaries", ["Text", "Reference", "Summary", "ROUGE-L"], rows)
    lines = [settings.prefix + examples.texts[i] for i in some][:6]
    with finetuning.no_warning_of_cuts():
        answers = translator(lines, beam_size=1, alignment=True, truncate=settings.truncate)
    mark = "Ġ" if isinstance(translator.tokenizer, text.BytePairTokenizer) else "▁"
    for answer in answers:
        if (found := answer.alignment) is not None:
            words = explain.attention_of_words(found.scores, found.target, found.source, mark)
            report.add_alignment(*words, title=answer.text, heading="What the decoder attended to")
    finetuning.finish_report(settings, report)


if __name__ == "__main__":
    runs.start(main, "summarise", PRESETS)
