"""Writes training.json: losses and gradients of torch's CrossEntropyLoss on fixed small inputs.

Run in an environment of its own, so that the tests need no torch:

    pip install torch==2.13.0 numpy && python tests/goldens/make_training_goldens.py
"""

import json
import pathlib

import numpy as np
import torch

BATCH, LENGTH, VOCABULARY = 3, 5, 7


def case(label_smoothing, ignored, scale):
    rng = np.random.default_rng(17)
    logits = (scale * rng.normal(size=(BATCH, LENGTH, VOCABULARY))).astype("float32")
    labels = rng.integers(0, VOCABULARY, (BATCH, LENGTH))
    labels[rng.random((BATCH, LENGTH)) < ignored] = -100
    # In float64, so that the golden figures are exact beyond what is compared.
    z = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(
        z.reshape(-1, VOCABULARY), torch.tensor(labels).reshape(-1), label_smoothing=label_smoothing
    )
    loss.backward()
    return {
        "label_smoothing": label_smoothing,
        "logits": logits.tolist(),
        "labels": labels.tolist(),
        "loss": loss.item(),
        "gradient": z.grad.tolist(),
    }


if __name__ == "__main__":
    cases = [
        case(label_smoothing, ignored, scale)
        for label_smoothing in (0.0, 0.1, 0.7)
        for ignored, scale in ((0.0, 1.0), (0.4, 1.0), (0.4, 30.0))
    ]
    path = pathlib.Path(__file__).with_name("training.json")
    path.write_text(json.dumps({"torch": torch.__version__, "cases": cases}) + "\n")
