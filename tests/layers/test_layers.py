"""What holds for every layer: configuration, saving, functional models, training."""

import keras
import numpy as np
import pytest
from backend_tools import same, to_numpy

from keras_transformer import layers

V, T, D = 11, 5, 14


LAYERS = {
    "dropout": lambda: layers.Dropout(0.3, noise_shape=(None, 1, D), seed=5),
    "embedding": lambda: layers.TokenEmbedding(V, D, scale=2.0, mask_zero=True),
    "feed_forward": lambda: layers.FeedForward(13, "gelu", dropout=0.1, use_bias=False),
    "position": lambda: layers.PositionalEncoding(500),
    "self": lambda: layers.MultiHeadSelfAttention(
        2, causal=True, dropout=0.1, use_bias=False, kernel_initializer="zeros"
    ),
    "cross": lambda: layers.MultiHeadCrossAttention(
        2, head_dim=3, kernel_initializer=keras.initializers.RandomNormal(0.0, 0.1, seed=3)
    ),
    "encoder": lambda: layers.TransformerEncoderBlock(
        2,
        13,
        head_dim=3,
        dropout=0.1,
        attention_dropout=0.2,
        activation_dropout=0.3,
        activation="gelu",
        norm_first=True,
        norm_epsilon=1e-3,
        use_bias=False,
        dtype="mixed_bfloat16",
    ),
    "grouped": lambda: layers.MultiHeadSelfAttention(
        4,
        num_kv_heads=2,
        window=3,
        query_key_norm="rms",
        score="bilinear",
        soft_cap=30.0,
        use_output_bias=False,
    ),
    "linformer": lambda: layers.LinformerSelfAttention(2, max_length=9, compressed_length=3),
    "llama": lambda: layers.TransformerDecoderBlock(
        4,
        13,
        num_kv_heads=2,
        activation="gelu_tanh",
        gated=True,
        norm="rms",
        norm_first=True,
        parallel=True,
        window=5,
        soft_cap=50.0,
    ),
    "decoder": lambda: layers.TransformerDecoderBlock(2, 13, norm_first=True, trainable=False),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_configuration(name):
    layer = LAYERS[name]()
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    data = keras.saving.serialize_keras_object(layer)
    assert data["registered_name"] == f"keras_transformer>{type(layer).__name__}"
    assert keras.saving.deserialize_keras_object(data).get_config() == config


def translator(policy="float32"):
    """All layers in one functional model, with implicit masks on both sides."""
    source, target = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    settings = dict(num_heads=2, ffn_dim=13, dropout=0.1, dtype=policy)
    embedding = layers.TokenEmbedding(V, D, scale=2.0, mask_zero=True, dtype=policy)
    position = layers.PositionalEncoding(dtype=policy)
    context = layers.TransformerEncoderBlock(**settings)(position(embedding(source)))
    x = layers.TransformerDecoderBlock(norm_first=True, **settings)(
        position(embedding(target)), context
    )
    x = layers.MultiHeadSelfAttention(2, causal=True, dtype=policy)(x)
    x = layers.MultiHeadCrossAttention(2, dtype=policy)(x, context)
    x = layers.Dropout(0.1, dtype=policy)(layers.FeedForward(13, dtype=policy)(x))
    return keras.Model([source, target], embedding(x, reverse=True))


def pairs(rows=8):
    rng = np.random.default_rng(3)
    source = rng.integers(1, V, (rows, 7)) * (np.arange(7) < rng.integers(3, 8, (rows, 1)))
    target = rng.integers(1, V, (rows, T)) * (np.arange(T) < rng.integers(2, T + 1, (rows, 1)))
    return [source.astype("int32"), target.astype("int32")]


def test_a_functional_model_survives_saving(tmp_path):
    model, inputs = translator(), pairs()
    expected = model.predict_on_batch(inputs)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict_on_batch(inputs), expected)
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = translator()
    assert not np.allclose(fresh.predict_on_batch(inputs), expected)
    fresh.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(fresh.predict_on_batch(inputs), expected)


def test_padding_changes_nothing_in_a_compiled_functional_model():
    model, (source, target) = translator(), pairs()
    found = model.predict_on_batch([source, target])
    row = 2
    short = [source[row : row + 1], target[row : row + 1]]
    short = [ids[:, : np.count_nonzero(ids)] for ids in short]
    assert short[0].shape[1] < 7
    same(found[row, : short[1].shape[1]], to_numpy(model(short))[0])


@pytest.mark.parametrize(
    "policy", ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_a_compiled_model_learns(policy):
    model, inputs = translator(policy), pairs()
    model.compile(
        optimizer=keras.optimizers.Adam(1e-2),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() != "torch",  # whose compiler takes minutes
    )
    history = model.fit(inputs, inputs[1], epochs=40, batch_size=8, verbose=0).history["loss"]
    assert np.isfinite(history).all() and history[-1] < 0.7 * history[0]
    assert all(variable.dtype == "float32" for variable in model.trainable_variables)
