"""The ways in which a backend can run a function of tensors, all of which must agree."""

import keras


def programs(function, *arrays):
    """Runs a function of NumPy arrays eagerly and in every compiled way.

    Under TensorFlow the compiled programs are built for unknown lengths; that of XLA too, until it
    is run.

    Returns:
        A dictionary from the name of the way to its result.
    """
    backend = keras.backend.backend()
    arrays = [keras.ops.convert_to_tensor(array) for array in arrays]
    found = {"eager": function(*arrays)}
    if backend == "tensorflow":
        import tensorflow as tf

        unknown = [tf.TensorSpec([None] * len(a.shape), a.dtype) for a in arrays[1:]]
        first = tf.TensorSpec(
            [None] * (len(arrays[0].shape) - 1) + [arrays[0].shape[-1]], "float32"
        )
        for name, compile_it in {"graph": False, "XLA": True}.items():
            program = tf.function(function, [first, *unknown], jit_compile=compile_it)
            found[name] = program(*arrays)
    elif backend == "jax":
        import jax

        found["jit"] = jax.jit(function)(*arrays)
    return found
