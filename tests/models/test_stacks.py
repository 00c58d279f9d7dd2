"""Encoders and decoders: what holds whatever parts a configuration chooses."""

import json

import keras
import numpy as np
import pytest

from keras_transformer import layers, models

V, T, B = 11, 7, 2
SIZES = dict(
    vocab_size=V, num_layers=2, hidden_dim=12, num_heads=4, ffn_dim=13, max_length=16,
    initializer_range=0.3, dropout=0.1,
)  # fmt: skip
ENCODERS = {
    "bert": dict(num_segments=2),
    "electra": dict(num_segments=2, embedding_dim=10),
    "mpnet": dict(position_bias="relative", position_bias_options={"num_buckets": 8}),
    "roberta": dict(position_options={"start": 2}, pad_id=1),
}
DECODERS = {
    "gpt2": dict(),
    "neox": dict(positions="rotary", position_options={"rotary_dim": 2}, parallel=True),
    "llama": dict(positions="rotary", num_kv_heads=2, head_dim=6, gated=True, activation="silu",
                  norm="rms", use_bias=False, query_key_norm="rms", window=4),
    "bloom": dict(positions="none", position_bias="alibi", embedding_norm=True),
    "sinusoidal": dict(positions="sinusoidal", embedding_scale=3.0, soft_cap=5.0),
    "relative": dict(position_bias="relative", position_bias_options={"bidirectional": False},
                     score="dot_product"),
}  # fmt: skip
CASES = [("encoder", name) for name in ENCODERS] + [("decoder", name) for name in DECODERS]


def make(style, name, **overrides):
    if style == "encoder":
        config = models.EncoderConfig(**{**SIZES, **ENCODERS[name], **overrides})
        return models.TransformerEncoder(config, name="backbone")
    config = models.DecoderConfig(**{**SIZES, **DECODERS[name], **overrides})
    return models.TransformerDecoder(config, name="backbone")


def tokens(rows=B, length=T, seed=3):
    return np.random.default_rng(seed).integers(2, V, (rows, length)).astype("int32")


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


