"""What users do with a model made of these layers: train, adapt, quantise, save, recompute."""

import keras
import numpy as np
import pytest
from backend_tools import gradient, randomise, same, to_numpy
from keras import ops
from programs import programs

from keras_transformer import layers

V, T, D, B = 11, 7, 12, 8


def language_model(policy="float32", dropout=0.0):
    """A functional model with a block of each kind and each kind of position, masks implicit."""
    tokens = keras.Input((None,), dtype="int32")
    embedding = layers.TokenEmbedding(V, D, mask_zero=True, dtype=policy, name="embedding")
    common = dict(dropout=dropout, dtype=policy)
    x = layers.LearnedPositions(32, dtype=policy)(embedding(tokens))
    x = layers.TransformerDecoderBlock(
        3, 13, position_bias=layers.AlibiBias(3), name="alibi", **common
    )(x)
    x = layers.TransformerDecoderBlock(
        4,
        13,
        head_dim=4,
        num_kv_heads=2,
        norm="rms",
        norm_first=True,
        activation="silu",
        gated=True,
        use_bias=False,
        query_key_norm="rms",
        rotary=layers.RotaryEmbedding(scaling=layers.LinearScaling(2.0)),
        window=5,
        name="rotary",
        **common,
    )(x)
    x = layers.TransformerDecoderBlock(
        2,
        13,
        norm_first=True,
        parallel=True,
        activation="gelu_tanh",
        position_bias=layers.RelativePositionBias(2, bidirectional=False, name="relative"),
        soft_cap=20.0,
        name="relative",
        **common,
    )(x)
    return keras.Model(tokens, embedding(x, reverse=True))


def texts(rows=B):
    """Counting texts, padded on the right: the next token is the last one plus 1."""
    rng = np.random.default_rng(3)
    start, lengths = rng.integers(1, V, (rows, 1)), rng.integers(3, T + 1, (rows, 1))
    ids = (start + np.arange(T + 1) - 1) % (V - 1) + 1
    ids = np.where(np.arange(T + 1) < lengths + 1, ids, 0).astype("int32")
    return ids[:, :-1], ids[:, 1:]


def compiled(model, rate=1e-2, **settings):
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
        **settings,
    )
    return model


def losses(model, epochs):
    x, y = texts()
    return model.fit(x, y, epochs=epochs, batch_size=B, verbose=0).history["loss"]


@pytest.mark.parametrize(
    "policy",
    [
        "float32",
        pytest.param("mixed_bfloat16", marks=pytest.mark.slow),
        pytest.param("mixed_float16", marks=pytest.mark.exhaustive),
    ],
)
def test_fit_learns_under_xla_and_mixed_precision(policy):
    xla = keras.backend.backend() != "torch"  # whose compiler is no XLA, and takes minutes
    history = losses(compiled(language_model(policy, dropout=0.1), jit_compile=xla), epochs=30)
    assert np.isfinite(history).all() and history[-1] < 0.6 * history[0]


def test_the_model_survives_saving(tmp_path):
    model, (x, _) = language_model(), texts()
    expected = to_numpy(model(x))
    model.save(tmp_path / "model.keras")
    same(keras.saving.load_model(tmp_path / "model.keras")(x), expected, 1e-6)
    model.save_weights(tmp_path / "model.weights.h5")
    again = language_model()
    again.load_weights(tmp_path / "model.weights.h5")
    same(again(x), expected, 1e-6)


def test_eager_and_compiled_programs_agree():
    model, (x, _) = language_model(), texts()
    one_hot = np.eye(V, dtype="float32")[x]
    found = programs(lambda rows: model(ops.cast(ops.argmax(rows, axis=-1), "int32")), one_hot)
    for name, result in found.items():
        same(result, found["eager"]), name


def test_padding_changes_nothing_in_the_whole_model():
    model, (x, _) = language_model(), texts()
    found = to_numpy(model(x))
    for row in range(B):
        real = np.count_nonzero(x[row])
        same(found[row, :real], to_numpy(model(x[row : row + 1, :real]))[0])


def dense_layers(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dense)]


def test_lora_trains_the_low_rank_parts_alone():
    model, (x, _) = language_model(), texts()
    expected = to_numpy(model(x))
    frozen = {}
    for layer in model.layers:
        layer.trainable = isinstance(layer, layers.TransformerDecoderBlock)
    for layer in dense_layers(model):
        layer.enable_lora(2)
        frozen[layer.path] = to_numpy(layer._kernel)
    same(model(x), expected, 1e-6)  # B starts at zero
    history = losses(compiled(model, rate=5e-2), epochs=15)
    assert history[-1] < 0.9 * history[0]
    assert len(frozen) == 4 + 2 + 4 + 3 + 4 + 2
    for layer in dense_layers(model):
        np.testing.assert_array_equal(to_numpy(layer._kernel), frozen[layer.path])
        assert np.abs(to_numpy(layer.lora_kernel_b)).max() > 0, layer.path


