import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_transformer.models import Seq2SeqLM, TransformerConfig
from keras_transformer.training import TokenCrossEntropy

training = pytest.importorskip("benchmarks.training")  # needs the recipes' packages

SIZES = dict(num_encoder_layers=1, num_decoder_layers=2, num_heads=2, hidden_dim=14, ffn_dim=11)
CONFIG = TransformerConfig(vocab_size=31, dropout=0.0, **SIZES)


@pytest.mark.parametrize("peer", ["keras", "keras_hub"])
def test_a_peer_with_our_weights_gives_our_loss(peer):
    if peer == "keras_hub":
        pytest.importorskip("keras_hub")
    ours, theirs = Seq2SeqLM(CONFIG), getattr(training, f"{peer}_model")(CONFIG)
    assert theirs.count_params() == ours.count_params()
    copy_kernels(ours, theirs)
    x, y = batch()
    expected = TokenCrossEntropy(0.1)(y, ours(x))
    value = training.SmoothedCrossEntropy(0.1)(y, theirs(x))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def batch():
    rng = np.random.default_rng(5)
    source, target, labels = (rng.integers(4, 31, (3, n)).astype("int32") for n in (7, 5, 5))
    masks = [np.arange(n) < rng.integers(2, n, (3, 1)) for n in (7, 5)]
    x = dict(encoder_token_ids=source, encoder_padding_mask=masks[0])
    x |= dict(decoder_token_ids=target, decoder_padding_mask=masks[1])
    return x, np.where(masks[1], labels, -100).astype("int32")


def copy_kernels(source, target):
    """Embeddings and kernels, in order among those of a kind; biases and norms start out equal."""
    pools = [{}, {}]
    for model, pool in zip((source, target), pools, strict=True):
        for variable in model.trainable_variables:
            pool.setdefault(kind(variable), []).append(variable)
    assert pools[0].keys() == pools[1].keys()
    for kind_, variables in pools[0].items():
        if kind_ is not None:
            for ours, theirs in zip(variables, pools[1][kind_], strict=True):
                theirs.assign(keras.ops.reshape(ours, theirs.shape))


def kind(variable):
    layer, name = variable.path.split("/")[-2:]
    if name not in ("kernel", "embeddings"):
        return None
    layer = layer.removeprefix("attention_")
    return layer if layer in ("query", "key", "value", "output") else tuple(variable.shape)


def test_matrix_flops_are_those_of_a_step_counted_by_hand():
    # One block a side; 2 rows of 3 source and 5 target tokens; D = 14, F = 11, V = 31.
    config = TransformerConfig(vocab_size=31, **(SIZES | dict(num_decoder_layers=1)))
    projections = 3 * 4 * 14 * 14 + 5 * 4 * 14 * 14 + (2 * 5 + 2 * 3) * 14 * 14
    attention = 2 * (3 * 3 + 5 * 5 + 5 * 3) * 14
    feed_forward = (3 + 5) * 2 * 14 * 11
    expected = 2 * 6 * (projections + attention + feed_forward + 5 * 14 * 31)
    assert training.matrix_flops(config, rows=2, source=3, target=5) == expected


def test_random_captions_are_as_long_as_captions():
    source, target = training.random_captions(20_000, seed=1)
    lengths = np.array([[len(line.split()) + 1 for line in side] for side in (source, target)])
    np.testing.assert_allclose(lengths.mean(axis=1), 15, atol=0.3)
    np.testing.assert_allclose(np.corrcoef(lengths)[0, 1], 0.86, atol=0.03)
    tokens = {int(word) for line in source for word in line.split()}
    assert min(tokens) >= 4 and max(tokens) < 10_000


@pytest.mark.slow
def test_the_measurement_runs_and_writes_its_result(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training.Numbers, "vocab_size", 31)
    monkeypatch.setattr(training, "CAPTIONS", 200)
    monkeypatch.setattr(training, "PRODUCT", 61)
    help_text, preset = training.translation.PRESETS["multi30k-tiny"]
    shallow = dataclasses.replace(preset, num_layers=1)
    monkeypatch.setitem(training.translation.PRESETS, "multi30k-tiny", (help_text, shallow))
    path = tmp_path / "result.json"
    training.main(training.Settings(steps=2, shapes=1, tokens_per_batch=256, json=path))
    result = json.loads(path.read_text())
    assert {"keras_transformer", "keras.layers"} <= set(result["models"])
    printed = capsys.readouterr().out
    for name, figures in result["models"].items():
        assert name in printed and figures["tokens_per_second"]["median"] > 0
    assert 0 <= result["padding_share"] < 1
