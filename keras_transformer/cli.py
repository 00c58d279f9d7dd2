"""The command line: keras-transformer predict | export | evaluate | info."""

import argparse
import inspect
import os
import sys
import warnings

from keras_transformer.cli_lines import as_line, flush, read_items, read_jsonl

EPILOG = """\
FOLDER is a local folder with a model and its tokenizer, as save_pretrained, a recipe or
Hugging Face transformers writes it, or a name on the Hugging Face hub. The task is recognised from
its config.json; --task names another.

examples:
  keras-transformer predict runs/sst2 "a fine film"
  keras-transformer predict runs/squad --context "Rome is in Italy." "Where is Rome?"
  keras-transformer predict runs/deen --file test.de --beam-size 5 > test.en.jsonl
  keras-transformer export runs/sst2 classifier/1
  keras-transformer export runs/sst2 classifier.onnx --format onnx
  keras-transformer evaluate runs/sst2 dev.jsonl
  keras-transformer info runs/sst2
"""
# Settings of a task's call, or of its export, by their option: type and help
SETTINGS = {
    "--top-k": (int, "candidates for each mask, or for each token that is drawn"),
    "--threshold": (float, "probability from which on a label of several counts"),
    "--n-best": (int, "answers or translations wanted"),
    "--no-answer-threshold": (float, "log odds above which a context has no answer"),
    "--max-answer-length": (int, "tokens of an answer at most"),
    "--overlap": (int, "tokens that two windows of a long text share"),
    "--beam-size": (int, "hypotheses kept for each text"),
    "--length-penalty": (float, "exponent of the length that scores are divided by"),
    "--max-new-tokens": (int, "tokens of a generated text at most"),
    "--temperature": (float, "draws each token of a text; below 1 sharpens"),
    "--top-p": (float, "share of the probability that is drawn from"),
    "--seed": (int, "the same draws the same text"),
}
# Settings of a generator's method, which they stand for
DRAWN = ("temperature", "top_k", "top_p", "seed")
SEARCHED = ("beam_size", "length_penalty")
FILES = {"batch_size": "rows of an input", "length": "tokens of an input"}


