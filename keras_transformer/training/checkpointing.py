"""Checkpoints of a run: a folder for each, complete or not there, so that a run resumes exactly."""

import hashlib
import json
import os
import pathlib
import shutil
import warnings
from typing import NamedTuple

import keras

from keras_transformer.checkpoints.files import (
    raise_if_disk_full,
    replacing,
    sha256_of,
    sync_folder,
)
from keras_transformer.checkpoints.safetensors import load_weights, save_weights
from keras_transformer.training.callback_state import (
    callback_state_problems,
    callback_states,
    check_callbacks,
    release_files,
    set_callback_states,
    without_damaged,
)
from keras_transformer.training.run_state import run_state, set_run_state

STATE, MANIFEST, TEMPORARY = "state.safetensors", "manifest.json", ".tmp-"


class Progress(NamedTuple):
    """How far a run has come: what `fit` and the data stream are to start from.

    Example:

    >>> Progress()                                       # a run that has not begun
    Progress(step=0, epoch=0, stopped=False)
    """

    step: int = 0  # batches taken from the data
    epoch: int = 0  # fit-epochs completed
    stopped: bool = False  # a callback such as EarlyStopping ended the run


class RunCheckpoints(keras.callbacks.Callback):
    """Saves all that the next step depends on, and resumes a run from it bit by bit.

    At the end of a fit-epoch a folder `step-00000800/` is written: `state.safetensors` with the
    weights, the optimizer (schedule position, moments, loss scale, moving averages) and the random
    state, and `manifest.json` with the step, the states of other callbacks, the configuration and
    the sha256 of each file. It is written under a temporary name, flushed to the disk and renamed:
    after a crash at any moment a checkpoint is whole or not there. The last `keep` stay.

    A run that shall resume exactly takes its data from a stream that is a pure function of the
    step, and is cut into fit-epochs of equal length:

        checkpoints = RunCheckpoints(folder, configuration=settings, callbacks=[early_stopping])
        start = checkpoints.restore(model)
        if not start.stopped:
            model.fit(batches.stream(start.step), steps_per_epoch=N, initial_epoch=start.epoch,
                      epochs=E, callbacks=[early_stopping, checkpoints])     # checkpoints: last

    Args:
        folder: where the checkpoints are.
        configuration: JSON-able dict of the settings that make the run what it is. A folder of
            another configuration is refused. Leave out what may change, such as `epochs`.
        keep: number of checkpoints that stay, at least 1; with one alone, there is none to go
            back to if it is damaged.
        every_steps: steps between checkpoints at least; each is written at the first end of a
            fit-epoch after them, and after the last fit-epoch. None: at every end of a fit-epoch.
        callbacks: those whose state is saved: Keras's EarlyStopping and ReduceLROnPlateau, and
            any with `get_state()` and `set_state(state)`. In `fit` they must come before this one.

    Raises:
        ValueError, TypeError: for a callback whose state cannot be kept, or that is not before
            this one in `fit`.
        OSError: while saving, if the disk is full; the checkpoints that were there are untouched.

    Example:

    >>> import keras, numpy as np, tempfile
    >>> def run(folder, epochs):
    ...     model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    ...     model.compile("adam", "mse")
    ...     checkpoints = RunCheckpoints(folder, {"width": 2})
    ...     start = checkpoints.restore(model)
    ...     _ = model.fit(np.ones((8, 3)), np.ones((8, 2)), batch_size=2, epochs=epochs, verbose=0,
    ...                   initial_epoch=start.epoch, callbacks=[checkpoints])
    ...     return start
    >>> folder = tempfile.mkdtemp()
    >>> run(folder, epochs=2)
    Progress(step=0, epoch=0, stopped=False)
    >>> run(folder, epochs=3)
    Progress(step=8, epoch=2, stopped=False)
    """

    def __init__(self, folder, configuration=None, keep=2, every_steps=None, callbacks=()):
        super().__init__()
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep!r}")
        if every_steps is not None and every_steps < 1:
            raise ValueError(f"every_steps must be at least 1 or None, got {every_steps!r}")
        check_callbacks(callbacks)
        self.folder = pathlib.Path(folder)
        self.configuration = json.loads(json.dumps(configuration or {}))  # tuples become lists
        self.keep = keep
        self.every_steps = every_steps
        self.callbacks = list(callbacks)
        self.progress = None  # where `restore` said to start, or the last checkpoint's
        self._manifest = None  # what was restored and not yet given to the callbacks
        for callback in self.callbacks:
            if hasattr(callback, "release"):
                callback.releases_alone = False

    # Reading

    def restore(self, model):
        """Sets the model to the newest checkpoint that is whole, and tells where to go on.

        Temporary folders of a crash are removed. A damaged checkpoint is renamed to
        `damaged-step-...` with a warning, and the one before it is used. Where all of them name a
        damaged file of a callback's, such as a snapshot that is averaged, the newest is used
        without that file, with a warning.

        Args:
            model: built and compiled as for the run's start; unchanged if there is no checkpoint.

        Returns:
            `Progress(step, epoch, stopped)`: zeros for a new run.

        Raises:
            ValueError: the checkpoints are of another configuration (the settings that differ are
                named) or another model, or there are some and all of them are damaged.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob(f"{TEMPORARY}*"):
            shutil.rmtree(leftover)
        self.progress, damaged, usable = Progress(), {}, {}
        for checkpoint in reversed(self._checkpoints()):
            manifest, problems = self._read(checkpoint)
            if not problems:
                usable[checkpoint] = manifest
                problems = callback_state_problems(self.callbacks, manifest["callbacks"])
            if not problems:
                self._take_over(model, checkpoint, manifest)
                break
            damaged[checkpoint] = f"{checkpoint}: {'; '.join(problems)}"
            warnings.warn(f"damaged checkpoint {damaged[checkpoint]}", stacklevel=2)
        else:
            if damaged:
                del damaged[self._take_over_in_part(model, usable, damaged)]
        for checkpoint in damaged:
            aside = self.folder / f"damaged-{checkpoint.name}"
            _remove(aside)
            checkpoint.rename(aside)
        return self.progress

    def _take_over(self, model, checkpoint, manifest):
        """Sets model and callbacks to a checkpoint."""
        self._check_configuration(manifest["configuration"])
        set_run_state(model, load_weights(checkpoint / STATE), checkpoint)
        self._manifest = manifest
        self.progress = Progress(manifest["step"], manifest["epoch"], manifest["stopped"])
        # From here on the callbacks know their past, also where nothing is left to train.
        set_callback_states(self.callbacks, manifest["callbacks"])

    def _take_over_in_part(self, model, usable, damaged):
        """Sets all to the newest checkpoint whose own files are whole, and returns it.

        What callbacks lost of theirs, such as one of the averaged snapshots, is left out: training
        goes on, but the run is no longer the one that an uninterrupted one would be.
        """
        for checkpoint, manifest in usable.items():
            states = without_damaged(self.callbacks, manifest["callbacks"])
            if not callback_state_problems(self.callbacks, states):
                warnings.warn(
                    f"{checkpoint} is used without the damaged files that it names: averages are "
                    "of fewer snapshots than in an uninterrupted run",
                    stacklevel=3,
                )
                self._take_over(model, checkpoint, {**manifest, "callbacks": states})
                return checkpoint
        raise ValueError(
            "all checkpoints are damaged; remove them to start anew:\n  "
            + "\n  ".join(damaged.values())
        )

    def _checkpoints(self):
        """The checkpoints' folders, oldest first."""
        return sorted(path for path in self.folder.glob("step-*") if path.is_dir())

    def _read(self, checkpoint):
        """Manifest and what is wrong with the checkpoint's own files."""
        manifest, problem = _load_manifest(checkpoint)
        if problem:
            return None, [problem]
        problems = []
        for name, digest in manifest["files"].items():
            path = checkpoint / name
            if not path.is_file():
                problems.append(f"{name} is missing")
            elif sha256_of(path) != digest:
                problems.append(f"{name} is not as it was written (sha256)")
        return manifest, problems

    def _check_configuration(self, theirs):
        ours, theirs, unset = _flat(self.configuration), _flat(theirs), "(not set)"
        differing = [
            f"{name}: {theirs.get(name, unset)!r} there, {ours.get(name, unset)!r} here"
            for name in sorted(ours.keys() | theirs.keys())
            if ours.get(name, unset) != theirs.get(name, unset)
        ]
        if differing:
            raise ValueError(
                f"{self.folder} holds a run of another configuration; take another folder, or "
                "the settings it was started with:\n  " + "\n  ".join(differing)
            )

    # The run

    def set_model(self, model):
        super().set_model(model)
        # Keras sets the model of fit's callbacks in their order.
        later = [type(c).__name__ for c in self.callbacks if c.model is not self.model]
        if later:
            raise ValueError(
                f"{', '.join(later)} must be among fit's callbacks, before RunCheckpoints: their "
                "state is saved as it is at the end of a fit-epoch"
            )

    def on_train_begin(self, logs=None):
        if self.progress is None:
            if self._checkpoints():
                raise ValueError(
                    f"{self.folder} holds checkpoints; call restore(model) before fit to go on "
                    "from them, or remove them"
                )
            self.progress = Progress()
        self._is_first_epoch = True

    def on_epoch_begin(self, epoch, logs=None):
        if not self._is_first_epoch:
            return
        self._is_first_epoch = False
        if epoch != self.progress.epoch:
            raise ValueError(
                f"the run is at fit-epoch {self.progress.epoch}: go on with "
                f"fit(initial_epoch={self.progress.epoch}), got initial_epoch={epoch}"
            )
        if self._manifest is not None:
            # Here and not in on_train_begin, where EarlyStopping forgets what it knew.
            manifest, self._manifest = self._manifest, None
            steps = self._steps_per_epoch()
            if steps != manifest["steps_per_epoch"]:
                raise ValueError(
                    f"the restored run has {manifest['steps_per_epoch']} steps_per_epoch, "
                    f"got {steps}"
                )
            set_callback_states(self.callbacks, manifest["callbacks"])

    def on_epoch_end(self, epoch, logs=None):
        step = (epoch + 1) * self._steps_per_epoch()
        is_last = self.model.stop_training or epoch + 1 == self.params["epochs"]
        if is_last or step - self.progress.step >= (self.every_steps or 1):
            self.save(Progress(step, epoch + 1, bool(self.model.stop_training)))

    def _steps_per_epoch(self):
        steps = self.params.get("steps")
        if steps is None:
            raise ValueError("a run that shall be resumed needs fit(steps_per_epoch=...)")
        return steps

    # Writing

    def save(self, progress):
        """Writes the checkpoint of `progress` (`Progress`), then removes those beyond `keep`."""
        final = self.folder / f"step-{progress.step:08d}"
        temporary = self.folder / f"{TEMPORARY}{final.name}"
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            _remove(temporary)
            temporary.mkdir()
            save_weights(temporary / STATE, run_state(self.model))
            self._write_manifest(temporary, progress)
            if final.exists():  # left by a run that was not restored from it
                _remove(final)
            temporary.rename(final)
            sync_folder(self.folder)
        except BaseException as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise_if_disk_full(error, final)
            raise
        self.progress = progress
        self._prune()

    def _write_manifest(self, folder, progress):
        manifest = {
            "format": 1,
            **progress._asdict(),
            "steps_per_epoch": self._steps_per_epoch(),
            "backend": keras.backend.backend(),
            "configuration": self.configuration,
            "callbacks": callback_states(self.callbacks),
            "files": {STATE: sha256_of(folder / STATE)},
        }
        manifest["manifest_sha256"] = _fingerprint(manifest)
        with replacing(folder / MANIFEST) as file:
            file.write(json.dumps(manifest, indent=1).encode())

    def _prune(self):
        checkpoints = self._checkpoints()
        for checkpoint in checkpoints[: -self.keep]:
            _remove(checkpoint)
        kept = [_load_manifest(checkpoint)[0] for checkpoint in checkpoints[-self.keep :]]
        release_files(self.callbacks, [manifest["callbacks"] for manifest in kept if manifest])


def _load_manifest(checkpoint):
    """The manifest and None, or None and what is wrong with it."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        if manifest.pop("manifest_sha256") == _fingerprint(manifest):
            return manifest, None
        return None, f"{MANIFEST} is not as it was written"
    except (OSError, ValueError, KeyError, AttributeError) as error:
        return None, f"{MANIFEST} cannot be read ({error})"


def _remove(folder):
    """Removes a folder that counts as a checkpoint until, in one step, it is gone."""
    if not folder.exists():
        return
    doomed = folder.with_name(f"{TEMPORARY}old-{folder.name.removeprefix(TEMPORARY)}")
    shutil.rmtree(doomed, ignore_errors=True)
    os.rename(folder, doomed)
    shutil.rmtree(doomed)


def _fingerprint(manifest):
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _flat(settings, prefix=""):
    """Nested settings as {"model.dropout": 0.3}."""
    flat = {}
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
