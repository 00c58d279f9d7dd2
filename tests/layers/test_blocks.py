import keras
import numpy as np
import pytest
from backend_tools import gradient, randomise, same, to_numpy
from keras import ops
from torch_weights import assign_block, golden

from keras_transformer.layers import (
    KeyValueCache,
    MultiHeadSelfAttention,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
    masks,
)

B, T, S, D, H, K, F = 2, 5, 7, 15, 3, 5, 13
BLOCKS = [TransformerEncoderBlock, TransformerDecoderBlock]


def normal(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def up_to(lengths, size):
    return np.arange(size) < np.array(lengths)[:, None]


def make(cls, **settings):
    """A built block with random weights; decoder blocks with cross-attention."""
    block = cls(**{"num_heads": H, "ffn_dim": F, **settings})
    shape = (None, None, D)
    block.build(*[shape] * (2 if isinstance(block, TransformerDecoderBlock) else 1))
    return randomise(block)


def context_for(block, batch_size=B):
    """What a block takes besides its input."""
    if isinstance(block, TransformerEncoderBlock):
        return {}
    return {"context": normal(batch_size, S, D, seed=4)}


# equality with torch


@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_encoder_block_equals_that_of_torch(order, activation):
    case = golden("block")
    block = make(TransformerEncoderBlock, norm_first=order == "pre", activation=activation)
    assign_block(block, golden("block/encoder"))
    found = to_numpy(block(case["x"], padding_mask=case["padding"]))
    expected = case[f"encoder/{order}/{activation}/output"]
    # torch's fast path may leave other numbers where there is padding
    same(found[case["padding"]], expected[case["padding"]])


@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_decoder_block_equals_that_of_torch(order, activation):
    case = golden("block")
    block = make(TransformerDecoderBlock, norm_first=order == "pre", activation=activation)
    assign_block(block, golden("block/decoder"))
    found = block(
        case["x"],
        case["context"],
        padding_mask=case["padding"],
        context_padding_mask=case["context_padding"],
    )
    same(found, case[f"decoder/{order}/{activation}/output"])


# sizes and parts


def test_the_number_of_parameters():
    attention, feed_forward, norm = 4 * D * D + 4 * D, 2 * D * F + F + D, 2 * D
    assert make(TransformerEncoderBlock).count_params() == attention + feed_forward + 2 * norm
    decoder = make(TransformerDecoderBlock)
    assert decoder.count_params() == 2 * attention + feed_forward + 3 * norm
    alone = TransformerDecoderBlock(H, F)
    alone.build((None, None, D))
    assert alone.count_params() == attention + feed_forward + 2 * norm


def test_a_decoder_without_context_is_a_causal_encoder():
    x, padding = normal(B, T, D), up_to([5, 3], T)
    decoder, encoder = TransformerDecoderBlock(H, F), make(TransformerEncoderBlock)
    decoder.build(x.shape)
    for name in ("self_attention", "feed_forward"):
        getattr(decoder, name).set_weights(getattr(encoder, name).get_weights())
    for name in ("attention_residual", "feed_forward_residual"):
        for ours, theirs in zip(getattr(decoder, name), getattr(encoder, name), strict=True):
            ours.set_weights(theirs.get_weights())
    found, scores = decoder(x, padding_mask=padding, return_attention_scores=True)
    causal = np.tri(T, dtype=bool)
    expected, expected_scores = encoder(
        x, padding_mask=padding, attention_mask=causal, return_attention_scores=True
    )
    same(found, expected, 1e-6)
    same(scores, expected_scores, 1e-6)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("cls", BLOCKS)
def test_dropout_is_active_in_training_only(cls, norm_first):
    block, x = make(cls, norm_first=norm_first, dropout=0.5), normal(B, T, D)
    arguments = context_for(block)
    expected = make(cls, norm_first=norm_first)(x, **arguments)
    same(block(x, **arguments), expected, 1e-6)
    same(block(x, training=False, **arguments), expected, 1e-6)
    first, second = (to_numpy(block(x, training=True, **arguments)) for _ in range(2))
    assert not np.allclose(first, second) and not np.allclose(first, to_numpy(expected))


@pytest.mark.parametrize("name", ["attention_dropout", "activation_dropout"])
def test_each_dropout_has_its_place(name):
    block, x = make(TransformerEncoderBlock, **{name: 0.5}), normal(B, T, D)
    place = {
        "attention_dropout": block.self_attention.score_dropout,
        "activation_dropout": block.feed_forward.inner_dropout,
    }
    assert place[name].rate == 0.5
    assert not np.allclose(to_numpy(block(x, training=True)), to_numpy(block(x)))


# masks, time and cache


@pytest.mark.parametrize("cls", BLOCKS)
def test_padding_changes_nothing(cls):
    block, x, noise = make(cls), normal(1, T, D), 100 * normal(1, 2, D, seed=5)
    arguments = context_for(block, 1)
    alone = block(x, **arguments)
    right = block(np.concatenate([x, noise], axis=1), padding_mask=up_to([T], T + 2), **arguments)
    left = block(np.concatenate([noise, x], axis=1), padding_mask=~up_to([2], T + 2), **arguments)
    same(right[:, :T], alone)
    same(left[:, 2:], alone)


def test_a_padded_context_changes_nothing():
    block, x, context = make(TransformerDecoderBlock), normal(B, T, D), normal(B, S, D, seed=4)
    noise = 100 * normal(B, 3, D, seed=5)
    alone = block(x, context)
    right = np.concatenate([context, noise], axis=1)
    same(block(x, right, context_padding_mask=up_to([S, S], S + 3)), alone)
    left = np.concatenate([noise, context], axis=1)
    same(block(x, left, context_padding_mask=~up_to([3, 3], S + 3)), alone)


@pytest.mark.parametrize("cls", BLOCKS)
def test_an_implicit_mask_equals_an_explicit_one_and_goes_on(cls):
    tokens, explicit = np.array([[3, 7, 0, 0, 0], [5, 4, 8, 9, 0]]), up_to([4, 2], T)
    embedded, block = keras.layers.Embedding(11, D, mask_zero=True)(tokens), make(cls)
    arguments, plain = context_for(block), to_numpy(embedded)
    output = block(embedded, **arguments)
    same(output, block(plain, padding_mask=tokens != 0, **arguments), 1e-6)
    np.testing.assert_array_equal(to_numpy(masks.implicit_mask(output)), tokens != 0)
    # and an explicit one wins
    output = block(embedded, padding_mask=explicit, **arguments)
    same(output, block(plain, padding_mask=explicit, **arguments), 1e-6)
    np.testing.assert_array_equal(to_numpy(masks.implicit_mask(output)), explicit)


def test_the_context_has_an_implicit_mask_too():
    tokens = np.array([[3, 7, 0], [5, 4, 8]])
    context = keras.layers.Embedding(11, D, mask_zero=True)(tokens)
    block, x = make(TransformerDecoderBlock), normal(B, T, D)
    expected = block(x, to_numpy(context), context_padding_mask=tokens != 0)
    same(block(x, context), expected, 1e-6)


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_future_does_not_leak(norm_first):
    block, x = make(TransformerDecoderBlock, norm_first=norm_first), normal(B, T, D)
    context = ops.convert_to_tensor(normal(B, S, D, seed=4))
    t = 2
    slope = gradient(lambda x: ops.sum(ops.square(block(x, context)[:, t])), x)
    assert (slope[:, t + 1 :] == 0).all() and (slope[:, : t + 1] != 0).all()


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("chunks", [[1] * T, [2, 3]])
def test_cached_equals_uncached(norm_first, chunks):
    block, x = make(TransformerDecoderBlock, norm_first=norm_first), normal(B, T, D)
    context, padding = normal(B, S, D, seed=4), up_to([4, 7], S)
    expected = to_numpy(block(x, context, context_padding_mask=padding))
    cache = KeyValueCache.create(1, B, H, T + 2, K).layer(0)
    projected = block.project_context(ops.convert_to_tensor(context))
    start = 0
    for length in chunks:
        output, cache = block(
            x[:, start : start + length],
            context_cache=projected,
            context_padding_mask=padding,
            cache=cache,
        )
        same(output, expected[:, start : start + length], 1e-5)
        start += length
    assert int(cache.index) == T


def test_scores_are_returned_beside_the_output():
    x, context = normal(B, T, D), normal(B, S, D, seed=4)
    encoder, decoder = make(TransformerEncoderBlock), make(TransformerDecoderBlock)
    output, scores = encoder(x, return_attention_scores=True)
    same(output, encoder(x), 1e-6)
    assert scores.shape == (B, H, T, T)
    output, scores, cross_scores = decoder(x, context, return_attention_scores=True)
    same(output, decoder(x, context), 1e-6)
    assert scores.shape == (B, H, T, T) and cross_scores.shape == (B, H, T, S)
    for each in (scores, cross_scores):
        np.testing.assert_allclose(to_numpy(each).sum(axis=-1), 1.0, atol=1e-6)


# subclasses


@keras.saving.register_keras_serializable("tests")
class Doubling(keras.layers.Layer):
    """A feed-forward layer that knows nothing of `training`."""

    def call(self, x):
        return 2.0 * x


@keras.saving.register_keras_serializable("tests")
class DoublingBlock(TransformerEncoderBlock):
    def __init__(self, *args, factor=1, **kwargs):
        super().__init__(*args, **kwargs)
        self.factor = factor

    def make_feed_forward(self, name):
        assert self.factor and self.hidden_dim == D  # set by then
        return Doubling(name=name)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class RmsEncoderBlock(TransformerEncoderBlock):
    def make_norm(self, name):
        return keras.layers.RMSNormalization(name=name, dtype=self.dtype_policy)


class RmsDecoderBlock(TransformerDecoderBlock):
    make_norm = RmsEncoderBlock.make_norm


class LoudAttention(MultiHeadSelfAttention):
    pass


class LoudBlock(TransformerDecoderBlock):
    def make_self_attention(self, name, causal=False):
        return LoudAttention(causal=causal, name=name, **self.attention_arguments())


def kinds(block):
    """The classes of a block's parts, by their names."""
    return {layer.name: type(layer) for layer in block._flatten_layers(include_self=False)}


def test_another_feed_forward_changes_that_part_only():
    plain, changed = make(TransformerEncoderBlock), make(DoublingBlock, factor=3)
    assert isinstance(changed.feed_forward, Doubling)
    inside = {"feed_forward", *(layer.name for layer in plain.feed_forward._layers)}
    others = {name: kind for name, kind in kinds(plain).items() if name not in inside}
    assert others == {n: k for n, k in kinds(changed).items() if n != "feed_forward"}
    changed.self_attention.set_weights(plain.self_attention.get_weights())
    x = ops.convert_to_tensor(normal(B, T, D))
    expected = changed.attention_residual[2](x + changed.self_attention(x))
    expected = changed.feed_forward_residual[2](3.0 * expected)
    same(changed(x), expected)


@pytest.mark.parametrize("cls", [RmsEncoderBlock, RmsDecoderBlock])
def test_another_norm_changes_all_norms_and_nothing_else(cls):
    block, plain = make(cls), make(cls.__base__)
    assert block(normal(B, T, D), **context_for(block)).shape == (B, T, D)
    ours, theirs = kinds(block), kinds(plain)
    assert ours.keys() == theirs.keys()
    for name, kind in ours.items():
        expected = keras.layers.RMSNormalization if name.endswith("_norm") else theirs[name]
        assert kind is expected, name


def test_another_self_attention_changes_that_part_only():
    block, plain = make(LoudBlock), make(TransformerDecoderBlock)
    changed = {name for name, kind in kinds(block).items() if kind is not kinds(plain)[name]}
    assert changed == {"self_attention"} and block.self_attention.causal
    x, arguments = normal(B, T, D), context_for(plain)
    same(block(x, **arguments), plain(x, **arguments), 1e-6)


def test_a_subclass_with_attributes_of_its_own_survives_saving(tmp_path):
    inputs = keras.Input((None, D))
    model = keras.Model(inputs, DoublingBlock(H, F, factor=3, name="block")(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_layer("block").factor == 3
    x = normal(B, T, D)
    same(again(x), model(x), 1e-6)


# compilation


@pytest.mark.tensorflow
@pytest.mark.parametrize("norm_first", [True, False])
def test_eager_equals_graph_equals_xla(norm_first):
    import tensorflow as tf

    block, x = make(TransformerDecoderBlock, norm_first=norm_first), normal(B, T, D)
    context, padding = normal(B, S, D, seed=4), up_to([4, 7], S)

    def call(x, context, padding):
        return block(x, context, context_padding_mask=padding)

    expected = call(x, context, padding)
    signature = [
        tf.TensorSpec((None, None, D)),
        tf.TensorSpec((None, None, D)),
        tf.TensorSpec((None, None), tf.bool),
    ]
    same(tf.function(call, input_signature=signature)(x, context, padding), expected, 1e-6)
    same(tf.function(call, jit_compile=True)(x, context, padding), expected)


# errors


@pytest.mark.parametrize("cls", BLOCKS)
def test_constructors_name_what_came(cls):
    for name in ("num_heads", "ffn_dim"):
        with pytest.raises(ValueError, match=f"{name} must be a positive integer; received 0"):
            cls(**{"num_heads": H, "ffn_dim": F, name: 0})
    for name in ("dropout", "attention_dropout", "activation_dropout"):
        with pytest.raises(ValueError, match=rf"^{name} must be a number in \[0, 1\); received 1"):
            cls(H, F, **{name: 1})
    with pytest.raises(ValueError, match="num_heads=4 and width 15"):
        make(cls, num_heads=4)


def test_a_context_comes_when_the_block_was_built_with_one_and_only_then():
    x, context = normal(B, T, D), normal(B, S, D)
    with pytest.raises(ValueError, match="needs context or context_cache"):
        make(TransformerDecoderBlock)(x)
    alone = TransformerDecoderBlock(H, F, name="alone")
    alone.build(x.shape)
    with pytest.raises(ValueError, match="'alone' was built without a context"):
        alone(x, context)
