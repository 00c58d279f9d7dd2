import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.training import TokenCrossEntropy

GOLDENS = pathlib.Path(__file__).parent.parent / "goldens" / "training.json"
CASES = json.loads(GOLDENS.read_text())["cases"]
B, T, V = 3, 5, 7


def batch(ignored=0.3):
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(B, T, V)).astype("float32")
    labels = rng.integers(0, V, (B, T)).astype("int32")
    labels[rng.random((B, T)) < ignored] = -100
    return labels, logits


def oracle(labels, logits, weights=None, eps=0.0):
    """Cross-entropy against the explicit smoothed target distribution, in float64."""
    z = logits.astype("float64")
    log_p = z - z.max(-1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(-1, keepdims=True))
    weights = np.ones(labels.shape) if weights is None else weights
    total = count = 0.0
    for place in zip(*np.nonzero(labels != -100), strict=True):
        target = np.full(logits.shape[-1], eps / logits.shape[-1])
        target[labels[place]] += 1 - eps
        total -= weights[place] * (target * log_p[place]).sum()
        count += weights[place]
    return total / count if count else 0.0


def value_and_gradient(loss, labels, logits, sample_weight=None):
    """Loss and its gradient by the logits, through a trained variable on any backend."""
    model = keras.Sequential([keras.Input((1,)), Table(logits)])
    model.compile(keras.optimizers.SGD(1.0), loss=loss, run_eagerly=False)
    before = model.get_weights()[0]
    x = np.zeros((B, 1), "float32")
    value = model.train_on_batch(x, labels, sample_weight=sample_weight)
    return float(value), before - model.get_weights()[0]


class Table(keras.layers.Layer):
    """A layer whose weights are the logits."""

    def __init__(self, logits):
        super().__init__()
        self.table = self.add_weight(shape=logits.shape, initializer="zeros")
        self.table.assign(logits)

    def call(self, x):
        return ops.add(self.table, 0.0)


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient_equal_those_of_torch(case):
    labels = np.asarray(case["labels"], "int32")
    logits = np.asarray(case["logits"], "float32")
    loss = TokenCrossEntropy(case["label_smoothing"])
    value, gradient = value_and_gradient(loss, labels, logits)
    np.testing.assert_allclose(value, case["loss"], rtol=2e-6)
    # The gradient is the difference of weights, so it is only as exact as those are.
    np.testing.assert_allclose(gradient, case["gradient"], atol=3e-7 * np.abs(logits).max())


@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_padding_changes_nothing(eps):
    labels, logits = batch()
    wide_labels = np.pad(labels, ((0, 2), (0, 3)), constant_values=-100)
    wide_logits = np.pad(logits, ((0, 2), (0, 3), (0, 0)), constant_values=11.0)
    loss = TokenCrossEntropy(eps)
    np.testing.assert_allclose(loss(labels, logits), loss(wide_labels, wide_logits), rtol=1e-6)


def test_sample_weights_masks_and_ignored_labels_are_one_thing():
    labels, logits = batch(ignored=0.0)
    keep = np.random.default_rng(8).random((B, T)) < 0.6
    expected = oracle(np.where(keep, labels, -100), logits, eps=0.1)
    loss = TokenCrossEntropy(0.1)
    np.testing.assert_allclose(loss(np.where(keep, labels, -100), logits), expected, rtol=2e-6)
    np.testing.assert_allclose(loss(labels, logits, keep.astype("float32")), expected, rtol=2e-6)
    masked = ops.convert_to_tensor(logits)
    keras.src.backend.set_keras_mask(masked, ops.convert_to_tensor(keep))
    np.testing.assert_allclose(loss(labels, masked), expected, rtol=2e-6)


def test_weights_of_tokens_and_of_rows_count():
    labels, logits = batch()
    rng = np.random.default_rng(9)
    for weights in (rng.random((B, T)), rng.random(B), rng.random((B, 1))):
        spread = np.broadcast_to(weights.reshape(B, -1), (B, T))
        value = TokenCrossEntropy(0.1)(labels, logits, weights)
        np.testing.assert_allclose(value, oracle(labels, logits, spread, 0.1), rtol=2e-6)


def test_nothing_to_learn_from_gives_zero_and_no_gradient():
    labels, logits = batch()
    for nothing, weights in ((np.full_like(labels, -100), None), (labels, np.zeros(B))):
        value, gradient = value_and_gradient(TokenCrossEntropy(0.1), nothing, logits, weights)
        assert value == 0.0 and not gradient.any()


def test_large_logits_of_either_sign_are_safe():
    labels, logits = batch()
    for huge in (1e4, -1e9, 1e37, -3e38):
        changed = logits.copy()
        changed[:, :, 2] = huge
        labels_kept = np.where(labels == 2, 3, labels)
        value, gradient = value_and_gradient(TokenCrossEntropy(), labels_kept, changed)
        assert np.isfinite(value) and np.isfinite(gradient).all()
    minus = logits.copy()
    minus[:, :, 2] = -np.inf
    value = TokenCrossEntropy()(np.where(labels == 2, 3, labels), minus)
    short, moved = np.delete(logits, 2, axis=-1), np.where(labels > 2, labels - 1, labels)
    moved = np.where(labels == 2, 2, moved)
    np.testing.assert_allclose(value, oracle(moved, short), rtol=2e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_logits_are_summed_in_float32(dtype):
    labels, logits = batch()
    half = ops.cast(logits, dtype)
    exact = np.asarray(ops.convert_to_numpy(ops.cast(half, "float32")))
    value = TokenCrossEntropy(0.1)(labels, half)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    np.testing.assert_allclose(value, oracle(labels, exact, eps=0.1), rtol=2e-6)


@pytest.mark.parametrize("wrong", [V, V + 1, -1, -99])
def test_a_label_outside_the_vocabulary_is_not_learned_silently(wrong):
    labels, logits = batch(ignored=0.0)
    labels[1, 2] = wrong
    assert np.isnan(TokenCrossEntropy()(labels, logits))
    assert np.isfinite(TokenCrossEntropy(ignore_index=wrong)(labels, logits))


def test_one_label_for_each_row_may_be_weighted():
    logits = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, np.log(2.0)]], "float32")
    value = TokenCrossEntropy()(np.array([1, 2]), logits, np.array([1.0, 3.0], "float32"))
    assert float(value) == pytest.approx((np.log(3) + 3 * np.log(2)) / 4)
    with pytest.raises(ValueError, match="sample_weight must be"):
        TokenCrossEntropy()(np.array([1, 2]), logits, np.ones((2, 1), "float32"))


