import pathlib

import keras
import numpy as np
import pytest
from backend_tools import randomise, same, to_numpy
from keras import ops
from programs import programs

from keras_transformer.layers.position_bias import AlibiBias, RelativePositionBias

H, T, S = 3, 5, 7
GOLDENS = np.load(pathlib.Path(__file__).parent.parent / "goldens" / "positions.npz")


def relative(bidirectional=True, **settings):
    layer = RelativePositionBias(H, 12, 20, bidirectional, **settings)
    layer.build()
    return randomise(layer)


LAYERS = {
    "alibi": lambda: AlibiBias(H),
    "encoder": relative,
    "decoder": lambda: relative(bidirectional=False),
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


@pytest.mark.parametrize("num_heads", [1, 2, 3, 5, 8, 12, 16, 20, 112])
def test_the_slopes_of_the_paper(num_heads):
    found = AlibiBias(num_heads).slopes()
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, GOLDENS[f"slopes/{num_heads}"], rtol=1e-6)


def test_alibi_grows_with_distance_on_both_sides():
    layer = AlibiBias(H)
    distance = np.abs(np.arange(S)[None, :] - 2 - np.arange(T)[:, None])
    same(layer(T, S, offset=2), -layer.slopes()[:, None, None] * distance, 1e-6)


@pytest.mark.parametrize(
    "num_buckets, max_distance, bidirectional",
    [(32, 128, True), (32, 128, False), (8, 20, True), (12, 50, False), (320, 800, True)],
)
def test_the_published_buckets(num_buckets, max_distance, bidirectional):
    layer = RelativePositionBias(H, num_buckets, max_distance, bidirectional)
    found = to_numpy(layer.buckets(np.arange(-3_000, 3_001)))
    expected = GOLDENS[f"buckets/{num_buckets}/{max_distance}/{bidirectional}"]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_the_table_is_looked_up(bidirectional):
    layer = relative(bidirectional)
    assert layer.embeddings.shape == (12, H)
    assert [w.path.rsplit("/", 1)[-1] for w in layer.weights] == ["embeddings"]
    distance = np.arange(S)[None, :] - 2 - np.arange(T)[:, None]
    table = to_numpy(layer.embeddings)
    wanted = table[to_numpy(layer.buckets(distance))].transpose(2, 0, 1)
    np.testing.assert_array_equal(to_numpy(layer(T, S, offset=2)), wanted)


@every_layer
def test_the_bias_depends_on_distance_only(make):
    found = to_numpy(make()(S, S))
    assert found.shape == (H, S, S)
    np.testing.assert_array_equal(found[:, 1:, 1:], found[:, :-1, :-1])


@every_layer
def test_row_by_row_equals_at_once(make):
    layer = make()
    whole = to_numpy(layer(50, 50))
    for row in (0, 1, 30, 49):
        for offset in (row, ops.convert_to_tensor(row, "int32")):
            np.testing.assert_array_equal(to_numpy(layer(1, 50, offset))[:, 0], whole[:, row])
    np.testing.assert_array_equal(to_numpy(layer(20, 50, offset=30)), whole[:, 30:])
    np.testing.assert_array_equal(to_numpy(layer(20, 25)), whole[:, :20, :25])


@every_layer
def test_far_positions_are_exact(make):
    layer = make()
    near, far = layer(2, 3, offset=1), layer(2, 100_003, offset=100_001)
    np.testing.assert_array_equal(to_numpy(far)[:, :, -3:], to_numpy(near))


@every_layer
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "bfloat16", "float16"])
def test_the_bias_is_float32_under_every_policy(make, dtype):
    layer = type(make()).from_config({**make().get_config(), "dtype": dtype})
    found = layer(T, S, offset=2)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    if isinstance(layer, AlibiBias):
        np.testing.assert_array_equal(to_numpy(found), to_numpy(make()(T, S, offset=2)))
    elif "mixed" in dtype:
        reference = make()
        layer.set_weights(reference.get_weights())
        np.testing.assert_array_equal(to_numpy(layer(T, S, 2)), to_numpy(reference(T, S, 2)))


