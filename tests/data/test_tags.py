"""Tags and spans are two ways to write one thing."""

import itertools
import re

import numpy as np
import pytest

from keras_transformer.data import Span, tags

LABELS = ("LOC", "creative-work", "")


def random_spans(length, rng):
    """Spans without overlaps, many of them side by side."""
    cuts = np.unique(np.append(rng.integers(0, length + 1, 7), [0, length]))
    pieces = zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)
    return [Span(LABELS[rng.integers(3)], a, b) for a, b in pieces if rng.random() < 0.7]


def sentences(n=199):
    rng = np.random.default_rng(3)
    for _ in range(n):
        length = int(rng.integers(1, 14))
        yield random_spans(length, rng), length


def legal_by_definition(tag_list, scheme):
    """The definition of a scheme as a pattern over one label's tags, one letter each."""
    word = "".join(tag_list)
    pattern = {
        "IOB1": r"(O|IB*(IB*)*)*",
        "IOB2": r"(O|BI*)*",
        "IOBES": r"(O|S|BI*E)*",
        "BILOU": r"(O|U|BI*L)*",
    }[scheme]
    return re.fullmatch(pattern, word) is not None


@pytest.mark.parametrize("scheme", tags.SCHEMES)
def test_spans_come_back_from_their_tags(scheme):
    for spans, length in sentences():
        written = tags.spans_to_tags(spans, length, scheme)
        assert len(written) == length
        assert tags.tags_to_spans(written, scheme) == spans
        assert tags.tags_to_spans(written) == spans  # also where the scheme is not told


@pytest.mark.parametrize("source, target", [*itertools.permutations(tags.SCHEMES, 2)])
def test_conversion_keeps_the_spans(source, target):
    for spans, length in sentences(61):
        written = tags.spans_to_tags(spans, length, source)
        converted = tags.convert_tags(written, source, target)
        assert converted == tags.spans_to_tags(spans, length, target)


@pytest.mark.parametrize("scheme", tags.SCHEMES)
def test_a_scheme_allows_what_its_definition_does(scheme):
    """Every sequence of up to five tags of one label, against a regular expression."""
    letters = {"IOB1": "OBI", "IOB2": "OBI", "IOBES": "OBIES", "BILOU": "OBILU"}[scheme]
    number = 0
    for length in range(1, 6):
        for word in itertools.product(letters, repeat=length):
            try:
                tags.check_tags(list(word), scheme)
                is_legal = True
            except ValueError:
                is_legal = False
            assert is_legal == legal_by_definition(word, scheme), word
            number += is_legal
    assert number > 20


@pytest.mark.parametrize(
    "written, scheme, message, place",
    [
        (["O", "I-LOC"], "IOB2", "token 1: I-LOC after O is not IOB2", 1),
        (["B-LOC", "I-PER"], "IOB2", "token 1: I-PER after B-LOC", 1),
        (["B-LOC", "O"], "IOB1", "token 0: B-LOC after O is not IOB1", 0),
        (["B-LOC", "O"], "IOBES", "token 1: O after B-LOC is not IOBES", 1),
        (["O", "B-LOC"], "BILOU", "token 1: the end after B-LOC is not BILOU", 1),
        (["S-LOC"], "IOB2", "token 0: S-LOC is not IOB2, whose prefixes are B, I, O", 0),
        (["L-LOC"], "IOBES", "token 0: L-LOC is not IOBES, whose prefixes are B, I, E, S, O", 0),
        (["O", "LOC"], "IOB2", "token 1: tag 'LOC' is not IOB2", 1),
        ([""], "IOB2", "token 0: tag '' is not IOB2", 0),
    ],
)
def test_a_wrong_tag_is_named_with_its_place(written, scheme, message, place):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        tags.tags_to_spans(written, scheme)
    assert error.value.place == place


@pytest.mark.parametrize(
    "written, spans",
    [
        ("O I-A I-A O", [("A", 1, 3)]),
        ("I-A B-A I-A I-B", [("A", 0, 1), ("A", 1, 3), ("B", 3, 4)]),
        ("B-A O E-B E-B S-B I-B", [("A", 0, 1), *[("B", i, i + 1) for i in range(2, 6)]]),
        ("B-A E-A I-A E-A", [("A", 0, 2), ("A", 2, 4)]),
        ("U-A L-A L-A", [("A", 0, 1), ("A", 1, 2), ("A", 2, 3)]),
        ("S-A I-A I-B B-B", [("A", 0, 1), ("A", 1, 2), ("B", 2, 3), ("B", 3, 4)]),
    ],
)
def test_predicted_tags_that_no_scheme_allows_have_a_meaning(written, spans):
    """The spans that seqeval 1.2.2 finds in its default mode."""
    assert tags.tags_to_spans(written.split()) == [Span(*span) for span in spans]


def test_a_corpus_tells_its_scheme():
    spans = [random_spans(13, np.random.default_rng(i)) for i in range(17)]
    for scheme in tags.SCHEMES:
        assert tags.find_scheme([tags.spans_to_tags(s, 13, scheme) for s in spans]) == scheme
    with pytest.raises(ValueError, match="no known scheme: token 0: S-A is not IOB2.*I-A after S"):
        tags.find_scheme([["S-A", "I-A"]])


@pytest.mark.parametrize(
    "spans, message",
    [
        ([("A", 0, 0)], "0 <= start < end <= 5"),
        ([("A", 3, 6)], "0 <= start < end <= 5"),
        ([("A", -1, 2)], "0 <= start < end <= 5"),
        ([("A", 2, 4), ("B", 0, 3)], "must not overlap; got ('B', 0, 3) and ('A', 2, 4)"),
    ],
)
def test_wrong_spans_are_refused(spans, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        tags.spans_to_tags(spans, 5)


def test_unknown_schemes_and_tags_are_refused():
    for function in (tags.check_tags, tags.tags_to_spans):
        with pytest.raises(ValueError, match="scheme must be one of IOB1, IOB2, IOBES, BILOU"):
            function(["O"], "IOB")
    with pytest.raises(ValueError, match="token 1: tag 'X-A' is not O, or B, I"):
        tags.tags_to_spans(["O", "X-A"])


def test_spans_of_characters_become_spans_of_the_tokens_they_touch():
    text = "in New York, today"
    offsets = [(0, 0), (0, 2), (3, 6), (7, 11), (11, 12), (13, 15), (15, 18), (0, 0)]
    spans = [Span("LOC", text.index("New"), text.index(",")), Span("DATE", 14, 18)]
    assert tags.align_spans(spans, offsets) == [Span("LOC", 2, 4), Span("DATE", 5, 7)]
    # Cut behind "New": the place is cut too, and the date is gone.
    assert tags.align_spans(spans, offsets[:3]) == [Span("LOC", 2, 3)]
    with pytest.raises(ValueError, match="token 3, characters .7, 11., is in two spans"):
        tags.align_spans([Span("A", 3, 8), Span("B", 8, 11)], offsets)


def test_alignment_is_that_of_a_plain_search():
    rng = np.random.default_rng(0)
    for _ in range(200):
        borders = np.sort(rng.choice(40, 12, replace=False))
        offsets = [(0, 0), *zip(borders[::2].tolist(), borders[1::2].tolist(), strict=True), (0, 0)]
        start, end = np.sort(rng.choice(41, 2, replace=False)).tolist()
        touched = [i for i, (a, b) in enumerate(offsets) if a < b and a < end and start < b]
        expected = [Span("X", touched[0], touched[-1] + 1)] if touched else []
        assert tags.align_spans([Span("X", start, end)], offsets) == expected
