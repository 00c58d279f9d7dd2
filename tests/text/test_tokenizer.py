"""What every tokenizer does alike: places in strings of any kind, and checks of what comes in."""

import random

import numpy as np
import pytest

from keras_transformer.text import (
    BytePairTokenizer,
    ByteTokenizer,
    CharacterTokenizer,
    SentencePieceTokenizer,
    WordPieceTokenizer,
)
from keras_transformer.text.tokenizer import clean, places_of

LINES = ["a dog runs in rome 😀", "a dog eats the house"]
TOKENIZERS = [
    ByteTokenizer(),
    CharacterTokenizer("adog 😀"),
    WordPieceTokenizer.train([LINES], 47),
    BytePairTokenizer.train([LINES], 261),
    SentencePieceTokenizer.train([LINES], 32),
]
each = pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda t: type(t).__name__)
PAIR = "\ud83d\ude00"  # an emoji as two surrogates


def strings(count, seed):
    rng = random.Random(seed)
    letters = ["a", " ", "é", "😀", "\ud83d", "\ude00", PAIR]
    return ["".join(rng.choices(letters, k=rng.randrange(9))) for _ in range(count)]


def test_each_clean_character_has_its_place():
    for text in [*strings(2000, seed=3), "", PAIR, PAIR[::-1], "\ufeff" + PAIR]:
        places, line = places_of(text), clean(text)
        assert len(places) == len(line) + 1
        for i, character in enumerate(line):
            assert clean(text[places[i] : places[i + 1]]) == character


@each
def test_offsets_are_places_in_the_string_as_it_was_passed(tokenizer):
    """Also where surrogates spell a character of it."""
    text = f"a {PAIR} dog {PAIR}a dog"
    ids, offsets = tokenizer.encode_with_offsets(text)
    cleaned_ids, cleaned = tokenizer.encode_with_offsets(clean(text))
    assert ids == cleaned_ids == tokenizer.encode(text)
    for (start, end), (first, last) in zip(offsets, cleaned, strict=True):
        assert clean(text[start:end]) == clean(text)[first:last]
    assert offsets[-1][1] == len(text)
    assert tokenizer.encode_with_offsets(["a dog", text])[1] == (ids, offsets)
    [encoding] = tokenizer([text], offsets=True)
    assert [
        place for place, s in zip(encoding.offsets, encoding.sources, strict=True) if not s
    ] == (offsets)


@each
def test_numpy_integers_are_integers(tokenizer):
    settings = {"max_length": 6, "truncation": "only_first", "overlap": 1}
    expected = tokenizer(["a dog a dog a dog"], **settings)
    settings |= {"max_length": np.int64(6), "overlap": np.uint8(1)}
    assert tokenizer(["a dog a dog a dog"], **settings) == expected


@each
@pytest.mark.parametrize("bad", ["5", 4.0, True, [5]])
def test_a_number_that_is_no_integer_is_named(tokenizer, bad):
    with pytest.raises(TypeError, match="max_length must be an integer or None, got"):
        tokenizer(["a"], max_length=bad)
    with pytest.raises(TypeError, match="overlap must be an integer or None, got"):
        tokenizer(["a"], max_length=9, truncation="only_first", overlap=bad)


@each
@pytest.mark.parametrize("pairs", [None, ["a"]])
@pytest.mark.parametrize("overlap", [-1, 9, 99])
def test_an_overlap_out_of_its_range_is_named_for_short_texts_too(tokenizer, overlap, pairs):
    with pytest.raises(ValueError, match=f"overlap must be from 0 to .* got {overlap}"):
        tokenizer(["a"], pairs, max_length=9, truncation="only_first", overlap=overlap)


@each
@pytest.mark.parametrize("texts", [{"a dog": 1}, 7, None, np.array("a dog")], ids=type)
def test_what_is_no_list_of_texts_is_named(tokenizer, texts):
    for call in (tokenizer, tokenizer.encode, tokenizer.encode_with_offsets):
        with pytest.raises(TypeError, match="texts? must be .* string.*got "):
            call(texts)
    with pytest.raises(TypeError, match="pairs must be "):
        tokenizer(["a"], pairs=texts or {})


def test_texts_come_in_any_row():
    tokenizer = TOKENIZERS[0]
    rows = tokenizer.encode(["a", "dog"])
    for texts in (("a", "dog"), np.array(["a", "dog"]), iter(["a", "dog"]), [b"a", b"dog"]):
        assert tokenizer.encode(texts) == rows
