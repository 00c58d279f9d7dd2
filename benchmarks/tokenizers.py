"""Speed of our tokenizers beside the engines that they run on, and of the twins in the graph.

    python -m benchmarks.tokenizers FILE [--lines 10000] [--json FILE]

FILE is a text file, of which the first lines are taken. What is timed, in turns, so that whatever
else the machine does slows all of them alike:

    WordPieceTokenizer.encode       the same `tokenizers.Tokenizer`, called directly
    .encode_with_offsets            likewise
    SentencePieceTokenizer.encode   the same `sentencepiece.SentencePieceProcessor`, for the ids of
                                    each family as for the pieces' own
    Marian, the same ids            likewise, and its pieces looked up in Marian's file, without
                                    which SentencePiece gives other numbers than Marian's ids
    WordPiece in the graph          tensorflow-text's `FastBertTokenizer`, which is not exact

"takes" is our median over the peer's, and in brackets the quartiles of the turns' ratios: 1.2
means 20 % longer. Without TensorFlow and tensorflow-text the graph is left out.
"""

import argparse
import io
import itertools
import json
import pathlib
import time

import numpy as np
import sentencepiece

from keras_transformer import text

VOCAB_SIZE = 4000


def main(lines, turns):
    word_piece = text.WordPieceTokenizer.train([lines], VOCAB_SIZE)
    pieces = text.SentencePieceTokenizer.train([lines], VOCAB_SIZE)
    cases = {
        "WordPiece": (word_piece.encode, wordpiece_peer(word_piece)),
        "WordPiece, offsets": (word_piece.encode_with_offsets, offsets_peer(word_piece)),
        "SentencePiece": (pieces.encode, sentencepiece_peer(pieces)),
    }
    for name, tokenizer in families(lines).items():
        cases[name] = (tokenizer.encode, sentencepiece_peer(tokenizer))
    cases["Marian, the same ids"] = (tokenizer.encode, lookup_peer(tokenizer))
    try:
        cases["WordPiece in the graph"] = graph_pair(word_piece)
    except ImportError:
        print("TensorFlow or tensorflow-text is not installed: no graph")
    result = {}
    for name, (ours, peer) in cases.items():
        result[name] = case = measure(ours, peer, lines, turns)
        ratio = case["takes"]
        print(
            f"{name:24}{case['lines_per_second']:10,.0f} lines/s; takes {ratio['median']:.2f} of "
            f"the peer's time ({ratio['low']:.2f} to {ratio['high']:.2f})"
        )
    return result


def measure(ours, peer, lines, turns):
    """Our median over the peer's, each called in turn."""
    seconds = np.array([[timed(side, lines) for side in (ours, peer)] for _ in range(turns + 1)])
    own, other = seconds[1:].T  # the first turn compiles and fills caches
    low, high = np.percentile(own / other, (25, 75))
    median = float(np.median(own) / np.median(other))
    return {
        "lines_per_second": len(lines) / float(np.median(own)),
        "takes": {"median": median, "low": float(low), "high": float(high)},
    }


def timed(work, *arguments):
    """Seconds that a call takes."""
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def wordpiece_peer(tokenizer):
    """The engine itself: lists of ids."""
    engine = tokenizer.engine
    return lambda lines: [e.ids for e in engine.encode_batch_fast(lines, add_special_tokens=False)]


def offsets_peer(tokenizer):
    """The engine itself: ids and places."""
    engine = tokenizer.engine
    return lambda lines: [
        (e.ids, e.offsets) for e in engine.encode_batch(lines, add_special_tokens=False)
    ]


def sentencepiece_peer(tokenizer):
    """The engine itself."""
    proto = tokenizer.model_proto
    return sentencepiece.SentencePieceProcessor(model_proto=proto).encode


def lookup_peer(tokenizer):
    """The engine's pieces, each looked up in a dictionary."""
    engine = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model_proto)
    ids = {tokenizer.pieces([id])[0]: id for id in range(tokenizer.vocab_size)}
    get, unknown = ids.get, tokenizer.unk_id

    def encode(lines):
        rows = engine.encode(lines, return_type=str)
        return [[get(piece, unknown) for piece in row] for row in rows]

    return encode


def families(lines):
    """Tokenizers with the ids of published families, of models with the special ids of each."""
    padded = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    fairseq = {"unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1}
    found = {}
    for name, special in (("T5", padded), ("XLMRoberta", fairseq), ("MBart", fairseq)):
        settings = {"tokenizer_class": f"{name}Tokenizer"}
        found[name] = text.SentencePieceTokenizer(trained(lines, **special), settings)
    proto = trained(lines, **fairseq)
    engine = sentencepiece.SentencePieceProcessor(model_proto=proto)
    pieces = (engine.id_to_piece(i) for i in range(3, VOCAB_SIZE))
    words = ("</s>", "<unk>", *pieces, "<pad>")
    marian = {"tokenizer_class": "MarianTokenizer"}
    return {**found, "Marian": text.SentencePieceTokenizer(proto, marian, words, proto)}


def trained(lines, **special):
    """A unigram model of SentencePiece."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=VOCAB_SIZE,
        minloglevel=2,
        **special,
    )
    return model.getvalue()


def graph_pair(tokenizer):
    """Our twin, compiled, and tensorflow-text's tokenizer with the same vocabulary."""
    import tensorflow as tf
    import tensorflow_text

    pieces = tokenizer.engine.get_vocab()
    peer = tensorflow_text.FastBertTokenizer(
        sorted(pieces, key=pieces.get), token_out_type=tf.int32, lower_case_nfd_strip_accents=True
    )
    signature = [tf.TensorSpec([None], tf.string)]
    sides = (tokenizer.graph_twin().tokenize, peer.tokenize)
    compiled = [tf.function(side, input_signature=signature) for side in sides]
    return [lambda lines, f=f: f(tf.constant(lines)).flat_values.numpy() for f in compiled]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=pathlib.Path, help="a text file")
    parser.add_argument("--lines", type=int, default=10_000, help="how many of its lines")
    parser.add_argument("--turns", type=int, default=15, help="how often each is timed")
    parser.add_argument("--json", type=pathlib.Path, help="file for the result")
    arguments = parser.parse_args()
    with arguments.file.open(encoding="utf-8") as file:
        taken = [line.rstrip("\n") for line in itertools.islice(file, arguments.lines)]
    figures = main(taken, arguments.turns)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
