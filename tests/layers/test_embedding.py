import keras
import numpy as np
import pytest
from backend_tools import same, to_numpy

from keras_transformer.layers import TokenEmbedding, TransformerEncoderBlock, masks

V, D = 23, 11
TOKENS = np.array([[3, 7, 0], [22, 0, 0]])


def test_the_equation():
    layer = TokenEmbedding(V, D, scale=3.0)
    hidden = layer(TOKENS)
    table = to_numpy(layer.embeddings)
    same(hidden, 3.0 * table[TOKENS], 1e-6)
    same(layer(hidden, reverse=True), 3.0 * table[TOKENS] @ table.T)
    same(TokenEmbedding(V, D, embeddings_initializer="ones")(TOKENS), np.ones((2, 3, D)), 0)


def test_one_matrix_serves_both_directions():
    layer = TokenEmbedding(V, D)
    layer(layer(TOKENS), reverse=True)
    assert layer.count_params() == V * D


def test_scaled_vectors_have_unit_variance():
    layer = TokenEmbedding(997, 101, scale=101**0.5)
    vectors = to_numpy(layer(np.arange(997)[None]))
    assert abs(vectors.std() - 1) < 0.01 and abs(vectors.mean()) < 0.01


@pytest.mark.parametrize("scale", [None, 3.0])
def test_padding_becomes_a_mask(scale):
    layer = TokenEmbedding(V, D, scale=scale, mask_zero=True)
    hidden = layer(TOKENS)
    np.testing.assert_array_equal(to_numpy(masks.implicit_mask(hidden)), TOKENS != 0)
    logits = layer(keras.layers.LayerNormalization()(hidden), reverse=True)
    np.testing.assert_array_equal(to_numpy(masks.implicit_mask(logits)), TOKENS != 0)


def test_ids_of_floats_which_keras_inputs_are_have_their_mask():
    layer = TokenEmbedding(V, D, scale=3.0, mask_zero=True)
    hidden = layer(TOKENS.astype("float32"))
    np.testing.assert_array_equal(to_numpy(masks.implicit_mask(hidden)), TOKENS != 0)
    block = TransformerEncoderBlock(1, 16)
    pool = keras.layers.GlobalAveragePooling1D()
    model = keras.Sequential([keras.Input((None,)), layer, block, pool])
    same(model(np.array([[5, 7, 3, 0, 0]])), model(np.array([[5, 7, 3]])))


def test_a_quantised_table_keeps_scale_and_mask():
    layer = TokenEmbedding(V, D, scale=3.0, mask_zero=True)
    hidden = layer(TOKENS)
    expected = to_numpy(hidden), to_numpy(layer(hidden, reverse=True))
    layer.quantize("int8", type_check=False)
    hidden = layer(TOKENS)
    np.testing.assert_array_equal(to_numpy(masks.implicit_mask(hidden)), TOKENS != 0)
    found = to_numpy(hidden), to_numpy(layer(hidden, reverse=True))
    for ours, wanted in zip(found, expected, strict=True):
        assert 0 < np.abs(ours - wanted).max() < 0.03 * np.abs(wanted).max()


@pytest.mark.parametrize("scale", [None, 3.0])
def test_without_mask_zero_there_is_no_mask_but_one_goes_through(scale):
    layer = TokenEmbedding(V, D, scale=scale)
    hidden = layer(TOKENS)
    assert masks.implicit_mask(hidden) is None
    assert masks.implicit_mask(layer(hidden, reverse=True)) is None
    masks.propagate(hidden, TOKENS != 0)
    logits = layer(hidden, reverse=True)
    np.testing.assert_array_equal(to_numpy(masks.implicit_mask(logits)), TOKENS != 0)


def test_half_precision_computes_in_half_precision():
    layer = TokenEmbedding(V, D, scale=3.0, dtype="mixed_bfloat16")
    hidden = layer(TOKENS)
    assert keras.backend.standardize_dtype(hidden.dtype) == "bfloat16"
    logits = layer(hidden, reverse=True)
    assert keras.backend.standardize_dtype(logits.dtype) == "bfloat16"
    assert layer.embeddings.dtype == "float32"


def test_inside_a_model_half_precision_computes_in_half_precision_too():
    class Tied(keras.Model):
        def __init__(self):
            super().__init__(dtype="mixed_bfloat16")
            self.embedding = TokenEmbedding(V, D, scale=3.0, dtype="mixed_bfloat16")

        def call(self, tokens):
            return self.embedding(self.embedding(tokens), reverse=True)

    assert keras.backend.standardize_dtype(Tied()(TOKENS).dtype) == "bfloat16"


@pytest.mark.parametrize("name", ["vocab_size", "hidden_dim"])
def test_a_size_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be a positive integer; received 0"):
        TokenEmbedding(**{"vocab_size": V, "hidden_dim": D, name: 0})
