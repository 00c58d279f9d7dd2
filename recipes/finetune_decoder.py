"""Teach a GPT to answer: on conversations with the loss on the answers alone, or on plain text.

    python -m recipes.finetune_decoder quickstart                Python's own library, no download
    python -m recipes.finetune_decoder files --data-dir D --from-checkpoint C   all weights
    python -m recipes.finetune_decoder lora --data-dir D --from-checkpoint C    low-rank parts alone
    python -m recipes.finetune_decoder text --data-dir D --from-checkpoint C    goes on with a text

C is a folder or a name on the Hugging Face hub with a decoder (GPT-2, Llama, Qwen, Mistral, or of
recipes.pretrain_decoder) and its tokenizer. For `files` and `lora`, D has train.jsonl with lines of
`messages` (role, content) or of `prompt` and `completion`; without val.jsonl a tenth of it is kept
for validation, and without test.jsonl scores are of the validation. `text` takes files, folders and
JSONL. The run's folder opens with `tasks.TextGenerator.from_pretrained`; `lora` also leaves
`adapter/`, which the library peft reads.

`python -m recipes.finetune_decoder PRESET --help` lists every setting. The same command again
resumes a run that was interrupted. On two cores `quickstart` took 276 s and answered 73.0 % of 200
questions exactly, where the most frequent answer is right for 33.0 % (docs/results.md).
"""

import dataclasses
import functools
from typing import Literal

from keras_transformer import checkpoints, data, explain, models, tasks, text, training
from keras_transformer.checkpoints.files import write_json
from keras_transformer.checkpoints.hub import find_folder
from keras_transformer.checkpoints.pretrained import read_fields
from keras_transformer.checkpoints.published import CONFIG
from keras_transformer.text.chat import JINJA
from keras_transformer.text.files import write_atomically
from recipes import answering, decoders, finetuning, library_questions, runs, splits
from recipes.vocabularies import train_vocabulary


@dataclasses.dataclass(frozen=True)
class Settings(finetuning.FineTuning):
    """Settings of a run; the defaults are those of the chosen preset."""

    corpus: Literal["library", "conversations", "text"] = "conversations"
    """Where the data come from: Python's library, your conversations, or your plain text."""
    chat_template: Literal["auto", "checkpoint", "chatml", "plain"] = "auto"
    """What stands around messages; auto: the checkpoint's own, else ChatML if the tokenizer has its
    tokens, else plain headings."""
    packing: bool = False
    """Put several records into each row of max_length tokens; they do not see each other."""
    tokens_per_batch: int | None = None
    """Tokens of a batch, padding included, in place of batch_size."""
    vocab_size: int = 4000
    """Byte-level BPE vocabulary of a new model."""

    lora_rank: int = 0
    """Train low-rank parts of this rank in place of all weights; 0: all weights."""
    lora_alpha: float = 16.0
    """Factor on the low-rank parts, over their rank."""
    lora_targets: tuple[str, ...] = ("query", "value")
    """Which layers have them: query, key, value, output, gate, inner, outer."""

    answer_length: int = 64
    """Tokens of a generated answer at most."""
    num_answers: int = 200
    """Answers that are generated and compared with the expected ones; 0: none."""


TUNING = dict(
    learning_rate=2e-5, max_length=1024, batch_size=8, weight_decay=0.0, schedule="cosine"
)

PRESETS = {
    "quickstart": (
        "A small new model learns to answer questions on Python's library; some minutes.",
        Settings(
            runs.RUNS / "assistant",
            corpus="library",
            vocab_size=1000,
            dropout=0.0,
            max_length=256,
            packing=True,
            epochs=6,
            batch_size=8,
            num_shapes=1,
            learning_rate=3e-3,
            schedule="cosine",
            answer_length=48,
        ),
    ),
    "files": (
        "Your own train, val and test as .jsonl in --data-dir; all weights of --from-checkpoint.",
        Settings(runs.RUNS / "tuned", **TUNING),
    ),
    "lora": (
        "The same with low-rank parts alone: less memory, and a small file as result.",
        Settings(runs.RUNS / "lora", lora_rank=8, **TUNING | {"learning_rate": 2e-4}),
    ),
    "text": (
        "Go on with plain text: --data-dir FILE or FOLDER of .txt, .md, .rst, .jsonl.",
        Settings(runs.RUNS / "continued", corpus="text", packing=True, **TUNING | {"epochs": 1}),
    ),
}


