import pathlib

import keras
import numpy as np
import pytest
from backend_tools import gradient, same, to_numpy
from keras import ops
from programs import programs

from keras_transformer.layers.position import token_positions
from keras_transformer.layers.rotary import RotaryEmbedding
from keras_transformer.layers.rotary_scaling import (
    DynamicNtkScaling,
    LinearScaling,
    Llama3Scaling,
    YarnScaling,
)

B, H, T, K = 2, 3, 5, 14
GOLDENS = np.load(pathlib.Path(__file__).parent.parent / "goldens" / "positions.npz")
ORIGINAL = 512

SCALINGS = {
    "linear": LinearScaling(4.0),
    "dynamic": DynamicNtkScaling(2.0, ORIGINAL),
    "yarn": YarnScaling(8.0, ORIGINAL),
    "yarn_betas": YarnScaling(40.0, ORIGINAL, beta_fast=16, beta_slow=2, truncate=False),
    "yarn_factor": YarnScaling(4.0, ORIGINAL, attention_factor=0.75),
    "yarn_mscale": YarnScaling(40.0, ORIGINAL, mscale=1.5, mscale_all_dim=0.7),
    "llama3": Llama3Scaling(8.0, 1.0, 4.0, ORIGINAL),
}
LAYERS = {
    "half_split": RotaryEmbedding,
    "interleaved": lambda: RotaryEmbedding(layout="interleaved"),
    "partial": lambda: RotaryEmbedding(500_000, rotary_dim=6),
    "partial, interleaved": lambda: RotaryEmbedding(rotary_dim=6, layout="interleaved"),
    **{name: lambda s=scaling: RotaryEmbedding(scaling=s) for name, scaling in SCALINGS.items()},
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def random(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("layout", ["half_split", "interleaved"])
@pytest.mark.parametrize("width", [14, 6])
def test_published_rotations(layout, width):
    layer = RotaryEmbedding(rotary_dim=width, layout=layout)
    found = layer(GOLDENS["rotary/x"], positions=GOLDENS["rotary/positions"])
    same(found, GOLDENS[f"rotary/{layout}/{width}"])
    if width == K:
        whole = RotaryEmbedding(layout=layout)
        same(whole(GOLDENS["rotary/x"], positions=GOLDENS["rotary/positions"]), found, 0)


def frequencies(length=None, max_wavelength=10_000, scaling=None, width=34):
    return scaling.scale(
        max_wavelength ** (-np.arange(0, width, 2) / width), max_wavelength, length
    )


@pytest.mark.parametrize("max_wavelength", [10_000, 500_000])
@pytest.mark.parametrize("name", sorted(set(SCALINGS) - {"dynamic"}))
def test_published_scalings(name, max_wavelength):
    *expected, amplitude = GOLDENS[f"scaling/{name}/{max_wavelength}"]
    found = frequencies(None, max_wavelength, SCALINGS[name])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert SCALINGS[name].amplitude == pytest.approx(amplitude, rel=1e-12)
    assert found.dtype == "float64"


@pytest.mark.parametrize("max_wavelength", [10_000, 500_000])
@pytest.mark.parametrize("length", [7, 512, 513, 1_999, 100_000])
def test_the_published_dynamic_scaling(length, max_wavelength):
    *expected, amplitude = GOLDENS[f"scaling/dynamic/{max_wavelength}/{length}"]
    scaling = SCALINGS["dynamic"]
    found = frequencies(length, max_wavelength, scaling)
    np.testing.assert_allclose(found, expected, rtol=2e-6)
    assert amplitude == scaling.amplitude == 1.0
    traced = frequencies(ops.convert_to_tensor(length, "int32"), max_wavelength, scaling)
    assert keras.backend.standardize_dtype(traced.dtype) == "float32"
    np.testing.assert_allclose(to_numpy(traced), found, rtol=3e-6)


@pytest.mark.parametrize("name", SCALINGS)
def test_a_scaled_layer_rotates_by_the_scaled_frequencies(name):
    scaling, x = SCALINGS[name], random(1, 1, 5, 34)
    start, length = 1_000, 1_005
    frequency = frequencies(length, 10_000, scaling)
    angle = np.arange(start, length)[:, None] * frequency
    rotated = (x[..., :17] + 1j * x[..., 17:]) * np.exp(1j * angle) * scaling.amplitude
    found = RotaryEmbedding(scaling=scaling)(x, start_index=start)
    same(found, np.concatenate([rotated.real, rotated.imag], axis=-1))


@every_layer
def test_scores_depend_on_distance_only(make):
    layer, query, key = make(), random(1, H, 1, K), random(1, H, 1, K, seed=5)

    def score(query_position, key_position):
        placed = [layer(x, start_index=p, length=9_999) for x, p in ((query, query_position),)]
        placed += [layer(key, start_index=key_position, length=9_999)]
        return np.einsum("bhtk,bhtk->h", *map(to_numpy, placed))

    wanted = score(11, 4)
    for shift in (1, 100, 9_000):
        np.testing.assert_allclose(score(11 + shift, 4 + shift), wanted, rtol=1e-5, atol=1e-5)
    assert np.abs(score(11, 5) - wanted).max() > 1e-3


@every_layer
def test_norms_are_kept_up_to_the_amplitude(make):
    layer, x = make(), random(B, H, T, K)
    amplitude = 1.0 if layer.scaling is None else layer.scaling.amplitude
    found = to_numpy(layer(x, start_index=70))
    np.testing.assert_allclose(
        np.linalg.norm(found, axis=-1), np.linalg.norm(x, axis=-1) * amplitude, rtol=1e-5
    )


def test_layouts_are_equal_up_to_a_permutation():
    x = random(B, H, T, K)
    halves = to_numpy(RotaryEmbedding()(x))
    together = np.stack([x[..., : K // 2], x[..., K // 2 :]], axis=-1).reshape(x.shape)
    pairs = to_numpy(RotaryEmbedding(layout="interleaved")(together))
    np.testing.assert_array_equal(pairs[..., ::2], halves[..., : K // 2])
    np.testing.assert_array_equal(pairs[..., 1::2], halves[..., K // 2 :])


def test_the_components_beyond_the_rotary_width_stay():
    x = random(B, H, T, K)
    for layout in ("half_split", "interleaved"):
        found = to_numpy(RotaryEmbedding(rotary_dim=6, layout=layout)(x))
        np.testing.assert_array_equal(found[..., 6:], x[..., 6:])
        same(found[..., :6], RotaryEmbedding(layout=layout)(x[..., :6]), 1e-6)


def test_position_0_changes_nothing():
    x = random(B, H, 1, K)
    np.testing.assert_array_equal(to_numpy(RotaryEmbedding()(x)), x)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16", "bfloat16"])
@pytest.mark.parametrize("name", [None, "linear", "yarn", "llama3", "dynamic"])
def test_tables_are_exact_at_100_000_under_every_policy(dtype, name):
    scaling = SCALINGS.get(name)
    layer, positions = RotaryEmbedding(scaling=scaling, dtype=dtype), np.arange(99_900, 100_001)
    tables = layer.rotations(positions, 34, length=100_001)
    frequency = 10_000.0 ** (-np.arange(0, 34, 2) / 34)
    if scaling:
        frequency = scaling.scale(frequency, 10_000, 100_001)
    amplitude = scaling.amplitude if scaling else 1.0
    for table, function in zip(tables, (np.cos, np.sin), strict=True):
        assert keras.backend.standardize_dtype(table.dtype) == "float32"
        wanted = function(positions[:, None] * frequency) * amplitude
        np.testing.assert_allclose(to_numpy(table), wanted, rtol=0, atol=5e-7)


@every_layer
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_only_the_result_is_rounded(make, dtype):
    config = make().get_config()
    layer = RotaryEmbedding.from_config({**config, "dtype": dtype})
    x = to_numpy(ops.cast(random(B, H, T, K), layer.compute_dtype))
    found = layer(x, start_index=90_000)
    assert keras.backend.standardize_dtype(found.dtype) == layer.compute_dtype
    rounding = 2.0**-8 if "bfloat16" in dtype else 2.0**-10
    wanted = to_numpy(make()(x, start_index=90_000))
    np.testing.assert_allclose(to_numpy(found), wanted, rtol=rounding, atol=1e-6)


@every_layer
def test_an_offset_is_a_slice(make):
    layer, x = make(), random(B, H, 11, K)
    whole = to_numpy(layer(x))
    for start in (0, 3, 10):
        part = x[:, :, start:]
        same(layer(part, start_index=start), whole[:, :, start:], 1e-6)
        traced = layer(part, start_index=ops.convert_to_tensor(start, "int32"))
        same(traced, whole[:, :, start:])
        same(layer(part, positions=np.arange(start, 11)), whole[:, :, start:])
    rows = np.stack([np.arange(3, 8), np.arange(6, 11)])
    picked = np.stack([x[0][:, 3:8], x[1][:, 6:11]])
    same(layer(picked, positions=rows), np.stack([whole[0][:, 3:8], whole[1][:, 6:11]]))


def test_scores_alone_padded_and_packed_are_the_same():
    layer, x = RotaryEmbedding(), random(1, H, T, K)

    def scores(x):
        return np.einsum("htk,hsk->hts", to_numpy(x)[0], to_numpy(x)[0])

    wanted = scores(layer(x))
    left = np.concatenate([x[:, :, :2], x, x[:, :, :1]], axis=2)
    mask = np.array([[False] * 2 + [True] * T + [False]])
    found = layer(left, positions=token_positions(mask))
    same(found[:, :, 2 : 2 + T], layer(x), 1e-6)
    same(scores(found)[:, 2 : 2 + T, 2 : 2 + T], wanted)
    packed = np.concatenate([x, x], axis=2)
    found = layer(packed, positions=token_positions(segment_ids=np.array([[1] * T + [2] * T])))
    same(found[:, :, :T], layer(x), 1e-6)
    same(found[:, :, T:], layer(x), 1e-6)


def test_a_dynamic_length_grows_with_the_text():
    layer, x = RotaryEmbedding(scaling=DynamicNtkScaling(2.0, 8)), random(1, 1, 20, K)
    same(layer(x[:, :, :8]), RotaryEmbedding()(x[:, :, :8]), 1e-6)
    assert np.abs(to_numpy(layer(x))[:, :, :8] - to_numpy(layer(x[:, :, :8]))).max() > 1e-2
    fixed = layer(x[:, :, :8], length=20)
    same(fixed, layer(x)[:, :, :8], 1e-6)
    same(layer(x[:, :, :8], length=ops.convert_to_tensor(20)), fixed)
    same(layer(x, positions=np.arange(20)), layer(x))


@every_layer
def test_every_program_gives_the_same(make):
    layer, positions = make(), np.array([[3, 1, 4, 1, 600], [0, 0, 2, 1, 3]], "int32")

    def call(x, start, positions):
        return layer(x), layer(x, start_index=start), layer(x, positions=positions)

    found = programs(call, random(B, H, T, K), np.array(600, "int32"), positions)
    expected = found.pop("eager")
    dynamic = isinstance(layer.scaling, DynamicNtkScaling)  # the angles themselves are float32
    for results in found.values():
        for result, wanted in zip(results, expected, strict=True):
            same(result, wanted, 3e-4 if dynamic else 1e-6)


@every_layer
def test_a_functional_model_of_unknown_length(make, tmp_path):
    x = keras.Input((H, None, K))
    model = keras.Model(x, make()(x))
    assert model.output.shape == (None, H, None, K)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for length in (3, 7):
        values = random(B, H, length, K)
        same(model.predict_on_batch(values), make()(values))
        same(again.predict_on_batch(values), make()(values))


def test_it_works_inside_another_layer_of_unknown_length():
    class Outer(keras.layers.Layer):
        def build(self, input_shape):
            self.rotary = RotaryEmbedding(scaling=SCALINGS["dynamic"])

        def call(self, x):
            return self.rotary(x)

    x = keras.Input((H, None, K))
    assert Outer()(x).shape == (None, H, None, K)


def test_gradients_are_rotated_back():
    layer, x = RotaryEmbedding(rotary_dim=6), random(1, 1, T, K)
    upstream = random(1, 1, T, K, seed=5)
    found = gradient(lambda x: ops.sum(ops.multiply(layer(x), upstream)), x)
    same(layer(found), upstream)


@every_layer
def test_a_layer_is_its_configuration(make):
    config = make().get_config()
    again = RotaryEmbedding.from_config(config)
    assert again.get_config() == config
    assert again.scaling == make().scaling
    data = keras.saving.serialize_keras_object(make())
    assert data["registered_name"] == "keras_transformer>RotaryEmbedding"
    assert keras.saving.deserialize_keras_object(data).scaling == make().scaling


@pytest.mark.parametrize("name", SCALINGS)
def test_a_scaling_is_a_value(name):
    scaling = SCALINGS[name]
    assert type(scaling).from_config(scaling.get_config()) == scaling
    assert len({scaling, type(scaling)(**scaling.get_config())}) == 1
    with pytest.raises(AttributeError):
        scaling.factor = 3.0


def test_errors_name_what_came():
    for settings, message in [
        (dict(max_wavelength=1), "max_wavelength must be greater than 1; received 1"),
        (dict(rotary_dim=5), "rotary_dim must be even; received 5"),
        (dict(rotary_dim=0), "rotary_dim must be a positive integer; received 0"),
        (dict(layout="neox"), "layout must be one of 'half_split', .* received 'neox'"),
        (dict(scaling="yarn"), "scaling must be None or a RotaryScaling .* received 'yarn'"),
    ]:
        with pytest.raises(ValueError, match=message):
            RotaryEmbedding(**settings)
    x = np.zeros((1, 1, 5, 6), "float32")
    for settings, message in [
        (dict(positions=np.zeros((1, 1, 5), "int32")), r"positions must have .* \(1, 1, 5\)"),
        (dict(positions=np.zeros((1, 1), "int32")), r"of the 5 vectors; .* \(1, 1\)"),
        (dict(start_index=-1), "received start_index=-1 and length 5"),
    ]:
        with pytest.raises(ValueError, match=message):
            RotaryEmbedding()(x, **settings)
    with pytest.raises(ValueError, match="at most the head width, 6; received 8"):
        RotaryEmbedding(rotary_dim=8)(x)
    with pytest.raises(ValueError, match="even head width, .* received head width 5"):
        RotaryEmbedding()(x[..., :5])
    with pytest.raises(ValueError, match=r"shape \(batch, heads, .* received shape \(1, 5, 6\)"):
        RotaryEmbedding()(x[0])
    for make, message in [
        (lambda: LinearScaling(0.5), "factor must be a number of at least 1; received 0.5"),
        (lambda: DynamicNtkScaling(2.0, 0), "original_max_length must be a positive integer; rec"),
        (lambda: YarnScaling(2.0, 8, beta_fast=1), "received beta_fast=1 and beta_slow=1"),
        (lambda: Llama3Scaling(8.0, 4.0, 1.0, 8), "received low_frequency_factor=4.0 and high"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()
