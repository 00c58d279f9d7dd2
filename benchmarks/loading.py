"""How long it takes to open a checkpoint of 110 million weights: ours beside transformers on torch.

    python -m benchmarks.loading [--runs 5]

Both take turns in processes of their own, which import first and are timed from there; the folder
is written once, with random weights, and lies in the file cache. Prints medians, their difference
and ratio, and how far our peak memory lies above the model.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile

WRITE = """
import sys, transformers
config = transformers.AutoConfig.for_model("bert")
transformers.BertForMaskedLM(config).save_pretrained(sys.argv[1])
"""
OURS = """
import json, resource, sys, time
import keras
from keras_transformer import checkpoints, models
keras.ops.ones((2, 2)) + 1
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
model = models.MaskedLM.from_pretrained(sys.argv[1])
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
size = 4 * model.count_params() / 2**20
print(json.dumps({"seconds": seconds, "peak_mb": peak / 1024, "model_mb": size}))
"""
THEIRS = """
import json, sys, time
import torch, transformers
torch.ones(2, 2) + 1
transformers.BertForMaskedLM
start = time.perf_counter()
model = transformers.BertForMaskedLM.from_pretrained(sys.argv[1])
print(json.dumps({"seconds": time.perf_counter() - start}))
"""


def python(code, folder):
    """The last line that a process printed, as JSON."""
    command = [sys.executable, "-c", code, folder]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else None


def main(runs):
    with tempfile.TemporaryDirectory() as folder:
        python(WRITE, folder)
        found = [(python(OURS, folder), python(THEIRS, folder)) for _ in range(runs)]
    ours = statistics.median(one["seconds"] for one, _ in found)
    theirs = statistics.median(one["seconds"] for _, one in found)
    above = max(one["peak_mb"] - one["model_mb"] for one, _ in found)
    ratio = f"{ours - theirs:+.2f} s, {ours / theirs:.2f} times theirs"
    print(f"ours {ours:.2f} s, transformers {theirs:.2f} s: {ratio}")
    print(f"peak memory: {above:.0f} MB above the model of {found[0][0]['model_mb']:.0f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="processes of each side")
    main(**vars(parser.parse_args()))
