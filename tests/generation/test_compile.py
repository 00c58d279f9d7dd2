import gc
import weakref

import keras
import numpy as np
import pytest
from toy_model import ToyModel, greedy_oracle

from keras_transformer import models, training
from keras_transformer.generation import BeamSearch, Greedy, generate, num_programs

SOURCES = [[1, 4, 3], [4, 4, 1, 9, 5], [2, 1]]


def small_model(**settings):
    return models.Seq2SeqLM.from_preset(
        "transformer_tiny",
        **{
            **dict(vocab_size=23, num_encoder_layers=1, num_decoder_layers=1, hidden_dim=14),
            **dict(num_heads=2, ffn_dim=13, max_length=32),
            **settings,
        },
    )


@pytest.mark.parametrize("jit_compile", [True, False])
def test_a_program_sees_the_weights_of_the_moment(jit_compile):
    model = ToyModel(vocab_size=11, seed=1, scale=0.7, end=-1.0)
    first = generate(model, SOURCES, 9, jit_compile=jit_compile)
    model.project.assign(model.project.numpy()[:, ::-1].copy())
    second = generate(model, SOURCES, 9, jit_compile=jit_compile)
    assert num_programs(model) == 1
    assert (first.sequences != second.sequences).any()
    for row, source in enumerate(SOURCES):
        tokens, _ = greedy_oracle(model, source, 9)
        assert second.sequences[row, 0, : len(tokens)].tolist() == tokens


def test_a_program_sees_what_became_of_layers():
    """Low-rank parts, their going, and quantisation are made of other operations."""
    model, fresh = small_model(), small_model()

    def found():
        return generate(model, SOURCES, 9, details=True, jit_compile=False).token_scores

    def expected():
        fresh.set_weights(model.get_weights())
        return generate(fresh, SOURCES, 9, details=True, jit_compile=False).token_scores

    first = found()
    for each in (model, fresh):
        training.enable_lora(each, 2, alpha=4.0)
    for layer in model._flatten_layers():
        if getattr(layer, "lora_enabled", False):
            layer.lora_kernel_b.assign(keras.random.normal(layer.lora_kernel_b.shape, seed=3))
    second = found()
    assert np.abs(first - second).max() > 1e-2
    np.testing.assert_allclose(second, expected(), atol=1e-5)
    for each in (model, fresh):
        for layer in each._flatten_layers():
            if getattr(layer, "lora_enabled", False):
                layer.lora_alpha = 9.0
    third = found()
    assert np.abs(third - second).max() > 1e-2
    np.testing.assert_allclose(third, expected(), atol=1e-5)
    for each in (model, fresh):
        training.merge_lora(each)
    np.testing.assert_allclose(found(), expected(), atol=1e-5)


def test_new_lengths_and_batches_rarely_need_a_new_program():
    model = ToyModel(vocab_size=11, scale=0.7, end=10.0)
    for length in range(1, 17):
        generate(model, [[1] * length] * (3 + length % 2), 9 + length % 8)
    assert num_programs(model) <= 2  # lengths 8 and 16, batch 4, 16 steps
    generate(model, [[1] * 7], 9, BeamSearch(2))
    assert num_programs(model) <= 3


def test_equal_methods_share_a_program():
    model = ToyModel(vocab_size=11, scale=0.7)
    for _ in range(2):
        generate(model, SOURCES, 9, BeamSearch(2, 0.6))
    assert num_programs(model) == 1


def test_programs_do_not_keep_a_model_alive():
    model = small_model()
    generate(model, SOURCES, 5)
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize(
    "when", ["on_epoch_end", pytest.param("on_train_batch_end", marks=pytest.mark.slow)]
)
def test_a_callback_of_fit_generates_with_the_newest_weights(when):
    model = small_model(dropout=0.0)
    model.compile(
        optimizer=keras.optimizers.SGD(0.5),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    fresh = small_model(dropout=0.0)
    seen = []

    class Translate(keras.callbacks.Callback):
        def translate(self, step, logs=None):
            result = generate(self.model, SOURCES, 6)
            seen.append(result)
            fresh.set_weights(self.model.get_weights())
            expected = generate(fresh, SOURCES, 6)
            assert (result.sequences == expected.sequences).all()
            np.testing.assert_allclose(result.scores, expected.scores, rtol=1e-5)

    setattr(Translate, when, Translate.translate)
    rng = np.random.default_rng(0)
    tokens = rng.integers(4, 23, (8, 5))
    x = {"encoder_token_ids": tokens, "decoder_token_ids": tokens}
    model.fit(x, tokens, batch_size=4, epochs=2, verbose=0, callbacks=[Translate()])
    assert len(seen) == (2 if when == "on_epoch_end" else 4)
    assert (seen[0].scores != seen[-1].scores).all()
    assert num_programs(model) == 1


def test_dropout_is_off():
    model = small_model(dropout=0.5)
    first, second = (generate(model, SOURCES, 9, Greedy()) for _ in range(2))
    assert (first.sequences == second.sequences).all()
    assert (first.scores == second.scores).all()
