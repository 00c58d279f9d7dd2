"""Rates by layer, and frozen layers."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer import models, training

X = {"token_ids": np.array([[5, 6, 7]]), "padding_mask": np.ones((1, 3), bool)}


def classifier(**changes):
    config = models.EncoderConfig(
        vocab_size=11, num_layers=2, hidden_dim=8, num_heads=2, ffn_dim=16, num_segments=2
    )
    return models.SequenceClassifier(config, num_classes=3, **changes)


def test_factors_fall_towards_the_input():
    factors = training.layer_multipliers(classifier(), 0.5)
    of = {name: next(v for k, v in factors.items() if name in k) for name in (
        "token_embedding", "segment_embedding", "positions", "embedding_norm",
        "block_0", "block_1", "pooler", "classes")}  # fmt: skip
    assert list(of.values()) == [0.125] * 4 + [0.25, 0.5, 1.0, 1.0]


def test_every_factor_scales_its_weights_step():
    """Adam's first step is the rate, whatever the gradient."""
    model = classifier()
    factors = training.layer_multipliers(model, 0.5)
    optimizer = training.LayerwiseAdamW(1e-2, factors, epsilon=1e-12)
    before = [v.numpy().copy() for v in model.trainable_variables]
    optimizer.build(model.trainable_variables)
    optimizer.apply([ops.ones(v.shape) for v in model.trainable_variables])
    for variable, was in zip(model.trainable_variables, before, strict=True):
        moved = was - variable.numpy()
        np.testing.assert_allclose(moved, 1e-2 * factors[variable.path], rtol=1e-3)


def test_without_factors_it_is_adamw():
    results = []
    for kind in (training.LayerwiseAdamW, keras.optimizers.AdamW):
        variable = keras.Variable(np.array([3.0, -2.0], "float32"), name="w")
        optimizer = kind(0.1, weight_decay=0.3)
        optimizer.build([variable])
        for step in (1.0, 2.0):
            optimizer.apply([ops.array([step, -step])])
        results.append(variable.numpy())
    np.testing.assert_allclose(*results, rtol=1e-6)


def test_excluded_weights_do_not_decay():
    variable = keras.Variable(np.array([3.0], "float32"), name="w")
    optimizer = training.LayerwiseAdamW(0.1, weight_decay=0.3)
    optimizer.exclude_from_weight_decay([variable])
    optimizer.build([variable])
    optimizer.apply([ops.zeros((1,))])
    assert variable.numpy()[0] == 3.0


def test_a_weight_without_factor_is_refused():
    model = classifier()
    optimizer = training.LayerwiseAdamW(0.1, {"classes/kernel": 0.5})
    with pytest.raises(ValueError, match="multipliers have no 'backbone/"):
        optimizer.build(model.trainable_variables)


def test_optimizer_survives_its_configuration():
    optimizer = training.LayerwiseAdamW(0.1, {"a/kernel": 0.5}, weight_decay=0.2)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert (again.multipliers, again.decay) == ({"a/kernel": 0.5}, 0.2)


def test_frozen_layers_are_not_trained():
    model = classifier()
    training.freeze(model, embeddings=True, num_blocks=1)
    names = {v.path for v in model.trainable_variables}
    assert names and all("block_1" in n or n.startswith(("pooler", "classes")) for n in names)


def test_more_blocks_than_there_are_are_refused():
    with pytest.raises(ValueError, match="num_blocks must be 0 to 2, got 3"):
        training.freeze(classifier(), num_blocks=3)


@pytest.mark.parametrize("ema", [None, 0.7])
def test_accumulated_gradients_make_the_step_of_their_mean(ema):
    gradients = [np.array([3.0, -1.0]), np.array([1.0, 5.0]), np.array([-2.0, 0.5])]
    gradients = [g.astype("float32") for g in gradients]
    results = []
    for accumulate in (None, 3):
        variable = keras.Variable(np.array([3.0, -2.0], "float32"), name="w")
        schedule = training.LinearDecay(0.1, total_steps=5, warmup_steps=2)
        optimizer = training.LayerwiseAdamW(
            training.PerUpdate(schedule, accumulate or 1),
            weight_decay=0.3,
            global_clipnorm=1.0,
            gradient_accumulation_steps=accumulate,
            **({} if ema is None else {"use_ema": True, "ema_momentum": ema}),
        )
        optimizer.build([variable])
        for _ in range(3):
            for gradient in gradients if accumulate else [sum(gradients) / 3]:
                optimizer.apply([ops.convert_to_tensor(gradient)])
        own = variable.numpy()
        optimizer.finalize_variable_values([variable])  # with the average, where there is one
        results.append([own, variable.numpy()])
        assert np.allclose(*results[-1]) == (ema is None)
    np.testing.assert_allclose(*results, rtol=1e-5)


def test_average_begins_as_the_weights_where_no_update_was_made():
    variable = keras.Variable(np.array([3.0, -2.0], "float32"), name="w")
    optimizer = training.LayerwiseAdamW(
        0.1, use_ema=True, ema_momentum=0.9, gradient_accumulation_steps=3
    )
    optimizer.build([variable])
    optimizer.apply([ops.ones(2)])
    optimizer.finalize_variable_values([variable])
    assert variable.numpy().tolist() == [3.0, -2.0]


def test_a_model_of_two_stacks_is_named():
    config = models.TransformerConfig(
        vocab_size=11, num_encoder_layers=1, num_decoder_layers=1, hidden_dim=8, num_heads=2,
        ffn_dim=16,
    )  # fmt: skip
    model = models.Seq2SeqLM(config)
    for call in (training.freeze, lambda m: training.layer_multipliers(m, 0.5)):
        with pytest.raises(ValueError, match="one stack of blocks.* got Seq2SeqLM"):
            call(model)


def test_averages_do_not_overwrite_in_the_middle_of_a_step():
    options = dict(use_ema=True, ema_overwrite_frequency=2, gradient_accumulation_steps=2)
    with pytest.raises(ValueError, match="ema_overwrite_frequency must be None"):
        training.LayerwiseAdamW(1e-3, **options)
