"""Decoding speed beside KerasHub, transformers and CTranslate2: the same weights, in turns.

    python -m benchmarks.generation [gpt2 translation] [--turns 5] [--json F]

`gpt2` has the size of GPT-2 (124 million weights): 32 tokens of prompt, 128 new ones, greedy, one
prompt and eight. `translation` has the size of the Transformer's base model, with 200 sentences
in batches of 32, beam 5 and 32 new tokens each. Weights are random, from transformers, and read by
all; end tokens are never produced, so that all do the same work. Every peer is a process of its
own that stays loaded; they take turns, so that a machine that is busy slows all alike. A peer that
is not installed is left out. Ours is called as a user calls it, checks and copies included.

Needs: pip install ".[tensorflow,jax,peers]" keras-hub ctranslate2
"""

import argparse
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from benchmarks.turns import times_faster

HERE = pathlib.Path(__file__).resolve().parent
# name: (what it needs, Keras's backend or None)
PEERS = {
    "ours on TensorFlow": ("ours", "tensorflow"),
    "ours on JAX": ("ours", "jax"),
    "KerasHub on TensorFlow": ("keras_hub", "tensorflow"),
    "KerasHub on JAX": ("keras_hub", "jax"),
    "transformers": ("transformers", None),
    "CTranslate2": ("ctranslate2", None),
}
TASKS = {
    "gpt2": {"batches": [1, 8], "prompt": 32, "new": 128, "beam": 1},
    "translation": {"batches": [32], "sentences": 200, "new": 32, "beam": 5},
}


def prompts(task, config):
    """The rows of token ids that all peers get."""
    rng = np.random.default_rng(0)
    if task == "gpt2":
        return rng.integers(100, config["vocab_size"] - 100, (8, TASKS[task]["prompt"])).tolist()
    lengths = np.clip(rng.normal(14, 5, TASKS[task]["sentences"]).round(), 5, 40).astype(int)
    rows = [rng.integers(100, config["vocab_size"] - 100, n).tolist() for n in np.sort(lengths)]
    return [[*row, config["eos_token_id"]] for row in rows]


class Worker:
    """A peer in its own process; it answers a line of JSON with a line of JSON."""

    def __init__(self, name, task, folder):
        kind, backend = PEERS[name]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": threads()}
        if backend:
            environment["KERAS_BACKEND"] = backend
        command = [sys.executable, "-m", "benchmarks.generation_peers", kind, task, str(folder)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, env=environment, cwd=HERE.parent, stdin=pipe, stdout=pipe, text=True
        )

    def ask(self, **request):
        """The answer to one request."""
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.process.args[3:5]} ended")
        return json.loads(line)

    def end(self):
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def threads():
    """As many threads as there are cores, for those who ask."""
    return str(len(os.sched_getaffinity(0)))


def is_there(name):
    """Whether what a peer needs is installed."""
    kind, backend = PEERS[name]
    needed = [backend] if kind == "ours" else [kind, backend or kind]
    return all(importlib.util.find_spec(module) is not None for module in needed if module)


def measure(task, folder, turns, names):
    """Seconds of every turn of every peer, for each batch size; the tokens are compared."""
    workers = {name: Worker(name, task, folder) for name in names}
    config = json.loads((folder / "config.json").read_text())
    found = []
    for batch in TASKS[task]["batches"]:
        rows = prompts(task, config)[: batch if task == "gpt2" else None]
        request = {"rows": rows, "batch": batch, "new": TASKS[task]["new"]}
        answers = {name: worker.ask(**request) for name, worker in workers.items()}  # compiles
        first = answers[names[0]]["tokens"]
        same = {name: agreement(first, answer["tokens"]) for name, answer in answers.items()}
        seconds = {name: [] for name in names}
        for _ in range(turns):
            for name, worker in workers.items():
                seconds[name].append(worker.ask(**request)["seconds"])
        found.append({"task": task, "batch": batch, "seconds": seconds, "same_tokens": same})
        report(found[-1], len(rows) * TASKS[task]["new"])
    for worker in workers.values():
        worker.end()
    return found


def agreement(ours, theirs):
    """The share of equal tokens, each row up to its first difference."""
    shares = []
    for a, b in zip(ours, theirs, strict=True):
        size = max(min(len(a), len(b)), 1)
        equal = np.array(a[:size]) == np.array(b[:size])
        shares.append((size if equal.all() else int(np.argmin(equal))) / size)
    return round(float(np.mean(shares)), 3)


def report(result, tokens):
    """Prints one task and batch size as a table."""
    seconds = result["seconds"]
    ours = [name for name in seconds if name.startswith("ours")]
    print(f"\n{result['task']}, batch {result['batch']}")
    print(
        f"{'':24}{'tokens/s':>9}{'same':>7}"
        + "".join(f"{name + ' faster by':>32}" for name in ours)
    )
    for name, values in seconds.items():
        rate = tokens / np.median(values)
        line = f"{name:24}{rate:9.1f}{result['same_tokens'][name]:7.3f}"
        for mine in ours:
            ratio = times_faster(seconds[mine], values)
            line += f"{ratio['median']:18.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})"
        print(line, flush=True)


def main(tasks, turns, json_path, leave_out):
    """Measures, prints, and writes the figures."""
    names = [name for name in PEERS if is_there(name) and name not in leave_out]
    found = []
    for task in tasks:
        with tempfile.TemporaryDirectory() as folder:
            write = [sys.executable, "-m", "benchmarks.generation_peers", "write", task, folder]
            subprocess.run(write, check=True, cwd=HERE.parent)
            has_task = [n for n in names if task == "gpt2" or PEERS[n][0] != "keras_hub"]
            found += measure(task, pathlib.Path(folder), turns, has_task)
    if json_path:
        pathlib.Path(json_path).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tasks", nargs="*", default=list(TASKS), help="gpt2, translation")
    parser.add_argument("--turns", type=int, default=5, help="measurements of every peer")
    parser.add_argument("--json", dest="json_path", help="file for the figures")
    parser.add_argument("--leave-out", nargs="*", default=[], choices=PEERS, help="peers")
    main(**vars(parser.parse_args()))
