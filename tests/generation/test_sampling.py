import numpy as np
import pytest
from keras import ops
from toy_model import ToyModel

from keras_transformer.generation import Sampling, generate, num_programs
from keras_transformer.generation.chance import graph_row_seeds, row_seeds, seed_alone, uniform

V = 11
LOGITS = np.random.default_rng(1).normal(size=V) * 1.5
SOURCES = [[1, 4, 3], [4, 4, 1, 9, 5], [2, 1]]
FILTERS = {
    "none": dict(),
    "temperature": dict(temperature=0.6),
    "top-k": dict(top_k=4),
    "top-p": dict(top_p=0.7, temperature=1.3),
    "min-p": dict(min_p=0.2),
    "typical": dict(typical_p=0.6),
    "all": dict(temperature=1.2, top_k=8, top_p=0.9, min_p=0.05, typical_p=0.8),
}


def softmax(x):
    x = np.exp(x - x.max())
    return x / x.sum()


def filtered(logits, temperature=1.0, top_k=None, top_p=None, min_p=None, typical_p=None):
    """The exact distribution, with loops and sets."""
    logits = logits / temperature
    if top_k is not None:
        kept = np.argsort(-logits)[:top_k]
        logits = np.where(np.isin(np.arange(V), kept), logits, -np.inf)
    if top_p is not None:
        p, kept = softmax(logits), []
        for token in np.argsort(-p):
            if p[kept].sum() < top_p:
                kept.append(token)
        logits = np.where(np.isin(np.arange(V), kept), logits, -np.inf)
    if min_p is not None:
        p = softmax(logits)
        logits = np.where(p >= min_p * p.max(), logits, -np.inf)
    if typical_p is not None:
        p, kept = softmax(logits), []
        surprise = -np.log(np.where(p > 0, p, 1e-300))
        for token in np.argsort(np.abs(surprise - (p * surprise).sum())):
            if p[kept].sum() < typical_p:
                kept.append(token)
        logits = np.where(np.isin(np.arange(V), kept), logits, -np.inf)
    return softmax(logits)


def chi_square(counts, probabilities):
    expected = counts.sum() * probabilities
    there = probabilities > 0
    return ((counts - expected)[there] ** 2 / expected[there]).sum()


@pytest.mark.parametrize("settings", FILTERS.values(), ids=FILTERS)
def test_tokens_come_as_often_as_the_exact_softmax_says(settings):
    count = 20_000
    method = Sampling(num_sequences=count, **settings)
    logits = ops.broadcast_to(ops.convert_to_tensor(LOGITS, "float32"), (count, V))
    seeds = method.chance(ops.convert_to_tensor(row_seeds(3, [0])), 1)
    exact = filtered(LOGITS, **settings)
    assert (exact > 0).sum() > 2
    for step in (0, 1, 77):
        found = ops.convert_to_numpy(method.choose(logits, ops.convert_to_tensor(step), seeds))
        counts = np.bincount(found, minlength=V)
        assert (counts[exact == 0] == 0).all()
        assert chi_square(counts, exact) < 35.6  # one in 10,000 at 10 degrees of freedom


def test_numbers_are_uniform_over_rows_and_steps():
    seeds = ops.convert_to_tensor(row_seeds(0, np.arange(4096)))
    found = np.stack(
        [ops.convert_to_numpy(uniform(seeds, ops.convert_to_tensor(n))) for n in range(16)]
    )
    assert 0 < found.min() < found.max() < 1
    for axis in (0, 1):
        centred = found - 0.5
        neighbours = np.moveaxis(centred, axis, 0)
        correlation = (neighbours[1:] * neighbours[:-1]).mean() * 12
        assert abs(correlation) < 4 / np.sqrt(centred.size)
    counts = np.histogram(found, bins=64, range=(0, 1))[0]
    assert chi_square(counts, np.full(64, 1 / 64)) < 118  # one in 30,000 at 63 degrees


