"""Processors on scores alone, against lists; then within each method."""

import numpy as np
import pytest
from keras import ops
from toy_model import ToyModel

from keras_transformer.generation import (
    AllowedTokens,
    BadWords,
    BeamSearch,
    DiverseBeamSearch,
    ForcedFirstToken,
    FrequencyPenalty,
    Greedy,
    History,
    MinNewTokens,
    NoRepeatNgram,
    PrefixForcing,
    PresencePenalty,
    RepetitionPenalty,
    Sampling,
    generate,
)
from keras_transformer.generation.history import Prompt

V, L = 11, 7
SOURCES = [[1, 4, 3], [4, 4, 1, 9, 5], [2, 1]]
CONFIG = ToyModel(vocab_size=V).config  # eos 3
# Prompts of 4 and 2 tokens; 5 generated tokens of room for 7
PROMPT = np.array([[5, 6, 5, 7], [0, 0, 8, 9]])
MASK = np.array([[1, 1, 1, 1], [0, 0, 1, 1]], bool)
NEW = np.array([[5, 6, 5, 8, 5, 10, 10], [9, 8, 9, 9, 8, 10, 10]])
SCORES = np.random.default_rng(3).normal(size=(2, V)).astype("float32")
METHODS = {
    "greedy": lambda *p: Greedy(processors=p),
    "beam": lambda *p: BeamSearch(3, n_best=2, processors=p),
    "diverse": lambda *p: DiverseBeamSearch(4, n_best=2, num_groups=2, processors=p),
    "sampling": lambda *p: Sampling(num_sequences=2, processors=p, seed=0),
}


def after(processor, step):
    prompt = Prompt(ops.convert_to_tensor(PROMPT, "int32"), ops.convert_to_tensor(MASK))
    tokens = ops.convert_to_tensor(NEW, "int32")
    history = History.of(prompt, tokens, ops.convert_to_tensor(step), CONFIG)
    return ops.convert_to_numpy(processor(ops.convert_to_tensor(SCORES), history))


def texts(step):
    """Each row's tokens so far."""
    return [PROMPT[r][MASK[r]].tolist() + NEW[r, :step].tolist() for r in range(2)]


def forbidden(processor, step):
    """The tokens that a processor forbids in each row; the others must be as they were."""
    found = after(processor, step)
    assert (np.isneginf(found) | (found == SCORES)).all()
    return [set(np.flatnonzero(np.isneginf(row)).tolist()) for row in found]


@pytest.mark.parametrize("step", [0, 1, 5])
def test_a_repetition_penalty_is_on_prompt_and_generated(step):
    found = after(RepetitionPenalty(1.5), step)
    for row, text in enumerate(texts(step)):
        for token in range(V):
            score = SCORES[row, token]
            expected = (score * 1.5 if score < 0 else score / 1.5) if token in text else score
            np.testing.assert_allclose(found[row, token], expected, rtol=1e-6)


