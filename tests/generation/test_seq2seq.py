"""Decoding with the real model: cache, batch, compiler and backend change nothing."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops
from toy_model import beam_search, greedy_oracle

from keras_transformer import models
from keras_transformer.generation import BeamSearch, Greedy, LengthPenalty, generate

SOURCES = [[5, 4, 7], [11, 13, 17, 5, 4, 9, 22, 19, 6], [6, 21]]
STEPS = 9


def make_model(**settings):
    """A model that is sure of something: with weights this large no two tokens are near a tie."""
    sizes = dict(num_encoder_layers=1, num_decoder_layers=2, hidden_dim=14, num_heads=2)
    sizes = {**sizes, "ffn_dim": 13, "max_length": 32, "vocab_size": 23, **settings}
    model = models.Seq2SeqLM.from_preset("transformer_tiny", **sizes)
    rng = np.random.default_rng(5)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(rng.normal(size=variable.shape) * 0.5)
    return model


class Uncached:
    """The whole model on the whole target, one source and one hypothesis at a time."""

    def __init__(self, model):
        self.model, self.config = model, model.config

    def log_probs(self, source, prefix):
        target = np.zeros((1, STEPS), "int32")  # what follows the prefix, it cannot see
        target[0, : 1 + len(prefix)] = [self.config.bos_id, *prefix]
        inputs = {"encoder_token_ids": np.array([source]), "decoder_token_ids": target}
        logits = self.model.predict_on_batch(inputs)[0, len(prefix)].astype("float64")
        return logits - np.log(np.exp(logits).sum())


@pytest.mark.parametrize("norm_first", [True, False])
def test_cached_equals_uncached(norm_first):
    model = make_model(norm_first=norm_first)
    oracle = Uncached(model)
    greedy = generate(model, SOURCES, STEPS, jit_compile=not norm_first)
    beams = generate(model, SOURCES, STEPS, BeamSearch(3, 0.6, 3), jit_compile=norm_first)
    for row, source in enumerate(SOURCES):
        tokens, total = greedy_oracle(oracle, source, STEPS)
        assert greedy.sequences[row, 0].tolist() == tokens + [0] * (STEPS - len(tokens))
        np.testing.assert_allclose(greedy.scores[row, 0], total / len(tokens), rtol=1e-5)
        expected = beam_search(oracle, source, STEPS, 3, LengthPenalty(0.6), 3)
        for place, (score, tokens) in enumerate(expected):
            found = beams.sequences[row, place].tolist()
            assert found == tokens + [0] * (STEPS - len(tokens))
            np.testing.assert_allclose(beams.scores[row, place], score, rtol=1e-5)


@pytest.mark.parametrize("method", [Greedy(), BeamSearch(4, n_best=2)], ids=["greedy", "beam"])
def test_alone_and_in_a_batch_a_source_gets_the_same(method):
    model = make_model()
    together = generate(model, SOURCES, STEPS, method, jit_compile=False)
    for row, source in enumerate(SOURCES):
        alone = generate(model, [source], STEPS, method, jit_compile=False)
        assert (alone.sequences[0] == together.sequences[row]).all()
        np.testing.assert_allclose(alone.scores[0], together.scores[row], rtol=1e-5)


@pytest.mark.parametrize("method", [Greedy(), BeamSearch(4, n_best=2)], ids=["greedy", "beam"])
def test_compiled_equals_eager(method):
    model = make_model()
    compiled = generate(model, SOURCES, STEPS, method)
    for row, source in enumerate(SOURCES):
        inputs = {"encoder_token_ids": ops.convert_to_tensor(np.array([source], "int32"))}
        eager = [ops.convert_to_numpy(x) for x in method.decode(model, inputs, STEPS)]
        assert (eager[0][0] == compiled.sequences[row]).all()
        assert (eager[1][0] == compiled.lengths[row]).all()
        np.testing.assert_allclose(eager[2][0], compiled.scores[row], rtol=1e-5)


def test_the_attention_of_a_step_is_that_of_the_whole_model():
    model = make_model()
    inputs = {
        "encoder_token_ids": np.array([[5, 4, 7, 0]]),
        "decoder_token_ids": np.array([[2, 9]]),
    }
    inputs["encoder_padding_mask"] = np.array([[True, True, True, False]])
    cross = model.attention_scores(inputs)["cross"]
    expected = np.mean([ops.convert_to_numpy(x) for x in cross], axis=(0, 2))[0]  # (T, S)
    state = model.start({k: ops.convert_to_tensor(v) for k, v in inputs.items()}, 4)
    for t, token in enumerate([2, 9]):
        _, attention, state = model.step_attention(ops.convert_to_tensor([[token]]), state)
        np.testing.assert_allclose(ops.convert_to_numpy(attention)[0, 0], expected[t], atol=1e-6)
    covered = generate(
        model, SOURCES, STEPS, BeamSearch(4, coverage_penalty=0.5), jit_compile=False
    )
    assert np.isfinite(covered.scores).all()


def test_half_precision_generates():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = make_model()
    for method in (Greedy(), BeamSearch(3)):
        result = generate(model, SOURCES, STEPS, method, jit_compile=False)
        assert result.scores.dtype == np.float32 and (result.scores < 0).all()
        assert (result.lengths > 0).all()


def test_the_empty_batch_passes_through_the_graph():
    model = make_model()
    inputs = {"encoder_token_ids": ops.zeros((0, 5), "int32")}
    for method in (Greedy(), BeamSearch(3, n_best=2)):
        assert tuple(method.decode(model, inputs, 7)[0].shape) == (0, method.n_best, 7)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("method", [Greedy(), BeamSearch(4, n_best=2)], ids=["greedy", "beam"])
def test_a_saved_model_takes_any_batch_length_and_limit(method, tmp_path):
    import tensorflow as tf

    model = make_model()
    module = tf.Module()
    module.variables_ = [v.value for v in model.variables]

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec((None, None), tf.int32),
            tf.TensorSpec((None, None), tf.bool),
            tf.TensorSpec((), tf.int32),
        ],
    )
    def serve(tokens, mask, steps):
        inputs = {"encoder_token_ids": tokens, "encoder_padding_mask": mask}
        return method.decode(model, inputs, steps)._asdict()

    module.serve = serve
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    expected = generate(model, SOURCES, STEPS, method)
    for rows in ([], [0], [1], [2, 0], [0, 1, 2]):
        ragged = tf.ragged.constant([SOURCES[row] for row in rows], tf.int32, ragged_rank=1)
        tokens = ragged.to_tensor()
        mask = tf.sequence_mask(ragged.row_lengths(), tf.shape(tokens)[1])
        result = loaded.serve(tokens, mask, STEPS)
        assert (result["sequences"].numpy() == expected.sequences[rows]).all()
        np.testing.assert_allclose(result["scores"], expected.scores[rows], rtol=1e-5)


OTHER = """
import json, sys
sys.path[:0] = sys.argv[1:]
from test_seq2seq import *
result = generate(make_model(), SOURCES, STEPS, BeamSearch(4, 0.6, n_best=3))
print(json.dumps([x.tolist() for x in result]))
"""


@pytest.mark.slow
def test_the_backends_agree():
    other = "jax" if keras.backend.backend() == "tensorflow" else "tensorflow"
    folder = pathlib.Path(__file__).parent
    command = [sys.executable, "-c", OTHER, str(folder), str(folder.parent.parent)]
    run = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "KERAS_BACKEND": other}
    )
    assert run.returncode == 0, run.stderr[-2000:]
    sequences, lengths, scores = json.loads(run.stdout.splitlines()[-1])
    ours = generate(make_model(), SOURCES, STEPS, BeamSearch(4, 0.6, n_best=3))
    np.testing.assert_array_equal(ours.sequences, sequences)
    np.testing.assert_array_equal(ours.lengths, lengths)
    np.testing.assert_allclose(ours.scores, scores, rtol=1e-5)
