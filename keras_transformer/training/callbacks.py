"""Callbacks for `model.fit`: BLEU, throughput, the metrics' log and the best weights."""

import json
import math
import os
import pathlib
import threading
import time
import warnings

import keras

from keras_transformer.checkpoints.files import finite, raise_if_disk_full, replacing
from keras_transformer.checkpoints.safetensors import save_weights
from keras_transformer.checkpoints.weights import model_weights


class Bleu(keras.callbacks.Callback):
    """Translates the validation sources after a fit-epoch and writes their BLEU to the logs.

    Place it before callbacks that read `val_bleu`. The sacrebleu signature, without which a BLEU
    figure means little, is printed with the first score.

    Args:
        translate: function from a list of source strings to the list of their translations, in
            order. It may enter `AverageCheckpoints.applied()` to score the average.
        sources: list of source strings.
        references: list of reference strings, or a list of such lists for several references.
        every: fit-epochs between two scores. After the last fit-epoch there always is one.
        tokenize: sacrebleu's tokenizer: "13a" for detokenised text, "none" for text that is
            tokenised already. Scores of the two do not compare.
        lowercase: whether case is ignored.
        name: key in the logs.

    Raises:
        ValueError: no sources, or another number of references than of sources.

    Example:

    >>> bleu = Bleu(lambda lines: lines, ["a b c d e"], ["a b c d e"], tokenize="none")
    >>> round(bleu.score(), 1)
    100.0

    Reference: [sacrebleu](https://aclanthology.org/W18-6319/).
    """

    def __init__(
        self,
        translate,
        sources,
        references,
        every=1,
        tokenize="13a",
        lowercase=False,
        name="val_bleu",
    ):
        super().__init__()
        is_one = not references or isinstance(references[0], str)
        streams = [references] if is_one else references
        lengths = [len(stream) for stream in streams]
        if not sources or any(length != len(sources) for length in lengths):
            raise ValueError(f"{len(sources)} sources do not go with {lengths} references")
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every!r}")
        self.translate = translate
        self.sources = list(sources)
        self.references = [list(stream) for stream in streams]
        self.every = every
        self.tokenize = tokenize
        self.lowercase = lowercase
        self.name = name
        self.signature = None  # sacrebleu's, once there is a score

    def on_epoch_end(self, epoch, logs=None):
        is_last = epoch + 1 == self.params.get("epochs")
        if (epoch + 1) % self.every and not is_last:
            return
        is_first = self.signature is None
        score = self.score()
        if logs is not None:
            logs[self.name] = score
        if is_first and self.params.get("verbose"):
            print(f"\n{self.name}: {self.signature}")

    def score(self):
        """BLEU in percent of the translations that `translate` gives now."""
        from sacrebleu.metrics import BLEU  # only a run that scores needs it

        # force: tokenised input is meant where "none" is asked for, and needs no warning.
        bleu = BLEU(tokenize=self.tokenize, lowercase=self.lowercase, force=self.tokenize == "none")
        translations = self.translate(self.sources)
        if len(translations) != len(self.sources):
            raise ValueError(
                f"translate gave {len(translations)} translations of {len(self.sources)} sources"
            )
        score = bleu.corpus_score(translations, self.references).score
        self.signature = str(bleu.get_signature())
        return score


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's callback, passing over fit-epochs that did not log a finite monitored value.

    So `patience` counts validations where these are rarer than fit-epochs, and a score that is not
    defined yet is not the best one for ever. If no fit-epoch logs the value, a warning says so.

    Args:
        monitor, patience and so on: as in `keras.callbacks.EarlyStopping`.

    Example:

    >>> EarlyStopping("val_bleu", mode="max", patience=5).patience
    5
    """

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._logged, self._is_monitored = set(), False

    def on_epoch_end(self, epoch, logs=None):
        self._logged |= set(logs or {})
        if math.isfinite((logs or {}).get(self.monitor, math.nan)):
            self._is_monitored = True
            super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        if self._logged and not self._is_monitored:
            warnings.warn(
                f"{self.monitor!r} was never logged as a finite number: nothing could stop the "
                f"training. Logged were {', '.join(sorted(self._logged))}",
                stacklevel=2,
            )


class Throughput(keras.callbacks.Callback):
    """Real tokens per second of the fit-epoch so far, in the progress bar and the logs.

    Padding is not counted, nor is the time of validation. The compilation of the first steps is:
    the first fit-epoch is slower.

    Args:
        tokens_of: function from a global step, counted from 0, to the real tokens of its batch:
            an int for the targets, or a pair (source, target).

    Adds `target_tokens_per_s` to the logs, and `source_tokens_per_s` where there are pairs.

    Example:

    >>> import keras, numpy as np
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(np.ones((8, 3)), np.ones((8, 2)), batch_size=2, verbose=0,
    ...                     callbacks=[Throughput(lambda step: 6)])
    >>> history.history["target_tokens_per_s"][0] > 0
    True
    """

    async_safe = True  # Keras then does not wait for the device after each step

    def __init__(self, tokens_of):
        super().__init__()
        self.tokens_of = tokens_of
        self._lock = threading.Lock()

    def on_epoch_begin(self, epoch, logs=None):
        self._next_step = epoch * (self.params.get("steps") or 0)
        self._tokens = {}
        self._start = self._end = time.perf_counter()
        self._seen = 0

    def on_train_batch_end(self, batch, logs=None):
        # With steps_per_execution, `batch` jumps, in the last execution beyond the last step.
        seen = min(batch + 1, self.params.get("steps") or batch + 1)
        with self._lock:  # Keras may call from several threads
            for _ in range(self._seen, seen):
                tokens = self.tokens_of(self._next_step)
                pair = tokens if isinstance(tokens, tuple) else (0, tokens)
                for side, count in zip(("target", "source"), reversed(pair), strict=True):
                    self._tokens[side] = self._tokens.get(side, 0) + count
                self._next_step += 1
            self._seen = max(self._seen, seen)
            self._end = time.perf_counter()
            if logs is not None:
                logs.update(self._rates())

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs.update(self._rates())

    def _rates(self):
        seconds = max(self._end - self._start, 1e-9)
        return {
            f"{side}_tokens_per_s": float(round(count / seconds))
            for side, count in self._tokens.items()
            if count
        }


class MetricsLog(keras.callbacks.Callback):
    """Appends the logs of each fit-epoch as one JSON object a line to a file.

    Each line has `epoch` (fit-epochs completed), `step` and `seconds` (of the fit-epoch, with
    validation and the callbacks before this one), then the logs; a number that is not finite is
    null. When a run is resumed, lines of fit-epochs that are now done again are removed, and so is
    a line that a crash cut off: each fit-epoch is there once.

    Args:
        path: the file, usually `metrics.jsonl`.

    Example:

    >>> import json, keras, numpy as np, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "metrics.jsonl"
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> model.compile("sgd", "mse")
    >>> _ = model.fit(np.ones((8, 3)), np.ones((8, 2)), epochs=2, verbose=0,
    ...               callbacks=[MetricsLog(path)])
    >>> [json.loads(line)["epoch"] for line in path.read_text().splitlines()]
    [1, 2]
    """

    def __init__(self, path):
        super().__init__()
        self.path = pathlib.Path(path)

    def seconds(self, epochs):
        """What the first `epochs` fit-epochs took, by the file, in seconds."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        return sum(json.loads(line)["seconds"] for line in lines[:epochs])

    def on_train_begin(self, logs=None):
        self._is_first_epoch = True

    def on_epoch_begin(self, epoch, logs=None):
        if self._is_first_epoch:
            self._truncate(epoch)
        self._is_first_epoch = False
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        record = {"epoch": epoch + 1}
        if self.params.get("steps"):
            record["step"] = (epoch + 1) * self.params["steps"]
        record["seconds"] = round(time.perf_counter() - self._start, 3)
        plain = {k: v.item() if hasattr(v, "item") else v for k, v in (logs or {}).items()}
        record |= finite(plain)
        line = json.dumps(record, allow_nan=False) + "\n"
        size = self.path.stat().st_size
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            os.truncate(self.path, size)  # no half of a line stays
            raise_if_disk_full(error, self.path)
            raise

    def _truncate(self, epochs):
        """Keeps the lines of the first `epochs` fit-epochs."""
        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        kept = []
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if not isinstance(record, dict) or not isinstance(record.get("epoch"), int):
                raise ValueError(f"{self.path} is no log of fit-epochs: it has {record}")
            if line.endswith(b"\n") and record["epoch"] <= epochs:
                kept.append(line)
        if kept != lines or not self.path.exists():
            with replacing(self.path) as file:
                file.writelines(kept)


