import keras
import numpy as np
import pytest
from keras import ops
from toy_model import ToyModel, beam_search, greedy_oracle

from keras_transformer.generation import BeamSearch, Generated, Greedy, LengthPenalty, generate
from keras_transformer.generation.inputs import bucket

SOURCES = [[1, 4, 3], [4, 4, 1, 9, 5, 1, 1, 7, 6], [2, 1], [10], [5, 6, 5, 4]]


@pytest.fixture(scope="module")
def model():
    return ToyModel(vocab_size=11, seed=1, scale=0.7, end=-1.0)


def assert_same(result, expected):
    np.testing.assert_array_equal(result.sequences, expected.sequences)
    np.testing.assert_array_equal(result.lengths, expected.lengths)
    np.testing.assert_allclose(result.scores, expected.scores, rtol=1e-5)


@pytest.mark.parametrize(
    "batch_size, jit_compile", [(3, True), (1, False), (2, False), (64, False)]
)
def test_batches_change_nothing_and_results_come_in_order(model, batch_size, jit_compile):
    settings = dict(batch_size=batch_size, jit_compile=jit_compile)
    greedy = generate(model, SOURCES, 9, **settings)
    beams = generate(model, SOURCES, 9, BeamSearch(3, 0.6, n_best=2), **settings)
    for row, source in enumerate(SOURCES):
        tokens, total = greedy_oracle(model, source, 9)
        assert greedy.sequences[row, 0].tolist() == tokens + [0] * (9 - len(tokens))
        np.testing.assert_allclose(greedy.scores[row, 0], total / len(tokens), rtol=1e-5)
        expected = beam_search(model, source, 9, 3, LengthPenalty(0.6), 2)
        for place, (score, tokens) in enumerate(expected):
            assert beams.sequences[row, place].tolist() == tokens + [0] * (9 - len(tokens))
            np.testing.assert_allclose(beams.scores[row, place], score, rtol=1e-5)


def test_lists_arrays_and_tensors_are_the_same(model):
    expected = generate(model, SOURCES, 9)
    mask = np.arange(9) < np.array([[len(s)] for s in SOURCES])
    tokens = np.full((5, 9), 77)  # what is masked is not read
    tokens[mask] = np.concatenate(SOURCES)
    inputs = {"encoder_token_ids": tokens, "encoder_padding_mask": mask}
    assert_same(generate(model, inputs, 9), expected)
    assert_same(generate(model, {**inputs, "decoder_token_ids": tokens}, 9), expected)
    inputs = {k: ops.convert_to_tensor(v.astype("int32")) for k, v in inputs.items()}
    assert_same(generate(model, inputs, 9), expected)
    assert_same(generate(model, [np.array(s, "uint8") for s in SOURCES], 9), expected)
    wider = {k: np.pad(ops.convert_to_numpy(v), ((0, 0), (0, 80))) for k, v in inputs.items()}
    assert_same(generate(model, wider, 9), expected)


@pytest.mark.tensorflow
def test_ragged_tensors_are_lists(model):
    import tensorflow as tf

    assert_same(generate(model, tf.ragged.constant(SOURCES), 9), generate(model, SOURCES, 9))


def test_padding_on_the_left_is_padding_too(model):
    mask = np.arange(9)[::-1] < np.array([[len(s)] for s in SOURCES])
    tokens = np.zeros((5, 9), "int32")
    tokens[mask] = np.concatenate(SOURCES)
    inputs = {"encoder_token_ids": tokens, "encoder_padding_mask": mask}
    assert_same(generate(model, inputs, 9), generate(model, SOURCES, 9))


def test_each_source_may_have_its_own_limit(model):
    limits = np.array([1, 9, 3, 4, 7])
    result = generate(model, SOURCES, limits, batch_size=2)
    for row, source in enumerate(SOURCES):
        tokens, _ = greedy_oracle(model, source, limits[row])
        assert result.sequences[row, 0].tolist() == tokens + [0] * (9 - len(tokens))


@pytest.mark.parametrize("empty", [[], np.zeros((0, 3), "int32"), np.zeros((0, 0), "int64")])
def test_no_sources_give_no_results(model, empty):
    result = generate(model, empty, 9, BeamSearch(3, n_best=2))
    assert isinstance(result, Generated)
    assert result.sequences.shape == (0, 2, 9) and result.lengths.shape == (0, 2)


@pytest.mark.parametrize(
    "inputs, message",
    [
        ([[1, 2], [3, 11]], "received 11 at row 1, column 1"),
        ([[1, 2], [-1]], "received -1 at row 1, column 0"),
        (np.array([[1, 2**40]]), "received 1099511627776 at row 0, column 1"),
        ([[1, 2], []], "row 1 has none"),
        ([[1, 2], [3.0]], "Row 1"),
        ([[1, 2], [True]], "Row 1"),
        ([1, 2], "list of lists"),
        (np.ones((2, 2)), "float64"),
        (np.ones((2, 2, 2), "int32"), r"\(2, 2, 2\)"),
        ([[1]] * 3 + [[1] * 65], "row 3 of encoder_token_ids has 65"),
        ({"tokens": [[1]]}, "encoder_token_ids"),
        ({"encoder_token_ids": [[1]], "segment_ids": [[1]]}, "segment_ids"),
        ({"encoder_token_ids": [[1, 2]], "encoder_padding_mask": [[1]]}, r"\(1, 1\)"),
    ],
)
def test_bad_inputs_are_named(model, inputs, message):
    with pytest.raises(ValueError, match=message):
        generate(model, inputs, 9)


@pytest.mark.parametrize("limit", [0, -1, 65, 2.5, True, "9", [3], [[3, 3]], [3, 0], [3, 2.0]])
def test_bad_limits_are_named(model, limit):
    with pytest.raises(ValueError, match="max_new_tokens"):
        generate(model, [[1], [2]], limit)


def test_no_limit_is_the_models_own(model):
    assert generate(model, [[1]], None).sequences.shape == (1, 1, 64)


def test_methods_are_checked(model):
    with pytest.raises(TypeError, match="method"):
        generate(model, [[1]], 9, "beam")
    with pytest.raises(ValueError, match="batch_size"):
        generate(model, [[1]], 9, batch_size=0)
    with pytest.raises(TypeError, match="hash"):
        generate(model, [[1]], 9, Greedy(length_penalty=Unhashable()))


class Unhashable:
    __hash__ = None

    def __call__(self, lengths):
        return lengths


def test_logits_that_are_not_finite_are_an_error():
    model = ToyModel(vocab_size=11)
    model.embed.assign(np.where(np.arange(11)[:, None] == 7, np.nan, model.embed.numpy()))
    for method in (Greedy(), BeamSearch(3)):
        with pytest.raises(FloatingPointError, match="2 of 3 sources, the first at row 1"):
            generate(model, [[1], [7], [7, 1]], 1, method)


def test_buckets_are_few_and_never_too_small():
    sizes = [bucket(n) for n in range(1, 1025)]
    assert all(size >= n for n, size in enumerate(sizes, 1))
    assert all(size <= 1.25 * n + 7 for n, size in enumerate(sizes, 1))
    assert len(set(sizes)) < 32
    assert bucket(65, largest=70) == 70 and bucket(5, largest=5) == 5


def test_scores_are_those_of_the_policy_but_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert generate(ToyModel(), [[1]], 5).scores.dtype == np.float32