def main(settings):
    """Trains, or goes on training; then scores, explains and exports."""
    check(settings)
    watch = runs.Stopwatch()
    report = explain.Report(f"Decoder: {settings.run_dir.name}", __doc__.split("\n")[0])
    runs.prepare_backend(settings.seed, settings.xla, settings.mixed_precision)
    corpus = read_corpus(settings)
    tokenizer = make_tokenizer(settings, corpus[0])
    template = None if settings.corpus == "text" else decoders.choose_template(settings, tokenizer)
    model = make_model(settings, tokenizer, template)
    generator = tasks.TextGenerator(model, tokenizer, settings.max_length)
    if settings.corpus != "text":
        answering.check_room(settings, generator)
    train, valid, test = (
        None if part is None else encode(settings, tokenizer, template, part) for part in corpus
    )
    split, tested = ("validation", valid) if test is None else ("test", test)
    batches = plan(settings, tokenizer, train)
    valid_batches = plan(settings, tokenizer, valid, shuffle=False)
    test_batches = plan(settings, tokenizer, tested, shuffle=False)
    print(batches.describe())
    if settings.lora_rank:
        training.enable_lora(model, settings.lora_rank, settings.lora_alpha, settings.lora_targets)
    trainable = training.num_trainable(model)
    print(f"{trainable:,} of {model.count_params():,} weights are trained")
    loss = training.TokenCrossEntropy(reduction="sum")  # the weights hold the divisor
    finetuning.compile_model(settings, model, batches, loss)

    scorer = answering.Scorer(model)
    before = scorer.scores(test_batches) if settings.from_checkpoint else {}
    score = functools.partial(scorer.scores, valid_batches)
    both = finetuning.weighted(settings, batches, valid_batches)
    watch.earlier = finetuning.fit(
        settings, generator, *both, score, "val_perplexity", "min", ("answer_length", "num_answers")
    )

    answers = answering.Answers(settings, template, train.talks, tested.talks)
    answers.generate(generator)
    scores = {
        "split": split,
        "records": len(tested),
        **scorer.scores(test_batches),
        **{f"{name}_before": value for name, value in before.items()},
        **answering.guess(train, tested, tokenizer.vocab_size),
        **answers.scores(),
        "parameters": model.count_params(),
        "trained_parameters": trainable,
    }
    save(settings, generator, template)
    scores |= watch.costs()
    write_json(settings.run_dir / "scores.json", scores)
    explain_run(settings, report, scores, answers)
    finetuning.export(settings, generator)
    print(f"\n{settings.run_dir}: report.html, scores.json, weights, tokenizer")
    guess = f"a guess: {scores['perplexity_guess']:.1f}"
    print(f"{split} perplexity: {scores['perplexity']:.2f} ({guess})")
    if answers.rows:
        usual = f"the usual answer: {scores['exact_match_guess']:.1f} %"
        print(f"{split} exact match: {scores['exact_match']:.1f} % ({usual})")


def check(settings):
    """Refuses settings that contradict each other, before anything is read."""
    finetuning.check(settings)
    answering.check(settings)
    finetuning.check_data_dir(settings, made="library")
    if settings.corpus == "text":
        finetuning.check_apart(settings)
    if settings.chat_template == "checkpoint" and settings.from_checkpoint is None:
        raise ValueError("chat_template checkpoint needs --from-checkpoint: a new model has none.")
    if settings.lora_rank and settings.from_checkpoint is None:
        raise ValueError("lora_rank needs --from-checkpoint: a new model has all to learn.")
    if settings.lora_rank and (settings.freeze_embeddings or settings.freeze_blocks):
        raise ValueError("freeze_embeddings and freeze_blocks are for lora_rank 0 alone.")
    if settings.corpus == "text" and settings.from_checkpoint is None:
        raise ValueError("--from-checkpoint is missing; recipes.pretrain_decoder starts anew")
    if settings.corpus != "library" and settings.data_dir is None:
        raise ValueError("--data-dir is missing: the folder with your files")
    if settings.from_checkpoint is not None:
        decoders.require_decoder(settings.from_checkpoint)