def main(arguments=None):
    """Runs the command line.

    Args:
        arguments: a list of strings; by default those of the process.

    Returns:
        The exit code: 0, or 1 after an error, whose message is on standard error; 2 for a command
        line that is none, 130 when interrupted.
    """
    options = make_parser().parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its notes would hide the answers
    if options.command == "export":
        os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show
            options.run(options)
            flush()
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        return 0
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError, TypeError, ImportError, RuntimeError, ArithmeticError) as error:
        if options.debug:
            raise
        print(f"keras-transformer: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def make_parser():
    """The parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="keras-transformer",
        description="Answers, exports, scores and describes models from the command line.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=CommandParser
    )

    command = add_command(commands, "predict", predict, "print answers as JSON, one a line")
    command.add_argument("text", nargs="*", metavar="TEXT", help="texts, or questions")
    command.add_argument(
        "--file",
        metavar="FILE",
        help="read texts from a file, one a line, or objects (text, pair; question, context) where "
        "its name ends in .jsonl; - for standard input",
    )
    command.add_argument("--pair", help="the second text, for classifiers of pairs")
    command.add_argument("--context", help="where the answer to the questions is looked for")
    add_call(command)

    command = add_command(commands, "export", export, "write a model for servers and phones")
    command.add_argument("path", metavar="PATH", help="the folder, or file, to write")
    command.add_argument(
        "--format",
        choices=("savedmodel", "onnx", "litert"),
        default="savedmodel",
        help="a SavedModel of strings and answers, or a file of the model from token ids to logits",
    )
    for name, text in FILES.items():
        option = f"--{name.replace('_', '-')}"
        command.add_argument(option, type=int, metavar="N", help=f"{text}, fixed (onnx, litert)")
    add_settings(command)

    command = add_command(commands, "evaluate", evaluate, "score a model on labelled examples")
    command.add_argument("file", metavar="FILE.jsonl", help="examples, see tasks.evaluate")
    add_call(command)

    command = add_command(commands, "info", info, "describe a model")
    return parser


class CommandParser(argparse.ArgumentParser):
    """A command's parser: texts may stand before options, behind them and between them."""

    _intermixed = False

    def parse_known_args(self, args=None, namespace=None):
        if self._intermixed:  # argparse's own method for that calls this in turn
            return super().parse_known_args(args, namespace)
        self._intermixed = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._intermixed = False


def add_command(commands, name, run, text):
    """A command with what all have."""
    command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    command.set_defaults(run=run)
    command.add_argument("folder", metavar="FOLDER", help="a model's folder, or hub name")
    command.add_argument("--task", help="such as text-embedding; by default as config.json says")
    command.add_argument("--revision", help="commit, tag or branch on the hub")
    return command


def add_call(command):
    """What a task can be called with."""
    add_settings(command)
    command.add_argument("--batch-size", type=int, metavar="N", help="texts at a time")
    command.add_argument("--truncate", action="store_true", default=None,
                         help="cut texts that are too long, in place of an error")  # fmt: skip


def add_settings(command):
    """The options that are settings of some task."""
    command.add_argument("--max-length", type=int, metavar="N", help="tokens of an input at most")
    command.add_argument(
        "--dtype", metavar="DTYPE", help="of weights and computation: float32, float16, bfloat16, "
        "mixed_float16 or mixed_bfloat16"
    )  # fmt: skip
    for option, (kind, text) in SETTINGS.items():
        command.add_argument(option, type=kind, metavar="N" if kind is int else "X", help=text)


def predict(options):
    """Prints the answers."""
    places, items = read_items(options)
    task = load(options)
    settings = given(options, task, ("batch_size", "truncate"))
    keys = ("question", "context") if hasattr(task, "max_question_length") else ("text", "pair")
    firsts = [item.get(keys[0], item.get("text")) for item in items]
    seconds = [item.get(keys[1]) for item in items]
    if any(x is None for x in firsts):
        raise ValueError(f"{places[firsts.index(None)]} lacks {keys[0]!r}.")
    arguments = [firsts]
    if keys[1] == "context" or any(x is not None for x in seconds):
        if None in seconds:
            hint = "; --context gives one" if keys[1] == "context" else ""
            raise ValueError(f"{places[seconds.index(None)]} lacks {keys[1]!r}{hint}.")
        arguments.append(seconds)
    try:
        inspect.signature(task.__call__).bind(*arguments)
    except TypeError:
        raise ValueError(f"{type(task).__name__} takes no pairs of texts.") from None
    answers = [as_fields(answer) for answer in task(*arguments, **settings)]
    for item, answer in zip(items, apart(items, answers), strict=True):
        print(as_line({**item, **answer}))


def apart(items, answers):
    """The answers, under a key of their own where an item has one of their names already."""
    taken, key = set().union(*items), "prediction"
    if not taken & set().union(*answers):
        return answers
    while key in taken:
        key += "_"
    return [{key: answer} for answer in answers]


def as_fields(answer):
    """An answer as JSON can hold it."""
    if isinstance(answer, list):
        return {"entities": [entity.to_dict() for entity in answer]}
    if hasattr(answer, "tolist"):
        return {"embedding": answer.tolist()}
    fields = answer.to_dict()
    return {"answer" if name == "text" else name: value for name, value in fields.items()}


def export(options):
    """Writes a SavedModel."""
    from keras_transformer.export import export_task
    from keras_transformer.export.saved_model import check_options

    task = load(options)
    settings = {name: x for name, x in all_settings(options, FILES).items() if x is not None}
    settings = with_method(task, settings)
    for name in settings:
        try:
            check_options(task, options.format, [name])
        except TypeError:
            raise ValueError(
                f"--{name.replace('_', '-')} is no setting of a {type(task).__name__} "
                f"as {options.format}."
            ) from None
    export_task(task, options.path, format=options.format, **settings)
    print(f"{options.path}: {type(task).__name__}", file=sys.stderr)


def evaluate(options):
    """Prints the scores."""
    examples = [example for _, example in read_jsonl(options.file)]
    task = load(options)
    settings = given(options, task, ("batch_size", "truncate"))
    from keras_transformer.tasks.evaluation import evaluate as scores_of

    scores = scores_of(task, examples, **settings).items()
    print(as_line(dict(scores)))


def info(options):
    """Prints what a folder holds; its weights are not loaded."""
    import math

    import numpy as np

    from keras_transformer.checkpoints.hub import find_folder
    from keras_transformer.checkpoints.pretrained import read_fields
    from keras_transformer.checkpoints.sentence_transformers import read_modules
    from keras_transformer.checkpoints.tensor_files import TensorFiles
    from keras_transformer.tasks.loading import task_of
    from keras_transformer.text import Tokenizer

    folder = find_folder(options.folder, options.revision)
    encoder, _ = read_modules(folder)
    fields = read_fields(encoder / "config.json")
    places = TensorFiles(encoder).places.values()
    try:
        task = options.task or task_of(folder)
    except ValueError:
        task = None
    try:
        tokenizer = repr(Tokenizer.load(encoder))
    except (OSError, ValueError) as error:
        tokenizer = f"none ({error})".split("\n")[0]
    sizes = {place.dtype: 0 for place in places}
    for place in places:
        sizes[place.dtype] += math.prod(place.shape)
    number = sum(sizes.values())
    print(f"folder        {folder}")
    print(f"architecture  {', '.join(fields.get('architectures') or ['unknown'])} "
          f"({fields.get('model_type')})")  # fmt: skip
    print(f"task          {task or 'not said; --task names it'}")
    print(f"parameters    {number:,}")
    print(f"weights       {', '.join(f'{count:,} {dtype}' for dtype, count in sizes.items())}")
    print(f"memory        {_bytes(number * np.dtype('float32').itemsize)} in float32, "
          f"{_bytes(number * 2)} in float16 or bfloat16")  # fmt: skip
    print(f"tokenizer     {tokenizer}")


def load(options):
    """The task of the folder."""
    from keras_transformer.tasks.loading import load_task

    arguments = {}
    if options.command != "export" and options.max_length is not None:
        arguments["max_length"] = options.max_length
    if options.dtype is not None:
        arguments["dtype"] = options.dtype
    return load_task(options.folder, options.task, options.revision, **arguments)


def all_settings(options, further=()):
    """Every setting by its name; None for those not given."""
    names = [option.removeprefix("--").replace("-", "_") for option in SETTINGS]
    return {name: getattr(options, name) for name in ("max_length", *names, *further)}


def given(options, task, further):
    """The settings that were given; one that the task's call does not take is an error."""
    settings = all_settings(options, further)
    settings.pop("max_length")
    settings = with_method(task, {name: x for name, x in settings.items() if x is not None})
    known = inspect.signature(task.__call__).parameters
    for name in settings:
        if name not in known:
            kind = type(task).__name__
            raise ValueError(f"--{name.replace('_', '-')} is no setting of a {kind}.")
    return settings


def with_method(task, settings):
    """The settings, where a task has a decoding method with those of the method made into one."""
    if "method" not in inspect.signature(task.__call__).parameters:
        return settings
    from keras_transformer import generation

    drawn, searched = ([name for name in names if name in settings] for names in (DRAWN, SEARCHED))
    if drawn and searched:
        first, second = (f"--{names[0].replace('_', '-')}" for names in (drawn, searched))
        raise ValueError(f"{first} draws and {second} searches: give one of them.")
    rest = {name: x for name, x in settings.items() if name not in (*drawn, *searched)}
    kept = {name: settings[name] for name in (*drawn, *searched)}
    if not (drawn or searched or "n_best" in rest):
        return rest
    if drawn:  # with the folder's penalties, as the search has them
        kept["processors"] = task.decoding.processors()
        method = generation.Sampling(num_sequences=rest.pop("n_best", 1), **kept)
    else:
        if task.decoding.beam_size == 1:  # a folder that says nothing
            kept.setdefault("beam_size", generation.BeamSearch.beam_size)
        method = task.decoding.method(n_best=rest.pop("n_best", 1), **kept)
    return {**rest, "method": method}


def _show(message, *_, **__):
    """A warning as one line, without the place in the code that it comes from."""
    print(f"keras-transformer: warning: {message}", file=sys.stderr)


def _bytes(number):
    return f"{number / 2**20:,.1f} MiB"
