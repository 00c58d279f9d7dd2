import random

import numpy as np
import pytest
import test_seq2seq
from tiny_lm import PROMPTS, make_lm

from keras_transformer.generation import (
    BeamSearch,
    Greedy,
    RepetitionPenalty,
    Sampling,
    TextStream,
    num_programs,
    stream_text,
    stream_tokens,
)

TEXT = "Ein Hund läuft. 狗在跑 🐕‍🦺! naïve ﷺ \n\t ende  "


def by_bytes(ids):
    """A byte-level decoder; a token may hold any few bytes."""
    return b"".join(PIECES[i] for i in ids).decode("utf-8", "replace")


def by_words(ids):
    """As SentencePiece: the space before a word is left out where the text begins."""
    return "".join(WORDS[i] for i in ids).replace("▁", " ").removeprefix(" ")


rng = random.Random(3)
CUTS = sorted(rng.sample(range(1, len(TEXT.encode())), 25))
PIECES = [TEXT.encode()[a:b] for a, b in zip([0, *CUTS], [*CUTS, None], strict=True)]
WORDS = ["▁Ein", "▁Hund", "e", "▁▁", "▁läuft", ".", "▁"]


@pytest.mark.parametrize(
    "decode, ids",
    [(by_bytes, range(len(PIECES))), (by_words, [0, 1, 2, 3, 4, 5, 6, 0]), (by_words, [6, 6, 1])],
)
def test_the_pieces_are_the_text_and_split_no_character(decode, ids):
    pieces = list(stream_text(ids, decode))
    assert "".join(pieces) == decode(list(ids))
    assert not any("\ufffd" in piece for piece in pieces) and all(pieces)
    assert len(pieces) > 1


def test_a_piece_comes_as_soon_as_it_is_whole():
    PIECES[:] = [bytes([b]) for b in "aé🐕b".encode()]
    stream = TextStream(by_bytes)
    assert [stream.push(i) for i in range(8)] == ["a", "", "é", "", "", "", "🐕", "b"]
    assert stream.close() == ""


def test_what_is_never_completed_comes_at_the_end():
    PIECES[:] = [b"a", "é".encode()[:1]]
    assert list(stream_text([0, 1], by_bytes)) == ["a", "\ufffd"]


def test_bytes_that_are_no_character_hold_up_nothing_for_good():
    PIECES[:] = [b"a", b"\xff", b"b"]
    assert "".join(stream_text([0, 1, 2], by_bytes)) == "a\ufffdb"


def test_a_long_text_is_decoded_in_windows():
    sizes = []

    def decode(ids):
        sizes.append(len(ids))
        return "x" * len(ids)

    assert "".join(stream_text(range(1000), decode)) == "x" * 1000
    assert max(sizes) <= 2


METHODS = [Greedy(), Greedy(processors=RepetitionPenalty(1.5)), Sampling(seed=3, top_k=9)]


@pytest.mark.parametrize("method", METHODS, ids=["greedy", "penalty", "sampling"])
def test_streamed_tokens_are_those_of_generate(method):
    both = ((make_lm(), PROMPTS[:1]), (test_seq2seq.make_model(), PROMPTS[1:2]))
    for model, inputs in both[: 2 if method == METHODS[0] else 1]:
        jit = method == METHODS[0]
        expected = model.generate(inputs, 9, method, jit_compile=jit)
        before = num_programs(model)
        chunks = list(stream_tokens(model, inputs, 9, method, chunk=2, jit_compile=jit))
        assert sum(chunks, []) == expected.sequences[0, 0, : expected.lengths[0, 0]].tolist()
        assert all(len(some) == 2 for some in chunks[:-1]) and 1 <= len(chunks[-1]) <= 2
        assert num_programs(model) == before + 2


def test_a_search_over_hypotheses_cannot_be_streamed():
    for method in (BeamSearch(2), Sampling(num_sequences=2)):
        with pytest.raises(TypeError, match="streamed"):
            stream_tokens(make_lm(), [[5]], 4, method)
    with pytest.raises(ValueError, match="one row"):
        stream_tokens(make_lm(), [[5], [6]], 4)
    with pytest.raises(ValueError, match="vocab_size"):
        stream_tokens(make_lm(), [[23]], 4)
    with pytest.raises(TypeError, match="decode"):
        TextStream("utf-8")


def test_logits_that_are_not_finite_are_an_error():
    model = make_lm()
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, np.nan, "float32"))
    with pytest.raises(FloatingPointError, match="not finite"):
        list(stream_tokens(model, [[5]], 4))