class BestCheckpoint(keras.callbacks.Callback):
    """Saves the weights whenever a logged value is better than ever before.

    Place it after the callback that logs the value. The file replaces its predecessor in one
    step; its metadata tell the fit-epoch and the value. Given to `RunCheckpoints` among its
    `callbacks`, a resumed run knows the best value.

    Args:
        path: the safetensors file, with names as of `checkpoints.named_weights`.
        monitor: key in the logs. Fit-epochs without it are passed over.
        mode: "max" if larger is better, "min" if smaller is.
        weights: function that gives {name: array} to save in place of the model's own weights,
            such as `AverageCheckpoints.average`.

    Example:

    >>> import keras, numpy as np, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "best.safetensors"
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> model.compile("sgd", "mse")
    >>> best = BestCheckpoint(path, monitor="loss", mode="min")
    >>> _ = model.fit(np.ones((8, 3)), np.ones((8, 2)), verbose=0, callbacks=[best])
    >>> path.exists(), best.epoch
    (True, 1)
    """

    def __init__(self, path, monitor="val_bleu", mode="max", weights=None):
        super().__init__()
        if mode not in ("max", "min"):
            raise ValueError(f"mode must be 'max' or 'min', got {mode!r}")
        self.path = pathlib.Path(path)
        self.monitor = monitor
        self.mode = mode
        self.weights = weights
        self.best = None  # the best value so far
        self.epoch = None  # and after how many fit-epochs it was seen

    def on_epoch_end(self, epoch, logs=None):
        value = (logs or {}).get(self.monitor)
        if value is None or not math.isfinite(value) or not self._is_better(float(value)):
            return
        weights = self.weights() if self.weights else model_weights(self.model)
        metadata = {"epoch": str(epoch + 1), self.monitor: repr(float(value))}
        save_weights(self.path, weights, metadata)
        self.best, self.epoch = float(value), epoch + 1

    def on_train_end(self, logs=None):
        if self.best is None:
            warnings.warn(f"{self.monitor!r} was never logged: no best weights", stacklevel=2)

    def _is_better(self, value):
        if self.best is None:
            return True
        return value > self.best if self.mode == "max" else value < self.best

    def get_state(self):
        """What `set_state` needs to go on as if nothing had happened, as JSON."""
        return {"best": self.best, "epoch": self.epoch}

    def set_state(self, state):
        """Takes over what `get_state` gave."""
        self.best, self.epoch = state["best"], state["epoch"]
