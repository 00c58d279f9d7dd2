"""What all recipes do alike around `model.fit`: the backend, the command line, the run's folder."""

import dataclasses
import importlib.util
import os
import pathlib
import sys
import time
from subprocess import CalledProcessError

import keras
import tyro

from keras_transformer import explain, training
from keras_transformer.checkpoints.files import write_json

RUNS = pathlib.Path("runs")


def prepare_backend(seed, xla, mixed_precision):
    """What must be set before the first variable is made."""
    keras.utils.set_random_seed(seed)
    if mixed_precision:
        keras.config.set_dtype_policy("mixed_bfloat16")
    if xla or keras.backend.backend() == "jax":
        # On CPUs compiled programs are deterministic as they are; on GPUs XLA must be told.
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()  # with it, Keras would refuse XLA


def tensorboard(run_dir):
    """TensorBoard's callback, where TensorFlow is there to write its files."""
    if importlib.util.find_spec("tensorflow") is None:
        return []
    return [keras.callbacks.TensorBoard(run_dir / "tensorboard", write_graph=False)]


def plain(settings):
    """The settings as a dictionary of plain values."""
    fields = dataclasses.asdict(settings)
    return {k: str(v) if isinstance(v, pathlib.Path) else v for k, v in fields.items()}


def identity(settings, *may_change):
    """The settings that make a run what it is: with others, it is another run."""
    return {k: v for k, v in plain(settings).items() if k not in ("run_dir", *may_change)}


def whole_epochs(settings):
    """The fit-epochs that make up all steps, and the steps of one: all, if the run is shorter.

    A rest would be dropped silently, and with it the end of the learning rate's schedule.

    Args:
        settings: with `steps` and `steps_per_epoch`.

    Returns:
        pair of int: fit-epochs, steps of each.

    Raises:
        ValueError: one is below 1, or the steps are no multiple of the steps of a fit-epoch.
    """
    for name in ("steps", "steps_per_epoch"):
        if getattr(settings, name) < 1:
            raise ValueError(f"{name} must be at least 1; got {getattr(settings, name)}.")
    steps, length = settings.steps, min(settings.steps, settings.steps_per_epoch)
    if steps % length:
        raise ValueError(
            f"steps must be a multiple of steps_per_epoch, {length}; got {steps}. Near are "
            f"--steps {steps - steps % length} and --steps {steps - steps % length + length}."
        )
    return steps // length, length


def fit(
    model,
    batches,
    settings,
    *,
    configuration,
    callbacks=(),
    kept=(),
    epochs=None,
    steps_per_epoch=None,
    **options,
):
    """Trains on from the last checkpoint of the run's folder, or from the start.

    Args:
        model: compiled.
        batches: with `stream(step)`, a pure function of the step.
        settings: with `run_dir`; and with `steps` and `steps_per_epoch` (see `whole_epochs`), if
            `epochs` and `steps_per_epoch` are not given.
        configuration: what makes the run what it is; a folder of another one is refused.
        callbacks: of `fit`, in their order; those that log come before the metrics' file.
        kept: those among them whose state belongs to the run.
        epochs, steps_per_epoch: of the run.
        **options: of `model.fit`, as `validation_data`.

    Returns:
        The seconds that training took before this process.

    Raises:
        ValueError: the settings' steps are no whole number of fit-epochs, or fewer than the run
            has trained already; nothing is written yet.
    """
    run = settings.run_dir
    if epochs is None or steps_per_epoch is None:
        epochs, steps_per_epoch = whole_epochs(settings)
    checkpoints = training.RunCheckpoints(
        run / "checkpoints", configuration=configuration, callbacks=list(kept)
    )
    start = checkpoints.restore(model)
    if start.epoch > epochs:
        raise ValueError(
            f"the run in {run} has trained {start.step} steps already; got settings for "
            f"{epochs * steps_per_epoch}"
        )
    log = training.MetricsLog(run / "metrics.jsonl")
    write_json(run / "settings.json", plain(settings))
    if not start.stopped and start.epoch < epochs:
        model.fit(
            batches.stream(start.step),
            steps_per_epoch=steps_per_epoch,
            initial_epoch=start.epoch,
            epochs=epochs,
            shuffle=False,  # the stream is shuffled already
            verbose=1 if sys.stdout.isatty() else 2,
            callbacks=[*callbacks, log, *tensorboard(run), checkpoints],
            **options,
        )
    return log.seconds(start.epoch)


class Stopwatch:
    """The seconds of a run, those before an interruption included."""

    def __init__(self):
        self._start, self.earlier = time.time(), 0.0

    def costs(self):
        """Time and memory for `scores.json`."""
        seconds = round(time.time() - self._start + self.earlier)
        return {"seconds": seconds, "peak_memory_mb": explain.peak_memory() // 2**20}


def command_line(recipe, presets, arguments=None):
    """Parses the command line: a preset, then settings that differ from it."""
    return tyro.extras.overridable_config_cli(
        presets, prog=f"python -m recipes.{recipe}", args=arguments
    )


def start(main, recipe, presets):
    """Runs a recipe from the command line; what a user can mend is said in one line."""
    try:
        main(command_line(recipe, presets))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(130)
    except (ValueError, OSError, ImportError, ArithmeticError, CalledProcessError) as error:
        sys.exit(f"error: {error}")
