import keras
import numpy as np
import pytest

from keras_transformer.training.run_state import run_state, set_run_state


def compiled(units=3, name="top"):
    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dropout(0.5), keras.layers.Dense(units, name=name)]
    )
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    return model


def fit(model, callbacks=(), epochs=2):
    x = np.random.default_rng(0).normal(size=(12, 5))
    settings = {"batch_size": 4, "verbose": 0, "shuffle": False, "callbacks": callbacks}
    model.fit(x, x[:, :3], epochs=epochs, **settings)
    return run_state(model)


class Watch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.iterations, self.kernels = [], []

    def on_train_batch_end(self, batch, logs=None):
        state = run_state(self.model)
        self.iterations += [int(v) for name, v in state.items() if name.endswith("iteration")]
        self.kernels.append(state["model/00001/top/kernel"])


def test_it_is_that_of_the_step_also_in_the_middle_of_fit_and_reading_changes_nothing():
    keras.utils.set_random_seed(1)
    plain = fit(compiled())
    keras.utils.set_random_seed(1)
    watch = Watch()
    watched = fit(compiled(), [watch])
    assert watch.iterations == [1, 2, 3, 4, 5, 6]
    assert all((a != b).any() for a, b in zip(watch.kernels, watch.kernels[1:], strict=False))
    for ours, theirs in zip(plain.values(), watched.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_it_holds_weights_randomness_and_optimizer_and_no_metrics():
    names = list(fit(compiled()))
    kinds = [name.rsplit("/", 1)[-1].rsplit("_", 1)[-1] for name in names]
    slots = ["momentum", "velocity"] * 2
    assert kinds == ["state", "kernel", "bias", "iteration", "rate", *slots]


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras's Dropout on torch has a state of its own"
)
def test_training_goes_on_as_if_never_left():
    keras.utils.set_random_seed(1)
    model = compiled()
    state = fit(model)
    expected = fit(model)
    again = compiled()  # other weights, other seeds, another optimizer that is not built yet
    set_run_state(again, state, "the state")
    for ours, theirs in zip(fit(again).values(), expected.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_state_of_something_else_is_refused_with_a_list():
    state = run_state(compiled())
    other = compiled(units=7)
    before = run_state(other)
    with pytest.raises(ValueError, match=r"(?s)top/kernel is \(5, 3\), the model's .* \(5, 7\)"):
        set_run_state(other, state, "the state")
    other.compile("sgd", "mse")
    with pytest.raises(ValueError, match="unexpected: optimizer/00002.*momentum"):
        set_run_state(other, before, "the state")
    with pytest.raises(ValueError, match="(?s)missing: model/00002.*unexpected: model/00001"):
        set_run_state(compiled(), {"model/00001/top/gamma": np.zeros(3)}, "the state")
    name = "model/00001/top/kernel"
    np.testing.assert_array_equal(run_state(other)[name], before[name])


def test_a_model_that_is_not_ready_is_refused():
    with pytest.raises(ValueError, match="compile it first"):
        run_state(keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)]))
    model = keras.Sequential([keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="no variables yet"):
        run_state(model)
