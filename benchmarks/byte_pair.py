"""Speed of byte-level BPE in the graph beside KerasHub's and the library's.

    python -m benchmarks.byte_pair FILE [--lines 2000] [--turns 5] [--json FILE]

FILE is a text file: a GPT-2 vocabulary is trained on its first lines, which are then cut in
turns by our Python side and the `tokenizers` library, called directly; by our graph twin and that
library; and by our graph twin and KerasHub's `BytePairTokenizer` in a graph (pip install
keras-hub). "takes" is our median over the peer's, and in brackets the quartiles of the turns'
ratios. Ids that differ from the library's are counted, by lines.
"""

import argparse
import itertools
import json
import pathlib

from benchmarks.tokenizers import measure
from keras_transformer import text

VOCAB_SIZE = 4000


def main(lines, turns):
    tokenizer = text.BytePairTokenizer.train([lines], VOCAB_SIZE)
    wanted = tokenizer.encode(lines)

    def library(lines):
        encoded = tokenizer.engine.encode_batch_fast(lines, add_special_tokens=False)
        return [encoding.ids for encoding in encoded]

    twin = in_graph(tokenizer.graph_twin().tokenize)
    cases = {
        "Python beside the library": (tokenizer.encode, library),
        "graph beside the library": (twin, library),
    }
    try:
        cases["graph beside KerasHub's"] = (twin, in_graph(kerashub(tokenizer)))
    except ImportError:
        print("keras-hub is not installed: no peer in the graph")
    result = {}
    for name, (ours, peer) in cases.items():
        result[name] = case = measure(ours, peer, lines, turns)
        for side, work in (("ours", ours), ("peer", peer)):
            found = work(lines)
            found = found if isinstance(found, list) else found.to_list()
            case[f"{side}_different"] = sum(a != b for a, b in zip(found, wanted, strict=True))
        ratio = case["takes"]
        print(
            f"{name:26}{case['lines_per_second']:10,.0f} lines/s; takes {ratio['median']:.3f} of "
            f"the peer's time ({ratio['low']:.3f} to {ratio['high']:.3f}); lines that differ: "
            f"ours {case['ours_different']}, the peer's {case['peer_different']}",
            flush=True,
        )
    return result


def in_graph(work):
    """A tokenizer's work, compiled."""
    import tensorflow as tf

    compiled = tf.function(work, input_signature=[tf.TensorSpec([None], tf.string)])
    return lambda lines: compiled(tf.constant(lines))


def kerashub(tokenizer):
    """KerasHub's tokenizer with the same vocabulary and merges."""
    import keras_hub

    model = json.loads(tokenizer.get_config()["definition"])["model"]
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    return keras_hub.tokenizers.BytePairTokenizer(model["vocab"], merges)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=pathlib.Path, help="a text file")
    parser.add_argument("--lines", type=int, default=2000, help="how many of its lines")
    parser.add_argument("--turns", type=int, default=5, help="how often each is timed")
    parser.add_argument("--json", type=pathlib.Path, help="file for the result")
    arguments = parser.parse_args()
    with arguments.file.open(encoding="utf-8") as file:
        taken = [line.rstrip("\n") for line in itertools.islice(file, arguments.lines)]
    figures = main(taken, arguments.turns)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
