"""Tokens that are found in a text before it is cut, as Hugging Face's tokenizers find them."""

import re
from collections import Counter
from dataclasses import dataclass

# Unicode's White_Space, by name so that Python's `re` and RE2 agree about it.
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_find_spaces = re.compile(f"[{SPACES}]*").match
PYTHON_SPACES = SPACES + "\x1c-\x1f"  # what `str.strip` takes away


@dataclass(frozen=True)
class AddedToken:
    """A token that stands for itself wherever it is written.

    Args:
        content: how it is written; it neither starts nor ends with white space.
        id: its token id.
        special: whether decoding drops it.
        lstrip, rstrip: whether it takes the white space before, and after it, with it.

    Raises:
        ValueError: `content` is empty, or has white space around it.
    """

    content: str
    id: int
    special: bool = True
    lstrip: bool = False
    rstrip: bool = False

    def __post_init__(self):
        if not self.content or self.content.strip() != self.content:
            raise ValueError(
                "An added token must not be empty nor have white space around it; "
                f"got {self.content!r}."
            )

    def pattern(self, spaces: str = SPACES) -> str:
        """The regular expression that finds it, for Python and for RE2."""
        before, after = (f"[{spaces}]*" if strip else "" for strip in (self.lstrip, self.rstrip))
        return before + re.escape(self.content) + after


class AddedTokens:
    """Finds added tokens: the leftmost, and of several there the longest.

    Args:
        tokens: the `AddedToken`s.
        spaces: what is white space to them, as the inside of a character class.
    """

    def __init__(self, tokens, spaces=SPACES):
        tokens = tuple(tokens)
        self.tokens = tuple(sorted(tokens, key=lambda token: (-len(token.content), token.id)))
        self.ids = {token.content: token.id for token in self.tokens}
        self.special_ids = tuple(sorted({token.id for token in self.tokens if token.special}))
        # Of alternatives the first that fits is taken, so that the longest comes first.
        self.pattern = "|".join(token.pattern(spaces) for token in self.tokens)
        self.spaces, self._finditer = spaces, re.compile(self.pattern).finditer
        self._marks = _marks(token.content for token in tokens)

    def may_be_in(self, text: str) -> bool:
        """False where the text has none for sure: quick, and mostly right."""
        return any(mark in text for mark in self._marks)

    def split(self, line: str) -> list[tuple[int, int, int | None]]:
        """The line as (start, end, id of the token or None for text between tokens)."""
        if not self.may_be_in(line):
            return [(0, len(line), None)] if line else []
        parts, done = [], 0
        for match in self._finditer(line):
            start, end = match.span()
            if done < start:
                parts.append((done, start, None))
            parts.append((start, end, self.ids[match.group().strip()]))
            done = end
        if done < len(line):
            parts.append((done, len(line), None))
        return parts


def without_spaces(text, offsets):
    """The places of pieces without the white space before them, and none of them empty."""
    found = []
    for start, end in offsets:
        start = _find_spaces(text, start, end).end()
        found.append((start, min(max(end, start + 1), len(text))))
    return found


def _marks(contents):
    """Few characters, no letters if possible, of which each content has one at least."""
    contents, marks = list(contents), []
    while contents:
        counts = Counter(character for content in contents for character in set(content))
        best = max(counts, key=lambda c: (not c.isalnum(), counts[c], c))
        marks.append(best)
        contents = [content for content in contents if best not in content]
    return tuple(marks)
