"""What a layer made of other layers needs, and Keras does not give it."""

import keras
from keras import tree


class CompositeLayer(keras.layers.Layer):
    """A layer whose quantised sublayers survive saving, and which `keras.RematScope` can recompute.

    Keras writes the weights of quantised sublayers, but makes them unquantised when it loads; and
    under TensorFlow it passes keyword arguments to what is recomputed, where they are refused.

    Example:

    >>> from keras_transformer.layers import FeedForward
    >>> issubclass(FeedForward, CompositeLayer)
    True
    """

    def get_build_config(self):
        modes = [layer.quantization_mode for layer in self._flatten_layers(include_self=False)]
        if not any(modes):
            return super().get_build_config()
        return {**super().get_build_config(), "quantization_modes": modes}

    def build_from_config(self, config):
        config = dict(config or {})
        modes = config.pop("quantization_modes", None)
        super().build_from_config(config)
        if modes is None:
            return
        sublayers = list(self._flatten_layers(include_self=False))
        for layer, mode in zip(sublayers, modes, strict=True):
            if mode is not None:
                layer.quantize(mode)

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """`layer_call` as a function that is recomputed in the backward pass.

        Only tensors are arguments of what is recomputed: all else, such as `training`, is bound.
        """
        is_tensor = [keras.ops.is_tensor(leaf) for leaf in tree.flatten((args, kwargs))]

        def wrap(*args, **kwargs):
            leaves = tree.flatten((args, kwargs))

            def call_with(*tensors):
                rest = iter(tensors)
                merged = [
                    next(rest) if tensor else leaf
                    for tensor, leaf in zip(is_tensor, leaves, strict=True)
                ]
                args_, kwargs_ = tree.pack_sequence_as((args, kwargs), merged)
                return layer_call(*args_, **kwargs_)

            recomputed = super(CompositeLayer, self).rematerialized_call(call_with)
            tensors = [leaf for tensor, leaf in zip(is_tensor, leaves, strict=True) if tensor]
            return recomputed(*tensors)

        return wrap
