import numpy as np
import pytest
from keras import ops
from toy_model import ToyModel, beam_search, exhaustive, transformers_beam_search

from keras_transformer.generation import (
    BeamSearch,
    DiverseBeamSearch,
    GnmtLengthPenalty,
    Greedy,
    LengthPenalty,
)

PENALTIES = [LengthPenalty(0.0), LengthPenalty(1.0), LengthPenalty(-0.5), GnmtLengthPenalty(2.0)]
SOURCES = np.array([[1, 4, 3], [4, 4, 1], [2, 1, 1]], "int32")


def decode(method, model, sources, steps, limits=None):
    inputs = {"encoder_token_ids": ops.convert_to_tensor(sources)}
    return [ops.convert_to_numpy(x) for x in method.decode(model, inputs, steps, limits)]


def assert_hypotheses(result, row, expected, pad_id=0):
    """``expected``: (score, tokens) in order; the places after the last are empty."""
    sequences, lengths, scores = (x[row] for x in result)
    for place in range(len(scores)):
        score, tokens = expected[place] if place < len(expected) else (-np.inf, [])
        assert lengths[place] == len(tokens)
        assert sequences[place, : len(tokens)].tolist() == tokens
        assert (sequences[place, len(tokens) :] == pad_id).all()
        np.testing.assert_allclose(scores[place], score, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
def test_a_beam_as_wide_as_the_space_finds_what_exhaustive_search_finds(penalty):
    model = ToyModel(vocab_size=5, seed=3)
    result = decode(BeamSearch(81, penalty, n_best=7), model, SOURCES, 5)
    for row, source in enumerate(SOURCES):
        assert_hypotheses(result, row, exhaustive(model, source, 5, penalty, 7))


@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
@pytest.mark.parametrize("width, n_best", [(1, 1), (3, 2), (5, 3)])
def test_stopping_early_changes_nothing(width, n_best, penalty):
    """The oracle runs to the limit, whatever has finished."""
    for seed, end in ((0, 0.0), (1, 2.0), (2, -3.0)):
        model = ToyModel(vocab_size=11, seed=seed, end=end, scale=0.7)
        result = decode(BeamSearch(width, penalty, n_best), model, SOURCES, 7)
        for row, source in enumerate(SOURCES):
            expected = beam_search(model, source, 7, width, penalty, n_best)
            assert_hypotheses(result, row, expected)


def test_decoding_stops_once_nothing_can_change():
    """With a certain end the loop takes one step of the 50: later logits are never asked for."""
    calls = []

    class Counting(ToyModel):
        def step(self, token_ids, state):
            calls.append(1)
            return super().step(token_ids, state)

    model = Counting(vocab_size=5, end=100.0)
    inputs = {"encoder_token_ids": ops.convert_to_tensor(SOURCES)}
    method = BeamSearch(3)
    state = model.start(inputs, 50, beams=3)
    limits = ops.full((3,), 50, "int32")
    beams = method._first(3, 50, limits, model.config)
    logits, _ = model.step(ops.full((9, 1), 2, "int32"), state)
    beams, _ = method._advance(
        beams, logits, model.config, ops.arange(1, 51, dtype="float32"), limits
    )
    assert ops.convert_to_numpy(beams.done).all()
    assert len(calls) == 1


def test_finished_hypotheses_are_frozen():
    """Every finished hypothesis of each step stays, as it was, or makes way for a better one."""
    model = ToyModel(vocab_size=7, seed=4, scale=0.7)
    method = BeamSearch(4, 0.5, n_best=4)
    inputs = {"encoder_token_ids": ops.convert_to_tensor(SOURCES)}
    limits, penalties = ops.full((3,), 12, "int32"), ops.arange(1, 13, dtype="float32") ** 0.5
    state = model.start(inputs, 12, beams=4)
    beams = method._first(3, 12, limits, model.config)
    pools = []
    for _ in range(12):
        logits, state = model.step(ops.reshape(beams.live_last, (-1, 1)), state)
        beams, parents = method._advance(beams, logits, model.config, penalties, limits)
        rows = ops.reshape(parents + 4 * ops.arange(3, dtype="int32")[:, None], (-1,))
        state = model.reorder(state, rows)
        found = [beams.finished_tokens, beams.finished_lengths, beams.finished_scores]
        tokens, lengths, scores = (ops.convert_to_numpy(x) for x in found)
        pools.append(
            [
                {
                    tuple(tokens[b, g, : lengths[b, g]].tolist()): float(scores[b, g])
                    for g in range(4)
                    if np.isfinite(scores[b, g])
                }
                for b in range(3)
            ]
        )
    for before, after in zip(pools, pools[1:], strict=False):
        for b in range(3):
            for tokens, score in before[b].items():
                assert after[b].get(tokens) == score or (
                    len(after[b]) == 4 and min(after[b].values()) >= score
                )
    assert sum(map(len, pools[-1])) > 6


def test_unfinished_hypotheses_only_fill_up():
    penalty = LengthPenalty(1.0)
    for end, finished in ((50.0, 3 * 4), (-1e4, 0), (-2.0, None)):
        model = ToyModel(vocab_size=17, seed=5, end=end, scale=0.7)
        result = decode(BeamSearch(4, penalty, n_best=4), model, SOURCES, 6)
        ends = [[result[0][b, g, result[1][b, g] - 1] == 3 for g in range(4)] for b in range(3)]
        for b in range(3):
            assert ends[b] == sorted(ends[b], reverse=True)
            assert_hypotheses(result, b, beam_search(model, SOURCES[b], 6, 4, penalty, 4))
        assert finished is None or np.sum(ends) == finished
    assert 0 < np.sum(ends) < 12


def test_limits_hold_for_each_sentence_and_leave_the_others_alone():
    penalty = LengthPenalty(0.6)
    model = ToyModel(vocab_size=11, seed=6, end=-1.0, scale=0.7)
    limits = np.array([2, 9, 0], "int32")
    result = decode(BeamSearch(3, penalty, 3), model, SOURCES, 9, ops.convert_to_tensor(limits))
    for row in (0, 1):
        expected = beam_search(model, SOURCES[row], int(limits[row]), 3, penalty, 3)
        assert_hypotheses(result, row, expected)
    assert result[1][2].tolist() == [0, 0, 0]


def test_alone_and_in_a_batch_a_sentence_gets_the_same():
    model = ToyModel(vocab_size=11, seed=7, scale=0.7)
    method = BeamSearch(3, n_best=2)
    together = decode(method, model, SOURCES, 8)
    for row in range(3):
        alone = decode(method, model, SOURCES[row : row + 1], 8)
        assert (alone[0][0] == together[0][row]).all()
        np.testing.assert_allclose(alone[2][0], together[2][row], rtol=1e-5)


def test_a_beam_wider_than_the_space_leaves_places_empty():
    """Three tokens besides padding and one step: there are three hypotheses."""
    model = ToyModel(vocab_size=4, seed=0, eos_id=3)
    sources = SOURCES % 4
    result = decode(BeamSearch(9, 0.0, n_best=9), model, sources, 1)
    assert result[1].tolist() == [[1, 1, 1, 0, 0, 0, 0, 0, 0]] * 3
    assert np.isneginf(result[2][:, 3:]).all() and np.isfinite(result[2][:, :3]).all()
    np.testing.assert_allclose(
        np.exp(result[2]).sum(axis=1),
        [1 - np.exp(model.log_probs(s, [])[0]) for s in sources],
        rtol=1e-5,
    )


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
def test_the_other_rules_are_those_of_transformers(penalty, early_stopping):
    lengths = set()
    for seed, end in ((0, 0.0), (1, 1.0), (2, -3.0)):
        model = ToyModel(vocab_size=11, seed=seed, end=end, scale=0.7)
        method = BeamSearch(4, penalty, 3, early_stopping=early_stopping)
        result = decode(method, model, SOURCES, 9)
        for row, source in enumerate(SOURCES):
            expected = transformers_beam_search(model, source, 9, 4, penalty, 3, early_stopping)
            assert_hypotheses(result, row, expected)
        lengths.update(result[1].ravel().tolist())
    assert len(lengths) > 1


class Attending(ToyModel):
    """Attends to the source's tokens by the token that is read: 3 columns."""

    def source_mask(self, state):
        return ops.convert_to_tensor(SOURCES != 2)

    def step_attention(self, token_ids, state):
        logits, state = self.step(token_ids, state)
        return (
            logits,
            ops.take(ops.convert_to_tensor(self.attention(), "float32"), token_ids, 0),
            state,
        )

    def logits(self, hidden):
        return hidden

    def attention(self):
        table = np.exp(np.random.default_rng(1).normal(size=(self.config.vocab_size, 3)) * 2)
        return table / table.sum(axis=1, keepdims=True)


def test_the_coverage_penalty_is_in_the_scores_of_what_has_finished():
    model = Attending(vocab_size=5, seed=3, end=0.5)
    penalty, beta = LengthPenalty(1.0), 0.8
    result = decode(BeamSearch(81, penalty, 7, coverage_penalty=beta), model, SOURCES, 5)
    table = model.attention()
    for row, source in enumerate(SOURCES):
        found = []
        for score, tokens in exhaustive(model, source, 5, penalty, None):
            covered = table[[2, *tokens[:-1]]].sum(axis=0)[source != 2]
            found.append((score + beta * np.log(np.minimum(covered, 1)).sum(), tokens))
        assert_hypotheses(result, row, sorted(found, key=lambda pair: -pair[0])[:7])
    plain = decode(BeamSearch(81, penalty, 7), model, SOURCES, 5)
    assert (plain[0] != result[0]).any()


def diverse_oracle(model, source, limit, width, groups, diversity, n_best):
    """Groups of beams with lists, run to the limit: hypotheses that ended, of all groups."""
    config = model.config
    live = [[(0.0, [])] for _ in range(groups)]
    finished = [[] for _ in range(groups)]
    for length in range(1, limit + 1):
        taken = np.zeros(config.vocab_size)
        for g in range(groups):
            candidates = []
            for total, prefix in live[g]:
                scores = model.log_probs(source, prefix) - diversity * taken
                for token in range(1, config.vocab_size):
                    candidates.append((total + scores[token], [*prefix, token]))
            candidates = sorted(candidates, key=lambda pair: -pair[0])[: 2 * width]
            ended = [(t / length, s) for t, s in candidates if s[-1] == config.eos_id]
            finished[g] = sorted(finished[g] + ended, key=lambda pair: -pair[0])[:width]
            live[g] = [(t, s) for t, s in candidates if s[-1] != config.eos_id][:width]
            for _, tokens in live[g]:
                taken[tokens[-1]] += 1
    found = [pair for group in finished for pair in group]
    return sorted(found, key=lambda pair: -pair[0])[:n_best]


def test_groups_avoid_what_others_have_taken():
    model = ToyModel(vocab_size=11, seed=2, end=2.0, scale=0.7)
    # All run to the limit: places for n_best are never full before.
    method = DiverseBeamSearch(6, 1.0, 6, num_groups=3, diversity_penalty=0.9)
    result = decode(method, model, SOURCES, 6)
    for row, source in enumerate(SOURCES):
        expected = diverse_oracle(model, source, 6, 2, 3, 0.9, 6)
        count = len(expected)
        assert count > 3
        assert_hypotheses([x[:, :count] for x in result], row, expected)
    one = decode(DiverseBeamSearch(3, 1.0, 3, num_groups=1), model, SOURCES, 6)
    plain = decode(BeamSearch(3, 1.0, 3), model, SOURCES, 6)
    for mine, theirs in zip(one, plain, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    "settings, word",
    [
        (dict(num_groups=4), "num_groups"),
        (dict(diversity_penalty=0.0), "diversity_penalty"),
        (dict(coverage_penalty=0.1), "coverage_penalty"),
    ],
)
def test_groups_are_checked(settings, word):
    with pytest.raises(ValueError, match=word):
        DiverseBeamSearch(6, **settings)


def test_the_empty_batch_gives_an_empty_result():
    sequences, lengths, scores = decode(
        BeamSearch(3, n_best=2), ToyModel(), np.zeros((0, 5), "int32"), 7
    )
    assert sequences.shape == (0, 2, 7) and lengths.shape == scores.shape == (0, 2)


def test_scores_are_float32_in_any_precision():
    class Half(ToyModel):
        def step(self, token_ids, state):
            logits, state = super().step(token_ids, state)
            return ops.cast(logits, "bfloat16"), state

    for method in (Greedy(), BeamSearch(3)):
        scores = decode(method, Half(), SOURCES, 7)[2]
        assert scores.dtype == np.float32 and (scores < 0).all()


def test_logits_that_are_not_finite_give_nan_for_their_sentence_alone():
    class Broken(ToyModel):
        def step(self, token_ids, state):
            logits, state = super().step(token_ids, state)
            rows = ops.arange(ops.shape(logits)[0]) // (ops.shape(logits)[0] // 3)
            return ops.where((rows == 1)[:, None, None], float("nan"), logits), state

    whole = decode(BeamSearch(3), ToyModel(), SOURCES, 7)
    sequences, lengths, scores = decode(BeamSearch(3), Broken(), SOURCES, 7)
    assert np.isnan(scores[:, 0]).tolist() == [False, True, False]
    assert (sequences[[0, 2]] == whole[0][[0, 2]]).all()
    assert np.isnan(decode(Greedy(), Broken(), SOURCES, 7)[2][:, 0]).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "arguments, word",
    [
        (dict(beam_size=0), "beam_size"),
        (dict(beam_size=2.5), "beam_size"),
        (dict(beam_size=3, n_best=4), "n_best"),
        (dict(n_best=0), "n_best"),
        (dict(early_stopping="always"), "early_stopping"),
        (dict(coverage_penalty=-1.0), "coverage_penalty"),
    ],
)
def test_sizes_are_checked(arguments, word):
    with pytest.raises(ValueError, match=word):
        BeamSearch(**arguments)
