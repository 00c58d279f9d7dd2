"""The same cases with `transformers` beside us: what it wrote we read, what we wrote it reads."""

import peer
import pytest
from cases import all_cases
from compare import check, open_ours, run_ours

pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_there_and_back(case, tmp_path):
    theirs = peer.make(case)
    expected = peer.run(theirs, case)
    theirs.save_pretrained(tmp_path / "theirs")
    model = open_ours(tmp_path / "theirs", case)
    check(run_ours(model, case), expected, case)
    model.save_pretrained(tmp_path / "ours")
    check(peer.run(peer.open_again(tmp_path / "ours", case), case), expected, case)
