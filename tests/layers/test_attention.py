import keras
import numpy as np
import pytest
from backend_tools import gradient, randomise, same, to_numpy
from keras import ops
from torch_weights import assign_attention, golden

from keras_transformer.layers import (
    KeyValueCache,
    MultiHeadCrossAttention,
    MultiHeadSelfAttention,
    attend,
    masks,
)

B, T, S, D, C, H, K = 2, 5, 7, 15, 11, 3, 5


def normal(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def up_to(lengths, size):
    """(B, size), True up to each row's length."""
    return np.arange(size) < np.array(lengths)[:, None]


def self_attention(seed=5, **settings):
    layer = MultiHeadSelfAttention(H, **settings)
    layer.build((None, None, D))
    return randomise(layer, seed=seed)


def cross_attention(**settings):
    layer = MultiHeadCrossAttention(H, **settings)
    layer.build((None, None, D), (None, None, C))
    return randomise(layer)


# attend


def expected_attention(q, k, v, mask=True, bias=0.0):
    logits = np.einsum("bhtk,bhsk->bhts", q, k, dtype="float64") / q.shape[-1] ** 0.5 + bias
    weights = np.where(mask, np.exp(logits), 0.0)
    weights = weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-30)
    return weights @ v, weights


def test_attend_is_its_equation():
    q, k, v = normal(B, H, T, K), normal(B, H, S, K, seed=4), normal(B, H, S, K, seed=5)
    bias, mask = normal(H, T, S, seed=6), np.random.default_rng(7).random((B, 1, T, S)) < 0.6
    mask[1, 0, 2] = False
    for settings in ({}, {"mask": mask}, {"bias": bias}, {"mask": mask, "bias": bias}):
        found = attend(*map(ops.convert_to_tensor, (q, k, v)), **settings)
        for ours, theirs in zip(found, expected_attention(q, k, v, **settings), strict=True):
            same(ours, theirs, 1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_scores_are_float32_in_half_precision(dtype):
    q, k, v = (ops.cast(100 * normal(B, H, T, K, seed=i), dtype) for i in range(3))
    output, scores = attend(q, k, v, masks.causal_mask(T, T))
    assert keras.backend.standardize_dtype(output.dtype) == dtype
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    np.testing.assert_allclose(to_numpy(scores).sum(axis=-1), 1.0, atol=1e-6)


# equality with others


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("use_bias", [True, False])
def test_equals_the_attention_of_keras(causal, use_bias):
    ours = self_attention(causal=causal, use_bias=use_bias)
    theirs = keras.layers.MultiHeadAttention(H, K, use_bias=use_bias)
    x, padding, pairs = normal(B, T, D), up_to([5, 3], T), normal(B, T, T, seed=4) > -0.5
    pairs |= np.eye(T, dtype=bool)
    pairs[1, 3:, 0] = True  # the last two are padding: something must remain for them
    theirs.build(x.shape, x.shape)
    theirs.set_weights(
        [w.reshape(v.shape) for w, v in zip(ours.get_weights(), theirs.weights, strict=True)]
    )
    expected, expected_scores = theirs(
        x,
        x,
        attention_mask=pairs & padding[:, None, :],
        use_causal_mask=causal,
        return_attention_scores=True,
    )
    found, scores = ours(
        x, padding_mask=padding, attention_mask=pairs, return_attention_scores=True
    )
    same(found, expected)
    same(scores, expected_scores)


def test_cross_attention_equals_that_of_keras():
    ours = cross_attention()
    theirs = keras.layers.MultiHeadAttention(H, K)
    x, context, padding = normal(B, T, D), normal(B, S, C, seed=4), up_to([4, 7], S)
    theirs.build(x.shape, context.shape)
    theirs.set_weights(
        [w.reshape(v.shape) for w, v in zip(ours.get_weights(), theirs.weights, strict=True)]
    )
    expected, expected_scores = theirs(
        x, context, attention_mask=padding[:, None, :], return_attention_scores=True
    )
    found, scores = ours(x, context, padding_mask=padding, return_attention_scores=True)
    same(found, expected)
    same(scores, expected_scores)


def test_self_attention_equals_that_of_torch():
    case, w = golden("attention"), golden("attention/self")
    layer = self_attention(causal=True)
    assign_attention(layer, w)
    output, scores = layer(case["x"], padding_mask=case["padding"], return_attention_scores=True)
    same(output, w["output"])
    same(scores, w["scores"])


def test_cross_attention_equals_that_of_torch():
    case, w = golden("attention"), golden("attention/cross")
    layer = cross_attention()
    assign_attention(layer, w)
    output, scores = layer(
        case["x"],
        case["context"],
        padding_mask=case["context_padding"],
        return_attention_scores=True,
    )
    same(output, w["output"])
    same(scores, w["scores"])


# sizes


@pytest.mark.parametrize("num_heads", [1, 3, 5, 15])
@pytest.mark.parametrize("use_bias", [True, False])
def test_the_number_of_parameters_does_not_depend_on_the_heads(num_heads, use_bias):
    layer = MultiHeadSelfAttention(num_heads, use_bias=use_bias)
    layer.build((None, None, D))
    assert layer.count_params() == 4 * D * D + (4 * D if use_bias else 0)


def test_heads_may_have_a_width_of_their_own():
    layer = MultiHeadCrossAttention(2, head_dim=7, use_bias=False)
    assert layer(normal(B, T, D), normal(B, S, C)).shape == (B, T, D)
    assert layer.count_params() == 2 * 7 * (D + C + C + D)


def test_projections_start_in_the_range_of_their_joint_matrix():
    layer = MultiHeadSelfAttention(4)
    layer.build((None, None, 64))
    for dense in (layer.query, layer.key, layer.value):
        limit = (6 / (64 + 3 * 64)) ** 0.5
        assert 0.95 * limit < np.abs(to_numpy(dense.kernel)).max() <= limit
    assert np.abs(to_numpy(layer.output_dense.kernel)).max() > (6 / (64 + 3 * 64)) ** 0.5
    assert not (to_numpy(layer.query.kernel) == to_numpy(layer.key.kernel)).any()


def test_an_initializer_of_ones_own():
    normal_ = keras.initializers.RandomNormal(stddev=0.01)
    for initializer in ("zeros", normal_, lambda shape, dtype=None: ops.ones(shape, dtype)):
        layer = MultiHeadSelfAttention(H, kernel_initializer=initializer)
        layer.build((None, None, D))
        kernels = [to_numpy(d.kernel) for d in (layer.query, layer.key, layer.output_dense)]
        if initializer is normal_:  # each has numbers of its own
            assert not (kernels[0] == kernels[1]).any() and np.abs(kernels).max() < 0.1
        else:
            assert (np.array(kernels) == (0.0 if initializer == "zeros" else 1.0)).all()


# masks


@pytest.mark.parametrize("causal", [True, False])
def test_scores_sum_to_one_over_what_may_be_attended_and_are_zero_elsewhere(causal):
    padding, pairs = up_to([5, 3], T), normal(T, T, seed=4) > -0.3
    pairs |= np.eye(T, dtype=bool)
    layer = self_attention(causal=causal)
    _, scores = layer(
        normal(B, T, D), padding_mask=padding, attention_mask=pairs, return_attention_scores=True
    )
    allowed = pairs & padding[:, None, None, :] & (np.tri(T, dtype=bool) | (not causal))
    allowed = np.broadcast_to(allowed, (B, H, T, T))
    scores = to_numpy(scores)
    assert (scores[~allowed] == 0).all() and (scores[allowed] > 0).all()
    np.testing.assert_allclose(scores.sum(axis=-1), allowed.any(axis=-1), atol=1e-6)


@pytest.mark.parametrize("dropout, training", [(0.0, False), (0.0, True), (0.4, True)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_query_with_nothing_to_attend_to_attends_to_exact_zeros(dtype, dropout, training):
    x, padding = normal(B, T, D).astype(dtype_of(dtype)), up_to([0, 3], T)
    layer = self_attention(dropout=dropout, dtype=dtype)

    def call(x, **settings):
        return layer(x, padding_mask=padding, training=training, **settings)

    output, scores = call(x, return_attention_scores=True)
    assert (to_numpy(scores)[0] == 0).all()
    bias = np.broadcast_to(to_numpy(layer.output_dense.bias), (T, D))
    np.testing.assert_array_equal(to_numpy(output)[0], bias)
    slope = gradient(lambda x: ops.sum(ops.square(call(x))), x).astype("float32")
    assert (slope[0] == 0).all() and np.isfinite(slope).all()
    assert (slope[1, :3] != 0).any() and not np.isnan(to_numpy(output)).any()


def dtype_of(name):
    import ml_dtypes

    return ml_dtypes.bfloat16 if name == "bfloat16" else name


@pytest.mark.parametrize("low", [-np.inf, np.finfo("float32").min, -1e9])
def test_a_bias_that_forbids_leaves_masked_keys_alone(low):
    """Also where it forbids what the mask allows, as in a row of padding on the left."""
    rng = np.random.default_rng(0)
    q, k, v = (ops.convert_to_tensor(rng.normal(size=(1, 1, n, 4)), "float32") for n in (2, 3, 3))
    mask = np.array([[True, True, False], [True, False, False]])
    bias = np.array([[low, 0.0, 0.0], [low, 0.0, 0.0]], "float32")
    output, scores = attend(q, k, v, mask, bias=bias)
    same(scores, [[[[0, 1, 0], [1, 0, 0]]]])
    assert np.isfinite(to_numpy(output)).all()
    assert np.isfinite(to_numpy(attend(q, k, v, bias=np.full((2, 3), low, "float32"))[1])).all()


def test_a_context_of_padding_alone_is_attended_to_with_exact_zeros():
    layer, padding = cross_attention(), up_to([0, 7], S)
    x, context = normal(B, T, D), normal(B, S, C, seed=4)
    output = to_numpy(layer(x, context, padding_mask=padding))
    bias = np.broadcast_to(to_numpy(layer.output_dense.bias), (T, D))
    np.testing.assert_array_equal(output[0], bias)
    slope = gradient(lambda c: ops.sum(ops.square(layer(x, c, padding_mask=padding))), context)
    assert (slope[0] == 0).all() and (slope[1] != 0).all()


def test_the_future_does_not_leak():
    layer, x = self_attention(causal=True), normal(B, T, D)
    for t in range(T):
        slope = gradient(lambda x, t=t: ops.sum(ops.square(layer(x)[:, t])), x)
        assert (slope[:, t + 1 :] == 0).all() and (slope[:, : t + 1] != 0).all()


@pytest.mark.parametrize("causal", [True, False])
def test_padding_changes_nothing(causal):
    layer, x, noise = self_attention(causal=causal), normal(1, T, D), 100 * normal(1, 2, D, seed=4)
    alone = to_numpy(layer(x))
    right = layer(np.concatenate([x, noise], axis=1), padding_mask=up_to([T], T + 2))
    left = layer(np.concatenate([noise, x], axis=1), padding_mask=~up_to([2], T + 2))
    same(right[:, :T], alone, 1e-6)
    same(left[:, 2:], alone, 1e-6)


def test_an_implicit_mask_equals_an_explicit_one_and_goes_on():
    embedding = keras.layers.Embedding(11, D, mask_zero=True)
    tokens = np.array([[3, 7, 0, 0, 0], [5, 4, 8, 9, 0]])
    layer, x = self_attention(), embedding(tokens)
    output = layer(x)
    same(output, layer(to_numpy(x), padding_mask=tokens != 0), 1e-6)
    np.testing.assert_array_equal(to_numpy(masks.implicit_mask(output)), tokens != 0)


def test_an_explicit_mask_wins_over_an_implicit_one_and_goes_on():
    tokens, explicit = np.array([[3, 7, 0, 0, 0]]), up_to([4], T)
    layer, x = self_attention(), keras.layers.Embedding(11, D, mask_zero=True)(tokens)
    output = layer(x, padding_mask=explicit)
    same(output, layer(to_numpy(x), padding_mask=explicit), 1e-6)
    np.testing.assert_array_equal(to_numpy(masks.implicit_mask(output)), explicit)


def test_the_context_has_an_implicit_mask_too():
    tokens = np.array([[3, 7, 0], [5, 4, 8]])
    context = keras.layers.Embedding(11, C, mask_zero=True)(tokens)
    layer, x = cross_attention(), normal(B, T, D)
    same(layer(x, context), layer(x, to_numpy(context), padding_mask=tokens != 0), 1e-6)
    explicit = up_to([3, 1], 3)
    expected = layer(x, to_numpy(context), padding_mask=explicit)
    same(layer(x, context, padding_mask=explicit), expected, 1e-6)


# cache and beams


@pytest.mark.parametrize("chunks", [[1] * T, [2, 3], [T]])
def test_cached_equals_uncached(chunks):
    layer, x = self_attention(causal=True), normal(B, T, D)
    expected, expected_scores = layer(x, return_attention_scores=True)
    cache = KeyValueCache.create(1, B, H, S, K).layer(0)
    start = 0
    for length in chunks:
        stop = start + length
        output, scores, cache = layer(x[:, start:stop], cache=cache, return_attention_scores=True)
        same(output, to_numpy(expected)[:, start:stop], 1e-6)
        same(scores[..., :T], to_numpy(expected_scores)[:, :, start:stop], 1e-6)
        assert (to_numpy(scores)[..., stop:] == 0).all()
        start = stop
    assert int(cache.index) == T


def test_a_cache_takes_a_mask_over_its_positions():
    layer, x = self_attention(causal=True), normal(B, T, D)
    padding = ~up_to([2, 0], T)  # on the left
    expected = to_numpy(layer(x, padding_mask=padding))
    cache = KeyValueCache.create(1, B, H, S, K).layer(0)
    mask = np.concatenate([padding, np.ones((B, S - T), bool)], axis=1)
    for t in range(T):
        output, cache = layer(x[:, t : t + 1], cache=cache, padding_mask=mask)
        assert masks.implicit_mask(output) is None
        same(output, expected[:, t : t + 1], 1e-6)


def test_beams_share_the_context_of_their_row():
    beams, padding = 3, up_to([4, 7], S)
    layer, x, context = cross_attention(), normal(B * beams, T, D), normal(B, S, C, seed=4)
    folded, scores = layer(x, context, padding_mask=padding, return_attention_scores=True)
    expected, expected_scores = layer(
        x,
        context.repeat(beams, axis=0),
        padding_mask=padding.repeat(beams, axis=0),
        return_attention_scores=True,
    )
    same(folded, expected, 1e-6)
    same(scores, expected_scores, 1e-6)
    projected = layer.project_context(ops.convert_to_tensor(context))
    same(layer(x, context_cache=projected, padding_mask=padding), expected, 1e-6)


@pytest.mark.parametrize("rows, length, batch", [(0, T, 0), (0, T, 2), (2, 0, 2)])
def test_the_empty_batch_and_the_empty_sequence_pass(rows, length, batch):
    output, scores = cross_attention()(
        normal(rows, length, D), normal(batch, S, C), return_attention_scores=True
    )
    assert output.shape == (rows, length, D) and scores.shape == (rows, H, length, S)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_context_is_projected_in_the_compute_dtype(policy):
    layer, x, context = cross_attention(dtype=policy), normal(B, T, D), normal(B, S, C, seed=4)
    projected = layer.project_context(ops.convert_to_tensor(context))
    for tensor in projected:
        assert keras.backend.standardize_dtype(tensor.dtype) == layer.compute_dtype
    np.testing.assert_array_equal(
        to_numpy(layer(x, context_cache=projected)), to_numpy(layer(x, context))
    )


# projections


def test_heads_split_and_merged_are_the_input():
    layer, x = self_attention(), ops.convert_to_tensor(normal(B, T, D))
    heads = layer.split_heads(x)
    np.testing.assert_array_equal(to_numpy(heads)[:, 1], to_numpy(x)[:, :, K : 2 * K])
    np.testing.assert_array_equal(to_numpy(layer.merge_heads(heads)), to_numpy(x))


# errors


def test_constructors_name_what_came():
    for cls in (MultiHeadSelfAttention, MultiHeadCrossAttention):
        with pytest.raises(ValueError, match="num_heads must be a positive integer; received 0"):
            cls(0)
        with pytest.raises(ValueError, match="head_dim must be a positive integer; received -1"):
            cls(2, head_dim=-1)
        with pytest.raises(ValueError, match=r"dropout must be a number in \[0, 1\); received 1.0"):
            cls(2, dropout=1.0)


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="num_heads=4 and width 15"):
        MultiHeadSelfAttention(4)(normal(B, T, D))
    with pytest.raises(ValueError, match="num_heads=4 and width 15"):
        MultiHeadCrossAttention(4)(normal(B, T, D), normal(B, S, C))


def test_masks_of_another_rank_are_refused():
    x = normal(B, T, D)
    with pytest.raises(ValueError, match=r"padding_mask must have .* received shape \(2, 5, 1\)"):
        self_attention()(x, padding_mask=np.ones((B, T, 1), bool))
    with pytest.raises(ValueError, match=r"attention_mask must have .* received shape \(5,\)"):
        self_attention()(x, attention_mask=np.ones(T, bool))


def test_a_context_is_needed_and_must_fit():
    layer = cross_attention()
    with pytest.raises(ValueError, match="needs context or context_cache"):
        layer(normal(B, T, D))
    with pytest.raises(ValueError, match="received 5 rows of x and 2 of the context"):
        layer(normal(5, T, D), normal(2, S, C))
