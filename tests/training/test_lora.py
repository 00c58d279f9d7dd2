"""Low-rank parts: what they train, and what is left of them after merging."""

import keras
import numpy as np
import pytest

from keras_transformer import models, training
from keras_transformer.checkpoints import model_weights

V, D, T = 13, 8, 5


def decoder(**changes):
    keras.utils.set_random_seed(3)
    config = dict(
        vocab_size=V, num_layers=2, hidden_dim=D, num_heads=2, ffn_dim=12, dropout=0.0,
        attention_dropout=0.0,
    )  # fmt: skip
    return models.CausalLM(models.DecoderConfig(**config | changes))


def tokens(seed=0):
    return np.random.default_rng(seed).integers(0, V, (3, T)).astype("int32")


def trained(model, rate=0.1):
    model.compile(keras.optimizers.SGD(rate), training.TokenCrossEntropy(), jit_compile=False)
    for seed in range(3):
        model.train_on_batch(tokens(seed), tokens(seed + 10))
    return model


def logits(model):
    return keras.ops.convert_to_numpy(model(tokens()))


def test_nothing_changes_at_first():
    model = decoder()
    before = logits(model)
    training.enable_lora(model, rank=3)
    np.testing.assert_allclose(logits(model), before, atol=1e-6)


def test_the_parts_alone_are_trained():
    model = decoder(num_kv_heads=1, gated=True)
    before = model_weights(model)
    training.enable_lora(model, rank=3, targets=("query", "value", "gate"))
    assert training.num_trainable(model) == 2 * (3 * (D + D) + 3 * (D + D // 2) + 3 * (D + 12))
    after = model_weights(trained(model))
    for name, weight in before.items():
        np.testing.assert_array_equal(after[name], weight, name)
    parts = [name for name in after if "lora_kernel_b" in name]
    assert len(parts) == 6 and all(np.abs(after[name]).max() > 0 for name in parts)


def test_merged_kernels_give_the_same_and_the_names_of_before(tmp_path):
    model = decoder()
    names = set(model_weights(model))
    training.enable_lora(model, rank=2, alpha=5.0)
    trained(model)
    expected = logits(model)
    training.merge_lora(model)
    np.testing.assert_allclose(logits(model), expected, atol=1e-5)
    assert set(model_weights(model)) == names
    model.save_pretrained(tmp_path)
    np.testing.assert_array_equal(logits(models.CausalLM.from_pretrained(tmp_path)), logits(model))


def test_a_merged_model_predicts_and_trains_on():
    model = decoder()
    training.enable_lora(model, rank=2)
    trained(model)
    expected = model.predict_on_batch(tokens())
    training.merge_lora(model)
    if keras.backend.backend() == "tensorflow":  # a program of before is right, too
        np.testing.assert_allclose(model.predict_on_batch(tokens()), expected, atol=1e-5)
    assert training.num_trainable(model) == model.count_params()
    before = model_weights(model)
    after = model_weights(trained(model))
    assert all(np.abs(after[name] - before[name]).max() > 0 for name in before)


def test_what_was_frozen_before_is_frozen_again():
    model = decoder()
    training.freeze(model, num_blocks=1)
    before = training.num_trainable(model)
    assert before < model.count_params()
    training.enable_lora(model, rank=2)
    training.merge_lora(model)
    assert training.num_trainable(model) == before


def test_parts_of_quantised_kernels_are_not_rounded_away():
    model = decoder()
    model.quantize("int8")
    training.enable_lora(model, rank=2)
    with pytest.raises(ValueError, match="quantised kernels.*Quantised are .*query"):
        training.merge_lora(model)
    assert any("lora" in name for name in model_weights(model))


def test_parts_may_be_given_again_after_merging():
    model = decoder()
    training.enable_lora(model, rank=2)
    training.merge_lora(trained(model))
    expected = logits(model)
    training.enable_lora(model, rank=3, targets=("output",))
    np.testing.assert_allclose(logits(model), expected, atol=1e-6)


def test_low_rank_parts_start_as_torch_does():
    model = decoder(hidden_dim=64, ffn_dim=64)
    training.enable_lora(model, rank=16)
    parts = {name: w for name, w in model_weights(model).items() if "lora_kernel_a" in name}
    first, second, *_ = parts.values()
    assert np.abs(first - second).max() > 0
    for part in parts.values():  # uniform in ±1/√D
        assert 0.12 < np.abs(part).max() <= 0.125
        assert part.std() == pytest.approx(0.125 / np.sqrt(3), rel=0.05)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"rank": 0}, "rank must be an int of at least 1; got 0"),
        ({"alpha": 0.0}, "alpha must be more than 0; got 0.0"),
        ({"targets": ("querry",)}, r"some of inner, key, outer, output, query, value; got \['qu"),
        ({"targets": ()}, r"targets must be some of .*; got \[\]"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        training.enable_lora(decoder(), **arguments)


def test_parts_are_not_given_twice_nor_merged_where_there_are_none():
    model = decoder()
    with pytest.raises(ValueError, match="no low-rank parts"):
        training.merge_lora(model)
    training.enable_lora(model)
    with pytest.raises(ValueError, match="low-rank parts already"):
        training.enable_lora(model)


def test_a_model_with_parts_is_not_saved_as_if_it_were_whole(tmp_path):
    model = decoder()
    training.enable_lora(model)
    with pytest.raises(ValueError, match="save_adapter writes .*merge_lora"):
        model.save_pretrained(tmp_path)
