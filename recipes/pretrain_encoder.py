"""A BERT from scratch, or trained on: an encoder learns from text alone.

    python -m recipes.pretrain_encoder quickstart                  docstrings of Python's library
    python -m recipes.pretrain_encoder electra                     the same text, replaced tokens
    python -m recipes.pretrain_encoder files --data-dir D          your text: files, folders, JSONL
    python -m recipes.pretrain_encoder files --data-dir D --from-checkpoint FOLDER   goes on

The objective is BERT's, to fill masks that are others in every epoch, or ELECTRA's, to find the
tokens that a small generator replaced. `--pairs next` adds BERT's second objective to the masks, to
say whether one text follows another, `--pairs order` ALBERT's, to say which comes first.

`quickstart` and `electra` learn from the documentation strings of the Python library that runs
this, nothing of its code, so that no download is needed. `--from-checkpoint runs/encoder` of the
other recipes takes the result. `python -m recipes.pretrain_encoder PRESET --help` lists every
setting. The same command again resumes a run that was interrupted. On two cores `quickstart` took
288 s and reached a masked accuracy of 24.1 % (docs/results.md).
"""

import collections
import dataclasses
import functools
import math
import pathlib
from typing import Literal

import keras
import numpy as np
import tyro

from keras_transformer import data, explain, models, tasks, training
from keras_transformer.checkpoints.files import write_json
from recipes import (
    attention_maps,
    encoder_texts,
    finetuning,
    paired_masks,
    replaced_tokens,
    runs,
    whole_words,
)


@dataclasses.dataclass(frozen=True)
class Settings(finetuning.FineTuning):
    """Settings of a run; the defaults are those of the chosen preset."""

    data_dir: pathlib.Path | None = None
    """File or folder of text; for `quickstart` and `electra` none."""
    corpus: tyro.conf.Fixed[Literal["library", "files"]] = "files"
    objective: Literal["masked", "replaced"] = "masked"
    """Fill masks (BERT), or find replaced tokens (ELECTRA)."""
    pairs: Literal["none", "next", "order"] = "none"
    """Beside masks: does a text follow another (BERT), or are two in their order (ALBERT)?"""
    mask_rate: float = 0.15
    """Share of the tokens that are masked."""
    whole_words: bool = True
    """Mask the pieces of a word together."""
    generator_share: float = 0.25
    """Width of ELECTRA's generator, of the encoder's."""
    detector_weight: float = 50.0
    """Of the detector's loss, beside the generator's."""
    validation: float = 0.05
    """Share of the documents, the last ones, that are kept for validation."""


# Both examples learn from the same text, what the library that comes with Python documents.
QUICK = dict(
    vocab_size=4000, num_layers=2, hidden_dim=128, max_length=64, batch_size=64, num_shapes=2,
    learning_rate=2e-3,
)  # fmt: skip

PRESETS = {
    "quickstart": (
        "Documentation strings of the Python library; some minutes.",
        Settings(runs.RUNS / "encoder", corpus="library", epochs=9, **QUICK),
    ),
    "electra": (
        "The same text, replaced tokens in place of masks.",
        Settings(
            runs.RUNS / "electra",
            corpus="library",
            epochs=8,
            objective="replaced",
            whole_words=False,
            **QUICK,
        ),
    ),
    "files": (
        "Your own text: --data-dir FILE or FOLDER of .txt, .md, .rst, .jsonl, plain or .gz.",
        Settings(
            runs.RUNS / "encoder-files", vocab_size=8000, num_layers=4, hidden_dim=256, epochs=10
        ),
    ),
}


def main(settings):
    """Trains, or goes on training; then scores, explains and exports."""
    check(settings)
    watch = runs.Stopwatch()
    report = explain.Report(f"Encoder: {settings.run_dir.name}", __doc__.split("\n")[0])
    runs.prepare_backend(settings.seed, settings.xla, settings.mixed_precision)
    train, valid = encoder_texts.split(settings, encoder_texts.read_corpus(settings))
    tokenizer = finetuning.make_tokenizer(settings, train)
    if tokenizer.mask_id < 0:
        raise ValueError(f"{settings.from_checkpoint}: the tokenizer has no mask token")
    objective = make_objective(settings, tokenizer)
    batches, valid_batches = (
        objective.plan(part, shuffle=part is train) for part in (train, valid)
    )
    encoder_texts.check_hidden(valid_batches)
    print(batches.describe())
    objective.compile(batches)

    score = functools.partial(objective.evaluate, valid_batches)
    watch.earlier = finetuning.fit(
        settings, objective, *objective.weighted(batches, valid_batches), score, *objective.monitor
    )
    objective.encoder.save_pretrained(settings.run_dir)
    tokenizer.save(settings.run_dir)
    scores = {
        "objective": settings.objective,
        "documents": len(train),
        **score(),
        "parameters": objective.encoder.count_params(),
        **watch.costs(),
    }
    write_json(settings.run_dir / "scores.json", scores)
    explain_run(settings, report, scores, objective, valid)
    objective.export()
    print(f"\n{settings.run_dir}: report.html, scores.json, weights, tokenizer")
    print(f"validation {objective.monitor[0].removeprefix('val_')}: {scores[objective.key]:.2f}")