@every_layer
def test_every_program_gives_the_same(make):
    layer = make()

    def call(x, offset):
        length = ops.shape(x)[1]
        return layer(length, length + 2, offset=offset), layer(length, length)

    found = programs(call, np.zeros((2, T, 3), "float32"), np.array(2, "int32"))
    same(found["eager"][0], layer(T, T + 2, 2), 0)
    for result, square in found.values():
        same(result, layer(T, S, offset=2), 1e-6)
        same(square, layer(T, T), 1e-6)


@keras.saving.register_keras_serializable(package="test_position_bias")
class Scores(keras.layers.Layer):
    """How attention uses a bias: within its own call, with lengths that may be unknown."""

    def __init__(self, bias, **kwargs):
        super().__init__(**kwargs)
        self.bias = keras.saving.deserialize_keras_object(bias) if isinstance(bias, dict) else bias

    def build(self, input_shape):
        if not self.bias.built:
            self.bias.build()

    def call(self, x):
        length = ops.shape(x)[1]
        return ops.einsum("btd,bsd->bts", x, x)[:, None] + self.bias(length, length)

    def get_config(self):
        bias = keras.saving.serialize_keras_object(self.bias)
        return {**super().get_config(), "bias": bias}


@every_layer
def test_a_functional_model_of_unknown_length(make, tmp_path):
    x = keras.Input((None, 4))
    bias = make()
    model = keras.Model(x, Scores(bias)(x))
    assert model.output.shape == (None, H, None, None)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for length in (3, 7):
        values = np.random.default_rng(3).normal(size=(2, length, 4)).astype("float32")
        wanted = np.einsum("btd,bsd->bts", values, values)[:, None] + to_numpy(bias(length, length))
        same(model.predict_on_batch(values), wanted)
        same(again.predict_on_batch(values), wanted)


def test_a_bias_builds_itself_within_another_layer():
    layer = Scores(RelativePositionBias(H))
    layer(np.zeros((2, T, 4), "float32"))
    assert [w.shape for w in layer.trainable_variables] == [(32, H)]


def test_the_buckets_in_use_learn_and_no_others():
    layer = relative()
    model = keras.Sequential([keras.Input((T, 4)), Scores(layer)])
    before = to_numpy(layer.embeddings)
    model.compile("sgd", "mse")
    model.fit(np.zeros((1, T, 4), "float32"), np.ones((1, H, T, T), "float32"), verbose=0)
    changed = np.abs(to_numpy(layer.embeddings) - before).sum(axis=1) > 0
    used = np.unique(to_numpy(layer.buckets(np.subtract.outer(np.arange(T), np.arange(T)))))
    np.testing.assert_array_equal(np.flatnonzero(changed), used)


@every_layer
def test_a_layer_is_its_configuration(make):
    config = make().get_config()
    again = type(make()).from_config(config)
    assert again.get_config() == config
    data = keras.saving.serialize_keras_object(make())
    assert data["registered_name"] == f"keras_transformer>{type(again).__name__}"


def test_errors_name_what_came():
    for make, message in [
        (lambda: AlibiBias(0), "num_heads must be a positive integer; received 0"),
        (lambda: RelativePositionBias(2.5), "num_heads must be a positive integer; received 2.5"),
        (lambda: RelativePositionBias(2, 7), "even and at least 4 .*=True; received 7"),
        (lambda: RelativePositionBias(2, 2), "even and at least 4 .*=True; received 2"),
        (lambda: RelativePositionBias(2, 1, 8, False), "at least 2 where .*=False; received 1"),
        (lambda: RelativePositionBias(2, 32, 8), "max_distance must be greater than 8, .* rec"),
        (lambda: RelativePositionBias(2, 32, 0), "max_distance must be a positive integer; rec"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()
