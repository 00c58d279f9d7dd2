"""Tags of tokens and the spans that they stand for.

| scheme | one token | more tokens | after a span of the same label |
|---|---|---|---|
| IOB1 | I | I I I | B begins |
| IOB2 | B | B I I | B begins |
| IOBES | S | B I E | B or S begins |
| BILOU | U | B I L | B or U begins |

A tag is "O" or a prefix, a hyphen and a label: "B-LOC". A bare prefix has the label "".
"""

import bisect
import functools
from typing import NamedTuple

SCHEMES = ("IOB1", "IOB2", "IOBES", "BILOU")
_TO_IOBES = {"L": "E", "U": "S"}
_TO_BILOU = {"E": "L", "S": "U"}


class Span(NamedTuple):
    """A stretch with a label: of tokens, or of characters.

    Attributes:
        label: str.
        start: int, the first, from 0.
        end: int, the one behind the last.

    Example:

    >>> span = Span("LOC", 3, 5)
    >>> "I am New York".split()[span.start - 1 : span.end]
    ['New', 'York']
    """

    label: str
    start: int
    end: int


def tags_to_spans(tags, scheme=None):
    """The spans that the tags of one sentence stand for, in their order.

    Args:
        tags: list of str.
        scheme: one of `SCHEMES`, by which tags are checked. `None`: any tags, read as `conlleval`
            and seqeval's default mode do: a span begins at B, S or U, after O, E, L, S or U, and
            wherever the label changes. So what a model predicts always has a meaning.

    Returns:
        list of `Span`, `end` exclusive.

    Raises:
        ValueError: naming the tag and its place, where the scheme forbids it.

    Example:

    >>> tags_to_spans(["B-LOC", "I-LOC", "O", "B-PER"], "IOB2")
    [Span(label='LOC', start=0, end=2), Span(label='PER', start=3, end=4)]
    >>> tags_to_spans(["O", "I-LOC", "I-PER"])
    [Span(label='LOC', start=1, end=2), Span(label='PER', start=2, end=3)]

    Reference: Tjong Kim Sang and Veenstra 1999, "Representing Text Chunks", section 2.
    """
    if scheme is not None:
        check_tags(tags, scheme)
    spans, start = [], None
    before, label_before = "O", None
    for i, tag in enumerate([*tags, "O"]):
        prefix, label = _split(tag, i)
        begins = prefix in "BS" or before in "OES" or label != label_before
        if start is not None and (prefix == "O" or begins):
            spans.append(Span(label_before, start, i))
            start = None
        if prefix != "O" and begins:
            start = i
        before, label_before = prefix, label
    return spans


def spans_to_tags(spans, length, scheme="IOB2"):
    """The tags of a sentence of `length` tokens.

    Args:
        spans: `Span`s or triples (label, start, end), in any order.
        length: int.
        scheme: one of `SCHEMES`.

    Returns:
        list of str.

    Raises:
        ValueError: a span that is empty or outside the sentence, or two that overlap.

    Example:

    >>> spans_to_tags([("LOC", 0, 2), ("LOC", 2, 3)], 4, "IOBES")
    ['B-LOC', 'E-LOC', 'S-LOC', 'O']
    >>> spans_to_tags([("LOC", 0, 2), ("LOC", 2, 3)], 4, "IOB1")
    ['I-LOC', 'I-LOC', 'B-LOC', 'O']
    """
    _check_scheme(scheme)
    tags = ["O"] * length
    end_before, label_before = 0, None
    for label, start, end in sorted_spans(spans, length):
        prefixes = ["B"] + ["I"] * (end - start - 1)
        if scheme == "IOB1" and not (start == end_before and label == label_before):
            prefixes[0] = "I"
        if scheme in ("IOBES", "BILOU"):
            prefixes[-1] = "E" if end - start > 1 else "S"
        if scheme == "BILOU":
            prefixes = [_TO_BILOU.get(prefix, prefix) for prefix in prefixes]
        tags[start:end] = [f"{prefix}-{label}" if label else prefix for prefix in prefixes]
        end_before, label_before = end, label
    return tags


def convert_tags(tags, source, target):
    """Tags of one scheme in another; both are of `SCHEMES`, and `source` is checked.

    Example:

    >>> convert_tags(["I-LOC", "I-LOC", "B-LOC"], "IOB1", "BILOU")
    ['B-LOC', 'L-LOC', 'U-LOC']
    """
    return spans_to_tags(tags_to_spans(tags, source), len(tags), target)