def check(settings):
    """Refuses settings that contradict each other, before anything is read."""
    finetuning.check(settings)
    finetuning.require_text(settings)
    finetuning.check_apart(settings)
    if not 0 < settings.validation < 1:
        raise ValueError(f"validation must be between 0 and 1; got {settings.validation}.")
    if settings.objective == "replaced":
        wrong = [
            name
            for name, usual in (
                ("pairs", "none"),
                ("gradient_accumulation_steps", 1),
                ("layer_decay", 1.0),
                ("freeze_embeddings", False),
                ("freeze_blocks", 0),
            )
            if getattr(settings, name) != usual
        ]
        if wrong:
            raise ValueError(f"{wrong[0]} is for objective 'masked' alone.")
        if not 0 < settings.generator_share <= 1:
            raise ValueError(
                f"generator_share must be above 0 and at most 1; got {settings.generator_share}."
            )


# The objectives


class Masked:
    """BERT's: fill masks. `model` is trained and `encoder`, the same, is saved."""

    monitor, key = ("val_perplexity", "min"), "perplexity"
    batches = data.MaskedBatches

    def __init__(self, settings, tokenizer):
        self.settings, self.tokenizer = settings, tokenizer
        self.model = self.encoder = self.make()

    def make(self):
        return finetuning.make_model(self.settings, models.MaskedLM, self.tokenizer)

    def masking(self, **shares):
        """What is hidden: whole words, or pieces one by one."""
        settings, tokenizer = self.settings, self.tokenizer
        if settings.whole_words:
            shares |= dict(
                continues_word=whole_words.continues_word(tokenizer),
                ends_word=whole_words.ends_word(tokenizer),
            )
        special = tuple(tokenizer.special_ids)
        return data.Masking(
            tokenizer.vocab_size, tokenizer.mask_id, special, rate=settings.mask_rate, **shares
        )

    def plan(self, documents, shuffle):
        """Batches that hide other tokens in every epoch; in validation the same ones."""
        settings, tokenizer = self.settings, self.tokenizer
        ids = encoder_texts.chunks(settings, tokenizer, documents)
        segments = None
        if self.encoder.config.num_segments:
            segments = [[0] * len(each) for each in ids]
        return self.batches(
            ids,
            self.masking(),
            segment_ids=segments,
            **finetuning.batch_options(settings, tokenizer, shuffle),
        )

    def loss(self):
        """It sums: the weights hold the divisor."""
        return training.TokenCrossEntropy(reduction="sum")

    def compile(self, batches):
        finetuning.compile_model(self.settings, self.model, batches, self.loss())

    def weighted(self, batches, valid):
        return finetuning.weighted(self.settings, batches, valid)

    def evaluate(self, batches):
        """Scores over all masks of batches in their own order."""
        counts = collections.Counter()
        for step in range(len(batches)):
            x, y = batches.batch(0, step)
            counts.update(self.count(y, self.model.predict_on_batch(x)))
        return self.scores(counts)

    def count(self, y, logits):
        """Of a batch the loss, and how many masks there are and are filled rightly."""
        logits, labels = logits[y >= 0].astype("float64"), y[y >= 0]  # (masks, V), (masks,)
        lse = np.logaddexp.reduce(logits, axis=-1)
        loss = float((lse - logits[np.arange(len(labels)), labels]).sum())
        right = int((logits.argmax(-1) == labels).sum())
        return {"loss": loss, "right": right, "masks": len(labels)}

    def scores(self, counts):
        """Perplexity, and accuracy in percent."""
        masks = counts["masks"]
        return {
            "perplexity": math.exp(counts["loss"] / masks),
            "accuracy": 100 * counts["right"] / masks,
        }

    def examples(self, texts):
        """Rows for the report: a text with a mask, what stood there, and the best candidates."""
        filler = tasks.MaskFiller(self.encoder, self.tokenizer, self.settings.max_length)
        rows = []
        for text in texts:
            words = text.split()[:24]
            place = len(words) // 2
            hidden, words[place] = words[place], filler.mask_token
            with finetuning.no_warning_of_cuts():
                found = filler(" ".join(words), truncate=True, progress=False)
            if found.masks:
                told = ", ".join(f"{each.token} ({each.score:.2f})" for each in found.masks[0])
                rows.append((" ".join(words), hidden, told))
        return "Masks", ["Text", "Was", "Candidates"], rows

    def export(self):
        finetuning.export(
            self.settings, tasks.MaskFiller(self.encoder, self.tokenizer, self.settings.max_length)
        )


