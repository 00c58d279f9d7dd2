"""Answer questions on a text with the words of the text.

    python -m recipes.answer quickstart                              who, when, how much; minutes
    python -m recipes.answer squad --data-dir D --from-checkpoint C  SQuAD 1.1 or 2.0
    python -m recipes.answer xquad --data-dir D --from-checkpoint R  evaluates what was trained
    python -m recipes.answer files --data-dir D                      your train, val, test.json

C is a folder or a name on the Hugging Face hub with an encoder and its tokenizer, R one with an
answerer, such as a run's folder. Your files are JSON as SQuAD's; without `val`, a tenth of the
contexts of `train` are kept for validation, and without `test`, scores are of the validation:
exact match and F1 as SQuAD's script counts them. Contexts longer than the model come in windows.
Where some questions have no answer, how much more probable "none" must be than an answer is chosen
on the validation questions, if there is a test part too; the SavedModel has the same threshold.
The run's folder opens with `tasks.QuestionAnswerer.from_pretrained`.

`python -m recipes.answer PRESET --help` lists every setting. The same command again resumes a run
that was interrupted. On two cores `quickstart` took 195 s and matched 57.6 % of the answers
exactly (docs/results.md).
"""

import dataclasses
import functools
import warnings
from typing import Literal

import keras
import numpy as np

from keras_transformer import explain, models, tasks, training
from keras_transformer.checkpoints.files import write_json
from keras_transformer.models.encoder_heads import span_loss
from keras_transformer.tasks.long_texts import make_windows
from recipes import attention_maps, command_line, finetuning, runs, sentences, splits
from recipes.questions import Questions, hold_out, read_questions

AROUND = 120  # characters of a context that the report shows on each side of an answer


@dataclasses.dataclass(frozen=True)
class Settings(finetuning.FineTuning):
    """Settings of a run; the defaults are those of the chosen preset."""

    corpus: Literal["sentences", "squad", "xquad", "files"] = "files"
    """Where the data come from."""
    overlap: int | None = None
    """Tokens that two windows of a context share; none: a third of `max_length`, at most 128."""
    max_answer_length: int = 30
    """Tokens of an answer at most."""


PRESETS = {
    "quickstart": (
        "Questions on who did what when, some without answer; generated on the spot, minutes.",
        Settings(
            runs.RUNS / "answer",
            corpus="sentences",
            vocab_size=3000,
            dropout=0.0,
        ),
    ),
    "squad": (
        "train-v1.1.json and dev-v1.1.json, or train-v2.0.json and dev-v2.0.json.",
        Settings(
            runs.RUNS / "squad",
            corpus="squad",
            max_length=384,
            learning_rate=5e-5,
            epochs=2,
            truncate=True,
        ),
    ),
    "xquad": (
        "Evaluates an answerer on xquad.en.json; trains nothing.",
        Settings(runs.RUNS / "xquad", corpus="xquad", max_length=384, truncate=True),
    ),
    "files": (
        "Your own train.json, val.json, test.json in --data-dir.",
        Settings(runs.RUNS / "answerer", max_length=384),
    ),
}


@command_line.saying_flags()
def main(settings):
    """Trains, or goes on training; then scores, explains and exports."""
    finetuning.check(settings)
    finetuning.check_data_dir(settings, made="sentences")
    if settings.max_answer_length < 1:
        raise ValueError(f"max_answer_length must be at least 1; got {settings.max_answer_length}.")
    watch = runs.Stopwatch()
    report = explain.Report(f"Answers: {settings.run_dir.name}", __doc__.split("\n")[0])
    runs.prepare_backend(settings.seed, settings.xla, settings.mixed_precision)
    train, valid, test = read_corpus(settings)
    if train is None:
        answerer = load_answerer(settings)
        check_questions(settings, answerer, test)
    else:
        texts = [x for question in train for x in (question.question, question.context)]
        tokenizer = finetuning.make_tokenizer(settings, texts)
        model = finetuning.make_model(settings, models.SpanExtractor, tokenizer)
        answerer = tasks.QuestionAnswerer(model, tokenizer, settings.max_length)
        batches = plan_batches(settings, answerer, train)
        valid_batches = plan_batches(settings, answerer, valid, shuffle=False)
        if test is not None:
            check_questions(settings, answerer, test)  # what is wrong, now
        print(batches.describe())
        finetuning.compile_model(settings, model, batches, SpanLoss())
        score = functools.partial(evaluate, settings, answerer, valid)
        both = finetuning.weighted(settings, batches, valid_batches)
        watch.earlier = finetuning.fit(settings, answerer, *both, score, "val_f1")
        answerer.save_pretrained(settings.run_dir)

    split, questions = ("validation", valid) if test is None else ("test", test)
    threshold = 0.0 if has_impossible(questions) else None
    if test is not None and train is not None and has_impossible(valid):
        threshold = best_threshold(valid, find(settings, answerer, valid))
    answers = find(settings, answerer, questions, threshold)
    scores = {"split": split, "no_answer_threshold": threshold}
    scores |= {**score_answers(questions, answers), **watch.costs()}
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    write_json(settings.run_dir / "scores.json", scores)
    explain_run(settings, report, scores, answerer, questions, answers)
    finetuning.export(
        settings,
        answerer,
        no_answer_threshold=threshold,
        max_answer_length=settings.max_answer_length,
        overlap=settings.overlap,
    )
    print(f"\n{settings.run_dir}: report.html, scores.json, weights, tokenizer")
    print(f"{split}: exact match {scores['exact']:.2f} %, F1 {scores['f1']:.2f} %")