@pytest.mark.parametrize("shape", [(T,), (B, T, 1), (1, T), (B, B), (B + 1,), (), (B, T + 1)])
def test_weights_of_another_shape_are_refused(shape):
    labels, logits = batch()
    with pytest.raises(ValueError, match=r"sample_weight must be \(B,\), \(B, 1\) or \(B, T\)"):
        TokenCrossEntropy()(labels, logits, np.ones(shape, "float32"))


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32"])
def test_labels_of_any_number_type_are_taken(dtype):
    labels, logits = batch(ignored=0.0)
    value = TokenCrossEntropy()(labels.astype(dtype), logits)
    np.testing.assert_allclose(value, oracle(labels, logits), rtol=2e-6)


def test_bad_arguments_are_named():
    for eps in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="label_smoothing"):
            TokenCrossEntropy(eps)
    labels, logits = batch()
    with pytest.raises(ValueError, match=r"labels \(3, 4\) and logits \(3, 5, 7\)"):
        TokenCrossEntropy()(labels[:, :4], logits)
    with pytest.raises(ValueError, match="must be"):
        TokenCrossEntropy()(labels[..., None], logits)


def test_the_configuration_round_trips():
    loss = TokenCrossEntropy(0.2, ignore_index=-7, name="nll")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(again, TokenCrossEntropy) and again.get_config() == loss.get_config()


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_fit_learns_through_compiled_steps(policy):
    keras.config.set_dtype_policy(policy)
    ids = np.arange(1, V).repeat(T).reshape(-1, T)  # every row repeats one token
    labels = np.where(np.arange(T) < 3, ids, -100)
    tokens = keras.Input((T,), dtype="int32")
    x = keras.layers.Embedding(V, 11, mask_zero=True)(tokens)
    model = keras.Model(tokens, keras.layers.Dense(V)(x))
    model.compile("adam", loss=TokenCrossEntropy(0.1), jit_compile=True)
    model.optimizer.learning_rate = 0.1
    losses = model.fit(ids, labels, epochs=30, batch_size=4, verbose=0).history["loss"]
    # The smallest loss there is: the entropy of the smoothed target.
    target = np.full(V, 0.1 / V)
    target[0] += 0.9
    assert losses[-1] < -(target * np.log(target)).sum() + 0.1 < losses[0]


def test_no_vocabulary_sized_array_is_kept_but_the_logits_and_their_gradient():
    if keras.backend.backend() != "jax":
        pytest.skip("only JAX tells how much memory a compiled program takes")
    import jax

    def memory(loss):
        h, w = (jax.ShapeDtypeStruct(s, "bfloat16") for s in ((13, 17, 8), (8, 5003)))
        y = jax.ShapeDtypeStruct((13, 17), "int32")
        step = jax.value_and_grad(lambda h, w, y: loss(y, h @ w), (0, 1))
        return jax.jit(step).lower(h, w, y).compile().memory_analysis().temp_size_in_bytes

    # One function of each logit alone has to keep both, too.
    plain = memory(lambda y, z: ops.sum(ops.cast(ops.sin(z), "float32")))
    assert memory(TokenCrossEntropy(0.1)) < 1.05 * plain


def run(script, **environment):
    """The last line that a script prints in a process of its own, from JSON."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        cwd=GOLDENS.parent.parent.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.tensorflow
def test_jax_gives_the_same_losses():
    script = """
import json
import numpy as np
from keras_transformer.training import TokenCrossEntropy
cases = json.load(open("tests/goldens/training.json"))["cases"]
print([float(TokenCrossEntropy(c["label_smoothing"])(
    np.asarray(c["labels"], "int32"), np.asarray(c["logits"], "float32"))) for c in cases])
"""
    tensorflow, jax = run(script), run(script, KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
    np.testing.assert_allclose(tensorflow, jax, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_replicas_share_one_mean_over_all_tokens():
    script = """
import json
import numpy as np, tensorflow as tf, keras
from keras_transformer.training import TokenCrossEntropy
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(8, 5, 3)).astype("float32"), rng.integers(0, 7, (8, 5))
y[:4, 1:] = -100   # the first replica has a fifth of the tokens of the second
def step(strategy):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((5, 3)), keras.layers.Dense(7)])
        model.compile(keras.optimizers.SGD(1.0), TokenCrossEntropy(0.1))
        loss = model.fit(x, y, batch_size=8, verbose=0, shuffle=False).history["loss"][0]
    return [loss] + np.concatenate([w.ravel() for w in model.get_weights()]).tolist()
two = step(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
print(json.dumps([step(tf.distribute.OneDeviceStrategy("CPU:0")), two]))
"""
    one, two = run(script)
    np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)
