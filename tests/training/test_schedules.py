import keras
import numpy as np
import pytest

from keras_transformer import training
from keras_transformer.training import InverseSquareRoot


def test_it_is_the_papers_schedule():
    width, warmup = 512, 4000
    schedule = InverseSquareRoot(width**-0.5 * warmup**-0.5, warmup)
    for update in (1, 2, 1999, 4000, 4001, 16000, 100_000):  # the paper counts from 1
        expected = width**-0.5 * min(update**-0.5, update * warmup**-1.5)
        np.testing.assert_allclose(schedule(update - 1), expected, rtol=1e-6)


def test_the_peak_is_reached_once_and_is_the_largest_rate():
    schedule = InverseSquareRoot(5e-3, 7)
    rates = [float(schedule(step)) for step in range(30)]
    assert np.argmax(rates) == 6 and rates[6] == pytest.approx(5e-3, rel=1e-6)
    assert (np.diff(rates[:7]) > 0).all() and (np.diff(rates[6:]) < 0).all() and rates[0] > 0


def test_the_optimizer_uses_the_rate_of_the_step_it_makes():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(InverseSquareRoot(0.1, 3)), lambda y, p: p)
    model.set_weights([np.zeros((1, 1))])
    x, moved = np.ones((1, 1)), []  # the gradient is 1, so a step moves by the rate
    for _ in range(4):
        before = model.get_weights()[0].item()
        model.train_on_batch(x, x)
        moved.append(before - model.get_weights()[0].item())
    np.testing.assert_allclose(moved, [0.1 / 3, 0.2 / 3, 0.1, 0.1 * (3 / 4) ** 0.5], rtol=1e-5)


def test_the_configuration_round_trips():
    schedule = InverseSquareRoot(5e-3, 2000)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert isinstance(again, InverseSquareRoot) and again.get_config() == schedule.get_config()


@pytest.mark.parametrize("peak, warmup", [(0.0, 10), (-1.0, 10), (float("nan"), 10)])
def test_a_peak_that_is_no_rate_is_refused(peak, warmup):
    with pytest.raises(ValueError, match="peak"):
        InverseSquareRoot(peak, warmup)


@pytest.mark.parametrize("warmup", [0, -3, 1.5])
def test_a_warm_up_that_is_no_number_of_steps_is_refused(warmup):
    with pytest.raises(ValueError, match="warmup_steps"):
        InverseSquareRoot(1e-3, warmup)


@pytest.mark.parametrize("kind", [training.LinearDecay, training.CosineDecay])
def test_decay_rises_to_its_peak_and_ends_at_nothing(kind):
    rate = kind(3e-4, total_steps=13, warmup_steps=5)
    values = [float(rate(step)) for step in range(14)]
    assert values[4] == pytest.approx(3e-4) and values[5] == pytest.approx(3e-4)
    assert values[:5] == sorted(values[:5]) and values[5:] == sorted(values[5:], reverse=True)
    assert values[0] > 0 and values[13] == pytest.approx(0, abs=1e-10)
    assert kind.from_config(rate.get_config())(7) == rate(7)


def test_a_warm_up_as_long_as_the_run_is_refused():
    with pytest.raises(ValueError, match="total_steps must be an integer above warmup_steps, 5"):
        training.LinearDecay(1e-3, total_steps=5, warmup_steps=5)


def test_all_batches_of_an_update_have_its_rate():
    schedule = training.LinearDecay(1e-3, total_steps=7)
    rate = training.PerUpdate(schedule, 3)
    assert [float(rate(n)) for n in range(6)] == [float(schedule(n // 3)) for n in range(6)]
    again = training.PerUpdate.from_config(rate.get_config())
    assert float(again(5)) == float(rate(5))
