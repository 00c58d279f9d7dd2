"""Templates, cuts and windows are those of Hugging Face's tokenizers."""

import random

import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, processors

from keras_transformer.text import SentencePieceTokenizer, Template
from keras_transformer.text.template import truncated_lengths, windows

WORDS = 61
TEMPLATES = {
    "none": ("$A", "$A $B:1"),
    "bert": ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
    "roberta": ("[CLS] $A [SEP]", "[CLS] $A [SEP] [SEP] $B [SEP]"),
    "t5": ("$A [SEP]", "$A [SEP] $B [SEP]"),
}
SEGMENT_0 = ("roberta", "t5")  # their second text has segment 0
SPECIAL = {"[CLS]": WORDS, "[SEP]": WORDS + 1}


def engine(name):
    """The library's own tokenizer of words that are numbers."""
    vocab = {str(i): i for i in range(WORDS)} | SPECIAL
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocab, unk_token="0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    single, pair = TEMPLATES[name]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=list(SPECIAL.items())
    )
    return tokenizer


def template(name):
    """The same template as ours."""

    def part(text):
        text, _, segment = text.replace("$", "").partition(":")
        return f"{SPECIAL.get(text, text)}:{segment or 0}"

    return Template.of(*(map(part, notation.split()) for notation in TEMPLATES[name]))


class Numbers(SentencePieceTokenizer):
    """A tokenizer whose words are numbers, to test what is common to all tokenizers."""

    def __init__(self, template):
        self.template = template

    def _encode_with_offsets(self, lines):
        found = []
        for line in lines:
            words, start, places = line.split(), 0, []
            for word in words:
                start = line.index(word, start)
                places.append((start, start + len(word)))
                start += len(word)
            found.append(([int(word) for word in words], places))
        return found

    def _encode(self, lines):
        return [ids for ids, _ in self._encode_with_offsets(lines)]


def text(rng, most=19):
    return " ".join(str(rng.randrange(WORDS)) for _ in range(rng.randrange(most)))


def as_tuple(encoding):
    """What both kinds of encodings say, and `sources` as the library spells it."""
    ids, offsets = encoding.ids, [tuple(o) for o in encoding.offsets]
    if hasattr(encoding, "segments"):
        sources = [None if s < 0 else s for s in encoding.sources]
        return ids, offsets, encoding.segments, sources
    return ids, offsets, encoding.type_ids, encoding.sequence_ids


def without_segments(encodings):
    """In further windows the library leaves the second text segment 1, whatever its template."""
    return [(ids, offsets, sources) for ids, offsets, _, sources in encodings]


def outcomes(name, first, second, max_length, truncation, overlap):
    """The library's encodings and ours, None for a refusal."""
    theirs = engine(name)
    stride = overlap or 0
    theirs.enable_truncation(max_length, stride=stride, strategy=truncation)
    try:
        found = theirs.encode(first, second)
        expected = [
            as_tuple(e) for e in [found, *(found.overflowing if overlap is not None else [])]
        ]
    except Exception:  # the library's own kind, which it does not export
        expected = None
    ours = Numbers(template(name))
    try:
        found = ours(
            [first],
            None if second is None else [second],
            max_length=max_length,
            truncation=truncation,
            overlap=overlap,
            offsets=True,
        )
        got = [as_tuple(e) for e in found]
    except ValueError:
        got = None
    return expected, got


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("truncation", ["longest_first", "only_first", "only_second"])
def test_cuts_are_the_librarys(name, truncation):
    rng = random.Random(7)
    for _ in range(300):
        first, second = text(rng), text(rng) if rng.random() < 0.8 else None
        most = template(name).num_added(second is not None) + rng.randrange(1, 23)
        if second is None and truncation == "only_second":
            continue
        expected, got = outcomes(name, first, second, most, truncation, None)
        assert got == expected, (first, second, most)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("truncation", ["only_first", "only_second"])
def test_windows_are_the_librarys(name, truncation):
    rng = random.Random(11)
    for _ in range(300):
        pair = truncation == "only_second" or rng.random() < 0.5
        first, second = text(rng, 11), text(rng, 31) if pair else None
        if truncation == "only_first":
            first, second = text(rng, 31), text(rng, 11) if pair else None
        added = template(name).num_added(pair)
        other = len((first if truncation == "only_second" else second or "").split())
        overlap = rng.randrange(5)
        most = added + other + overlap + rng.randrange(1, 9)
        expected, got = outcomes(name, first, second, most, truncation, overlap)
        if name in SEGMENT_0:
            expected, got = without_segments(expected), without_segments(got)
        assert got == expected, (first, second, most, overlap)


def test_lengths_never_leave_room_unused():
    rng = random.Random(13)
    for _ in range(1000):
        first, second, room = (rng.randrange(1, 40) for _ in range(3))
        kept = truncated_lengths(first, second, room, "longest_first")
        assert sum(kept) == min(first + second, room)
        assert kept[0] <= first and kept[1] <= second


def test_windows_cover_every_token_and_overlap_as_asked():
    rng = random.Random(17)
    for _ in range(1000):
        length, size = rng.randrange(60), rng.randrange(1, 20)
        overlap = rng.randrange(size)
        spans = windows(length, size, overlap)
        assert spans[0][0] == 0 and spans[-1][1] == length
        for (_, end), (start, _) in zip(spans, spans[1:], strict=False):
            assert end - start == overlap


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="only_second"):
        truncated_lengths(5, None, 3, "only_second")
    with pytest.raises(ValueError, match="cannot help"):
        truncated_lengths(5, 4, 3, "only_second")
    with pytest.raises(ValueError, match="overlap must be"):
        windows(9, 3, 3)
    with pytest.raises(ValueError, match="pair must hold"):
        Template.of(["A"], ["A", "A"])
