"""Writes tests/goldens/families/: outputs of tiny models of `transformers` on torch.

    pip install torch==2.13.0 transformers numpy safetensors
    python tests/goldens/make_family_goldens.py [FAMILY ...] [training]

The weights are functions of their names (tests/families/peer.py), so the files hold configurations,
names and shapes of tensors, and outputs; that of `training` losses and gradients.
"""

import json
import pathlib
import sys
import tempfile

import numpy as np
from safetensors import safe_open

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "families"))

import peer  # noqa: E402
from cases import FAMILIES, TRAINED, case_of, cases_of  # noqa: E402


def record(case):
    """What the golden file holds of a case: `(JSON, outputs)`."""
    model = peer.make(case)
    outputs = peer.run(model, case)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        config = json.loads((pathlib.Path(folder) / "config.json").read_text())
        with safe_open(pathlib.Path(folder) / "model.safetensors", "np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:  # such as a table of sines, which nobody needs to read
            tensors.pop(name, None)
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    alias = {}  # names that the file gives to tensors that the model calls otherwise
    for name, array in tensors.items():
        if not np.array_equal(array, peer.weight(name, array.shape)):
            alias[name] = next(
                other
                for other, tensor in named.items()
                if tuple(tensor.shape) == array.shape
                and np.array_equal(array, peer.weight(other, array.shape))
            )
    config.pop("transformers_version", None)
    return {
        "fields": case.fields,
        "config": config,
        "tensors": {name: list(array.shape) for name, array in tensors.items()},
        "alias": alias,
    }, outputs


def write_training():
    """Losses and gradients: {"case/loss", "case/tensor"}."""
    arrays = {}
    for name in TRAINED:
        case = case_of(name)
        loss, gradients = peer.train(peer.make(case), case)
        arrays[f"{name}/loss"] = np.asarray(loss)
        arrays |= {f"{name}/{tensor}": gradient for tensor, gradient in gradients.items()}
    np.savez_compressed(HERE / "families" / "training.npz", **arrays)
    print("training", len(TRAINED))


def main(families):
    if "training" in families:
        write_training()
    for family in (family for family in families if family != "training"):
        records, arrays = {}, {}
        for case in cases_of(family):
            records[case.name], outputs = record(case)
            arrays |= {f"{case.name}/{name}": array for name, array in outputs.items()}
        (HERE / "families").mkdir(exist_ok=True)
        (HERE / "families" / f"{family}.json").write_text(json.dumps(records, indent=1) + "\n")
        np.savez_compressed(HERE / "families" / f"{family}.npz", **arrays)
        print(family, len(records))


if __name__ == "__main__":
    main(sys.argv[1:] or [*FAMILIES, "training"])
