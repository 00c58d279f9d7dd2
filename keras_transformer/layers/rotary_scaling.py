"""Scalings of rotary frequencies: each lets a model read longer texts than it was trained on.

A scaling is a small frozen object that `RotaryEmbedding` takes; equal settings are equal objects.

N frequencies, the width that they rotate being 2·N
"""

import dataclasses
import math

import keras
import numpy as np
from keras import ops

from keras_transformer.layers.checks import check_positive


def check_factor(factor):
    """Refuses a factor below 1, which would shorten the context."""
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not factor >= 1:
        raise ValueError(f"factor must be a number of at least 1; received {factor!r}")


@dataclasses.dataclass(frozen=True)
class RotaryScaling:
    """What all scalings share; subclass it for one of your own, as a frozen dataclass.

    Attributes:
        amplitude: factor on the sines and cosines, and so, squared, on the scores.

    Example:

    >>> @dataclasses.dataclass(frozen=True)
    ... class Halved(RotaryScaling):
    ...     def scale(self, frequency, max_wavelength, length):
    ...         return frequency / 2
    >>> Halved().scale(np.array([1.0, 0.5]), 10_000, length=7).tolist()
    [0.5, 0.25]
    """

    amplitude = 1.0

    def scale(self, frequency, max_wavelength, length):
        """The frequencies to rotate with.

        Args:
            frequency: (N,) float64 NumPy array, `max_wavelength`^(-i/N) in radians.
            max_wavelength: that of the layer.
            length: number of positions of the text so far; an integer, or an int32 scalar tensor
                where it is not known beforehand.

        Returns:
            (N,) float64 NumPy array; or a float32 tensor where it depends on a tensor.
        """
        raise NotImplementedError

    def get_config(self):
        """The arguments of the constructor."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_transformer")
@dataclasses.dataclass(frozen=True)
class LinearScaling(RotaryScaling):
    """Position interpolation: all positions are divided by a factor.

        fᵢ' = fᵢ / factor

    Args:
        factor: at least 1.

    Raises:
        ValueError: a number is out of its range.

    Example:

    >>> LinearScaling(4.0).scale(np.array([1.0, 0.5]), 10_000, length=7).tolist()
    [0.25, 0.125]

    Reference:
        Chen et al. 2023, "Extending Context Window of Large Language Models via Positional
        Interpolation", section 2.3.
    """

    factor: float

    def __post_init__(self):
        check_factor(self.factor)

    def scale(self, frequency, max_wavelength, length):
        return frequency / self.factor


@keras.saving.register_keras_serializable(package="keras_transformer")
@dataclasses.dataclass(frozen=True)
class DynamicNtkScaling(RotaryScaling):
    """Slows the slow frequencies down as the text grows beyond the trained length.

        fᵢ' = fᵢ · r^(-i/(N-1)),  r = max(1, factor · length / original_max_length - factor + 1)

    The frequencies depend on the length of the text so far. Keys that were cached at a shorter
    length keep the rotation they got then, as in the published implementations: to decode token by
    token and to read the whole text at once differ beyond the trained length. A fixed `length`
    given to `RotaryEmbedding` avoids that. Where the length is a tensor, the frequencies, and with
    them the angles, have the rounding of float32 products.

    Args:
        factor: at least 1.
        original_max_length: the longest text in training.

    Raises:
        ValueError: a number is out of its range.

    Example:

    >>> scaling = DynamicNtkScaling(2.0, original_max_length=8)
    >>> scaling.scale(np.array([1.0, 0.5]), 10_000, length=16).round(4).tolist()
    [1.0, 0.1667]

    Reference:
        Peng et al. 2023, "YaRN: Efficient Context Window Extension of Large Language Models",
        appendix B.2, after posts of u/bloc97 and u/emozilla.
    """

    factor: float
    original_max_length: int

    def __post_init__(self):
        check_factor(self.factor)
        check_positive("original_max_length", self.original_max_length)

    def scale(self, frequency, max_wavelength, length):
        exponent = np.arange(len(frequency)) / max(len(frequency) - 1, 1)
        if ops.is_tensor(length):
            ratio = ops.maximum(self.ratio(ops.cast(length, "float32")), 1.0)
            power = ops.exp(-ops.cast(exponent, "float32") * ops.log(ratio))
            return ops.cast(frequency, "float32") * power
        return frequency * max(self.ratio(length), 1.0) ** -exponent

    def ratio(self, length):
        """The factor on the longest wavelength, before it is kept to at least 1."""
        return length * (self.factor / self.original_max_length) - (self.factor - 1)


@keras.saving.register_keras_serializable(package="keras_transformer")
@dataclasses.dataclass(frozen=True)
class YarnScaling(RotaryScaling):
    """Slows frequencies by how often they turn within the trained length: fast ones not at all.

        fᵢ' = ρᵢ · fᵢ / factor + (1 - ρᵢ) · fᵢ

    ρ rises from 0 to 1 between the frequency that makes `beta_fast` turns within
    `original_max_length` positions and that which makes `beta_slow`. The scores are made sharper:
    sines and cosines are multiplied by 0.1 · ln(factor) + 1, if nothing else is asked for.

    Args:
        factor: at least 1.
        original_max_length: the longest text in training.
        beta_fast: frequencies of more turns are not changed.
        beta_slow: frequencies of fewer turns are divided by `factor`.
        attention_factor: on sines and cosines, in place of the formula.
        mscale: with `mscale_all_dim`, as in DeepSeek: the factor on sines and cosines is
            (0.1 · mscale · ln(factor) + 1) / (0.1 · mscale_all_dim · ln(factor) + 1).
        mscale_all_dim: see `mscale`; one without the other has no effect.
        truncate: whether the ends of the ramp are rounded outwards to whole frequencies.

    Raises:
        ValueError: a number is out of its range.

    Example:

    >>> scaling = YarnScaling(4.0, original_max_length=512)
    >>> scaling.scale(np.array([1.0, 0.0001]), 10_000, length=7).tolist(), scaling.amplitude
    ([1.0, 2.5e-05], 1.138629436111989)

    Reference:
        Peng et al. 2023, "YaRN: Efficient Context Window Extension of Large Language Models",
        sections 3.2 to 3.4.
    """

    factor: float
    original_max_length: int
    beta_fast: float = 32
    beta_slow: float = 1
    attention_factor: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True

    def __post_init__(self):
        check_factor(self.factor)
        check_positive("original_max_length", self.original_max_length)
        if not self.beta_fast > self.beta_slow > 0:
            raise ValueError(
                "beta_fast must be greater than beta_slow, and that greater than 0; "
                f"received beta_fast={self.beta_fast!r} and beta_slow={self.beta_slow!r}"
            )

    @property
    def amplitude(self):
        """The factor on sines and cosines."""
        if self.attention_factor is not None:
            return self.attention_factor
        if self.mscale and self.mscale_all_dim:
            return self.sharpness(self.mscale) / self.sharpness(self.mscale_all_dim)
        return self.sharpness(1.0)

    def sharpness(self, mscale):
        """0.1 · mscale · ln(factor) + 1."""
        return 0.1 * mscale * math.log(self.factor) + 1.0

    def scale(self, frequency, max_wavelength, length):
        count = len(frequency)

        def number_of_frequency(turns):
            """Which frequency, as a real number, makes so many turns."""
            wavelength = self.original_max_length / (turns * 2 * math.pi)
            return count * math.log(wavelength) / math.log(max_wavelength)

        low, high = number_of_frequency(self.beta_fast), number_of_frequency(self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        # The bound is the width and not the number of frequencies, as in the published code.
        low, high = max(low, 0), min(high, 2 * count - 1)
        if low == high:
            high += 0.001
        ramp = np.clip((np.arange(count) - low) / (high - low), 0.0, 1.0)
        return ramp * frequency / self.factor + (1.0 - ramp) * frequency


@keras.saving.register_keras_serializable(package="keras_transformer")
@dataclasses.dataclass(frozen=True)
class Llama3Scaling(RotaryScaling):
    """Llama 3.1's: slow frequencies are divided by a factor, fast ones stay, smoothly between.

        fᵢ' = (1 - sᵢ) · fᵢ / factor + sᵢ · fᵢ,  s = clip((turns - low) / (high - low), 0, 1)

    where turns = original_max_length · fᵢ / 2π.

    Args:
        factor: at least 1.
        low_frequency_factor: frequencies of fewer turns within `original_max_length` positions are
            divided by `factor`.
        high_frequency_factor: frequencies of more turns are not changed.
        original_max_length: the longest text in training.

    Raises:
        ValueError: a number is out of its range.

    Example:

    >>> scaling = Llama3Scaling(8.0, 1.0, 4.0, original_max_length=512)
    >>> scaling.scale(np.array([1.0, 0.001]), 10_000, length=7).tolist()
    [1.0, 0.000125]

    Reference:
        Grattafiori et al. 2024, "The Llama 3 Herd of Models", and `apply_scaling` of its code.
    """

    factor: float
    low_frequency_factor: float
    high_frequency_factor: float
    original_max_length: int

    def __post_init__(self):
        check_factor(self.factor)
        check_positive("original_max_length", self.original_max_length)
        if not self.high_frequency_factor > self.low_frequency_factor > 0:
            raise ValueError(
                "high_frequency_factor must be greater than low_frequency_factor, and that greater "
                f"than 0; received low_frequency_factor={self.low_frequency_factor!r} and "
                f"high_frequency_factor={self.high_frequency_factor!r}"
            )

    def scale(self, frequency, max_wavelength, length):
        turns = self.original_max_length * frequency / (2 * math.pi)
        span = self.high_frequency_factor - self.low_frequency_factor
        stays = np.clip((turns - self.low_frequency_factor) / span, 0.0, 1.0)
        return (1.0 - stays) * frequency / self.factor + stays * frequency
