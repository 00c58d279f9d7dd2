"""Dense layers that multiply all positions of a batch as one matrix.

B batch, T length, D width, F units
"""

import keras
from keras import ops

from keras_transformer.layers.recomputed import Recomputed


def on_rows(function, x):
    """A function of a matrix (N, D), applied to (…, D): (…, F).

    TensorFlow multiplies a tensor of more axes by a kernel row by row of its batch, and in the
    backward pass makes a gradient of the kernel for each of them before it adds them up.

    Args:
        function: from (N, D) to (N, F).
        x: (…, D).

    Example:

    >>> import numpy as np
    >>> on_rows(lambda rows: rows @ np.ones((4, 5)), np.ones((2, 3, 4))).shape == (2, 3, 5)
    True
    """
    if len(x.shape) == 2:
        return function(x)
    rows = function(ops.reshape(x, (-1, x.shape[-1])))
    return ops.reshape(rows, (*ops.shape(x)[:-1], rows.shape[-1]))


@keras.saving.register_keras_serializable(package="keras_transformer")
class Dense(Recomputed, keras.layers.Dense):
    """`keras.layers.Dense`, faster in training where inputs have more than two axes.

        y = activation(x W + b)

    Args:
        units: F.
        **kwargs: as `keras.layers.Dense` takes them.

    Call:
        inputs: (…, D) float.

    Returns:
        (…, F).

    Example:

    >>> import numpy as np
    >>> Dense(5)(np.ones((2, 3, 4), "float32")).shape == (2, 3, 5)
    True
    """

    def call(self, inputs, training=None):
        return on_rows(super().call, inputs)

    def quantize(self, mode=None, type_check=True, config=None):
        super().quantize(mode, type_check=False, config=config)  # which would leave out a subclass
