"""Transformer layers, models, training and serving for Keras 3.

The submodules are imported when first used: `import keras_transformer` costs next to nothing
and needs no TensorFlow:

>>> import keras_transformer
>>> keras_transformer.__version__
'0.1.0'
>>> "layers" in dir(keras_transformer)
True
"""

import importlib

__version__ = "0.1.0"

_SUBMODULES = (
    "checkpoints",
    "data",
    "explain",
    "export",
    "families",
    "generation",
    "layers",
    "models",
    "tasks",
    "text",
    "training",
)

__all__ = ["__version__", *_SUBMODULES]


def __getattr__(name):  # PEP 562: called only for names that are not there yet
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(set(globals()) | set(__all__))
