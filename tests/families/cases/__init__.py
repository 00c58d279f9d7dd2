"""The cases of all families, one file each: a list `CASES`."""

import importlib
import pathlib

FAMILIES = sorted(
    path.stem for path in pathlib.Path(__file__).parent.glob("*.py") if path.stem != "__init__"
)


# Of each style those whose gradients the golden files hold
TRAINED = (
    "bert/SequenceClassifier",
    "gpt2/CausalLM",
    "llama/grouped",
    "t5/Seq2SeqLM",
)


def cases_of(family):
    return importlib.import_module(f"cases.{family}").CASES


def all_cases():
    return [case for family in FAMILIES for case in cases_of(family)]


def case_of(name):
    """The case of a name such as "bert/MaskedLM"."""
    return next(case for case in cases_of(name.split("/")[0]) if case.name == name)