def test_seeds_of_rows_are_the_same_in_a_program():
    expected = row_seeds(7, np.arange(5))
    np.testing.assert_array_equal(ops.convert_to_numpy(graph_row_seeds(7, 5)), expected)
    assert len(set(row_seeds(7, np.arange(999)))) == 999
    assert (row_seeds(7 + 2**32, np.arange(5)) != expected).all()
    for seed in (-1, -(2**31), 2**31, 2**40 + 7):
        found = ops.convert_to_numpy(graph_row_seeds(seed, 5))
        np.testing.assert_array_equal(found, row_seeds(seed, np.arange(5)))
    seeds = np.array([0, 5, -1, -(2**31), 2**31 - 1], "int32")
    alone = [row_seeds(int(seed), np.array([0]))[0] for seed in seeds]
    np.testing.assert_array_equal(ops.convert_to_numpy(seed_alone(seeds)), alone)


def test_a_sampled_text_follows_the_model():
    """The whole text's distribution, not that of one step."""
    model = ToyModel(vocab_size=5, seed=3, scale=0.8)
    result = generate(model, [[1, 4]], 2, Sampling(num_sequences=4000, seed=5), jit_compile=False)
    words = [1, 2, 4]
    exact, counts = {}, {}
    first = softmax(np.where(np.arange(5) == 0, -np.inf, model.log_probs([1, 4], [])))
    exact[3,] = first[3]
    for a in words:
        second = softmax(np.where(np.arange(5) == 0, -np.inf, model.log_probs([1, 4], [a])))
        exact.update({(a, b): first[a] * second[b] for b in (1, 2, 3, 4)})
    for tokens, length in zip(result.sequences[0], result.lengths[0], strict=True):
        text = tuple(tokens[:length].tolist())
        counts[text] = counts.get(text, 0) + 1
    assert set(counts) <= set(exact)
    assert (
        chi_square(np.array([counts.get(t, 0) for t in exact]), np.array(list(exact.values()))) < 40
    )


def test_the_same_seed_gives_the_same_text_in_any_batch():
    model = ToyModel(vocab_size=V, seed=1, scale=0.7)
    first = generate(model, SOURCES, 9, Sampling(seed=4, num_sequences=3))
    for batch_size, jit_compile in ((2, False), (64, False), (1, True)):
        again = generate(
            model,
            SOURCES,
            9,
            Sampling(seed=4, num_sequences=3),
            batch_size=batch_size,
            jit_compile=jit_compile,
        )
        np.testing.assert_array_equal(first.sequences, again.sequences)
        np.testing.assert_allclose(first.scores, again.scores, rtol=1e-5)
    other = generate(model, SOURCES, 9, Sampling(seed=5, num_sequences=3))
    assert (other.sequences != first.sequences).any()
    assert len({tuple(s) for s in first.sequences.reshape(-1, 9).tolist()}) > 5


def test_seeds_share_a_program_and_none_is_another_each_time():
    model = ToyModel(vocab_size=V, seed=1, scale=0.7)
    found = [generate(model, SOURCES, 9, Sampling(seed=s)) for s in (1, 2, None, None)]
    assert num_programs(model) == 1
    assert len({tuple(x.sequences.ravel()) for x in found}) == 4


def test_scores_are_the_models_own_probabilities():
    model = ToyModel(vocab_size=V, seed=1, scale=0.7)
    method = Sampling(temperature=0.5, top_k=3, seed=1, length_penalty=0.0)
    result = generate(model, SOURCES, 9, method)
    for row, source in enumerate(SOURCES):
        tokens = result.sequences[row, 0, : result.lengths[row, 0]].tolist()
        total = sum(model.log_probs(source, tokens[:i])[t] for i, t in enumerate(tokens))
        np.testing.assert_allclose(result.scores[row, 0], total, rtol=1e-4)


@pytest.mark.parametrize(
    "name, value",
    [
        ("temperature", 0.0),
        ("temperature", float("nan")),
        ("top_k", 0),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("min_p", -0.1),
        ("typical_p", 2),
        ("num_sequences", 0),
        ("seed", 0.5),
    ],
)
def test_settings_are_checked(name, value):
    with pytest.raises(ValueError, match=name):
        Sampling(**{name: value})