class Paired(Masked):
    """BERT's and ALBERT's: fill masks, and tell pairs of texts. The pair's head is left behind."""

    def __init__(self, settings, tokenizer):
        super().__init__(settings, tokenizer)
        name = settings.from_checkpoint or "new model"
        paired_masks.check_segments(name, self.encoder.config, tokenizer.template)
        self.model = paired_masks.PairedMaskedLM(self.encoder, name="paired")

    def plan(self, documents, shuffle):
        """Batches that cut, change and hide anew in every epoch; in validation the same ones."""
        return data.SentencePairBatches(
            encoder_texts.sentences(self.settings, self.tokenizer, documents),
            self.masking(),
            self.tokenizer.template,
            self.settings.max_length,
            objective=self.settings.pairs,
            **finetuning.batch_options(self.settings, self.tokenizer, shuffle),
        )

    def loss(self):
        return {"tokens": super().loss(), "pair": super().loss()}

    def count(self, y, found):
        right = int((found["pair"].argmax(-1) == y["pair"]).sum())
        pairs = {"pairs_right": right, "pairs": int((y["pair"] >= 0).sum())}
        return super().count(y["tokens"], found["tokens"]) | pairs

    def scores(self, counts):
        """Those of masks, and the share of pairs that are told rightly."""
        share = counts["pairs_right"] / counts["pairs"]
        return {**super().scores(counts), "pair_accuracy": 100 * share}


class Replaced(Masked):
    """ELECTRA's: find replaced tokens. The detector is saved, the generator is left behind."""

    monitor, key = ("val_f1", "max"), "f1"
    batches = replaced_tokens.OriginalBatches

    def __init__(self, settings, tokenizer):
        self.settings, self.tokenizer = settings, tokenizer
        self.encoder = finetuning.make_model(settings, models.ReplacedTokenDetector, tokenizer)
        self.model = replaced_tokens.ReplacedTokens(
            self.encoder,
            settings.generator_share,
            settings.detector_weight,
            settings.seed,
            name="electra",
        )

    def masking(self):
        """All that the generator fills is masked: section 2 of the paper."""
        return super().masking(mask_share=1.0, random_share=0.0)

    def compile(self, batches):
        settings = self.settings
        ema = {} if settings.ema is None else {"use_ema": True, "ema_momentum": settings.ema}
        optimizer = keras.optimizers.AdamW(
            finetuning.make_schedule(settings, finetuning.num_updates(settings, batches)),
            weight_decay=settings.weight_decay,
            global_clipnorm=settings.clip_norm,
            **ema,
        )
        variables = self.model.trainable_variables
        optimizer.exclude_from_weight_decay([v for v in variables if v.ndim < 2])
        self.model.compile(optimizer, loss=None, jit_compile=settings.xla)

    def weighted(self, batches, valid):
        return batches, valid

    def evaluate(self, batches):
        return replaced_tokens.detection_scores(self.model, batches)

    def examples(self, texts):
        """Rows for the report: texts in which one word is another's, and the tokens it suspects."""
        rows = []
        for text, other in zip(texts, texts[1:], strict=False):
            words, others = text.split()[:16], other.split()
            words[len(words) // 2] = others[len(others) // 2]
            (encoding,) = self.tokenizer([" ".join(words)], max_length=self.settings.max_length)
            ids = np.array([encoding.ids], "int32")
            logits = keras.ops.convert_to_numpy(self.encoder(ids))[0]
            pieces = self.tokenizer.pieces(encoding.ids)
            scores = 1 / (1 + np.exp(-logits))
            worst = [i for i in np.argsort(-scores) if 0 < i < len(pieces) - 1][:3]
            told = ", ".join(f"{pieces[i]} ({scores[i]:.2f})" for i in worst)
            rows.append((" ".join(words), others[len(others) // 2], told))
        return "Replaced words", ["Text", "Put in", "Suspected"], rows

    def export(self):
        """A detector answers no question of a user: it is there to be fine-tuned."""


def make_objective(settings, tokenizer):
    """The objective of the settings."""
    masked = Masked if settings.pairs == "none" else Paired
    return {"masked": masked, "replaced": Replaced}[settings.objective](settings, tokenizer)


# Results


def explain_run(settings, report, scores, objective, valid, shown=12):
    """Writes `report.html`: curves, scores, examples."""
    kept = ("perplexity", "accuracy", "pair_accuracy", "precision", "recall", "f1")
    report.add_scores(
        {
            **{
                name.replace("_", " ").capitalize(): f"{scores[name]:.2f}"
                for name in kept
                if name in scores
            },
            "Parameters": f"{scores['parameters']:,}",
            "Time": f"{scores['seconds'] / 60:.1f} min",
            "Peak memory": f"{scores['peak_memory_mb']:,} MB",
        }
    )
    report.add_curves(settings.run_dir / "metrics.jsonl")
    report.add_records(*objective.examples(valid[: shown + 1]))
    attention_maps.add_attention(report, objective.encoder, objective.tokenizer, valid)
    finetuning.finish_report(settings, report)


if __name__ == "__main__":
    runs.start(main, "pretrain_encoder", PRESETS)
