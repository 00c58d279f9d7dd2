"""Learning-rate schedules."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_transformer")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to a peak, then decay with the inverse square root of the update's number.

    `lr(step) = peak · min(n / warmup, sqrt(warmup / n))` with `n = step + 1`: Keras counts
    optimizer steps from 0, the paper counts updates from 1. So the first update already moves
    (by peak / warmup), and the peak is reached at update number `warmup_steps`. The paper's
    schedule for width D is `peak = D**-0.5 · warmup**-0.5`.

    Args:
        peak: the largest learning rate.
        warmup_steps: updates until the peak, at least 1.

    Call:
        step: number of updates already made, an integer scalar.

    Returns:
        float32 scalar.

    Raises:
        ValueError: a `peak` that is not positive, or `warmup_steps` below 1.

    Example:

    >>> rate = InverseSquareRoot(5e-3, warmup_steps=2000)
    >>> [round(float(rate(step)), 7) for step in (0, 999, 1999, 7999)]
    [2.5e-06, 0.0025, 0.005, 0.0025]

    Reference: [Attention is all you need](https://arxiv.org/abs/1706.03762), §5.3.
    """

    def __init__(self, peak, warmup_steps):
        _check(peak, warmup_steps, least=1)
        self.peak = float(peak)
        self.warmup_steps = int(warmup_steps)

    def __call__(self, step):
        update = ops.cast(step, "float32") + 1.0
        rise = update / self.warmup_steps
        decay = ops.sqrt(self.warmup_steps / update)
        return self.peak * ops.minimum(rise, decay)

    def get_config(self):
        return {"peak": self.peak, "warmup_steps": self.warmup_steps}


class _Decay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to a peak, then a decay that ends with the run. Not used by itself."""

    def __init__(self, peak, total_steps, warmup_steps=0):
        _check(peak, warmup_steps, least=0)
        if int(total_steps) != total_steps or total_steps <= warmup_steps:
            raise ValueError(
                f"total_steps must be an integer above warmup_steps, {warmup_steps}; "
                f"got {total_steps!r}"
            )
        self.peak = float(peak)
        self.total_steps = int(total_steps)
        self.warmup_steps = int(warmup_steps)

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = (step + 1.0) / max(self.warmup_steps, 1)
        done = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        decayed = self.decay(ops.clip(done, 0.0, 1.0))
        return self.peak * ops.where(step < self.warmup_steps, rise, decayed)

    def decay(self, done):
        """The share of the peak, once a share of the decay is done."""
        raise NotImplementedError

    def get_config(self):
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
        }


@keras.saving.register_keras_serializable(package="keras_transformer")
class LinearDecay(_Decay):
    """Linear warm-up to a peak, then linear decay to 0 at the end of the run.

        lr(step) = peak · (step + 1) / warmup                       while step < warmup
                 = peak · (total - step) / (total - warmup)         then

    Args:
        peak: the largest learning rate.
        total_steps: updates of the run; the one after the last would have a rate of 0.
        warmup_steps: updates until the peak; 0: none.

    Call:
        step: number of updates already made, an integer scalar.

    Returns:
        float32 scalar.

    Raises:
        ValueError: a number is out of its range.

    Example:

    >>> rate = LinearDecay(1e-3, total_steps=10, warmup_steps=2)
    >>> [round(float(rate(step)), 7) for step in (0, 1, 2, 6, 10)]
    [0.0005, 0.001, 0.001, 0.0005, 0.0]

    Reference: Devlin et al. 2019, "BERT", appendix A.2.
    """

    def decay(self, done):
        return 1.0 - done


@keras.saving.register_keras_serializable(package="keras_transformer")
class CosineDecay(_Decay):
    """Linear warm-up to a peak, then half a cosine down to 0 at the end of the run.

        lr(step) = peak · (step + 1) / warmup                       while step < warmup
                 = peak · (1 + cos(π (step - warmup) / (total - warmup))) / 2         then

    Args:
        peak: the largest learning rate.
        total_steps: updates of the run; the one after the last would have a rate of 0.
        warmup_steps: updates until the peak; 0: none.

    Call:
        step: number of updates already made, an integer scalar.

    Returns:
        float32 scalar.

    Raises:
        ValueError: a number is out of its range.

    Example:

    >>> rate = CosineDecay(1e-3, total_steps=10, warmup_steps=2)
    >>> [round(float(rate(step)), 7) for step in (0, 1, 2, 6, 10)]
    [0.0005, 0.001, 0.001, 0.0005, 0.0]

    Reference: Loshchilov and Hutter 2017, "SGDR", equation 5.
    """

    def decay(self, done):
        return 0.5 * (1.0 + ops.cos(math.pi * done))


@keras.saving.register_keras_serializable(package="keras_transformer")
class PerUpdate(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule by the optimizer's updates where k batches make one.

    Keras asks schedules for the rate of a batch, whatever `gradient_accumulation_steps` are: this
    gives all batches of an update the rate of that update, `schedule(step // k)`.

    Args:
        schedule: a learning-rate schedule by updates.
        gradient_accumulation_steps: k, at least 1.

    Call:
        step: number of batches already seen, an integer scalar.

    Returns:
        float32 scalar.

    Example:

    >>> rate = PerUpdate(LinearDecay(1e-3, total_steps=10), gradient_accumulation_steps=2)
    >>> [round(float(rate(step)), 7) for step in (0, 1, 2)]
    [0.001, 0.001, 0.0009]
    """

    def __init__(self, schedule, gradient_accumulation_steps):
        if gradient_accumulation_steps < 1:
            raise ValueError(
                "gradient_accumulation_steps must be at least 1, "
                f"got {gradient_accumulation_steps!r}"
            )
        self.schedule = schedule
        self.gradient_accumulation_steps = int(gradient_accumulation_steps)

    def __call__(self, step):
        return self.schedule(ops.floor_divide(step, self.gradient_accumulation_steps))

    def get_config(self):
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["gradient_accumulation_steps"])


def _check(peak, warmup_steps, least):
    if not peak > 0:
        raise ValueError(f"peak must be a positive learning rate, got {peak!r}")
    if int(warmup_steps) != warmup_steps or warmup_steps < least:
        raise ValueError(
            f"warmup_steps must be an integer of at least {least}, got {warmup_steps!r}"
        )
