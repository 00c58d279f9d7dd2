"""Token embeddings and, as their transpose, the output projection.

B batch, T length, D width, V vocabulary
"""

import keras
from keras import ops

from keras_transformer.layers.checks import check_positive
from keras_transformer.layers.dense import on_rows
from keras_transformer.layers.masks import propagate
from keras_transformer.layers.recomputed import Recomputed


@keras.saving.register_keras_serializable(package="keras_transformer")
class TokenEmbedding(Recomputed, keras.layers.ReversibleEmbedding):
    """Looks up token vectors; in reverse, scores hidden states against all of them.

        forward: E[token] · scale,   reverse: x Eᵀ

    Args:
        vocab_size: V.
        hidden_dim: D.
        scale: factor on the looked-up vectors, √D in the paper; not applied in reverse.
        mask_zero: whether token 0 is padding, so that a Keras mask goes with the output.
        embeddings_initializer: by default normal with deviation 1/√D, so that scaled vectors have
            unit variance and so have the logits of unit-variance states.

    Call:
        inputs: (B, T) integers in [0, V); in reverse (B, T, D) float.
        reverse: whether to project back to the vocabulary.

    Returns:
        (B, T, D); in reverse the logits (B, T, V), both in the compute dtype. The logits keep the
        Keras mask of the states.

    Raises:
        ValueError: a size is not a positive integer.

    Example:

    >>> import numpy as np
    >>> layer = TokenEmbedding(vocab_size=11, hidden_dim=4)
    >>> hidden = layer(np.array([[3, 1, 0]]))
    >>> hidden.shape == (1, 3, 4), layer(hidden, reverse=True).shape == (1, 3, 11)
    (True, True)

    Reference:
        Vaswani et al. 2017, section 3.4; Press and Wolf 2017, "Using the Output Embedding to
        Improve Language Models".
    """

    def __init__(
        self,
        vocab_size,
        hidden_dim,
        scale=None,
        mask_zero=False,
        embeddings_initializer=None,
        **kwargs,
    ):
        check_positive("vocab_size", vocab_size)
        check_positive("hidden_dim", hidden_dim)
        if embeddings_initializer is None:
            embeddings_initializer = keras.initializers.RandomNormal(stddev=hidden_dim**-0.5)
        super().__init__(
            vocab_size,
            hidden_dim,
            embeddings_initializer=embeddings_initializer,
            mask_zero=mask_zero,
            **kwargs,
        )
        self.scale = scale
        self.supports_masking = True
        if self.reverse_dtype is None:
            # Said outright, since inside a model Keras does not cast the weights of embeddings.
            self.reverse_dtype = self.compute_dtype

    def call(self, inputs, reverse=False):
        return self.apply(super().call, inputs, reverse)

    def quantized_call(self, inputs, reverse=False):
        return self.apply(super().quantized_call, inputs, reverse)

    def apply(self, function, inputs, reverse):
        """One of Keras's calls with what this layer adds to it."""
        if reverse:
            return on_rows(lambda rows: function(rows, reverse=True), inputs)
        outputs = function(inputs)
        outputs = outputs if self.scale is None else outputs * self.scale
        return propagate(outputs, ops.not_equal(inputs, 0) if self.mask_zero else None)

    def compute_mask(self, inputs, previous_mask=None):
        # Asked where `call` has set no mask: of hidden states, and while shapes alone are computed.
        looks_up = not keras.backend.is_float_dtype(keras.backend.standardize_dtype(inputs.dtype))
        if self.mask_zero and (looks_up or len(inputs.shape) < 3):
            return ops.not_equal(inputs, 0)
        return previous_mask

    def get_config(self):
        config = super().get_config()
        config["vocab_size"] = config.pop("input_dim")
        config["hidden_dim"] = config.pop("output_dim")
        return {**config, "scale": self.scale}
