"""The same tiny weights in `transformers` on torch: the same tokens, the same scores."""

import dataclasses
import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "families"))

from case import Case
from cases import cases_of
from compare import open_ours

from keras_transformer.generation import (
    AllowedTokens,
    BadWords,
    BeamSearch,
    ForcedFirstToken,
    Greedy,
    MinNewTokens,
    NoRepeatNgram,
    RepetitionPenalty,
)

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
import peer  # noqa: E402

STEPS = 9
PROMPTS = [[7, 21, 9, 30, 11], [8, 17, 35, 6, 12, 12, 12, 25]]
LONG = {  # families and what their tiny configurations need to speak for a while
    "gpt2": dict(n_positions=32, eos_token_id=5, bos_token_id=4, pad_token_id=5),
    "llama": dict(max_position_embeddings=32, eos_token_id=5, bos_token_id=4, pad_token_id=5),
    "t5": dict(n_positions=32),
    "bart": dict(max_position_embeddings=32),
    "marian": dict(max_position_embeddings=32),
}
SUPPRESSED = {"t5": 0, "bart": 1, "marian": 36}  # padding, which we never generate
PAIRS = {
    "repetition": (RepetitionPenalty(1.7), dict(repetition_penalty=1.7)),
    "no n-gram": (NoRepeatNgram(2), dict(no_repeat_ngram_size=2)),
    "minimum": (MinNewTokens(6), dict(min_new_tokens=6)),
    "bad words": (
        BadWords(((12,), (25, 30), (9, 9), (33, 14))),
        dict(bad_words_ids=[[12], [25, 30], [9, 9], [33, 14]]),
    ),
    "first": (ForcedFirstToken(15), dict(forced_bos_token_id=15)),
}


def only_thirds():
    """Multiples of three, by our gate and by theirs."""
    from keras import ops

    ours = AllowedTokens(lambda history: ops.arange(37) % 3 == 0)
    return ours, dict(prefix_allowed_tokens_fn=lambda row, tokens: list(range(0, 37, 3)))


@pytest.fixture(scope="module", params=list(LONG))
def pair(request, tmp_path_factory):
    """Our model and theirs, of the same folder."""
    head = "CausalLM" if request.param in ("gpt2", "llama") else "Seq2SeqLM"
    case: Case = next(c for c in cases_of(request.param) if c.name.endswith(f"/{head}"))
    case = dataclasses.replace(case, fields={**case.fields, **LONG[request.param]})
    theirs = peer.make(case)
    folder = tmp_path_factory.mktemp(request.param)
    theirs.save_pretrained(folder)
    theirs.generation_config = transformers.GenerationConfig()  # of BART: a forced end
    return request.param, open_ours(folder, case), theirs


def their_answer(pair, row, **settings):
    """What they generate from one prompt: tokens of each hypothesis, and their scores."""
    family, _, model = pair
    config = model.config
    is_seq2seq = family in SUPPRESSED
    function = settings.pop("prefix_allowed_tokens_fn", None)
    generation = transformers.GenerationConfig(
        max_new_tokens=STEPS,
        pad_token_id=config.pad_token_id,
        eos_token_id=config.eos_token_id,
        decoder_start_token_id=getattr(config, "decoder_start_token_id", None),
        suppress_tokens=[SUPPRESSED[family]] if is_seq2seq else None,
        return_dict_in_generate=True,
        output_scores=True,
        **settings,
    )
    prompt = PROMPTS[row]
    found = model.generate(
        torch.tensor([prompt]), generation_config=generation, prefix_allowed_tokens_fn=function
    )
    start = 1 if is_seq2seq else len(prompt)
    answers = []
    for tokens in found.sequences[:, start:].tolist():
        end = config.eos_token_id
        answers.append(tokens[: tokens.index(end) + 1] if end in tokens else tokens)
    return answers, getattr(found, "sequences_scores", None)