# Data


def read_corpus(settings):
    """Questions for training, validation and test; None where there are none."""
    if settings.corpus == "sentences":
        sizes, seeds = (40_000, 500, 1_000), (3 * settings.seed + part for part in range(3))
        parts = (sentences.asked(*part) for part in zip(sizes, seeds, strict=True))
        return [Questions(part, "sentences") for part in parts]
    if settings.corpus == "files":
        train, valid, test = splits.read_splits(settings.data_dir, (".json",), read_questions)
    elif settings.data_dir is None:
        raise ValueError(f"--data-dir is missing: the folder with {settings.corpus}'s files")
    elif settings.corpus == "xquad":
        train, valid, test = None, None, read_questions(settings.data_dir / "xquad.en.json")
    else:
        version = "2.0" if (settings.data_dir / "train-v2.0.json").exists() else "1.1"
        paths = (settings.data_dir / f"{part}-v{version}.json" for part in ("train", "dev"))
        train, valid, test = *map(read_questions, paths), None
    if valid is None and train is not None:
        train, valid = hold_out(train, settings.seed)
    return train, valid, test


def load_answerer(settings):
    """The checkpoint's answerer, its inputs as long as the settings say, or as it was saved for.

    An encoder without a head that was trained is refused.
    """
    if settings.from_checkpoint is None:
        raise ValueError("--from-checkpoint is missing: the answerer that is to be evaluated")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".* has no weights for .*")
        try:
            answerer = tasks.QuestionAnswerer.from_pretrained(settings.from_checkpoint)
        except UserWarning as error:
            raise ValueError(f"{settings.from_checkpoint} is no answerer: {error}") from None
    length = min(settings.max_length, answerer.max_length)
    if length < settings.max_length:
        print(f"max_length {length}, as {settings.from_checkpoint} has it")
    return tasks.QuestionAnswerer(answerer.model, answerer.tokenizer, length)


# Training


class SpanLoss(keras.losses.Loss):
    """The sum over windows of `models`' span loss; the batches' weights hold the divisor."""

    def __init__(self):
        super().__init__(name="span_loss", reduction="sum")

    def call(self, y_true, y_pred):
        return span_loss(y_true, y_pred)


def check_questions(settings, answerer, questions):
    """The tokens of all questions; those that are too long are cut, or refused with their file."""
    asked = answerer.tokenizer.encode([question.question for question in questions])
    limit = answerer.max_question_length
    for question, ids in zip(questions, asked, strict=True):
        if len(ids) > limit and not settings.truncate:
            raise ValueError(
                f"{questions.where(question)}: {len(ids)} tokens, the limit is {limit}, a sixth of "
                f"max_length, {answerer.max_length}, or 64; --truncate cuts what is longer"
            )
    return [ids[:limit] for ids in asked]


def plan_batches(settings, answerer, questions, shuffle=True):
    """Batches of windows, with the first and the last token of the answer; 0 where it is not."""
    tokenizer = answerer.tokenizer
    asked = check_questions(settings, answerer, questions)
    contexts = list(dict.fromkeys(question.context for question in questions))
    tokens = dict(zip(contexts, tokenizer.encode_with_offsets(contexts), strict=True))
    overlap = answerer.check_overlap(settings.overlap)
    encodings, labels = [], []
    for question, first in zip(questions, asked, strict=True):
        own, places = label_windows(answerer, question, first, tokens, overlap)
        encodings += own
        labels += places
    return finetuning.plan(
        settings, tokenizer, answerer.model, encodings, shuffle, labels=np.array(labels, "int32")
    )


def label_windows(answerer, question, first, tokens, overlap):
    """The windows of a question's context; of each the answer's first and last token, or 0, 0."""
    template, max_length = answerer.tokenizer.template, answerer.max_length
    found = make_windows(
        template, question.context, tokens[question.context], max_length, overlap, first=first
    )
    inside = []
    if question.answers:
        answer = question.answers[0]
        inside = [
            i for i, (a, b) in enumerate(found.offsets) if a < answer.end and answer.start < b
        ]
    size = max_length - template.num_added(True) - len(first)
    labels = []
    for row, encoding in enumerate(found.encodings):
        begin = row * (size - overlap)  # the context's token that the window begins with
        is_whole = inside and begin <= inside[0] and inside[-1] < begin + size
        first_column = encoding.sources.index(1) - begin if is_whole else 0
        labels.append([first_column + i for i in (inside[0], inside[-1])] if is_whole else [0, 0])
    return found.encodings, labels


