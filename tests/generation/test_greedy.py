import numpy as np
import pytest
from keras import ops
from toy_model import ToyModel, greedy_oracle

from keras_transformer.generation import Greedy

SOURCES = np.array([[1, 4, 3], [4, 4, 1], [2, 1, 1]], "int32")


def decode(method, model, sources, steps, limits=None):
    inputs = {"encoder_token_ids": ops.convert_to_tensor(sources)}
    return [ops.convert_to_numpy(x) for x in method.decode(model, inputs, steps, limits)]


@pytest.mark.parametrize("seed", range(5))
def test_each_token_is_the_most_probable_after_its_prefix(seed):
    model = ToyModel(vocab_size=11, seed=seed, scale=0.7)
    sequences, lengths, scores = decode(Greedy(0.0), model, SOURCES, 13)
    for row, source in enumerate(SOURCES):
        tokens, total = greedy_oracle(model, source, 13)
        assert lengths[row, 0] == len(tokens)
        assert sequences[row, 0].tolist() == tokens + [0] * (13 - len(tokens))
        np.testing.assert_allclose(scores[row, 0], total, rtol=1e-5)


def test_the_score_is_the_mean_per_token_by_default():
    model = ToyModel(vocab_size=11, seed=1, scale=0.7, end=-1.0)
    _, lengths, totals = decode(Greedy(0.0), model, SOURCES, 13)
    _, _, means = decode(Greedy(), model, SOURCES, 13)
    np.testing.assert_allclose(means, totals / lengths, rtol=1e-6)


def test_limits_hold_for_each_sentence():
    model = ToyModel(vocab_size=11, seed=2, end=-1e4)
    limits = ops.convert_to_tensor(np.array([3, 0, 7], "int32"))
    sequences, lengths, _ = decode(Greedy(), model, SOURCES, 7, limits)
    assert lengths[:, 0].tolist() == [3, 0, 7]
    assert (sequences[0, 0, 3:] == 0).all() and (sequences[1] == 0).all()
    full = decode(Greedy(), model, SOURCES, 7)[0]
    assert (sequences[0, 0, :3] == full[0, 0, :3]).all() and (sequences[2] == full[2]).all()


def test_padding_is_never_generated():
    class Padding(ToyModel):
        def step(self, token_ids, state):
            logits, state = super().step(token_ids, state)
            return logits + ops.cast(ops.arange(11) == 0, "float32") * 100.0, state

    sequences, lengths, _ = decode(Greedy(), Padding(vocab_size=11), SOURCES, 7)
    for row, length in zip(sequences[:, 0], lengths[:, 0], strict=True):
        assert (row[:length] != 0).all()


def test_the_empty_batch_gives_an_empty_result():
    sequences, lengths, scores = decode(Greedy(), ToyModel(), np.zeros((0, 5), "int32"), 7)
    assert sequences.shape == (0, 1, 7) and lengths.shape == scores.shape == (0, 1)
