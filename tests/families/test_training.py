"""One training step against the published models: loss, and gradients by all weights.

The table that reads a checkpoint reads the peer's gradients too: they are written as a checkpoint,
and the model that is read from it holds what each of our gradients must be.
"""

import numpy as np
import peer
import pytest
from cases import TRAINED, all_cases, case_of
from compare import check_training, open_ours, without_dropout, write_folder
from test_goldens import GOLDENS, golden

# One of each family and head; variants of the configuration compute with the same layers
LEARNING = [each for each in all_cases() if each.labels() is not None and each.is_plain]


@pytest.mark.parametrize("case", [case_of(name) for name in TRAINED], ids=str)
def test_one_step_equals_that_of_the_published_model(case, tmp_path):
    record = golden(case)[0]
    with np.load(GOLDENS / "training.npz") as arrays:
        expected = {
            name.removeprefix(f"{case.name}/"): arrays[name]
            for name in arrays
            if name.startswith(f"{case.name}/")
        }
    write_folder(tmp_path / "weights", record, case)
    write_folder(tmp_path / "gradients", record, case, expected)
    check_training(
        open_ours(tmp_path / "weights", case, **without_dropout(case)),
        open_ours(tmp_path / "gradients", case),
        expected["loss"],
        case,
    )


@pytest.mark.parametrize("case", LEARNING, ids=str)
def test_one_step_equals_that_of_every_published_head(case, tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    theirs = peer.make(case)
    loss, gradients = peer.train(theirs, case)
    theirs.save_pretrained(tmp_path / "weights")
    with torch.no_grad():
        for name, tensor in peer.learned(theirs).items():
            tensor.copy_(torch.from_numpy(gradients[name]))
    theirs.save_pretrained(tmp_path / "gradients")
    check_training(
        open_ours(tmp_path / "weights", case, **without_dropout(case)),
        open_ours(tmp_path / "gradients", case),
        loss,
        case,
    )
