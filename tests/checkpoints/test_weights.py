import keras
import numpy as np
import pytest

from keras_transformer.checkpoints import (
    assign_weights,
    load_model_weights,
    model_weights,
    named_weights,
    save_model_weights,
    save_weights,
)


@keras.saving.register_keras_serializable(package="tests")
class Small(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = keras.layers.Dense(5, name="inner")
        self.norm = keras.layers.BatchNormalization(name="norm")
        self.drop = keras.layers.Dropout(0.5, name="drop")
        self.outer = keras.layers.Dense(3, name="outer")

    def call(self, x):
        return self.outer(self.drop(self.norm(self.inner(x))))


def built():
    model = Small()
    model(np.zeros((2, 7), "float32"))
    return model


def test_the_models_own_number_is_no_part_of_the_names(tmp_path):
    first, second = built(), built()
    assert first.name != second.name
    assert list(named_weights(first)) == list(named_weights(second))
    assert "inner/kernel" in named_weights(first) and "norm/moving_mean" in named_weights(first)
    save_model_weights(first, tmp_path / "w.safetensors")
    load_model_weights(second, tmp_path / "w.safetensors")
    x = np.ones((2, 7), "float32")
    first, second = (keras.ops.convert_to_numpy(model(x)) for model in (first, second))
    np.testing.assert_array_equal(first, second)


def test_all_that_does_not_fit_is_listed_and_nothing_is_changed(tmp_path):
    model = built()
    before = model_weights(model)
    weights = {name: array + 1 for name, array in before.items()}
    weights["inner/kernels"] = weights.pop("inner/kernel")
    weights["outer/bias"] = np.zeros((3, 1), "float32")
    save_weights(tmp_path / "w.safetensors", weights)
    with pytest.raises(ValueError) as error:
        load_model_weights(model, tmp_path / "w.safetensors")
    message = str(error.value)
    assert "w.safetensors" in message
    assert "missing: inner/kernel\n" in message and "unexpected: inner/kernels" in message
    assert "outer/bias is (3, 1), the model's is (3,)" in message
    for name, array in model_weights(model).items():
        np.testing.assert_array_equal(array, before[name])


def test_an_unbuilt_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no weights yet"):
        save_model_weights(Small(), tmp_path / "w.safetensors")


def test_arrays_are_assigned_under_the_models_dtype():
    keras.config.set_dtype_policy("bfloat16")
    model = built()
    weights = {name: np.full(v.shape, 1.5, "float32") for name, v in named_weights(model).items()}
    assign_weights(model, weights)
    assert {array.dtype.name for array in model_weights(model).values()} >= {"bfloat16"}
    assert all((array == 1.5).all() for array in model_weights(model).values())