@pytest.mark.slow
def test_int8_is_close_to_what_it_quantises(tmp_path):
    model, (x, _) = language_model(), texts()
    losses(compiled(model), epochs=30)
    expected = to_numpy(model(x))
    model.quantize("int8")
    assert all(layer.quantization_mode == "int8" for layer in dense_layers(model))
    found = to_numpy(model(x))
    assert 0 < np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    assert (found.argmax(axis=-1) == expected.argmax(axis=-1))[x > 0].mean() > 0.9
    model.save(tmp_path / "model.keras")
    same(keras.saving.load_model(tmp_path / "model.keras")(x), found)


@pytest.mark.parametrize(
    "config",
    [
        keras.quantizers.Int8QuantizationConfig(activation_quantizer=None),
        keras.quantizers.Int4QuantizationConfig(block_size=-1),
        keras.quantizers.Int4QuantizationConfig(block_size=4),
    ],
)
def test_how_a_layer_is_quantised_survives_saving(config, tmp_path):
    x = keras.Input((None, D))
    model = keras.Model(x, layers.FeedForward(16)(x))
    inputs = np.random.default_rng(0).normal(size=(2, T, D)).astype("float32")
    model.quantize(config=config)
    model.save(tmp_path / "model.keras")
    same(keras.saving.load_model(tmp_path / "model.keras")(inputs), model(inputs), 1e-6)


@pytest.mark.slow
def test_recomputing_activations_changes_no_loss():
    histories = []
    for mode in (None, "full"):
        keras.utils.set_random_seed(5)
        tokens, rotary = keras.Input((None,), dtype="int32"), layers.RotaryEmbedding()
        with keras.RematScope(mode=mode):
            block = layers.TransformerDecoderBlock(2, 13, norm_first=True, rotary=rotary)
        embedding = layers.TokenEmbedding(V, D, mask_zero=True)
        model = keras.Model(tokens, embedding(block(embedding(tokens)), reverse=True))
        histories.append(losses(compiled(model, jit_compile=False), epochs=4))
    np.testing.assert_allclose(*histories, rtol=1e-4)


class OwnBlock(layers.TransformerEncoderBlock):
    """With a plain layer of Keras, which finds for itself whether it is training."""

    def build(self, shape):
        super().build(shape)
        self.noise = keras.layers.Dropout(0.5, seed=3)

    def call(self, x, **kwargs):
        return super().call(self.noise(x), **kwargs)


@pytest.mark.parametrize("mode", ["full", "larger_than"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: OwnBlock(2, 13),
        lambda: layers.TransformerEncoderBlock(2, 13, dropout=0.5, attention_dropout=0.5),
        lambda: layers.MultiHeadSelfAttention(3, dropout=0.5),
        lambda: layers.FeedForward(13, dropout=0.5),
    ],
)
def test_what_is_recomputed_has_the_same_dropout_and_masks(make, mode):
    """Its gradients are those of the same layer that keeps its activations."""
    x, found = np.random.default_rng(0).normal(size=(2, T, D)).astype("float32"), []
    padding = np.arange(T) < np.array([[4], [T]])
    for scope in (None, mode):
        keras.utils.set_random_seed(5)
        with keras.RematScope(mode=scope, output_size_threshold=1):
            layer = make()
            layer.build(x.shape)
        randomise(layer)

        def loss(x, layer=layer):
            x = layers.masks.propagate(x * 1.0, padding)
            once = layer(x, training=True)
            return ops.sum(ops.square(once) + ops.square(layer(x, training=True)))

        value, slope = to_numpy(loss(ops.convert_to_tensor(x))), to_numpy(gradient(loss, x))
        states = [to_numpy(variable) for variable in layer.non_trainable_variables]
        found.append((value, slope, states))
    (value, slope, states), (expected_value, expected_slope, expected_states) = found
    same(value, expected_value, 1e-5)
    same(slope, expected_slope, 1e-5)
    for state, expected in zip(states, expected_states, strict=True):
        np.testing.assert_array_equal(state, expected)


def test_a_layer_draws_anew_after_it_was_recomputed():
    with keras.RematScope("full"):
        layer = layers.FeedForward(13, dropout=0.5)
    x = np.ones((2, T, D), "float32")
    first, second = (to_numpy(layer(x, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 0.01
    still = [to_numpy(layer(x)) for _ in range(2)]
    np.testing.assert_array_equal(*still)


def test_dropout_under_fit_is_recomputed_with_its_seeds():
    histories = []
    for mode in (None, "full"):
        keras.utils.set_random_seed(5)
        tokens = keras.Input((None,), dtype="int32")
        embedding = layers.TokenEmbedding(V, D, mask_zero=True)
        with keras.RematScope(mode=mode):
            block = layers.TransformerEncoderBlock(2, 13, dropout=0.3, norm_first=True)
        model = keras.Model(tokens, embedding(block(embedding(tokens)), reverse=True))
        histories.append(losses(compiled(model, jit_compile=False), epochs=4))
    np.testing.assert_allclose(*histories, rtol=1e-4)


def test_a_function_of_a_layer_can_be_recomputed():
    block, x = layers.TransformerEncoderBlock(2, 13), np.ones((2, T, D), "float32")
    block.build(x.shape)
    randomise(block)
    padding = np.arange(T) < np.array([[4], [T]])

    def loss(x):
        return ops.sum(ops.square(block(x, padding_mask=padding)))

    same(gradient(keras.remat(loss), x), gradient(loss, x))
