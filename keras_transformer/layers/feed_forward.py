"""The position-wise feed-forward network.

B batch, T length, D width, F feed-forward width
"""

import keras

from keras_transformer.layers.checks import check_positive, check_rate, fresh
from keras_transformer.layers.composite import CompositeLayer
from keras_transformer.layers.dense import Dense
from keras_transformer.layers.dropout import Dropout


@keras.saving.register_keras_serializable(package="keras_transformer")
def gelu_tanh(x):
    """GELU by its approximation with tanh, as GPT-2 and Gemma use it; "gelu" is the exact one.

        0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))

    Example:

    >>> import numpy as np
    >>> round(float(gelu_tanh(np.float32(1.0))), 4)
    0.8412

    Reference:
        Hendrycks and Gimpel 2016, "Gaussian Error Linear Units", section 2.
    """
    return keras.activations.gelu(x, approximate=True)


def get_activation(identifier):
    """The function of a name that Keras knows, of "gelu_tanh", or of a callable.

    Raises:
        ValueError: the name is not known.

    Example:

    >>> get_activation("gelu_tanh") is gelu_tanh
    True
    """
    if identifier in ("gelu_tanh", "keras_transformer>gelu_tanh"):
        return gelu_tanh
    try:
        return keras.activations.get(identifier)
    except ValueError:
        raise ValueError(
            "activation must be a name such as 'relu', 'gelu', 'gelu_tanh' or 'silu', or a "
            f"callable; received {identifier!r}"
        ) from None


@keras.saving.register_keras_serializable(package="keras_transformer")
class FeedForward(CompositeLayer):
    """Two dense layers, applied to each position alone; or three, with a gate.

        FFN(x) = activation(x W₁ + b₁) W₂ + b₂                            (plain)
        FFN(x) = (activation(x Wᵧ + bᵧ) · (x W₁ + b₁)) W₂ + b₂            (gated)

    The sublayers are named `inner` (W₁), `gate` (Wᵧ) and `outer` (W₂).

    Args:
        ffn_dim: F.
        activation: a Keras activation name ("gelu" is the exact one), "gelu_tanh", or a callable.
        dropout: rate on the F hidden units.
        use_bias: whether the dense layers have biases.
        gated: whether there is a gate. With `activation="silu"` that is SwiGLU, with "gelu_tanh"
            GEGLU.
        kernel_initializer: of the kernels; by default Glorot's uniform.
        output_initializer: of W₂; by default as the others.

    Call:
        x: (B, T, D) float.
        training: whether dropout is active.

    Returns:
        (B, T, D).

    Raises:
        ValueError: `ffn_dim` is not a positive integer, `dropout` not in [0, 1), or the activation
            is not known.

    Example:

    >>> import numpy as np
    >>> FeedForward(ffn_dim=16)(np.ones((1, 3, 8), "float32")).shape == (1, 3, 8)
    True

    Reference:
        Vaswani et al. 2017, section 3.3; gated: Shazeer 2020, "GLU Variants Improve Transformer".
    """

    def __init__(
        self,
        ffn_dim,
        activation="relu",
        dropout=0.0,
        use_bias=True,
        gated=False,
        kernel_initializer=None,
        output_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive("ffn_dim", ffn_dim)
        check_rate("dropout", dropout)
        self.supports_masking = True
        self.ffn_dim = ffn_dim
        self.activation = get_activation(activation)
        self.dropout = dropout
        self.use_bias = use_bias
        self.gated = gated
        self.kernel_initializer = keras.initializers.get(kernel_initializer or "glorot_uniform")
        self.output_initializer = keras.initializers.get(output_initializer)

    def build(self, input_shape):
        hidden_dim = input_shape[-1]
        self.inner = self.make_dense("inner", hidden_dim, self.ffn_dim)
        self.hidden = self.plain_hidden
        if self.gated:
            self.gate = self.make_dense("gate", hidden_dim, self.ffn_dim)
            self.hidden = self.gated_hidden
        self.inner_dropout = Dropout(self.dropout, dtype=self.dtype_policy, name="dropout")
        self.outer = self.make_dense("outer", self.ffn_dim, hidden_dim)

    def make_dense(self, name, input_dim, units):
        """One dense layer, built."""
        own = self.output_initializer if name == "outer" else None
        layer = Dense(
            units,
            use_bias=self.use_bias,
            kernel_initializer=fresh(own or self.kernel_initializer),
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build((None, None, input_dim))
        return layer

    def call(self, x, training=None):
        return self.outer(self.inner_dropout(self.hidden(x), training=training))

    def plain_hidden(self, x):
        """(B, T, F) of the plain network."""
        return self.activation(self.inner(x))

    def gated_hidden(self, x):
        """(B, T, F) of the gated network."""
        return self.activation(self.gate(x)) * self.inner(x)

    def get_config(self):
        return {
            **super().get_config(),
            "ffn_dim": self.ffn_dim,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "gated": self.gated,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "output_initializer": keras.initializers.serialize(self.output_initializer),
        }
