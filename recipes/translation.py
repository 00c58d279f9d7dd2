"""Train, score and export a translator.

    python -m recipes.translation quickstart                     dates in 37 languages, minutes
    python -m recipes.translation multi30k-tiny --data-dir D     Wu et al. 2021, tokenised
    python -m recipes.translation multi30k --data-dir D          the same data, cased text
    python -m recipes.translation files --data-dir D             your train.*, val.*, test.* files

`python -m recipes.translation PRESET --help` lists every setting. The same command again resumes a
run that was interrupted. What was measured is in docs/results.md.
"""

import dataclasses
import pathlib
import subprocess
import sys
from typing import Literal

import keras
import tyro
from sacrebleu.metrics import BLEU

from keras_transformer import data, explain, models, tasks, text, training
from keras_transformer.checkpoints import assign_weights, load_model_weights
from keras_transformer.checkpoints.files import write_json
from keras_transformer.export.folder import check_replaceable
from recipes import runs
from recipes.corpora import fingerprint, parallel_corpus
from recipes.runs import RUNS


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the chosen preset."""

    run_dir: pathlib.Path
    """Folder of the run: checkpoints, weights, scores, report, SavedModel."""
    data_dir: pathlib.Path | None = None
    """Folder with the corpus; where none is given, Multi30k is downloaded, once, to runs/data."""
    corpus: tyro.conf.Fixed[str] = "files"
    source: str = "de"
    """Source language: the suffix of its files."""
    target: str = "en"
    """Target language: the suffix of its files."""
    tokenized: bool = False
    """Whether the text is tokenised already, and scored as it is (sacrebleu's tokenize=none)."""

    vocab_size: int = 8000
    """Pieces of the joint SentencePiece vocabulary."""
    vocab_type: Literal["bpe", "unigram"] = "bpe"
    """How the vocabulary is learned."""
    split_digits: bool = False
    """Make each digit a piece of its own, in every script: numbers are then spelled, not known."""
    max_length: int = 256
    """Longest sentence in tokens."""
    truncate: bool = False
    """Cut longer training sentences (they are counted) instead of refusing them."""
    tokens_per_batch: int = 8192
    """Target slots of a batch, padding included."""
    num_shapes: int = 24
    """The most batch shapes allowed; each costs a compilation."""
    max_padding: float = 0.1
    """Share of padding that is good enough: no more shapes than it takes."""

    model: Literal["transformer_tiny", "transformer_base", "transformer_big"] = "transformer_tiny"
    """Size of the model."""
    num_layers: int | None = None
    """Encoder blocks, and as many decoder blocks; None: what the model's size has."""
    norm_first: bool = False
    """Pre-norm instead of the paper's post-norm."""
    dropout: float = 0.3
    """Rate on embeddings and on the output of each sublayer."""
    attention_dropout: float = 0.0
    """Rate on the attention scores."""
    share_embeddings: Literal["all", "target", "none"] = "all"
    """Which of source embedding, target embedding and output projection are one matrix."""

    steps: int = 8000
    """Training steps."""
    steps_per_epoch: int = 100
    """Steps between two checkpoints."""
    validate_every: int = 5
    """Checkpoints between two validations (loss and BLEU)."""
    learning_rate: float = 5e-3
    """Peak of the inverse square root schedule."""
    warmup_steps: int = 2000
    """Steps until the peak."""
    label_smoothing: float = 0.1
    """Share of the target's mass that is spread over the vocabulary."""
    clip_norm: float | None = None
    """Largest norm of the whole gradient."""
    average: int = 10
    """Number of last checkpoints whose weights are averaged."""
    patience: int | None = None
    """Stop after so many validations without a better BLEU, and take the best; None: never."""

    beam_size: int = 5
    """Hypotheses of the beam search."""
    length_penalty: float = 1.0
    """Exponent of the length by which a hypothesis's log-probability is divided."""

    mixed_precision: bool = False
    """Compute in bfloat16."""
    xla: bool = True
    """Compile the training step with XLA (JAX always does)."""
    seed: int = 1
    """Seed of weights, dropout and the order of the data."""
    export: bool = True
    """Write a SavedModel (needs the TensorFlow backend)."""

    @property
    def bleu_tokenizer(self):  # tokenised text is scored as it is
        return "none" if self.tokenized else "13a"


PRESETS = {
    "quickstart": (
        "Dates in 37 languages into English; generated on the spot, some minutes on two cores.",
        Settings(
            RUNS / "quickstart",
            corpus="dates",
            source="dates",
            vocab_size=1200,
            split_digits=True,
            max_length=64,
            tokens_per_batch=2048,
            num_shapes=2,
            num_layers=2,
            norm_first=True,
            dropout=0.0,
            steps=1200,
            validate_every=12,
            learning_rate=3e-3,
            warmup_steps=200,
            label_smoothing=0.0,
            average=3,
            beam_size=4,
        ),
    ),
    "multi30k-tiny": (
        "Multi30k en-de, lower-cased and tokenised, as in Wu et al. 2021: transformer_tiny.",
        Settings(
            RUNS / "multi30k-tiny",
            corpus="tok",
            source="en",
            target="de",
            tokenized=True,
            vocab_size=10_000,
            attention_dropout=0.1,
            steps_per_epoch=50,  # nearly one pass over the data, of 60 batches
            validate_every=10,
        ),
    ),
    "multi30k": (
        "Multi30k en-de, cased text as written; detokenised output, sacrebleu's 13a.",
        Settings(
            RUNS / "multi30k", corpus="raw", source="en", target="de", vocab_size=6000, steps=4000
        ),
    ),
    "files": (
        "Your own parallel text: train.SRC, train.TGT, and likewise val and test, in --data-dir.",
        Settings(RUNS / "translation"),
    ),
}


def main(settings):
    """Trains, or goes on training; then scores, explains and exports."""
    check(settings)
    watch = runs.Stopwatch()
    decoding = tasks.DecodingDefaults(
        beam_size=settings.beam_size, length_penalty=settings.length_penalty
    )
    report = explain.Report(f"Translation: {settings.run_dir.name}", __doc__.split("\n")[0])
    runs.prepare_backend(settings.seed, settings.xla, settings.mixed_precision)
    parts = train, valid, test = parallel_corpus(settings)
    tokenizer = learn_tokenizer(settings, train)
    batches = plan_batches(settings, tokenizer, train, settings.num_shapes)
    for part in (valid, test):
        check_sources(settings, tokenizer, part)
    print(batches.describe())
    model = build_model(settings, tokenizer)
    translator = tasks.Translator(model, tokenizer, decoding=decoding)

    watch.earlier = fit(settings, translator, batches, valid, fingerprint(*parts))
    translator.save_pretrained(settings.run_dir)
    scores, translations = evaluate(settings, translator, test)
    scores |= watch.costs()
    write_json(settings.run_dir / "scores.json", scores)
    explain_run(settings, report, scores, translator, test, translations)
    if settings.export:
        export(settings, translator, test)
    print(f"\n{settings.run_dir}: report.html, scores.json, weights, tokenizer, saved_model/")
    if settings.corpus == "dates":
        print(f"exact match: {scores['exact_match']:.1f} %")


def check(settings):
    """Refuses what would be passed over, or found out once the training is over."""
    if settings.export:
        check_replaceable(settings.run_dir / "saved_model")
    if settings.corpus != "dates":
        return
    for name in ("data_dir", "source", "target"):
        value = getattr(settings, name)
        if value != getattr(PRESETS["quickstart"][1], name):
            raise ValueError(
                f"{name} must be left out, as corpus 'dates' is made on the spot; got {value}. The "
                "preset `files` takes your own."
            )


def learn_tokenizer(settings, train):
    """One vocabulary for both languages. The same text and settings give the same one again."""
    digits = {c for line in train.source + train.target for c in line if c.isdecimal()}
    return text.SentencePieceTokenizer.train(
        [train.source, train.target],
        vocab_size=settings.vocab_size,
        model_type=settings.vocab_type,
        normalization="identity" if settings.tokenized else "nmt_nfkc",
        user_defined_symbols=sorted(digits) if settings.split_digits else (),
    )


def plan_batches(settings, tokenizer, pairs, num_shapes, shuffle=True):
    """Batches of a few shapes under the token budget."""
    return data.ParallelBatches(
        pairs,
        tokenizer=tokenizer,
        tokens_per_batch=settings.tokens_per_batch,
        seed=settings.seed,
        max_length=settings.max_length,
        truncate=settings.truncate,
        num_shapes=num_shapes,
        max_padding=settings.max_padding,
        shuffle=shuffle,
        cache_dir=settings.run_dir / "cache",
    )


def check_sources(settings, tokenizer, pairs):
    """Refuses now what would be too long to be translated once the training is over."""
    for line, ids in zip(pairs.lines, tokenizer.encode(pairs.source), strict=True):
        if len(ids) + 1 > settings.max_length and not settings.truncate:
            raise ValueError(
                f"{pairs.names[0]}:{line}: {len(ids) + 1} tokens with the end, --max-length is "
                f"{settings.max_length}; --truncate cuts longer ones"
            )


def build_model(settings, tokenizer):
    """The model, compiled for training."""
    sizes = {"vocab_size": tokenizer.vocab_size}
    if settings.num_layers is not None:
        sizes |= dict.fromkeys(("num_encoder_layers", "num_decoder_layers"), settings.num_layers)
    model = models.Seq2SeqLM.from_preset(
        settings.model,
        **sizes,
        max_length=settings.max_length,
        norm_first=settings.norm_first,
        dropout=settings.dropout,
        attention_dropout=settings.attention_dropout,
        share_embeddings=settings.share_embeddings,
    )
    model.compile(
        optimizer=keras.optimizers.Adam(
            training.InverseSquareRoot(settings.learning_rate, settings.warmup_steps),
            beta_2=0.98,
            epsilon=1e-8,
            global_clipnorm=settings.clip_norm,
        ),
        loss=training.TokenCrossEntropy(label_smoothing=settings.label_smoothing),
        jit_compile=settings.xla,
    )
    return model


def fit(settings, translator, batches, valid, corpus):
    """Trains on from the last checkpoint; returns the seconds that it took to get there."""
    run, model = settings.run_dir, translator.model
    averages = training.AverageCheckpoints(run / "snapshots", last=settings.average)
    best = training.BestCheckpoint(run / "best.safetensors", weights=averages.average)
    patience = 10**9 if settings.patience is None else settings.patience
    stopping = training.EarlyStopping("val_bleu", mode="max", patience=patience)

    def translate(lines):  # greedily, which is fast, with the averaged weights
        with averages.applied(model):
            answers = translator(lines, beam_size=1, truncate=settings.truncate, progress=False)
            return [answer.text for answer in answers]

    bleu = training.Bleu(
        translate,
        valid.source,
        valid.target,
        every=settings.validate_every,
        tokenize=settings.bleu_tokenizer,
    )
    may_change = "data_dir steps export beam_size length_penalty".split()
    identity = runs.identity(settings, *may_change)
    earlier = runs.fit(
        model,
        batches,
        settings,
        configuration={
            **identity,
            "tokenizer": translator.tokenizer.fingerprint,
            "corpus": corpus,
        },
        callbacks=[
            training.Throughput(lambda step: count_tokens(batches, step)),
            averages,
            bleu,
            best,
            stopping,
        ],
        kept=[averages, best, stopping],
        validation_data=plan_batches(settings, translator.tokenizer, valid, 2, shuffle=False),
        validation_freq=settings.validate_every,
    )
    if settings.patience is not None:
        load_model_weights(model, best.path)
    else:
        assign_weights(model, averages.average())
    return earlier


def count_tokens(batches, step):
    """Real source and target tokens."""
    x, y = batches.batch(*divmod(step, len(batches)))
    return int(x["encoder_padding_mask"].sum()), int((y >= 0).sum())


def evaluate(settings, translator, test):
    """Scores of the test pairs, printed with sacrebleu's signature, and the translations."""
    translations = translator(test.source, truncate=settings.truncate)
    texts = [translation.text for translation in translations]
    metric = BLEU(tokenize=settings.bleu_tokenizer, force=settings.tokenized)
    bleu = metric.corpus_score(texts, [test.target]).score
    exact = sum(map(str.__eq__, texts, test.target)) / len(texts)
    print(f"BLEU = {bleu:.2f}  {metric.get_signature()}")
    return {
        "bleu": round(bleu, 2),
        "signature": str(metric.get_signature()),
        "exact_match": round(100 * exact, 2),
        "sentences": len(texts),
    }, translations


def explain_run(settings, report, scores, translator, test, translations):
    """Writes `report.html`: curves, scores, translations, and what the decoder looked at."""
    report.add_scores(
        {
            "BLEU": (f"{scores['bleu']:.1f}", scores["signature"]),
            "Exact match": f"{scores['exact_match']:.1f} %",
            "Time": f"{scores['seconds'] / 60:.1f} min",
            "Peak memory": f"{scores['peak_memory_mb']:,} MB",
        }
    )
    report.add_curves(settings.run_dir / "metrics.jsonl")
    some = range(0, len(translations), max(1, len(translations) // 20))
    columns = test.source, test.target, [translation.text for translation in translations]
    report.add_translations(*([column[i] for i in some] for column in columns))
    shown = [test.source[i] for i in some][:6]
    for translation in translator(shown, beam_size=1, truncate=settings.truncate, alignment=True):
        if (found := translation.alignment) is not None:  # an empty sentence has none
            words = explain.attention_of_words(found.scores, found.target, found.source)
            report.add_alignment(
                *words, title=translation.text, heading="What the decoder attended to"
            )
    report.add_table("Settings", runs.plain(settings))
    report.add_environment()
    report.write(settings.run_dir / "report.html")


def export(settings, translator, test):
    """Writes the SavedModel, and lets a process without Keras answer from it."""
    if keras.backend.backend() != "tensorflow":
        return print("No SavedModel was written: that needs KERAS_BACKEND=tensorflow.")
    path = settings.run_dir / "saved_model"
    translator.export(path)
    some = test.source[:: max(1, len(test.source) // 5)][:5]
    print(f"\n{path} answers in a process without Keras:", flush=True)
    subprocess.run([sys.executable, "-m", "recipes.serve", str(path), *some], check=True)


def command_line(arguments=None):
    """Parses the command line: a preset, then settings that differ from it."""
    return runs.command_line("translation", PRESETS, arguments)


if __name__ == "__main__":
    runs.start(main, "translation", PRESETS)