# Data


def read_corpus(settings):
    """Training, validation and test data; None where there is no test."""
    if settings.corpus == "library":
        return *library_questions.conversations(settings.seed), None
    if settings.corpus == "text":
        documents = [document.text for document in data.read_documents(settings.data_dir)]
        return *cut(documents, 0.9), None
    train, valid, test = splits.read_splits(settings.data_dir, (".jsonl",), data.read_messages)
    if valid is None:
        if len(train) < 2:
            raise ValueError(f"{train.path}: 1 record, of which none can be kept for validation")
        train, valid = data.hold_out(train, seed=settings.seed)
    return train, valid, test


def cut(documents, share):
    """Documents up to a share of all their characters, and the rest: one may be in both."""
    end, parts = round(share * sum(map(len, documents))), ([], [])
    for document in documents:
        place = min(max(end, 0), len(document))
        for part, piece in zip(parts, (document[:place], document[place:]), strict=True):
            if piece.strip():
                part.append(piece)
        end -= len(document)
    return parts


def make_tokenizer(settings, train):
    """The checkpoint's; or byte-level BPE, learned from the training text, with ChatML's marks."""
    if settings.from_checkpoint is not None:
        return text.Tokenizer.load(find_folder(settings.from_checkpoint))
    lines = [message.content for messages in train.messages for message in messages]
    train = functools.partial(text.BytePairTokenizer.train, [lines], special_tokens=decoders.MARKS)
    return train_vocabulary(train, settings.vocab_size)


@dataclasses.dataclass(frozen=True)
class Records:
    """What a model reads, what it shall write, and the conversations that this is from."""

    ids: list
    labels: list
    """-100 where there is nothing to learn."""
    talks: list
    """Of messages; none of plain text."""

    def __len__(self):
        return len(self.ids)


def encode(settings, tokenizer, template, part):
    """Conversations, or documents, as `Records` no longer than `max_length`."""
    if settings.corpus == "text":
        return encode_documents(settings, tokenizer, part)
    records, num_cut = Records([], [], []), 0
    for n, talk in enumerate(part.messages):
        try:
            ids, labels = data.next_tokens(*text.chat_tokens(tokenizer, template, talk))
        except ValueError as error:
            raise ValueError(f"{part.where(n)}: {error}") from None
        if len(ids) > settings.max_length:
            if not settings.truncate:
                raise ValueError(
                    f"{part.where(n)}: {len(ids)} tokens, max_length is {settings.max_length}; "
                    "--truncate cuts what is longer"
                )
            num_cut += 1
            ids, labels = ids[: settings.max_length], labels[: settings.max_length]
        if (labels >= 0).any():  # something of an answer is left
            records.ids.append(ids)
            records.labels.append(labels)
            records.talks.append(talk)
    if num_cut:
        print(f"{num_cut:,} of {len(part):,} records were cut to {settings.max_length} tokens")
    if not len(records):
        raise ValueError(f"{part.path}: no answer begins within {settings.max_length} tokens")
    return records


def encode_documents(settings, tokenizer, documents):
    """Documents with their end, in pieces; every token but the first of a piece is learned."""
    ids, labels = [], []
    end = [tokenizer.eos_id] * (tokenizer.eos_id >= 0)
    for tokens in tokenizer.encode(documents):
        tokens = [*tokens, *end]
        for start in range(0, len(tokens) - 1, settings.max_length):
            piece = tokens[start : start + settings.max_length + 1]
            of_piece, learned = data.next_tokens(piece, [True] * len(piece))
            ids.append(of_piece)
            labels.append(learned)
    if not ids:
        raise ValueError(
            f"{settings.data_dir}: too little text to keep a tenth of it for validation; both "
            "parts need 2 tokens at least"
        )
    return Records(ids, labels, [])


