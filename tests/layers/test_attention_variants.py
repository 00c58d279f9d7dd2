"""Groups of heads, windows, caps, biases, segments, score functions and the fused path."""

import keras
import numpy as np
import pytest
from backend_tools import gradient, randomise, same, to_numpy
from keras import ops

from keras_transformer.layers import (
    AdditiveScore,
    AlibiBias,
    BilinearScore,
    KeyValueCache,
    MultiHeadCrossAttention,
    MultiHeadSelfAttention,
    RelativePositionBias,
    RotaryEmbedding,
    attend,
    dot_product,
    masks,
    multi_head,
    scaled_dot_product,
    scores,
)

B, T, S, D, H, N, K = 2, 7, 11, 13, 6, 3, 5


def normal(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def up_to(lengths, size):
    return np.arange(size) < np.array(lengths)[:, None]


def self_attention(seed=5, num_heads=H, head_dim=K, **settings):
    layer = MultiHeadSelfAttention(num_heads, head_dim, **settings)
    layer.build((None, None, D))
    return randomise(layer, seed=seed)


# groups


@pytest.mark.parametrize("num_kv_heads", [1, 2, 6])
@pytest.mark.parametrize("causal, window", [(True, None), (False, None), (True, 3), (False, 3)])
def test_equals_the_grouped_query_attention_of_keras(num_kv_heads, causal, window):
    ours = self_attention(num_kv_heads=num_kv_heads, causal=causal, window=window)
    theirs = keras.layers.GroupQueryAttention(K, H, num_kv_heads, sliding_window=window)
    x, padding = normal(B, T, D), up_to([7, 5], T)
    theirs.build(x.shape, x.shape)
    theirs.set_weights(
        [w.reshape(v.shape) for w, v in zip(ours.get_weights(), theirs.weights, strict=True)]
    )
    expected, expected_scores = theirs(
        x,
        x,
        attention_mask=np.repeat(padding[:, None, :], T, axis=1),
        use_causal_mask=causal,
        return_attention_scores=True,
    )
    found, found_scores = ours(x, padding_mask=padding, return_attention_scores=True)
    some = to_numpy(found_scores).any(axis=-1)[:, 0]  # rows with something to attend to
    same(to_numpy(found)[some], to_numpy(expected)[some])
    same(
        to_numpy(found_scores).swapaxes(1, 2)[some], to_numpy(expected_scores).swapaxes(1, 2)[some]
    )


@pytest.mark.parametrize("num_kv_heads", [1, N])
def test_grouped_equals_multi_head_with_repeated_keys(num_kv_heads):
    grouped = self_attention(num_kv_heads=num_kv_heads, causal=True)
    full = self_attention(causal=True)
    full.query.set_weights(grouped.query.get_weights())
    full.output_dense.set_weights(grouped.output_dense.get_weights())
    for ours, theirs in ((full.key, grouped.key), (full.value, grouped.value)):
        heads = [w.reshape(-1, num_kv_heads, K) for w in theirs.get_weights()]
        repeated = [np.repeat(w, H // num_kv_heads, axis=1) for w in heads]
        shapes = [variable.shape for variable in ours.weights]
        ours.set_weights([w.reshape(s) for w, s in zip(repeated, shapes, strict=True)])
    x = normal(B, T, D)
    same(grouped(x), full(x), 1e-6)


def test_a_cache_holds_the_key_value_heads_only():
    layer, x = self_attention(num_kv_heads=N, causal=True, window=4), normal(B, T, D)
    expected = to_numpy(layer(x))
    cache = KeyValueCache.create(1, B, N, S, K).layer(0)
    for t in range(T):
        output, cache = layer(x[:, t : t + 1], cache=cache)
        same(output, expected[:, t : t + 1], 1e-6)


def test_cross_attention_takes_groups_of_heads_and_beams_together():
    layer = MultiHeadCrossAttention(H, K, num_kv_heads=N, query_key_norm="rms")
    x, context = normal(B * 2, T, D), normal(B, S, D, seed=4)
    layer.build(x.shape, context.shape)
    randomise(layer)
    padding = up_to([4, 11], S)
    same(
        layer(x, context, padding_mask=padding),
        layer(x, context.repeat(2, axis=0), padding_mask=padding.repeat(2, axis=0)),
        1e-6,
    )


# scores


def test_unit_variance_vectors_have_unit_variance_scores_at_every_width():
    for head_dim in (1, 16, 64, 256):
        q, k = normal(4, 2, 60, head_dim), normal(4, 2, 60, head_dim, seed=4)
        found = to_numpy(scaled_dot_product(ops.convert_to_tensor(q), ops.convert_to_tensor(k)))
        assert abs(found.var() - 1.0) < 0.1, head_dim


def vectors():
    return (ops.convert_to_tensor(normal(B, H, n, K, seed=n)) for n in (T, S))


def test_the_additive_score_is_its_equation():
    query, key = vectors()
    layer = AdditiveScore()
    layer.build(query.shape, key.shape)
    randomise(layer)
    q, k, v = (to_numpy(x).astype("float64") for x in (query, key, layer.vector))
    expected = (np.tanh(q[:, :, :, None] + k[:, :, None]) * v[:, None, None]).sum(axis=-1)
    same(layer(query, key), expected)


def test_the_bilinear_score_is_its_equation_and_starts_as_the_scaled_dot_product():
    query, key = vectors()
    layer = BilinearScore()
    same(layer(query, key), scaled_dot_product(query, key))
    randomise(layer)
    expected = np.einsum(
        "bhtk,hkj,bhsj->bhts", *(to_numpy(x).astype("float64") for x in (query, layer.form, key))
    )
    same(layer(query, key), expected)


@pytest.mark.parametrize("name", ["scaled_dot_product", "dot_product", "additive", "bilinear"])
def test_a_layer_takes_a_score_by_name_and_by_object(name):
    by_name = self_attention(score=name, num_kv_heads=N)
    again = MultiHeadSelfAttention.from_config(by_name.get_config())
    again.build((None, None, D))
    again.set_weights(by_name.get_weights())
    x = normal(B, T, D)
    same(again(x), by_name(x), 1e-6)
    by_object = self_attention(score=scores.get_score(name), num_kv_heads=N)
    assert [v.path.split("/")[-1] for v in by_object.weights] == [
        v.path.split("/")[-1] for v in by_name.weights
    ]
    same(by_object(x), by_name(x), 1e-6)


def test_a_callable_of_ones_own_is_the_score():
    def negative_distance(query, key):
        return -ops.sum(ops.square(query[:, :, :, None] - key[:, :, None]), axis=-1)

    layer = self_attention(score=negative_distance, num_kv_heads=N)
    x = normal(B, T, D)
    _, found = layer(x, return_attention_scores=True)
    q, k, _ = layer.project(ops.convert_to_tensor(x), layer.query, layer.key, layer.value)
    q, k = to_numpy(q), np.repeat(to_numpy(k), H // N, axis=1)
    logits = -((q[:, :, :, None] - k[:, :, None]) ** 2).sum(axis=-1)
    expected = np.exp(logits - logits.max(axis=-1, keepdims=True))
    same(found, expected / expected.sum(axis=-1, keepdims=True))


def test_unknown_scores_are_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match="score must be one of 'scaled_dot_product'.*'cosine'"):
        MultiHeadSelfAttention(2, score="cosine")


def test_the_cap_bounds_scores_before_the_bias():
    q, k, v = (ops.convert_to_tensor(20 * normal(B, H, T, K, seed=i)) for i in range(3))
    bias = normal(H, T, T, seed=4)
    _, found = attend(q, k, v, bias=bias, soft_cap=2.0)
    logits = 2.0 * np.tanh(to_numpy(dot_product(q, k)) / K**0.5 / 2.0) + bias
    expected = np.exp(logits)
    same(found, expected / expected.sum(axis=-1, keepdims=True))
    layer = self_attention(soft_cap=1e-6)
    _, flat = layer(100 * normal(B, T, D), return_attention_scores=True)
    same(flat, np.full((B, H, T, T), 1 / T))


def test_a_normalised_query_has_no_length():
    layer, x = self_attention(query_key_norm="rms", use_bias=False), normal(B, T, D)
    expected = to_numpy(layer(x))
    layer.query.kernel.assign(3.0 * layer.query.kernel)
    layer.key.kernel.assign(0.5 * layer.key.kernel)
    same(layer(x), expected)
    assert layer.query_norm.scale.shape == (K,)


# masks and biases


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [1, 3, 100])
def test_a_window_equals_the_explicit_mask(causal, window):
    x, distance = normal(B, T, D), np.abs(np.arange(T)[:, None] - np.arange(T))
    layer, plain = (self_attention(causal=causal, window=w) for w in (window, None))
    same(layer(x), plain(x, attention_mask=distance < window), 1e-6)


def test_a_bias_is_added_to_the_scores():
    layer, x, bias = self_attention(), normal(B, T, D), normal(H, T, T, seed=4)
    _, found = layer(x, attention_bias=bias, return_attention_scores=True)
    q, k, v = layer.project(ops.convert_to_tensor(x), layer.query, layer.key, layer.value)
    same(found, attend(q, k, v, bias=bias)[1], 1e-6)
    hidden = np.where(np.tri(T, dtype=bool), 0.0, -1e9).astype("float32")
    same(layer(x, attention_bias=hidden), self_attention(causal=True)(x), 1e-6)


def test_packed_equals_alone():
    layer, a, b = self_attention(causal=True), normal(1, 4, D), normal(1, 3, D, seed=4)
    packed = layer(
        np.concatenate([a, b, 100 * normal(1, 2, D, seed=5)], axis=1),
        segment_ids=np.array([[1] * 4 + [2] * 3 + [0] * 2]),
        padding_mask=up_to([7], 9),
    )
    same(packed[:, :4], layer(a), 1e-6)
    same(packed[:, 4:7], layer(b), 1e-6)


def test_a_prefix_is_attended_to_by_all_and_the_rest_by_what_follows():
    layer, x, lengths = self_attention(), normal(B, T, D), np.array([3, 0])
    found = to_numpy(layer(x, attention_mask=masks.prefix_mask(T, T, lengths)))
    same(found[1], self_attention(causal=True)(x)[1], 1e-6)
    same(found[0, :3], layer(x[:, :3])[0], 1e-6)
    explicit = np.tri(T, dtype=bool) | (np.arange(T) < 3)
    same(found[0], layer(x, attention_mask=explicit)[0], 1e-6)


# the fused path


@pytest.fixture(params=[True, False])
def fused(request, monkeypatch):
    """Runs a test on the fused and on the plain path of its backend."""
    monkeypatch.setattr(multi_head, "has_fused_kernel", lambda: request.param)
    return request.param


MASKS = {
    "none": None,
    "padding": up_to([7, 3], T)[:, None, None, :],
    "pairs": normal(T, T, seed=8) > -0.3,
    "packed": np.random.default_rng(9).random((B, 1, T, T)) < 0.4,
    "heads": np.random.default_rng(9).random((B, H, T, T)) < 0.2,
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("num_kv_heads", [1, N, H])
def test_fused_equals_plain(name, num_kv_heads):
    q, k, v = (
        ops.convert_to_tensor(normal(B, heads, T, K, seed=heads))
        for heads in (H, num_kv_heads, num_kv_heads)
    )
    mask = None if MASKS[name] is None else ops.convert_to_tensor(MASKS[name])
    same(scores.fused_attend(q, k, v, mask), attend(q, k, v, mask)[0])
    causal = ops.convert_to_tensor(np.tri(T, dtype=bool))
    same(scores.fused_attend(q, k, v, causal=True), attend(q, k, v, causal)[0])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_nothing_to_attend_to_gives_the_output_bias_and_no_gradient(fused, dtype):
    layer = self_attention(causal=True, dtype=dtype)
    x, padding = normal(B, T, D), ~up_to([2, 7], T)  # row 0 begins with padding, row 1 is padding

    def call(x):
        return layer(ops.cast(x, dtype), padding_mask=padding)

    output, bias = to_numpy(call(x)), to_numpy(layer.output_dense.bias)
    np.testing.assert_array_equal(output[0, :2], np.broadcast_to(bias, (2, D)))
    np.testing.assert_array_equal(output[1], np.broadcast_to(bias, (T, D)))
    slope = gradient(lambda x: ops.sum(ops.square(ops.cast(call(x), "float32"))), x)
    assert (slope[1] == 0).all() and (slope[0, :2] == 0).all() and np.isfinite(slope).all()
    assert (slope[0, 2:] != 0).any()


def test_the_future_does_not_leak_on_either_path(fused):
    layer, x = self_attention(causal=True, num_kv_heads=N), normal(B, T, D)
    for t in range(T):
        slope = gradient(lambda x, t=t: ops.sum(ops.square(layer(x)[:, t])), x)
        assert (slope[:, t + 1 :] == 0).all() and (slope[:, : t + 1] != 0).all()


def test_gradients_are_those_of_the_plain_path(monkeypatch):
    layer, x, padding = self_attention(causal=True), normal(B, T, D), up_to([7, 4], T)
    slopes = []
    for fused in (False, True):
        monkeypatch.setattr(multi_head, "has_fused_kernel", lambda fused=fused: fused)
        slopes.append(gradient(lambda x: ops.sum(ops.square(layer(x, padding_mask=padding))), x))
    same(*slopes)


# errors


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_kv_heads": 4}, "num_kv_heads must divide num_heads; received num_kv_heads=4"),
        ({"num_kv_heads": 0}, "num_kv_heads must be a positive integer; received 0"),
        ({"window": 0}, "window must be a positive integer; received 0"),
        ({"soft_cap": -1.0}, "soft_cap must be a positive number; received -1.0"),
        ({"query_key_norm": "batch"}, "query_key_norm must be one of 'layer', 'rms', None"),
        ({"rotary": 5}, "rotary must be a RotaryEmbedding or None; received 5"),
        ({"position_bias": AlibiBias(3)}, "received 3 and num_heads=6"),
        ({"position_bias": "alibi"}, "position_bias must be a PositionBias or None"),
    ],
)
def test_constructor_errors_name_argument_value_and_what_is_allowed(settings, message):
    with pytest.raises(ValueError, match=message):
        MultiHeadSelfAttention(H, **settings)


def test_masks_of_another_length_are_refused():
    layer, x = self_attention(), normal(B, T, D)
    with pytest.raises(ValueError, match=r"each of the 7 positions; received shape \(2, 6\)"):
        layer(x, padding_mask=np.ones((B, T - 1), bool))
    with pytest.raises(ValueError, match=r"\(T, S\) = \(7, 7\).*received shape \(7, 6\)"):
        layer(x, attention_mask=np.ones((T, T - 1), bool))


def test_segments_and_biases_of_a_wrong_shape_are_refused():
    layer, x = self_attention(), normal(B, T, D)
    with pytest.raises(ValueError, match=r"length = 7\); received shape \(2, 6\)"):
        layer(x, segment_ids=np.ones((B, T - 1), "int32"))
    with pytest.raises(ValueError, match=r"segment_ids must have shape .* received shape \(7,\)"):
        layer(x, segment_ids=np.ones(T, "int32"))
    with pytest.raises(ValueError, match="attention_bias must be a float tensor .*bool"):
        layer(x, attention_bias=np.ones((T, T), bool))


def test_a_cache_for_other_heads_is_refused():
    layer, x = self_attention(num_kv_heads=N, causal=True), normal(B, T, D)
    cache = KeyValueCache.create(1, B, H, S, K).layer(0)
    with pytest.raises(ValueError, match=r"\(3, 5\); received one with \(6, 5\)"):
        layer(x, cache=cache)
    cache = KeyValueCache.create(1, B, N, S, K).layer(0)
    with pytest.raises(ValueError, match="segment_ids and cache exclude each other"):
        layer(x, cache=cache, segment_ids=np.ones((B, T), "int32"))


def test_building_a_layer_makes_all_its_weights():
    layer = MultiHeadSelfAttention(H, K, position_bias=RelativePositionBias(H))
    layer.build((None, None, D))
    count = len(layer.weights)
    layer(normal(B, T, D))
    assert len(layer.weights) == count == 9
    with pytest.raises(ValueError, match="even head width"):
        MultiHeadSelfAttention(H, 5, rotary=RotaryEmbedding()).build((None, None, D))


def test_an_unbuilt_cross_attention_projects_nothing():
    with pytest.raises(ValueError, match="must be built or called before"):
        MultiHeadCrossAttention(H, K).project_context(normal(B, S, D))
