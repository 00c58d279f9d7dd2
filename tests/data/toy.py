"""A corpus and a tokenizer small enough to check by eye."""

import numpy as np

LETTERS = "abcdefgh"


class Letters:
    """One id a letter, from 4 on."""

    pad_id, bos_id, eos_id = 1, 2, 3  # not 0: nothing may rely on it
    vocab_size = 4 + len(LETTERS)
    fingerprint = "letters"

    def encode(self, lines):
        return [[4 + LETTERS.index(letter) for letter in line] for line in lines]


def pairs(n=151, longest=19, seed=0):
    """Sentence pairs of about equal lengths, no two alike."""
    rng = np.random.default_rng(seed)
    seen = {}
    while len(seen) < n:
        length = rng.integers(3, longest + 1)
        other = np.clip(length + rng.integers(-2, 3), 3, longest)
        source, target = ("".join(rng.choice(list(LETTERS), k)) for k in (length, other))
        seen[source] = target
    return list(seen), list(seen.values())