def same(left, right, tolerance=1e-5):
    np.testing.assert_allclose(to_numpy(left), to_numpy(right), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("style, name", CASES)
def test_padding_changes_nothing(style, name):
    model, ids = make(style, name), tokens(1)
    alone, noise = to_numpy(model(ids)), tokens(1, 3, seed=4)
    real, padding = np.ones((1, T), bool), np.zeros((1, 3), bool)
    for order in (1, -1):
        both = np.concatenate([ids, noise][::order], axis=1)
        mask = np.concatenate([real, padding][::order], axis=1)
        found = to_numpy(model({"token_ids": both, "padding_mask": mask}))
        same(found[:, mask[0]], alone)


@pytest.mark.parametrize("style, name", CASES)
def test_a_model_is_its_configuration_and_weights(style, name, tmp_path):
    model, ids = make(style, name), tokens()
    config = type(model.config).from_json(model.config.to_json())
    assert config == model.config and type(config) is type(model.config)
    model.save(tmp_path / "model.keras")
    same(keras.saving.load_model(tmp_path / "model.keras")(ids), model(ids), 1e-6)
    names = [weight.path for weight in model.weights]
    assert len(names) == len(set(names)) and all(n.startswith("backbone/") for n in names)


@pytest.mark.parametrize("style, name", CASES)
def test_states_and_scores_of_all_layers(style, name):
    model, ids = make(style, name), tokens()
    states, scores = model.hidden_states(ids), model.attention_scores(ids)
    assert len(states) == 3 and len(scores) == 2
    same(states[-1], model(ids), 1e-6)
    for block_scores in scores:
        assert block_scores.shape == (B, 4, T, T)
        same(to_numpy(block_scores).sum(axis=-1), np.ones((B, 4, T)))


@pytest.mark.parametrize("name", DECODERS)
def test_cached_equals_uncached_with_padding_on_the_left(name):
    model, ids = make("decoder", name), tokens()
    padding = np.arange(T) >= np.array([[0], [2]])
    expected = to_numpy(model({"token_ids": ids, "padding_mask": padding}))
    cache = model.make_cache(B, T + 2)
    mask = np.concatenate([padding, np.ones((B, 2), bool)], axis=1)
    for start, stop in ((0, 3), (3, 4), (4, T)):
        found, cache = model.step(ids[:, start:stop], cache, padding_mask=mask)
        real = padding[:, start:stop]
        same(to_numpy(found)[real], expected[:, start:stop][real])


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_does_not_see_the_future(name):
    model, ids = make("decoder", name), tokens()
    changed = ids.copy()
    changed[:, 4:] = (changed[:, 4:] + 1) % V
    same(model(ids)[:, :4], model(changed)[:, :4], 1e-6)
    assert np.abs(to_numpy(model(ids))[:, 4:] - to_numpy(model(changed))[:, 4:]).max() > 1e-3


def test_segments_count_and_default_to_the_first():
    model, ids = make("encoder", "bert"), tokens()
    zeros = np.zeros_like(ids)
    same(model({"token_ids": ids, "segment_ids": zeros}), model(ids), 1e-6)
    assert (
        np.abs(to_numpy(model({"token_ids": ids, "segment_ids": zeros + 1}) - model(ids))).max()
        > 0.1
    )


@keras.saving.register_keras_serializable(package="tests")
class DoubledBlock(layers.TransformerEncoderBlock):
    def call(self, x, **arguments):
        return 2.0 * super().call(x, **arguments)


def test_a_block_of_ones_own_is_used_and_saved(tmp_path):
    config = models.EncoderConfig(**SIZES)
    model = models.TransformerEncoder(config, block=DoubledBlock)
    assert all(type(block) is DoubledBlock for block in model.blocks)
    model.save(tmp_path / "model.keras")
    same(keras.saving.load_model(tmp_path / "model.keras")(tokens()), model(tokens()), 1e-6)
    with pytest.raises(TypeError, match="subclass of TransformerEncoderBlock"):
        models.TransformerEncoder(config, block=layers.FeedForward)


def test_bad_configurations_and_inputs_are_refused():
    for fields, message in [
        ({"num_heads": 5}, "num_heads=5, hidden_dim=12"),
        ({"positions": "cosine"}, "positions must be one of 'learned'"),
        ({"vocab_size": 2**40}, "at most 68,719,476,736"),
        ({"pad_id": V}, r"pad_id must be a token of the vocabulary, in \[0, 11\)"),
        ({"num_segments": -1}, "num_segments must be 0 or more"),
    ]:
        with pytest.raises(ValueError, match=message):
            models.EncoderConfig(**{**SIZES, **fields})
    text = json.dumps({**SIZES, "colour": "red"})
    with pytest.raises(ValueError, match="unknown configuration fields .'colour'."):
        models.DecoderConfig.from_json(text)
    with pytest.raises(TypeError, match="config must be of type EncoderConfig"):
        models.TransformerEncoder(models.DecoderConfig(**SIZES))
    with pytest.raises(ValueError, match="received .'ids'."):
        make("decoder", "gpt2")({"ids": tokens()})


def test_gpt2_starts_with_small_sums():
    sizes = dict(vocab_size=11, num_layers=8, hidden_dim=64, num_heads=4, max_length=5)
    model = models.CausalLM.from_preset("gpt2", ffn_dim=64, **sizes)
    deviations = {weight.path: keras.ops.convert_to_numpy(weight).std() for weight in model.weights}
    for name, deviation in deviations.items():
        if name.endswith("/kernel"):
            is_last = name.endswith(("self_attention/output/kernel", "feed_forward/outer/kernel"))
            np.testing.assert_allclose(deviation, 0.02 / 4 if is_last else 0.02, rtol=0.05)
