"""All that the next training step depends on inside a compiled model, as named arrays.

Variables are named by their place in the model's and the optimizer's lists, with the path only
for the reader: Keras numbers unnamed layers and seed generators per process, and optimizer slots
carry those numbers in their names.

Exact on TensorFlow and JAX. On torch, `keras.layers.Dropout` draws from torch's global generator,
which is no variable; the layers of this package do not.
"""

import numpy as np


def state_variables(model):
    """The variables that a training step reads and writes, metrics aside.

    Weights, seed generators, optimizer slots, counters, moving averages and the loss scale.

    Args:
        model: a built and compiled `keras.Model`. Its optimizer is built if it is not yet.

    Returns:
        {name: variable}, names such as `model/00003/encoder/query/kernel`.

    Raises:
        ValueError: the model is not built or not compiled.
    """
    if getattr(model, "optimizer", None) is None:
        raise ValueError(f"{model.name!r} has no optimizer; compile it first")
    if not model.variables:
        raise ValueError(f"{model.name!r} has no variables yet; call it on an input first")
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    groups = {"model": model.variables, "optimizer": model.optimizer.variables}
    return {
        f"{group}/{place:05d}/{variable.path.removeprefix(f'{model.name}/')}": variable
        for group, variables in groups.items()
        for place, variable in enumerate(variables)
    }


def run_state(model):
    """{name: NumPy array} of `state_variables(model)`, also in the middle of `fit` on JAX."""
    if hasattr(model, "jax_state_sync"):  # during fit, JAX's state lives outside the variables
        model.jax_state_sync()
    return {name: np.asarray(v.numpy()) for name, v in state_variables(model).items()}


def set_run_state(model, arrays, source):
    """Sets every state variable of the model to what `run_state` gave.

    Args:
        model: a built and compiled `keras.Model`; unchanged if anything does not fit.
        arrays: {name: array}.
        source: what error messages call them.

    Raises:
        ValueError: the state is that of another model or optimizer; the message lists where.
    """
    ours = {_place(name): (name, v) for name, v in state_variables(model).items()}
    theirs = {_place(name): (name, array) for name, array in arrays.items()}
    problems = [f"missing: {ours[p][0]}" for p in ours if p not in theirs]
    problems += [f"unexpected: {theirs[p][0]}" for p in theirs if p not in ours]
    for place in ours.keys() & theirs.keys():
        (name, variable), (their_name, array) = ours[place], theirs[place]
        if tuple(variable.shape) != array.shape:
            shapes = f"{array.shape}, the model's {name} is {tuple(variable.shape)}"
            problems.append(f"of another shape: {their_name} is {shapes}")
    if problems:
        problems = "\n  ".join(sorted(problems))
        raise ValueError(f"{source} is not the state of this model and optimizer:\n  {problems}")
    for place, (_, variable) in ours.items():
        variable.assign(theirs[place][1])


def _place(name):
    """Group, place and kind (kernel, momentum ...): what is the same in every process."""
    group, place, *path = name.split("/")
    return group, place, path[-1].rsplit("_", 1)[-1]
