"""Which backend writes exports."""

import keras


def check_backend(task):
    """Refuses other backends than TensorFlow, and says what to do on them."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise RuntimeError(
            f"An export is written by the TensorFlow backend; this is {backend}. Save with "
            "save_pretrained(folder), then run "
            f"{type(task).__name__}.from_pretrained(folder).export(path) "
            "with KERAS_BACKEND=tensorflow."
        )
