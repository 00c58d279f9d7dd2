"""The position-wise feed-forward network.

B batch, T length, D width, F feed-forward width
"""

import keras

from keras_transformer.layers.checks import check_positive, check_rate
from keras_transformer.layers.dropout import Dropout


@keras.saving.register_keras_serializable(package="keras_transformer")
class FeedForward(keras.layers.Layer):
    """Two dense layers, applied to each position alone.

        FFN(x) = activation(x W₁ + b₁) W₂ + b₂

    Args:
        ffn_dim: F.
        activation: between the two, a Keras activation name or a callable.
        dropout: rate on the F hidden units.
        use_bias: whether both dense layers have biases.

    Call:
        x: (B, T, D) float.
        training: whether dropout is active.

    Returns:
        (B, T, D).

    Raises:
        ValueError: `ffn_dim` is not a positive integer, or `dropout` not in [0, 1).

    Example:

    >>> import numpy as np
    >>> FeedForward(ffn_dim=16)(np.ones((1, 3, 8), "float32")).shape == (1, 3, 8)
    True

    Reference:
        Vaswani et al. 2017, section 3.3.
    """

    def __init__(self, ffn_dim, activation="relu", dropout=0.0, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        check_positive("ffn_dim", ffn_dim)
        check_rate("dropout", dropout)
        self.supports_masking = True
        self.ffn_dim = ffn_dim
        self.activation = keras.activations.get(activation)
        self.dropout = dropout
        self.use_bias = use_bias

    def build(self, input_shape):
        hidden_dim = input_shape[-1]
        dense = dict(use_bias=self.use_bias, dtype=self.dtype_policy)
        self.inner = keras.layers.Dense(
            self.ffn_dim, activation=self.activation, name="inner", **dense
        )
        self.inner.build((None, None, hidden_dim))
        self.inner_dropout = Dropout(self.dropout, dtype=self.dtype_policy, name="dropout")
        self.outer = keras.layers.Dense(hidden_dim, name="outer", **dense)
        self.outer.build((None, None, self.ffn_dim))

    def call(self, x, training=None):
        return self.outer(self.inner_dropout(self.inner(x), training=training))

    def get_config(self):
        return {
            **super().get_config(),
            "ffn_dim": self.ffn_dim,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "use_bias": self.use_bias,
        }