def check_tags(tags, scheme):
    """Refuses tags that the scheme does not allow.

    Raises:
        ValueError: naming the tag and its place. Its `place` is that int, from 0.

    Example:

    >>> check_tags(["O", "I-LOC"], "IOB2")
    Traceback (most recent call last):
    ValueError: token 1: I-LOC after O is not IOB2
    """
    _check_scheme(scheme)
    allowed = {"IOB1": "BI", "IOB2": "BI", "IOBES": "BIES", "BILOU": "BILU"}[scheme]
    for i, (before, tag) in enumerate(zip(["O", *tags], [*tags, "O"], strict=True)):
        own = [_split(before, i - 1, scheme), _split(tag, i, scheme)]
        if tag != "O" and tag[0] not in allowed:
            raise _error(i, f"{tag} is not {scheme}, whose prefixes are {', '.join(allowed)}, O")
        if not _may_follow(*own, scheme):
            after = "the end" if i == len(tags) else tag
            raise _error(min(i, len(tags) - 1), f"{after} after {before} is not {scheme}")


def find_scheme(sentences):
    """The scheme of a corpus: the first of IOB2, IOBES, BILOU, IOB1 that allows all its tags.

    Args:
        sentences: list of lists of str.

    Returns:
        str.

    Raises:
        ValueError: none of them does.

    Example:

    >>> find_scheme([["O", "S-LOC"], ["B-PER", "E-PER"]])
    'IOBES'
    """
    reasons = []
    for scheme in ("IOB2", "IOBES", "BILOU", "IOB1"):
        try:
            for tags in sentences:
                check_tags(tags, scheme)
        except ValueError as error:
            reasons.append(str(error))
        else:
            return scheme
    raise ValueError("the tags are of no known scheme: " + "; ".join(reasons))


def sorted_spans(spans, length):
    """Spans in their order, once they are seen to be inside 0 to `length` and not to overlap.

    Raises:
        ValueError: naming a span that is empty or outside, or two that overlap.

    Example:

    >>> sorted_spans([("LOC", 3, 5), ("PER", 0, 2)], length=5)
    [Span(label='PER', start=0, end=2), Span(label='LOC', start=3, end=5)]
    """
    spans = sorted((Span(*span) for span in spans), key=lambda span: (span.start, span.end))
    for span in spans:
        if not 0 <= span.start < span.end <= length:
            raise ValueError(f"span {tuple(span)} must have 0 <= start < end <= {length}")
    for before, span in zip(spans, spans[1:], strict=False):
        if span.start < before.end:
            raise ValueError(f"spans must not overlap; got {tuple(before)} and {tuple(span)}")
    return spans


def align_spans(spans, offsets):
    """Spans of characters as spans of tokens: those tokens that the characters touch.

    Args:
        spans: `Span`s of characters, which do not overlap.
        offsets: pairs (start, end) of the characters of each token, in their order; empty ones,
            such as (0, 0), are of special tokens.

    Returns:
        list of `Span` of tokens. A span that touches no token, such as one behind the place where
        a text was cut, is left out.

    Raises:
        ValueError: two spans touch one token.

    Example:

    >>> align_spans([Span("LOC", 5, 13)], [(0, 0), (0, 4), (5, 8), (9, 12), (12, 13), (0, 0)])
    [Span(label='LOC', start=2, end=5)]
    """
    places = [(a, b, i) for i, (a, b) in enumerate(offsets) if a < b]
    aligned = []
    for label, start, end in sorted(spans, key=lambda span: span[1]):
        first = bisect.bisect_right(places, start, key=lambda place: place[1])
        behind = bisect.bisect_left(places, end, key=lambda place: place[0])
        if first >= behind:
            continue
        first, last = places[first][2], places[behind - 1][2]
        if aligned and aligned[-1].end > first:
            raise ValueError(
                f"token {first}, characters {tuple(offsets[first])}, is in two spans: "
                f"{aligned[-1].label!r} and {label!r}"
            )
        aligned.append(Span(label, first, last + 1))
    return aligned


def _may_follow(before, now, scheme):
    """Whether a (prefix, label) may stand behind another; prefixes as in IOBES."""
    (prefix_before, label_before), (prefix, label) = before, now
    same = prefix_before != "O" and label_before == label
    if scheme == "IOB1":
        return prefix != "B" or same
    if scheme == "IOB2":
        return prefix != "I" or same
    if prefix_before in "BI":  # a span is open
        return prefix in "IE" and same
    return prefix in "BSO"


def _split(tag, place, scheme=None):
    """(prefix as in IOBES, label) of a tag."""
    prefix, label = _parse(tag)
    if prefix is None:
        expected = scheme or "O, or B, I, E, S, L or U, a hyphen and a label"
        raise _error(place, f"tag {tag!r} is not {expected}")
    return prefix, label


@functools.lru_cache(4096)  # a corpus has few tags, and many tokens
def _parse(tag):
    if tag == "O":
        return "O", None
    prefix, _, label = tag.partition("-")
    prefix = _TO_IOBES.get(prefix, prefix)
    return (prefix, label) if prefix in ("B", "I", "E", "S") else (None, None)


def _error(place, message):
    error = ValueError(f"token {place}: {message}")
    error.place = place
    return error


def _check_scheme(scheme):
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}; got {scheme!r}")
