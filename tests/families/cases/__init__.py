"""The cases of all families, one file each: a list `CASES`."""

import importlib
import pathlib

import pytest

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


# Of each style some, which every run of the tests takes
DAILY = ("bert", "roberta", "gpt2", "llama", "t5", "marian")


def cases_of(family):
    return importlib.import_module(f"cases.{family}").CASES


def all_cases():
    return [case for family in FAMILIES for case in cases_of(family)]


def case_parameters():
    """All cases for pytest; those beside the daily families are marked as broad."""
    return [
        pytest.param(case, marks=() if case.name.split("/")[0] in DAILY else pytest.mark.broad)
        for case in all_cases()
    ]


def case_of(name):
    """The case of a name such as "bert/MaskedLM"."""
    return next(case for case in cases_of(name.split("/")[0]) if case.name == name)