# Results


def has_impossible(questions):
    """Whether some of the questions have no answer."""
    return any(question.is_impossible for question in questions)


def find(settings, answerer, questions, threshold=None):
    """The answers: "" where none is more probable by the threshold, nowhere without a threshold."""
    with finetuning.no_warning_of_cuts():
        return answerer(
            [question.question for question in questions],
            [question.context for question in questions],
            no_answer_threshold=threshold,
            max_answer_length=settings.max_answer_length,
            overlap=settings.overlap,
            truncate=settings.truncate,
            progress=False,
        )


def best_threshold(questions, answers):
    """The `no_answer_threshold` with which most of the questions are answered exactly.

    Of the thresholds that do as well the one next to 0, which stands for the model's own judgement.

    Args:
        questions: with their right answers.
        answers: found without a threshold.
    """
    margins = np.array([log_ratio(a.no_answer_score, a.score) for a in answers])
    is_right = np.array([is_exact(*pair) for pair in zip(questions, answers, strict=True)])
    is_none = np.array([question.is_impossible for question in questions])
    ordered = np.unique(margins)
    between = (ordered[1:] + ordered[:-1]) / 2
    thresholds = np.concatenate([[0.0], between, [ordered[0] - 1, ordered[-1] + 1]])
    thresholds = thresholds[np.argsort(np.abs(thresholds), kind="stable")]
    exact = [np.where(margins > t, is_none, is_right).sum() for t in thresholds]
    return round(float(thresholds[int(np.argmax(exact))]), 4)


def log_ratio(part, other):
    """log(part / other) of two probabilities, either of which may be 0."""
    tiny = np.finfo("float64").tiny
    return float(np.log(max(part, tiny)) - np.log(max(other, tiny)))


def is_exact(question, answer):
    """Whether an answer is one of the question's, as SQuAD's script compares."""
    wanted = [a.text for a in question.answers] or [""]
    return any(training.squad.exact_match(answer.text, text) for text in wanted)


def score_answers(questions, answers):
    """SQuAD's scores, in percent."""
    predictions = {q.id: answer.text for q, answer in zip(questions, answers, strict=True)}
    scores = training.squad_scores(predictions, questions)
    return {name: round(value, 3) for name, value in scores.items()}


def evaluate(settings, answerer, questions):
    """The scores that decide, of the answerer as it is."""
    threshold = 0.0 if has_impossible(questions) else None
    scores = score_answers(questions, find(settings, answerer, questions, threshold))
    return {name: scores[name] for name in ("exact", "f1")}


def explain_run(settings, report, scores, answerer, questions, answers):
    """Writes `report.html`: curves, scores, and answers in their contexts."""
    report.add_scores(
        {
            "Exact match": (f"{scores['exact']:.1f} %", scores["split"]),
            "F1": (f"{scores['f1']:.1f} %", "as SQuAD's script counts"),
            "Questions": f"{scores['total']:,}",
            **threshold_score(scores),
            "Time": f"{scores['seconds'] / 60:.1f} min",
            "Peak memory": f"{scores['peak_memory_mb']:,} MB",
        }
    )
    if (settings.run_dir / "metrics.jsonl").exists():
        report.add_curves(settings.run_dir / "metrics.jsonl")
    groups = {"Wrong answers": [], "Right answers": []}
    for question, answer in zip(questions, answers, strict=True):
        is_right = is_exact(question, answer)
        groups["Right answers" if is_right else "Wrong answers"].append((question, answer))
    for heading, pairs in groups.items():
        rows = [
            (
                question.question,
                excerpt(question.context, answer.start, answer.end, "answer"),
                excerpt(question.context, *_place(question), "expected"),
                f"{answer.score:.3f}",
            )
            for question, answer in pairs[:: max(1, len(pairs) // 20)][:20]
        ]
        columns = ["Question", "Answer", "Expected", "Score"]
        report.add_records(heading, columns, rows, f"{len(pairs):,} questions")
    asked = [question.question for question in questions]
    contexts = [question.context for question in questions]
    attention_maps.add_attention(report, answerer.model, answerer.tokenizer, asked, contexts)
    finetuning.finish_report(settings, report)


def threshold_score(scores):
    """The report's line on the threshold, where there is one."""
    if scores["no_answer_threshold"] is None:
        return {}
    meaning = "log p(no answer) - log p(answer) above which there is none"
    return {"No-answer threshold": (f"{scores['no_answer_threshold']:.2f}", meaning)}


def excerpt(context, start, end, label):
    """The text around a span, and the span in it; "(none)" for an empty one.

    >>> excerpt("in 1066", 3, 7, "answer")
    ('in 1066', [('answer', 3, 7)])
    """
    if start == end:
        return "(none)"
    first, last = max(0, start - AROUND), min(len(context), end + AROUND)
    return context[first:last], [(label, start - first, end - first)]


def _place(question):
    answers = question.answers
    return (answers[0].start, answers[0].end) if answers else (0, 0)


if __name__ == "__main__":
    runs.start(main, "answer", PRESETS)
