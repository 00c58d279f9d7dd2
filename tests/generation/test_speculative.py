import numpy as np
import pytest
import test_seq2seq
from keras import ops
from tiny_lm import PROMPTS, make_lm

from keras_transformer.generation import (
    DraftModel,
    Greedy,
    History,
    NoRepeatNgram,
    PromptLookup,
    RepetitionPenalty,
    Speculative,
)
from keras_transformer.generation.history import Prompt

STEPS = 13
MODELS = {
    "learned": lambda: make_lm(max_length=24),
    "rotary": lambda: make_lm(positions="rotary", window=5),
    "seq2seq": test_seq2seq.make_model,
    "seq2seq learned": lambda: test_seq2seq.make_model(positions="learned", max_length=13),
}


def assert_greedy(model, inputs, draft, count, processors=(), steps=STEPS, **settings):
    settings = {"jit_compile": False, **settings}
    expected = model.generate(inputs, steps, Greedy(processors=processors), **settings)
    method = Speculative(draft, count, processors=processors)
    found = model.generate(inputs, steps, method, **settings)
    np.testing.assert_array_equal(found.sequences, expected.sequences)
    np.testing.assert_array_equal(found.lengths, expected.lengths)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_lookup_gives_what_greedy_search_gives(name):
    model = MODELS[name]()
    assert_greedy(model, PROMPTS[: 4 if name == "learned" else 2], PromptLookup(2), 3)


@pytest.mark.parametrize("name", ["learned", "seq2seq"])
def test_a_draft_model_gives_what_greedy_search_gives(name):
    model, draft = MODELS[name](), MODELS[name]()
    for weight in draft.trainable_variables:  # right at times, wrong at others
        noise = np.random.default_rng(0).normal(size=weight.shape) * 0.15
        weight.assign(ops.convert_to_numpy(weight) + noise)
    assert_greedy(model, PROMPTS, DraftModel(draft), 2, jit_compile=name == "learned")


def test_processors_and_ends_hold_within_a_round():
    model = make_lm(eos_id=(2, 15, 20))
    processors = (RepetitionPenalty(1.4), NoRepeatNgram(2))
    assert_greedy(model, PROMPTS, PromptLookup(), 3, processors, jit_compile=False)


def test_each_row_has_its_own_limit():
    model = make_lm()
    limits = np.array([1, 9, 3, 4])
    expected = model.generate(PROMPTS, limits, Greedy(), jit_compile=False)
    found = model.generate(PROMPTS, limits, Speculative(num_draft=4), jit_compile=False)
    np.testing.assert_array_equal(found.sequences, expected.sequences)


def test_a_perfect_draft_saves_rounds():
    model = make_lm(eos_id=None)
    passes = []

    class Counting:
        config, start = model.config, staticmethod(model.start)
        prompt, rewind = staticmethod(model.prompt), staticmethod(model.rewind)

        def step(self, token_ids, state):
            passes.append(token_ids.shape[1])
            return model.step(token_ids, state)

    inputs = {"token_ids": ops.convert_to_tensor([PROMPTS[0]], "int32")}
    method = Speculative(DraftModel(model), num_draft=3)
    found = method.decode(Counting(), inputs, 12)
    expected = model.generate(PROMPTS[:1], 12, jit_compile=False).sequences
    np.testing.assert_array_equal(ops.convert_to_numpy(found.sequences), expected)
    if len(passes) > 1:  # an eager loop: else the one body was traced
        assert passes == [4, 4, 4]


def test_lookup_finds_the_longest_and_latest_match():
    prompt = Prompt(
        ops.convert_to_tensor([[0, 5, 6, 7, 8, 6, 9, 5], [1, 2, 1, 3, 1, 4, 4, 4]], "int32"),
        ops.convert_to_tensor([[0, 1, 1, 1, 1, 1, 1, 1], [1] * 8], "bool"),
    )
    new = ops.convert_to_tensor([[6, 0, 0], [1, 0, 0]], "int32")
    history = History.of(prompt, new, ops.convert_to_tensor(1), None)
    guess, _ = PromptLookup(2).guess(history, new[:, 0], 2, ())
    assert ops.convert_to_numpy(guess).tolist() == [[7, 8], [4, 4]]  # after 5 6; after the last 1
    guess, _ = PromptLookup(1).guess(history, new[:, 0], 2, ())
    assert ops.convert_to_numpy(guess).tolist() == [[9, 5], [4, 4]]


def test_what_cannot_guess_is_refused():
    with pytest.raises(TypeError, match="draft"):
        Speculative(make_lm())
    with pytest.raises(ValueError, match="num_draft"):
        Speculative(num_draft=0)
    with pytest.raises(ValueError, match="size"):
        PromptLookup(0)
    with pytest.raises(ValueError, match="vocab_size"):
        make_lm().generate([[5]], 4, Speculative(DraftModel(make_lm(vocab_size=29))))