def assert_same(pair, method, **settings):
    ours = pair[1].generate(PROMPTS, STEPS, method, jit_compile=False)
    for row in range(len(PROMPTS)):
        answers, scores = their_answer(pair, row, num_return_sequences=method.n_best, **settings)
        for place, tokens in enumerate(answers):
            length = ours.lengths[row, place]
            assert ours.sequences[row, place, :length].tolist() == tokens
        if scores is not None:
            np.testing.assert_allclose(ours.scores[row], scores.numpy(), atol=1e-4)
    return ours


def test_greedy(pair):
    assert_same(pair, Greedy())


@pytest.mark.parametrize(
    "penalty, early_stopping",
    [
        (1.0, False),
        (2.0, True),
        *(
            pytest.param(*x, marks=pytest.mark.slow)
            for x in [(0.0, False), (2.0, False), (1.0, True)]
        ),
    ],
)
def test_beams_in_order_with_scores(pair, penalty, early_stopping):
    assert_same(
        pair,
        BeamSearch(4, penalty, 4, early_stopping=early_stopping),
        num_beams=4,
        length_penalty=penalty,
        early_stopping=early_stopping,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PAIRS, "allowed"])
def test_constraints(pair, name):
    ours, theirs = PAIRS[name] if name in PAIRS else only_thirds()
    if name == "first" and pair[0] not in SUPPRESSED:
        pytest.skip("theirs counts the prompt as the first tokens")
    if name in ("allowed", "first"):
        method = BeamSearch(3, 1.0, 2, early_stopping=False, processors=(ours,))
        assert_same(pair, method, num_beams=3, **theirs)
    else:
        assert_same(pair, Greedy(processors=(ours,)), **theirs)


def test_all_constraints_at_once(pair):
    names = ("repetition", "no n-gram", "bad words", "minimum")
    theirs = {}
    for name in names:
        theirs.update(PAIRS[name][1])
    processors = tuple(PAIRS[name][0] for name in names)
    method = BeamSearch(3, 1.0, 3, early_stopping=False, processors=processors)
    assert_same(pair, method, num_beams=3, **theirs)


@pytest.mark.slow
def test_several_end_tokens(pair):
    """The second one is a token that the model says anyway."""
    said = pair[1].generate(PROMPTS, STEPS).sequences[:, 0, 2].tolist()
    family, ours, theirs = pair
    ends = (ours.config.eos_id, said[0])
    before = ours.config.eos_id
    object.__setattr__(ours.config, "eos_id", ends)
    try:
        found = ours.generate(PROMPTS, STEPS, BeamSearch(3, n_best=2, early_stopping=False))
        for row in range(len(PROMPTS)):
            tokens, scores = their_answer_with_ends(pair, row, list(ends))
            np.testing.assert_allclose(found.scores[row], scores, atol=1e-4)
            for place, answer in enumerate(tokens):
                assert found.sequences[row, place, : found.lengths[row, place]].tolist() == answer
    finally:
        object.__setattr__(ours.config, "eos_id", before)


def their_answer_with_ends(pair, row, ends):
    family, _, model = pair
    is_seq2seq = family in SUPPRESSED
    found = model.generate(
        torch.tensor([PROMPTS[row]]),
        generation_config=transformers.GenerationConfig(
            max_new_tokens=STEPS,
            num_beams=3,
            num_return_sequences=2,
            pad_token_id=model.config.pad_token_id,
            eos_token_id=ends,
            decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
            suppress_tokens=[SUPPRESSED[family]] if is_seq2seq else None,
            return_dict_in_generate=True,
            output_scores=True,
        ),
    )
    answers = []
    for tokens in found.sequences[:, 1 if is_seq2seq else len(PROMPTS[row]) :].tolist():
        stop = next((i for i, t in enumerate(tokens) if t in ends), len(tokens) - 1)
        answers.append(tokens[: stop + 1])
    return answers, found.sequences_scores.numpy()
