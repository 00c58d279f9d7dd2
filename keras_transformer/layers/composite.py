"""What a layer made of other layers needs, and Keras does not give it."""

import keras

from keras_transformer.layers.quantized import quantization_of, quantize_again
from keras_transformer.layers.recomputed import Recomputed


class CompositeLayer(Recomputed, keras.layers.Layer):
    """A layer whose quantised sublayers survive saving, and which `keras.RematScope` can recompute.

    Keras writes the weights of quantised sublayers, but makes them unquantised when it loads.

    Example:

    >>> from keras_transformer.layers import FeedForward
    >>> issubclass(FeedForward, CompositeLayer)
    True
    """

    def get_build_config(self):
        found = quantization_of(self)
        return {**super().get_build_config(), **found} if found else super().get_build_config()

    def build_from_config(self, config):
        config = dict(config or {})
        found = config.pop("quantization", None)
        super().build_from_config(config)
        quantize_again(self, found)
