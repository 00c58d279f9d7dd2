"""The cases of all families, one file each: a list `CASES`."""

import importlib
import pathlib

FAMILIES = sorted(
    path.stem for path in pathlib.Path(__file__).parent.glob("*.py") if path.stem != "__init__"
)


def cases_of(family):
    return importlib.import_module(f"cases.{family}").CASES


def all_cases():
    return [case for family in FAMILIES for case in cases_of(family)]
