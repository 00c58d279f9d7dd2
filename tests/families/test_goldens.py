"""Every family, head and unusual setting against outputs of `transformers` on torch.

`python tests/goldens/make_family_goldens.py` writes the golden files.
"""

import json
import pathlib

import numpy as np
import pytest
from cases import FAMILIES, case_parameters, cases_of
from compare import check, open_ours, run_ours, same_tensors, write_folder

GOLDENS = pathlib.Path(__file__).parent.parent / "goldens" / "families"


def golden(case):
    """The record of a case, and its outputs."""
    family = case.name.split("/")[0]
    record = json.loads((GOLDENS / f"{family}.json").read_text())[case.name]
    with np.load(GOLDENS / f"{family}.npz") as arrays:
        outputs = {
            name.removeprefix(f"{case.name}/"): arrays[name]
            for name in arrays
            if name.startswith(f"{case.name}/")
        }
    return record, outputs


@pytest.mark.parametrize("case", case_parameters(), ids=str)
def test_equals_the_published_model_and_is_written_back(case, tmp_path):
    record, expected = golden(case)
    write_folder(tmp_path / "theirs", record, case)
    model = open_ours(tmp_path / "theirs", case)
    found = run_ours(model, case)
    check(found, expected, case)
    model.save_pretrained(tmp_path / "ours")
    same_tensors(tmp_path / "ours", tmp_path / "theirs" / "model.safetensors", case)
    again = open_ours(tmp_path / "ours", case)
    for name, array in run_ours(again, case).items():
        np.testing.assert_array_equal(array, found[name])


@pytest.mark.parametrize("family", FAMILIES)
def test_goldens_are_of_the_cases(family):
    records = json.loads((GOLDENS / f"{family}.json").read_text())
    assert {case.name: case.fields for case in cases_of(family)} == {
        name: record["fields"] for name, record in records.items()
    }, "run tests/goldens/make_family_goldens.py"