@pytest.mark.parametrize("step", [0, 1, 5])
def test_presence_and_frequency_are_of_what_was_generated(step):
    presence, frequency = after(PresencePenalty(0.7), step), after(FrequencyPenalty(0.7), step)
    for row in range(2):
        count = np.bincount(NEW[row, :step], minlength=V)
        np.testing.assert_allclose(presence[row], SCORES[row] - 0.7 * (count > 0), rtol=1e-5)
        np.testing.assert_allclose(frequency[row], SCORES[row] - 0.7 * count, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("step", [0, 1, 2, 5])
def test_no_ngram_is_repeated(size, step):
    expected = []
    for text in texts(step):
        ngrams = [tuple(text[i : i + size]) for i in range(len(text) - size + 1)]
        last = tuple(text[len(text) - size + 1 :]) if len(text) >= size - 1 else None
        expected.append({gram[-1] for gram in ngrams if gram[:-1] == last})
    assert forbidden(NoRepeatNgram(size), step) == expected


def test_bad_words_are_cut_off_before_their_ends():
    words = BadWords(((4,), (5, 6), (7, 5, 2), (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)))
    assert forbidden(words, 0) == [{4}, {4}]
    assert forbidden(words, 1) == [{4, 6, 2}, {4}]
    assert forbidden(words, 2) == [{4}, {4}]


def test_the_end_is_forbidden_before_the_minimum():
    assert forbidden(MinNewTokens(2), 1) == [{3}, {3}]
    assert forbidden(MinNewTokens(2), 2) == [set(), set()]


def test_forced_tokens_are_certain():
    for step, token in enumerate([7, 2]):
        found = after(PrefixForcing((7, 2)), step)
        assert (found[:, token] == 0).all() and np.isneginf(found).sum() == 2 * (V - 1)
    assert (after(PrefixForcing((7, 2)), 2) == SCORES).all()
    assert ForcedFirstToken(7) == PrefixForcing((7,))


def test_only_allowed_tokens_are_left():
    after_five = AllowedTokens(
        lambda history: (ops.arange(V) == 8) | (history.last(1)[0] != 5)  # 8 alone after a 5
    )
    assert forbidden(after_five, 1) == [set(range(V)) - {8}, set()]


@pytest.fixture(scope="module")
def model():
    return ToyModel(vocab_size=V, seed=1, scale=0.7, end=-1.0)


def rows_of(result):
    for row in zip(result.sequences, result.lengths, strict=True):
        for tokens, length in zip(*row, strict=True):
            yield tokens[:length].tolist()


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
def test_constraints_hold_in_every_method(model, make):
    even = AllowedTokens(lambda history: (ops.arange(V) % 2 == 0) | (ops.arange(V) == 3))
    method = make(MinNewTokens(4), NoRepeatNgram(2), BadWords(((8,),)), even, PrefixForcing((6, 6)))
    for tokens in rows_of(generate(model, SOURCES, L, method)):
        assert len(tokens) > 4 and tokens[:2] == [6, 6] and not set(tokens) & {8, 1, 5, 7, 9}
        pairs = list(zip(tokens, tokens[1:], strict=False))
        assert len(set(pairs)) == len(pairs)


def test_the_users_own_processor_is_one_too(model):
    found = generate(model, SOURCES, L, Greedy(processors=(OnlyFours(),)), jit_compile=False)
    assert (found.sequences == 4).all()


class OnlyFours:
    def __call__(self, scores, history):
        return ops.where(ops.arange(V) == 4, scores, -float("inf"))


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
def test_each_row_may_have_its_own_prefix(model, make):
    prefixes = [[7, 8, 9], [], [10]]
    found = generate(model, SOURCES, L, make(), prefixes=prefixes, jit_compile=False)
    for row, prefix in enumerate(prefixes):
        for tokens in found.sequences[row]:
            assert tokens[: len(prefix)].tolist() == prefix
    free = generate(model, SOURCES, L, make(), jit_compile=False)
    assert (free.sequences[1] == found.sequences[1]).all()
    assert (free.sequences[0] != found.sequences[0]).any()


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
def test_nothing_allowed_is_an_error(model, make):
    nothing = AllowedTokens(lambda history: ops.arange(V) < ops.where(history.step == 2, 0, V))
    with pytest.raises(FloatingPointError, match="processors left no token"):
        generate(model, SOURCES, L, make(MinNewTokens(4), nothing), jit_compile=False)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: RepetitionPenalty(0.0), "penalty"),
        (lambda: NoRepeatNgram(0), "size"),
        (lambda: MinNewTokens(0), "min_new_tokens"),
        (lambda: BadWords(((),)), "words"),
        (lambda: BadWords(()), "words"),
        (lambda: PrefixForcing(()), "tokens"),
        (
            lambda: generate(ToyModel(), [[1]], 3, Greedy(processors=MinNewTokens(4))),
            "tokens, 3; received 4",
        ),
        (lambda: generate(ToyModel(), [[1]], 3, Greedy(processors=BadWords(((5,),)))), "words"),
        (lambda: generate(ToyModel(), [[1]], 3, Greedy(processors=ForcedFirstToken(5))), "tokens"),
        (
            lambda: generate(ToyModel(), [[1]], 1, Greedy(processors=PrefixForcing((1, 2)))),
            "room|2",
        ),
        (lambda: generate(ToyModel(), [[1]], 3, prefixes=[[1], [2]]), "prefixes"),
        (lambda: generate(ToyModel(), [[1]], 3, prefixes=[[5]]), "received 5"),
        (lambda: generate(ToyModel(), [[1]], 1, prefixes=[[1, 1]]), "at most max_new_tokens"),
    ],
)
def test_contradictions_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_is_no_processor_is_refused():
    with pytest.raises(TypeError, match="processors"):
        Greedy(processors=(1.2,))
    with pytest.raises(TypeError, match="allowed"):
        AllowedTokens(3)
