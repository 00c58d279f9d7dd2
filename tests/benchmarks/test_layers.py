import json

import keras
import numpy as np
import pytest

layers = pytest.importorskip("benchmarks.layers")  # needs the recipes' packages
layer_pairs = pytest.importorskip("benchmarks.layer_pairs")

GROUPED = "grouped-query attention, causal"
SIZES = layer_pairs.Sizes(rows=3, length=6, width=20, num_heads=4)
portable = pytest.mark.skipif(keras.backend.backend() == "torch", reason="not one of the modes")


@pytest.fixture(params=layer_pairs.PAIRS)
def name(request):
    if request.param.startswith(layer_pairs.KERAS_HUB):
        pytest.importorskip("keras_hub")
    return request.param


def test_a_peer_with_our_weights_gives_our_output(name):
    pair = layer_pairs.PAIRS[name](SIZES, dropout=0.0)
    outputs = call(pair)  # builds
    assert pair.peer.count_params() == pair.ours.count_params()
    copy_kernels(pair.ours, pair.peer)
    outputs = call(pair)
    np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-5)


def call(pair):
    """Outputs of ours and of the peer, without the caches."""
    sides = ((pair.ours, pair.our_arguments), (pair.peer, pair.peer_arguments))
    outputs = (layer(**arguments(**pair.inputs)) for layer, arguments in sides)
    return [y[0] if isinstance(y, tuple) else y for y in outputs]


def copy_kernels(ours, peer):
    """Kernels, in order among those of a kind; biases and norms start out equal."""
    pools = [{}, {}]
    for layer, pool in zip((ours, peer), pools, strict=True):
        for variable in layer.trainable_variables:
            if variable.name == "kernel":
                pool.setdefault(kind(variable), []).append(variable)
    assert pools[0].keys() == pools[1].keys()
    for kind_, variables in pools[0].items():
        for variable, target in zip(variables, pools[1][kind_], strict=True):
            target.assign(keras.ops.reshape(variable, target.shape))


def kind(variable):
    layer = variable.path.split("/")[-2].removeprefix("attention_")
    return layer if layer in ("query", "key", "value", "output") else tuple(variable.shape)


@portable
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", ["cross-attention, padding"], indirect=True)
def test_a_call_computes_what_it_says(name, train):
    pair = layer_pairs.PAIRS[name](SIZES, dropout=0.0)
    work = layer_pairs.make_work(pair.ours, pair.our_arguments, pair.inputs, train, xla=False)
    before = [np.array(variable) for variable in pair.ours.trainable_variables]
    work(), work()
    if keras.backend.backend() == "tensorflow":  # on JAX the weights are the work's own
        moved = [
            not np.array_equal(was, now)
            for was, now in zip(before, pair.ours.trainable_variables, strict=True)
        ]
        # A bias of the keys shifts all scores of a query alike: its gradient is rounding.
        assert sum(moved) >= (len(moved) - 1 if train else 0)
        assert train or not any(moved)


def test_multiply_adds_are_those_counted_by_hand():
    b, t, d = 3, 6, 20
    pairs = {name: layer_pairs.PAIRS[name](SIZES, 0.0) for name in ("self-attention", GROUPED)}
    scores_and_means = 2 * b * t * t * d
    expected = {
        "self-attention": 4 * b * t * d * d + scores_and_means,
        GROUPED: 2 * b * t * d * d + 2 * b * t * d * 5 + scores_and_means,  # one head of 5
    }
    assert {name: pair.multiply_adds for name, pair in pairs.items()} == expected


def test_turns_last_as_long_as_they_should():
    calls = []
    works = [lambda: calls.append("ours"), lambda: calls.append("peer")]
    ours, peer = layer_pairs.take_turns(works, rounds=3, seconds=0.0)
    assert len(ours) == len(peer) == 3 and min(ours.min(), peer.min()) > 0
    assert calls[4:] == ["ours", "peer", "peer", "ours", "ours", "peer"]  # after two to warm up
    assert len(layer_pairs.take_turns(works, rounds=3, seconds=0.01)[0]) > 3


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="modes must be of tensorflow, tensorflow-xla, jax"):
        layers.main(layers.Settings(modes=("torch",)))


@pytest.mark.exhaustive
def test_the_table_is_complete(tmp_path, capsys):
    pytest.importorskip("jax")
    path = tmp_path / "result.json"
    words = ("decoder block, c",)
    layers.main(layers.Settings(quick=True, pairs=words, json=path))
    result = json.loads(path.read_text())
    names = [name for name in layer_pairs.PAIRS if any(word in name for word in words)]
    if layer_pairs.keras_hub is None:
        names = [name for name in names if not name.startswith(layer_pairs.KERAS_HUB)]
    assert [(case["mode"], case["pair"], case["measure"]) for case in result["cases"]] == [
        (mode, name, measure)
        for mode in layers.MODES
        for name in names
        for measure in layer_pairs.pair_measures(name)
    ]
    for case in result["cases"]:
        ratio = case["times_ours"]
        assert 0 < ratio["low"] <= ratio["high"] and 0 < ratio["median"] < np.inf
        assert case["ours_share_of_peak"] > 0 and case["parameters"] > 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in (*layers.MODES, *names))
