"""What all recipes do alike around `fit`."""

import types

import pytest

from recipes import pretrain_decoder, runs, translation


def lengths(steps, steps_per_epoch, **more):
    return types.SimpleNamespace(steps=steps, steps_per_epoch=steps_per_epoch, **more)


def test_fit_epochs_make_up_all_steps():
    assert runs.whole_epochs(lengths(1700, 100)) == (17, 100)
    assert runs.whole_epochs(lengths(200, 250)) == (1, 200)  # a run shorter than a fit-epoch


@pytest.mark.parametrize(
    "steps, steps_per_epoch, message",
    [
        (1700, 250, "steps must be a multiple of steps_per_epoch, 250; got 1700. Near are --steps"),
        (1700, 250, "--steps 1500 and --steps 1750"),
        (200, 0, "steps_per_epoch must be at least 1; got 0"),
        (0, 100, "steps must be at least 1; got 0"),
    ],
)
def test_steps_that_would_be_dropped_are_refused(steps, steps_per_epoch, message, tmp_path):
    settings = lengths(steps, steps_per_epoch, run_dir=tmp_path)
    with pytest.raises(ValueError, match=message):
        runs.fit(None, None, settings, configuration={})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("recipe", [pretrain_decoder, translation])
def test_presets_train_all_their_steps(recipe):
    for _, settings in recipe.PRESETS.values():
        epochs, length = runs.whole_epochs(settings)
        assert epochs * length == settings.steps
