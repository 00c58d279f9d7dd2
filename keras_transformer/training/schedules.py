"""Learning-rate schedules."""

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
        if not peak > 0:
            raise ValueError(f"peak must be a positive learning rate, got {peak!r}")
        if int(warmup_steps) != warmup_steps or warmup_steps < 1:
            raise ValueError(f"warmup_steps must be an integer of at least 1, got {warmup_steps!r}")
        self.peak = float(peak)
        self.warmup_steps = int(warmup_steps)

    def __call__(self, step):
        update = ops.cast(step, "float32") + 1.0
        rise = update / self.warmup_steps
        decay = ops.sqrt(self.warmup_steps / update)
        return self.peak * ops.minimum(rise, decay)

    def get_config(self):
        return {"peak": self.peak, "warmup_steps": self.warmup_steps}
