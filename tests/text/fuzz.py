"""Random strings that hurt tokenizers: every script, marks, emoji, controls, long words.

Seeded: the same seed gives the same strings. `strings` are clean Unicode of the code points that
Python's Unicode version assigns; `byte_strings` have malformed UTF-8 among them.
"""

import functools
import random
import unicodedata

EMOJI = (
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",  # a family
    "\U0001f3f3\ufe0f\u200d\U0001f308",  # a flag of joined characters
    "\U0001f1e9\U0001f1ea",  # a flag of two letters
    "\U0001f44d\U0001f3fd",  # a skin tone
    "1\ufe0f\u20e3",  # a keycap
    "\u2764\ufe0f",
)
SPECIAL = ("[MASK]", "[CLS]", "[SEP]", "[UNK]", "[PAD]", "<mask>", "<s>", "</s>", "<|endoftext|>")
AFFIXES = ("##", "'s", "n't", "'LL", "...", "\r\n", "  ", "\t", "\u3000", "\ufeff", "\x00", "\xad")
WORDS = (
    "the", "Running", "unaffable", "straße", "STRASSE", "Ünïcödé", "naïve", "ΣΊΣΥΦΟΣ", "İstanbul",
    "ﬁne", "½", "①", "Ⅷ", "x²", "1,234.56", "2024-11-21", "don't", "a_b", "C++", "日本語", "한국어",
    "각", "ภาษาไทย", "हिन्दी", "العربية", "עברית", "\u202eabc\u202c", "e\u0301", "o\u0323\u0302",
    "a\u0302\u0323", "Å", "Å", "\u1e9b\u0323", "ﷺ", "가\u11a8",
)  # fmt: skip


def _assigned(start, stop):
    return [
        c for c in map(chr, range(start, stop)) if unicodedata.category(c) not in ("Cn", "Cs", "Co")
    ]


@functools.cache
def pools():
    """Lists of assigned characters: by block of 256 code points, and by kind."""
    blocks = [
        found for start in range(0, 0x110000, 0x100) if (found := _assigned(start, start + 256))
    ]
    everything = [c for block in blocks for c in block]
    by_kind = {}
    for c in everything:
        by_kind.setdefault(unicodedata.category(c)[0], []).append(c)
    return blocks, by_kind, [c for c in everything if unicodedata.combining(c)]


def string(rng) -> str:
    """One random string."""
    blocks, by_kind, marks = pools()
    ascii_text = [chr(c) for c in range(32, 127)]

    def word():
        kind = rng.randrange(9)
        if kind == 0:
            return rng.choice(WORDS)
        if kind == 1:  # one script
            return "".join(rng.choices(rng.choice(blocks), k=rng.randrange(1, 9)))
        if kind == 2:  # the low blocks, where most text is
            return "".join(rng.choices(rng.choice(blocks[:40]), k=rng.randrange(1, 9)))
        if kind == 3:  # one kind of character, of any script
            return "".join(rng.choices(by_kind[rng.choice(sorted(by_kind))], k=rng.randrange(1, 5)))
        if kind == 4:  # marks in any order on a letter
            return rng.choice(by_kind["L"]) + "".join(rng.choices(marks, k=rng.randrange(1, 5)))
        if kind == 5:
            return rng.choice(EMOJI)
        if kind == 6:
            return rng.choice(SPECIAL)
        if kind == 7:
            return rng.choice(AFFIXES)
        return "".join(rng.choices(ascii_text, k=rng.randrange(1, 12)))

    parts = [word() for _ in range(rng.randrange(8))]
    if rng.random() < 0.01:  # a word longer than any limit of a vocabulary
        letters = rng.choice(("a", "ab", "é", "日", "x\u0301", "\U0001f600", "1"))
        parts.insert(rng.randrange(len(parts) + 1), letters * rng.choice((99, 100, 101, 250)))
    return rng.choice(("", " ", "  ")).join(parts) if rng.random() < 0.5 else _joined(rng, parts)


def _joined(rng, parts):
    return "".join(part + rng.choice(("", "", " ", "\n", "-", "\u00a0")) for part in parts)


def strings(count: int, seed: int = 0) -> list[str]:
    """That many random strings, none with a surrogate."""
    rng = random.Random(seed)
    return [string(rng) for _ in range(count)]


def byte_strings(count: int, seed: int = 0) -> list[bytes]:
    """The same as UTF-8; one in ten is broken: a byte lost, changed or added, or only noise."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        encoded = bytearray(string(rng).encode())
        if rng.random() < 0.1 and encoded:
            where, kind = rng.randrange(len(encoded)), rng.randrange(4)
            if kind == 0:
                del encoded[where]
            elif kind == 1:
                encoded[where] = rng.randrange(256)
            elif kind == 2:
                encoded[where:where] = rng.choice(
                    (b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80")
                )
            else:
                encoded = rng.randbytes(rng.randrange(1, 12))
        found.append(bytes(encoded))
    return found
