"""The token ids of a corpus: two flat arrays, kept on disk under a name made from the content.

Letters: N sequences, R rows of a batch, L its length.
"""

import hashlib
import os

import numpy as np

from keras_transformer.data.files import replacing

FORMAT = b"keras_transformer tokens 1\n"  # a new format gets a new number, and so new file names


class Tokens:
    """N sequences of token ids in one flat array.

    Args:
        ids: int32, all sequences one after the other.
        lengths: (N,) int32.
    """

    def __init__(self, ids, lengths):
        self.ids, self.lengths = ids, lengths
        self.starts = np.cumsum(lengths, dtype="int64") - lengths  # (N,)

    def between(self, before, after):
        """The sequences with the ids `before` and `after` around each."""
        ends = np.repeat(np.cumsum(self.lengths, dtype="int64"), len(after))
        ids = np.insert(self.ids, ends, np.tile(np.array(after, "int32"), len(self.lengths)))
        lengths = self.lengths + len(after)
        starts = np.repeat(np.cumsum(lengths, dtype="int64") - lengths, len(before))
        ids = np.insert(ids, starts, np.tile(np.array(before, "int32"), len(self.lengths)))
        return Tokens(ids, lengths + len(before))

    def truncate(self, max_length):
        """The sequences cut to `max_length` ids."""
        position = np.arange(len(self.ids)) - np.repeat(self.starts, self.lengths)
        return Tokens(self.ids[position < max_length], np.minimum(self.lengths, max_length))

    def rows(self, indices, num_rows, length):
        """The sequences `indices` side by side, and empty rows up to `num_rows`.

        Returns:
            ids (R, L) int32, arbitrary where there is no token; mask (R, L) bool, True = token.
        """
        starts, lengths = np.zeros((2, num_rows, 1), "int64")
        starts[: len(indices), 0] = self.starts[indices]
        lengths[: len(indices), 0] = self.lengths[indices]
        position = np.arange(length)
        ids = self.ids.take(starts + position, mode="clip")  # (R, L)
        return ids, position < lengths


def tokenize(lines, tokenizer, cache_dir=None):
    """The token ids of sentences, from `cache_dir` where the same text was tokenised before.

    The name of a cache file is the sha256 of text, tokenizer and format, so nothing stale is ever
    read. It is written beside and renamed. A damaged one is noticed by its checksum and replaced.

    Args:
        lines: list of str.
        tokenizer: with `encode(list of str)` and `fingerprint`, a str that tells apart tokenizers
            that give other ids.
        cache_dir: folder, made if missing; `None`: nothing is kept.

    Returns:
        `Tokens`.
    """
    if cache_dir is None:
        return _encode(lines, tokenizer)
    key = hashlib.sha256(FORMAT + str(tokenizer.fingerprint).encode() + b"\n")
    for line in lines:
        line = line.encode("utf-8", "surrogatepass")
        key.update(b"%d\n" % len(line) + line)
    path = os.path.join(cache_dir, f"tokens-{key.hexdigest()[:32]}.bin")
    tokens = _load(path, len(lines))
    if tokens is None:
        tokens = _encode(lines, tokenizer)
        _save(path, tokens)
    return tokens


def _encode(lines, tokenizer):
    sequences = tokenizer.encode(list(lines))
    lengths = np.fromiter(map(len, sequences), "int32", len(sequences))
    ids = np.concatenate([np.asarray(s, "int32") for s in sequences] or [np.zeros(0, "int32")])
    return Tokens(ids, lengths)


def _save(path, tokens):
    body = tokens.lengths.astype("<i4").tobytes() + tokens.ids.astype("<i4").tobytes()
    head = np.array([len(tokens.lengths), len(tokens.ids)], "<i8").tobytes()
    with replacing(path) as file:
        file.write(FORMAT + hashlib.sha256(head + body).digest() + head + body)


def _load(path, num_sequences):
    """The tokens in a file; `None` where there is none, or a damaged one."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return None
    if not content.startswith(FORMAT):
        return None
    content = content[len(FORMAT) :]
    digest, content = content[:32], content[32:]
    if hashlib.sha256(content).digest() != digest:
        return None
    num, size = np.frombuffer(content, "<i8", 2)
    values = np.frombuffer(content, "<i4", offset=16).astype("int32")
    if num != num_sequences or len(values) != num + size:
        return None
    return Tokens(values[num:], values[:num])