def plan(settings, tokenizer, records, shuffle=True):
    """Batches of conversations, or of rows that several of them share."""
    ids, labels, segments = records.ids, records.labels, None
    if settings.packing:
        ids, labels, segments, _ = data.pack_records(ids, labels, settings.max_length)
    options = finetuning.batch_options(settings, tokenizer, shuffle)
    if settings.tokens_per_batch is not None:
        longest = max(map(len, ids))
        if settings.tokens_per_batch < longest:
            raise ValueError(
                f"tokens_per_batch must be at least {longest}, the length of the longest row; "
                f"got {settings.tokens_per_batch}."
            )
        options |= {"tokens_per_batch": settings.tokens_per_batch, "batch_size": None}
        if not shuffle:  # one length, so that each batch has as many rows: Keras averages over rows
            options["num_shapes"] = 1
    return data.RecordBatches(ids, token_labels=labels, segment_ids=segments, **options)


# The model


def make_model(settings, tokenizer, template):
    """The checkpoint's decoder, or a new one; it stops where the template ends an answer."""
    if settings.from_checkpoint is not None:
        stop = {} if settings.corpus == "text" else new_end(settings, tokenizer, template)
        return decoders.load_decoder(
            settings.from_checkpoint, settings.max_length, "max_length", **stop
        )
    config = models.DecoderConfig(
        vocab_size=tokenizer.vocab_size,
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
        hidden_dim=settings.hidden_dim,
        ffn_dim=4 * settings.hidden_dim,
        max_length=settings.max_length,
        positions="rotary",
        dropout=settings.dropout,
        attention_dropout=settings.dropout,
        activation="gelu",
        norm_first=True,
        use_bias=False,
        eos_id=end_of_answers(tokenizer, template),
        pad_id=max(tokenizer.pad_id, 0),
    )
    return models.CausalLM(config)


def new_end(settings, tokenizer, template):
    """The argument by which a checkpoint's model stops where the template ends an answer."""
    fields = read_fields(find_folder(settings.from_checkpoint) / CONFIG)
    known = fields.get("eos_token_id", fields.get("eos_id"))  # published, or of our own layout
    end = end_of_answers(tokenizer, template)
    return {} if end in (known if isinstance(known, list) else [known]) else {"eos_id": end}


def end_of_answers(tokenizer, template):
    """The token that the assistant learns to stop with."""
    talk = data.Message("user", "?"), data.Message("assistant", "!")
    ids, is_learned = text.chat_tokens(tokenizer, template, talk)
    return [token for token, learned in zip(ids, is_learned, strict=True) if learned][-1]


# Results


def save(settings, generator, template):
    """The adapter, where there is one; then the whole model, tokenizer and template."""
    run = settings.run_dir
    if settings.lora_rank:
        checkpoints.save_adapter(
            generator.model, run / "adapter", base_model=settings.from_checkpoint
        )
        training.merge_lora(generator.model)
    generator.save_pretrained(run)
    if template is not None:
        write_atomically(run / JINJA, template.to_jinja().encode())


def explain_run(settings, report, scores, answers):
    """Writes `report.html`: curves, scores, answers beside the expected ones."""
    cards = {"Perplexity": (f"{scores['perplexity']:.2f}", f"of answers, {scores['split']}")}
    if "exact_match" in scores:
        note = f"of {scores['answers']}; the usual answer: {scores['exact_match_guess']:.1f} %"
        cards["Exact match"] = (f"{scores['exact_match']:.1f} %", note)
    report.add_scores(
        {
            **cards,
            "Token accuracy": f"{scores['token_accuracy']:.1f} %",
            "Trained weights": f"{scores['trained_parameters']:,}",
            "Time": f"{scores['seconds'] / 60:.1f} min",
            "Peak memory": f"{scores['peak_memory_mb']:,} MB",
        }
    )
    report.add_curves(settings.run_dir / "metrics.jsonl")
    if answers.rows:
        report.add_records("By question", *answers.by_question())
        report.add_records("Answers", *answers.samples())
    finetuning.finish_report(settings, report)


if __name__ == "__main__":
    runs.start(main, "finetune_decoder", PRESETS)
