import numpy as np
import pytest
import test_seq2seq
from keras import ops
from tiny_lm import PROMPTS, Uncached, make_lm

from keras_transformer.generation import BeamSearch, Greedy, Sampling, generate

SOURCES = test_seq2seq.SOURCES
STEPS = 9


@pytest.fixture(scope="module")
def seq2seq():
    return test_seq2seq.make_model()


@pytest.mark.parametrize(
    "method", [Greedy(0.0), BeamSearch(3, 0.0, 2), Sampling(num_sequences=2, length_penalty=0.0)]
)
def test_the_scores_of_tokens_sum_to_that_of_the_sequence(method, seq2seq):
    is_beam = isinstance(method, BeamSearch)
    for model, inputs in [(seq2seq, SOURCES)] if is_beam else [(make_lm(), PROMPTS)]:
        found = model.generate(inputs, STEPS, method, details=True, jit_compile=False)
        np.testing.assert_allclose(found.token_scores.sum(axis=2), found.scores, rtol=1e-4)
        there = np.arange(STEPS) < found.lengths[..., None]
        assert (found.token_scores[~there] == 0).all() and (found.token_scores[there] < 0).all()
        assert found.alignments is None


@pytest.mark.parametrize("settings", [{}, dict(positions="rotary", window=3, num_layers=2)])
def test_token_scores_are_log_probabilities_of_the_uncached_model(settings):
    model = make_lm(**settings)
    found = model.generate(PROMPTS[:2], 4, details=True)
    for row in range(2):
        tokens = found.sequences[row, 0, : found.lengths[row, 0]].tolist()
        expected = [
            Uncached(model).log_probs(PROMPTS[row], tokens[:i])[t] for i, t in enumerate(tokens)
        ]
        np.testing.assert_allclose(found.token_scores[row, 0, : len(tokens)], expected, rtol=1e-4)


def test_a_sequence_is_finished_by_an_end_token_alone():
    ends = (2, 15, 20)
    model = make_lm(eos_id=ends)
    found = model.generate(PROMPTS, 1, BeamSearch(3, n_best=3), details=True, jit_compile=False)
    for row in range(len(PROMPTS)):
        for place in range(3):
            length = found.lengths[row, place]
            ended = length > 0 and found.sequences[row, place, length - 1] in ends
            assert found.finished[row, place] == ended
    assert 0 < found.finished.sum() < 12


@pytest.mark.parametrize("batch_size", [1, 64])
def test_alignments_are_the_mean_attention_to_the_source(seq2seq, batch_size):
    found = generate(
        seq2seq, SOURCES, STEPS, alignments=True, batch_size=batch_size, jit_compile=False
    )
    assert found.alignments.shape == (3, 1, STEPS, 9)
    for row, source in enumerate(SOURCES):
        length = found.lengths[row, 0]
        target = found.sequences[row, 0, :length].tolist()
        inputs = {
            "encoder_token_ids": np.array([source]),
            "decoder_token_ids": np.array([[2, *target[:-1]]]),
        }
        cross = seq2seq.attention_scores(inputs)["cross"]
        expected = np.mean([ops.convert_to_numpy(x) for x in cross], (0, 2))
        map_ = found.alignments[row, 0]
        np.testing.assert_allclose(map_[:length, : len(source)], expected[0], atol=1e-5)
        assert (map_[length:] == 0).all() and (map_[:, len(source) :] == 0).all()


def test_no_inputs_have_no_details(seq2seq):
    found = generate(seq2seq, [], STEPS, alignments=True)
    assert found.token_scores.shape == (0, 1, STEPS) and found.alignments.shape[:3] == (0, 1, STEPS)


def test_a_model_without_a_source_has_no_alignments():
    with pytest.raises(ValueError, match="alignments"):
        make_lm().generate([[5]], 3, alignments=True)
