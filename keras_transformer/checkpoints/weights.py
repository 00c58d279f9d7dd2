"""A model's weights to a safetensors file and back, by name and strictly."""

import numpy as np

from keras_transformer.checkpoints.safetensors import load_weights, save_weights


def named_weights(model):
    """The variables of a built model by name: the variable's path inside the model.

    The model's own name is left out, since Keras numbers it: a second `Seq2SeqLM` of a process
    is called `seq2_seq_lm_1`.

    Args:
        model: a built `keras.Model` or layer.

    Returns:
        {name: variable} of `model.weights`: without seeds, metrics and optimizer.

    Raises:
        ValueError: the model has no weights yet, or two of them share a name.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="top")])
    >>> {name: tuple(variable.shape) for name, variable in named_weights(model).items()}
    {'top/kernel': (3, 2), 'top/bias': (2,)}
    """
    variables = {}
    for variable in model.weights:
        name = variable.path.removeprefix(f"{model.name}/")
        if name in variables:
            raise ValueError(f"two weights of {model.name!r} are called {name!r}; name its layers")
        variables[name] = variable
    if not variables:
        raise ValueError(f"{model.name!r} has no weights yet; call it on an input first")
    return variables


def model_weights(model):
    """{name: NumPy array} of `named_weights(model)`.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="top")])
    >>> model_weights(model)["top/bias"]
    array([0., 0.], dtype=float32)
    """
    return {name: _to_numpy(variable) for name, variable in named_weights(model).items()}


def save_model_weights(model, path, metadata=None):
    """Writes the model's weights to a safetensors file that replaces `path` in one step.

    Args:
        model: a built `keras.Model` or layer.
        path: the file; its folder is made if missing.
        metadata: {str: str} kept in the header, or None.

    Raises:
        ValueError: the model is not built, or two weights share a name.
        OSError: the disk is full; what was at `path` before is untouched.

    Example:

    >>> import keras, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="top")])
    >>> save_model_weights(model, path)
    >>> load_model_weights(model, path)
    >>> sorted(named_weights(model))
    ['top/bias', 'top/kernel']
    """
    save_weights(path, model_weights(model), metadata)


def load_model_weights(model, path):
    """Reads the weights that `save_model_weights` wrote; all of them, and none but them.

    Args:
        model: a built `keras.Model` or layer; unchanged if anything does not fit.
        path: the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or weights are missing, unexpected or of another shape;
            the message lists them.

    Example:

    >>> import keras, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="top")])
    >>> save_model_weights(model, path)
    >>> load_model_weights(model, path)
    """
    assign_weights(model, load_weights(path), path)


def assign_weights(model, weights, source="the given weights"):
    """Sets the model's weights to arrays of the same names and shapes.

    Args:
        model: a built `keras.Model` or layer; unchanged if anything does not fit.
        weights: {name: array}.
        source: what error messages call them.

    Raises:
        ValueError: weights are missing, unexpected or of another shape; the message lists them.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="top")])
    >>> weights = model_weights(model)
    >>> assign_weights(model, {name: array + 1 for name, array in weights.items()})
    >>> model_weights(model)["top/bias"]
    array([1., 1.], dtype=float32)
    """
    variables = named_weights(model)
    problems = [f"missing: {name}" for name in variables if name not in weights]
    problems += [f"unexpected: {name}" for name in weights if name not in variables]
    for name, variable in variables.items():
        ours, theirs = tuple(variable.shape), name in weights and weights[name].shape
        if name in weights and ours != theirs:
            problems.append(f"of another shape: {name} is {theirs}, the model's is {ours}")
    if problems:
        raise ValueError(f"{source} does not fit {model.name!r}:\n  " + "\n  ".join(problems))
    for name, variable in variables.items():
        variable.assign(weights[name])


def _to_numpy(variable):
    return np.asarray(variable.numpy())
