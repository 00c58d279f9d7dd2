"""Compiles a decoding program whole; the only file of the package that knows the backends.

A program is kept as long as its model lives. It reads the model's weights at every call, so that
training may go on between two calls; where layers get low-rank parts, lose them or are quantised,
another program is made.
"""

import weakref

import keras
import numpy as np

_PROGRAMS = weakref.WeakKeyDictionary()  # model -> {key: program}


def program(model, key, function, shapes, jit_compile=True, others=()):
    """The compiled `function(model, inputs)` of this model under `key`; made at first need.

    Args:
        model: what `function` decodes with; not kept alive.
        key: hashable; names everything that shapes the program, `shapes` included.
        function: of the model and a dictionary of tensors; gives a tuple of tensors. It must not
            refer to the model itself.
        shapes: {name: (shape, dtype)} of the inputs; a size may be None on TensorFlow without XLA.
        jit_compile: compile with XLA on TensorFlow. JAX always compiles, torch never.
        others: further models that `function` uses; they are kept alive.

    Returns:
        A function from a dictionary of NumPy arrays to a tuple of NumPy arrays.
    """
    programs = _PROGRAMS.setdefault(model, {})
    key = key, tuple(map(changes, (model, *others)))
    if key not in programs:
        make = {"tensorflow": _tensorflow, "jax": _jax}.get(keras.backend.backend(), _eager)
        programs[key] = make(weakref.ref(model), function, shapes, jit_compile, others)
    return programs[key]


def nest_program(model, key, function, jit_compile=True):
    """As `program`, of a `function(model, *nests)` of tensors that gives a nest of tensors.

    What a call returns may be given to the next, as it is, without a way through NumPy. Tensors of
    one key have one shape.
    """
    programs = _PROGRAMS.setdefault(model, {})
    key = key, changes(model)
    if key not in programs:
        makers = {"tensorflow": _tensorflow_nest, "jax": _jax_nest}
        make = makers.get(keras.backend.backend(), _eager_nest)
        programs[key] = make(weakref.ref(model), function, jit_compile)
    return programs[key]


def changes(model):
    """What has been made of a model's layers since it was built, as a program holds it for good.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> changes(model)
    ()
    >>> model.layers[0].enable_lora(rank=1)
    >>> len(changes(model))
    1
    """
    found = []
    layers = model._flatten_layers() if isinstance(model, keras.layers.Layer) else ()
    for n, layer in enumerate(layers):
        part = getattr(layer, "lora_enabled", False)
        how = layer.quantization_mode
        if part or how:
            part = part and (id(vars(layer).get("lora_kernel_a")), layer.lora_alpha)
            found.append((n, part, how))
    return tuple(found)


def _tensorflow_nest(model, function, jit_compile):
    import tensorflow as tf

    return tf.function(
        lambda *nests: function(model(), *nests), autograph=False, jit_compile=jit_compile
    )


def _jax_nest(model, function, jit_compile):
    import jax

    def stateless(values, *nests):
        mapping = zip(model().variables, values, strict=True)
        with keras.StatelessScope(state_mapping=mapping):
            return function(model(), *nests)

    compiled = jax.jit(stateless)
    return lambda *nests: compiled(_jax_values(model()), *nests)


def _eager_nest(model, function, jit_compile):
    def run(*nests):
        with _no_gradient():
            return function(model(), *nests)

    return run


def takes_any_shape(jit_compile):
    """Whether one program serves inputs of every shape."""
    backend = keras.backend.backend()
    return backend != "jax" and not (backend == "tensorflow" and jit_compile)


def num_programs(model):
    """How many decoding programs have been compiled for `model`.

    Example:

    >>> import keras
    >>> num_programs(keras.Sequential())
    0
    """
    return len(_PROGRAMS.get(model, ()))


def _tensorflow(model, function, shapes, jit_compile, others):
    import tensorflow as tf

    # Variables are captured by reference: the graph reads what they hold when it runs.
    compiled = tf.function(
        lambda inputs: tuple(function(model(), inputs)), autograph=False, jit_compile=jit_compile
    )
    compiled = compiled.get_concrete_function(
        {name: tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in shapes.items()}
    )

    def run(inputs):
        inputs = {name: tf.constant(value) for name, value in inputs.items()}
        return tuple(x.numpy() for x in compiled(inputs))

    return run


def _jax(model, function, shapes, jit_compile, others):
    import jax

    def stateless(values, inputs):
        variables = [v for each in (model(), *others) for v in each.variables]
        with keras.StatelessScope(state_mapping=zip(variables, values, strict=True)):
            return tuple(function(model(), inputs))

    compiled = jax.jit(stateless)

    def run(inputs):
        values = [value for each in (model(), *others) for value in _jax_values(each)]
        return tuple(np.asarray(x) for x in compiled(values, inputs))

    return run


def _jax_values(model):
    # Within `fit` the newest weights are in the trainer's hands until they are asked for.
    sync = getattr(model, "jax_state_sync", None)
    if sync is not None:
        sync()
    return [variable.value for variable in model.variables]


def _eager(model, function, shapes, jit_compile, others):
    def run(inputs):
        inputs = {name: keras.ops.convert_to_tensor(value) for name, value in inputs.items()}
        with _no_gradient():
            outputs = function(model(), inputs)
        return tuple(keras.ops.convert_to_numpy(x) for x in outputs)

    return run


def _no_gradient():
    if keras.backend.backend() == "torch":
        import torch

        return torch.no_grad()
    import contextlib

    return contextlib.nullcontext()
