import pathlib

import keras
import numpy as np
import pytest
from backend_tools import randomise, same, to_numpy
from keras import ops
from programs import programs

from keras_transformer.layers import masks
from keras_transformer.layers.position import (
    LearnedPositions,
    PositionalEncoding,
    token_positions,
)

WIDTH = 14
GOLDENS = np.load(pathlib.Path(__file__).parent.parent / "goldens" / "positions.npz")


def random(*shape):
    return np.random.default_rng(3).normal(size=shape).astype("float32")


def learned(max_length=23, **settings):
    layer = LearnedPositions(max_length, **settings)
    layer.build((None, None, WIDTH))
    return randomise(layer)


LAYERS = {
    "sinusoidal": PositionalEncoding,
    "concatenated": lambda: PositionalEncoding(500, layout="concatenated", endpoint=True),
    "learned": learned,
    "from row 2": lambda: learned(start=2),
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def expected(positions, width=WIDTH, wavelength=10_000):
    """The equation, in float64."""
    positions = np.asarray(positions, "float64")
    table = np.zeros((len(positions), width))
    for i in range(0, width, 2):
        table[:, i] = np.sin(positions / wavelength ** (i / width))
        table[:, i + 1] = np.cos(positions / wavelength ** (i / width))
    return table


def encodings(layer, length, start=0, width=WIDTH):
    return to_numpy(layer.encodings(length, width, start))


@pytest.mark.parametrize("width, wavelength", [(2, 10_000), (14, 10_000), (14, 500)])
def test_the_equation(width, wavelength):
    layer = PositionalEncoding(wavelength)
    found = to_numpy(layer(np.zeros((3, 11, width), "float32")))
    for row in found:
        np.testing.assert_allclose(row, expected(range(11), width, wavelength), atol=1e-6)


@pytest.mark.parametrize("start", [0, 505, 5_000, 65_530, 99_990, 2_097_141])
def test_positions_are_exact_however_large(start):
    found = encodings(PositionalEncoding(), 11, start)
    np.testing.assert_allclose(found, expected(range(start, start + 11)), rtol=0, atol=1e-6)


def test_a_long_table_is_exact():
    found = encodings(PositionalEncoding(), 3_001, width=128)
    np.testing.assert_allclose(found, expected(range(3_001), 128), rtol=0, atol=1e-6)


@pytest.mark.parametrize("k", [1, 7, 1_000])
def test_an_offset_is_a_linear_function(k):
    layer = PositionalEncoding()
    found = encodings(layer, 503).astype("float64")
    angle = k / 10_000 ** (np.arange(0, WIDTH, 2) / WIDTH)
    sine, cosine = found[:, ::2], found[:, 1::2]
    moved = np.empty_like(found)
    moved[:, ::2] = np.cos(angle) * sine + np.sin(angle) * cosine
    moved[:, 1::2] = np.cos(angle) * cosine - np.sin(angle) * sine
    np.testing.assert_allclose(moved, encodings(layer, 503, k), rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "bfloat16", "float16"])
def test_the_table_is_float32_under_every_policy(dtype):
    layer = PositionalEncoding(dtype=dtype)
    for start in (0, 99_990):
        table = layer.encodings(11, WIDTH, start)
        assert keras.backend.standardize_dtype(table.dtype) == "float32"
        np.testing.assert_array_equal(
            to_numpy(table), encodings(PositionalEncoding(dtype="float32"), 11, start)
        )
        y = layer(np.zeros((1, 11, WIDTH), "float32"), start_index=start)
        assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
        rounding = 2.0**-8 if "bfloat16" in dtype else 2.0**-11
        np.testing.assert_allclose(
            to_numpy(y)[0], expected(range(start, start + 11)), rtol=rounding, atol=1e-5
        )


