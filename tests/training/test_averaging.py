import os

import keras
import numpy as np
import pytest

from keras_transformer.checkpoints import model_weights
from keras_transformer.training import AverageCheckpoints


def compiled(dtype="float32"):
    layer = keras.layers.Dense(3, name="top", dtype=dtype)
    model = keras.Sequential([keras.Input((5,)), layer])
    model.compile("adam", "mse")
    return model


class Collect(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(model_weights(self.model))


def trained(folder, epochs=7, dtype="float32", **settings):
    averages, collect = AverageCheckpoints(folder, **settings), Collect()
    model = compiled(dtype)
    x = np.random.default_rng(0).normal(size=(8, 5))
    callbacks = [averages, collect]
    model.fit(x, x[:, :3], epochs=epochs, batch_size=4, verbose=0, callbacks=callbacks)
    return model, averages, collect.seen


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_is_the_mean_of_the_last_weights_taken_in_float64(tmp_path, dtype):
    _, averages, seen = trained(tmp_path, last=3, dtype=dtype)
    for name, array in averages.average().items():
        exact = np.mean([weights[name].astype("float64") for weights in seen[-3:]], axis=0)
        assert array.dtype.name == dtype
        np.testing.assert_array_equal(array, exact.astype(array.dtype))
    assert sorted(os.listdir(tmp_path)) == [f"epoch-{n:06d}.safetensors" for n in (5, 6, 7)]


def test_fewer_snapshots_than_asked_for_are_averaged_too(tmp_path):
    _, averages, seen = trained(tmp_path, epochs=2, last=10)
    exact = (seen[0]["top/bias"].astype("float64") + seen[1]["top/bias"]) / 2
    np.testing.assert_array_equal(averages.average()["top/bias"], exact.astype("float32"))


def test_every_other_epoch(tmp_path):
    _, averages, _ = trained(tmp_path, last=2, every=2)
    assert list(averages.snapshots) == ["epoch-000004.safetensors", "epoch-000006.safetensors"]


def test_inside_the_block_the_model_has_the_average_and_after_it_its_own_again(tmp_path):
    model, averages, _ = trained(tmp_path, last=4)
    own, mean = model_weights(model), averages.average()
    with pytest.raises(RuntimeError), averages.applied():
        for name, array in model_weights(model).items():
            np.testing.assert_array_equal(array, mean[name])
            assert not np.array_equal(array, own[name])
        raise RuntimeError
    for name, array in model_weights(model).items():
        np.testing.assert_array_equal(array, own[name])


def test_nothing_to_average_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="before the first snapshot"):
        AverageCheckpoints(tmp_path).average()
    with pytest.raises(ValueError, match="last and every"):
        AverageCheckpoints(tmp_path, last=0)


def test_snapshots_of_another_model_are_not_mixed_in(tmp_path):
    _, averages, _ = trained(tmp_path, last=4)
    other = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, name="another")])
    averages.set_model(other)
    averages.on_epoch_end(7)
    with pytest.raises(ValueError, match="epoch-000008.*'another/bias'"):
        averages.average()


def fitted(folder, epochs=2):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="top")])
    model.compile("sgd", "mse")
    averages = AverageCheckpoints(folder, last=2)
    model.fit(np.ones((4, 3)), np.ones((4, 2)), epochs=epochs, verbose=0, callbacks=[averages])
    return averages


def test_a_damaged_snapshot_is_no_part_of_an_average(tmp_path):
    averages = fitted(tmp_path)
    path = tmp_path / "epoch-000002.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="epoch-000002.safetensors is not as it was written"):
        averages.average()


def test_only_the_snapshots_of_this_run_are_removed(tmp_path):
    others = [tmp_path / "epoch-best.safetensors", tmp_path / "epoch-000099.safetensors"]
    for path in others:
        path.write_bytes(b"mine")
    fitted(tmp_path, epochs=4)
    kept = [tmp_path / f"epoch-{n:06d}.safetensors" for n in (3, 4)]
    assert sorted(tmp_path.iterdir()) == sorted([*others, *kept])
