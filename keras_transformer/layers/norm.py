"""The normalisations that blocks and attention offer by name."""

import keras

from keras_transformer.layers.checks import check_choice

NORMS = {
    "layer": keras.layers.LayerNormalization,
    "rms": keras.layers.RMSNormalization,
}


def make_norm(norm, epsilon=1e-6, **kwargs):
    """A normalisation layer over the last axis; its statistics are float32 under every dtype.

        layer:  γ·(x - mean(x)) / √(var(x) + ε) + β          rms:  γ·x / √(mean(x²) + ε)

    Args:
        norm: "layer" or "rms".
        epsilon: ε.
        **kwargs: of every Keras layer, such as `name` and `dtype`.

    Raises:
        ValueError: `norm` is not known.

    Example:

    >>> type(make_norm("rms")).__name__
    'RMSNormalization'

    Reference:
        Ba et al. 2016, "Layer Normalization"; Zhang and Sennrich 2019, "Root Mean Square Layer
        Normalization".
    """
    check_choice("norm", norm, tuple(NORMS))
    layer = NORMS[norm](epsilon=epsilon, **kwargs)
    layer.supports_masking = True  # RMSNormalization would drop the mask, with a warning
    return layer