def test_layouts_are_equal_up_to_a_permutation():
    interleaved = encodings(PositionalEncoding(), 11)
    concatenated = encodings(PositionalEncoding(layout="concatenated"), 11)
    np.testing.assert_array_equal(concatenated[:, : WIDTH // 2], interleaved[:, ::2])
    np.testing.assert_array_equal(concatenated[:, WIDTH // 2 :], interleaved[:, 1::2])


@pytest.mark.parametrize("published, endpoint", [("marian", False), ("whisper", True)])
def test_published_tables(published, endpoint):
    layer = PositionalEncoding(layout="concatenated", endpoint=endpoint)
    same(layer.encodings(11, WIDTH), GOLDENS[f"table/{published}"], 1e-6)


@pytest.mark.parametrize("width", [2, 4, 14])
def test_the_equation_of_tensor2tensor(width):
    layer = PositionalEncoding(layout="concatenated", endpoint=True)
    wavelength = np.geomspace(1, 10_000, width // 2)
    angle = np.arange(11)[:, None] / wavelength
    found = encodings(layer, 11, width=width)
    np.testing.assert_allclose(
        found, np.concatenate([np.sin(angle), np.cos(angle)], axis=-1), rtol=0, atol=1e-6
    )


@every_layer
@pytest.mark.parametrize("start", [0, 3, 9])
def test_a_start_is_a_slice(make, start):
    layer, x = make(), random(2, 11, WIDTH)
    whole = to_numpy(layer(x))[:, start:]
    same(layer(x[:, start:], start_index=start), whole, 1e-6)
    tensor = ops.convert_to_tensor(start, "int32")
    same(layer(x[:, start:], start_index=tensor), whole, 1e-6)
    same(layer(x[:, start:], positions=np.arange(start, 11)), whole, 1e-6)


@every_layer
def test_positions_are_taken_as_they_are(make):
    layer, x = make(), random(2, 5, WIDTH)
    table = to_numpy(layer(np.zeros((1, 23, WIDTH), "float32")))[0]
    positions = np.random.default_rng(5).integers(0, 23, (2, 5))
    same(layer(x, positions=positions), x + table[positions], 1e-6)
    same(layer(x, positions=positions[0]), x + table[positions[0]], 1e-6)
    mask = np.array([[True] * 5, [False] * 5])
    overridden = layer(x, positions=positions, padding_mask=mask, start_index=3, segment_ids=mask)
    same(overridden, x + table[positions], 1e-6)
    np.testing.assert_array_equal(to_numpy(masks.implicit_mask(overridden)), mask)


@every_layer
def test_padding_changes_nothing(make):
    layer, x = make(), random(1, 5, WIDTH)
    padded = np.concatenate([x[:, :2], x, x[:, :3]], axis=1)
    mask = (np.arange(10) >= 2) & (np.arange(10) < 7)
    found = layer(padded, padding_mask=mask[None])
    same(found[:, 2:7], layer(x), 1e-6)
    np.testing.assert_array_equal(to_numpy(masks.implicit_mask(found)), mask[None])
    found = layer(padded, padding_mask=mask[None], start_index=3)
    same(found[:, 2:7], layer(x, start_index=3), 1e-6)
    same(layer(x, padding_mask=np.ones((1, 5), bool)), layer(x), 1e-6)


@every_layer
def test_packing_changes_nothing(make):
    layer, x, y = make(), random(1, 5, WIDTH), random(1, 3, WIDTH)
    row = np.concatenate([x[:, :2], x, y, y, x[:, :1]], axis=1)
    segments = np.array([[0, 0, 7, 7, 7, 7, 7, 1, 1, 1, 2, 2, 2, 0]])
    for mask in (None, segments > 0):
        found = layer(row, segment_ids=segments, padding_mask=mask)
        same(found[:, 2:7], layer(x), 1e-6)
        same(found[:, 7:10], layer(y), 1e-6)
        same(found[:, 10:13], layer(y), 1e-6)


@every_layer
def test_every_program_gives_the_same(make):
    layer = make()
    segments = np.array([[1, 1, 2, 2, 2, 0], [4, 3, 3, 3, 3, 3]], "int32")
    mask, x = segments > 0, random(2, 6, WIDTH)
    start = np.array(3, "int32")

    def call(x, start, mask, segments):
        return (
            layer(x, start_index=start),
            layer(x, start_index=start, padding_mask=mask),
            layer(x, padding_mask=mask, segment_ids=segments),
            layer(x, positions=segments),
        )

    found = programs(call, x, start, mask, segments)
    expected = found.pop("eager")
    for results in found.values():
        for result, wanted in zip(results, expected, strict=True):
            same(result, wanted, 1e-6)


@every_layer
def test_a_functional_model_of_unknown_length(make):
    tokens = keras.Input((None,), dtype="int32")
    segments = keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(11, WIDTH, mask_zero=True)
    layer = make()
    output = layer(embedding(tokens), segment_ids=segments)
    model = keras.Model([tokens, segments], output)
    assert output.shape == (None, None, WIDTH)
    for length in (5, 7):
        ids = np.random.default_rng(3).integers(0, 11, (3, length)).astype("int32")
        parts = np.sort(ids, axis=1) // 4
        wanted = layer(to_numpy(embedding(ids)), padding_mask=ids != 0, segment_ids=parts)
        same(model.predict_on_batch([ids, parts]), wanted, 1e-6)


@every_layer
def test_the_policy_gives_the_dtype(make):
    for dtype in ("mixed_bfloat16", "mixed_float16"):
        config = make().get_config()
        layer = type(make()).from_config({**config, "dtype": dtype})
        y = layer(random(1, 5, WIDTH), padding_mask=np.ones((1, 5), bool))
        assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype


@every_layer
def test_a_layer_is_its_configuration(make):
    config = make().get_config()
    data = keras.saving.serialize_keras_object(make())
    assert data["registered_name"].startswith("keras_transformer>")
    again = keras.saving.deserialize_keras_object(data)
    assert {**again.get_config(), "name": None} == {**config, "name": None}


def test_an_implicit_mask_equals_an_explicit_one_and_goes_on():
    tokens = np.array([[3, 1, 0], [0, 3, 1], [0, 0, 0]])
    embedded = keras.layers.Embedding(11, WIDTH, mask_zero=True)(tokens)
    for layer in (PositionalEncoding(), learned()):
        after = layer(embedded)
        np.testing.assert_array_equal(to_numpy(masks.implicit_mask(after)), tokens != 0)
        same(after, layer(to_numpy(embedded), padding_mask=tokens != 0), 1e-6)
        same(after[1, 1:], after[0, :2], 1e-6)


@every_layer
def test_the_empty_sequence_passes(make):
    x = np.zeros((2, 0, WIDTH))
    assert make()(x).shape == (2, 0, WIDTH)
    assert make()(x, segment_ids=np.zeros((2, 0), "int32")).shape == (2, 0, WIDTH)


def slow_token_positions(mask, segments):
    found = np.zeros(mask.shape, int)
    for row, column in zip(*mask.nonzero(), strict=True):
        first = column
        while first > 0 and segments[row, first - 1] == segments[row, column]:
            first -= 1
        found[row, column] = mask[row, first:column].sum()
    return found


def test_token_positions_are_the_numbers_of_real_tokens_within_their_segments():
    rng = np.random.default_rng(7)
    mask = rng.random((50, 17)) < 0.7
    segments = np.cumsum(rng.random((50, 17)) < 0.3, axis=1) % 3
    one_segment, all_real = np.zeros_like(segments), np.ones_like(mask)
    for given, m, s in [
        (dict(padding_mask=mask, segment_ids=segments), mask, segments),
        (dict(padding_mask=mask), mask, one_segment),
        (dict(segment_ids=segments), all_real, segments),
    ]:
        found = token_positions(**given)
        assert keras.backend.standardize_dtype(found.dtype) == "int32"
        found = to_numpy(found)
        np.testing.assert_array_equal(found[m], slow_token_positions(m, s)[m])
        assert found.min() >= 0 and found.max() < 17


def test_a_learned_position_has_one_row():
    layer = learned(7, start=2)
    assert layer.embeddings.shape == (9, WIDTH)
    table = to_numpy(layer.embeddings)
    same(layer(np.zeros((1, 7, WIDTH), "float32"))[0], table[2:], 1e-6)
    again = LearnedPositions(7, start=2)
    again.build((None, None, WIDTH))
    again.set_weights(layer.get_weights())
    same(again(random(2, 3, WIDTH)), layer(random(2, 3, WIDTH)), 0)


def test_a_packed_row_may_be_longer_than_its_segments():
    layer = learned(3)
    segments = np.array([[1, 1, 1, 2, 2, 3, 3, 3]])
    found = layer(np.zeros((1, 8, WIDTH), "float32"), segment_ids=segments)
    same(found[0], to_numpy(layer.embeddings)[[0, 1, 2, 0, 1, 0, 1, 2]], 1e-6)


def test_errors_name_what_came():
    with pytest.raises(ValueError, match="even width; received width 13"):
        PositionalEncoding()(np.zeros((1, 3, 13)))
    with pytest.raises(ValueError, match="max_wavelength must be greater than 1; received 0"):
        PositionalEncoding(0)
    with pytest.raises(ValueError, match="layout must be one of 'interleaved', .* received 'sin'"):
        PositionalEncoding(layout="sin")
    with pytest.raises(
        ValueError, match=r"\[0, 2097152\); received start_index=2097150 and length 5"
    ):
        PositionalEncoding()(np.zeros((1, 5, 2)), start_index=2_097_150)
    with pytest.raises(ValueError, match="start_index=-1"):
        PositionalEncoding()(np.zeros((1, 5, 2)), start_index=-1)
    for layer in (PositionalEncoding(), LearnedPositions(7)):
        x = np.zeros((1, 5, 2))
        with pytest.raises(ValueError, match=r"padding_mask must have .* shape \(1, 5, 1\)"):
            layer(x, padding_mask=np.ones((1, 5, 1), bool))
        with pytest.raises(ValueError, match=r"segment_ids must have .* shape \(5,\)"):
            layer(x, segment_ids=np.ones(5, "int32"))
        with pytest.raises(ValueError, match=r"positions must have .* shape \(1, 5, 1\)"):
            layer(x, positions=np.ones((1, 5, 1), "int32"))
        one = np.ones((1, 1), "int32")  # would be broadcast
        with pytest.raises(ValueError, match=r"padding_mask .* of the 5 positions; .* \(1, 1\)"):
            layer(x, padding_mask=one)
        with pytest.raises(ValueError, match=r"segment_ids .* of the 5 positions; .* \(1, 1\)"):
            layer(x, segment_ids=one)
        with pytest.raises(ValueError, match=r"positions .* of the 5 vectors; .* \(1, 1\)"):
            layer(x, positions=one)
    with pytest.raises(ValueError, match="needs padding_mask or segment_ids"):
        token_positions()
    with pytest.raises(ValueError, match="padding_mask must have one entry for each of the 3"):
        token_positions(np.ones((1, 1), bool), np.ones((1, 3), "int32"))


def test_learned_positions_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="max_length must be a positive integer; received 0"):
        LearnedPositions(0)
    with pytest.raises(ValueError, match="start must be an integer of at least 0; received -1"):
        LearnedPositions(3, start=-1)
    layer = LearnedPositions(7)
    with pytest.raises(ValueError, match="max_length=7 positions; received length 8 from start_in"):
        layer(np.zeros((1, 8, 2)))
    with pytest.raises(ValueError, match="received length 5 from start_index=3"):
        layer(np.zeros((1, 5, 2)), start_index=3)
    with pytest.raises(ValueError, match="received length 5 from start_index=-1"):
        layer(np.zeros((1, 5, 2)), start_index=-1)
    with pytest.raises(ValueError, match="received length 8 from"):
        layer(np.zeros((1, 8, 2)), start_index=ops.convert_to_tensor(0))
    with pytest.raises(ValueError, match="received length 8 from start_index=0"):
        LearnedPositions(7)(keras.Input((8, 2)))
    layer(np.zeros((1, 5, 2)), start_index=2)
