"""Weights and models in and out of safetensors files."""

from keras_transformer.checkpoints.adapters import load_adapter, save_adapter
from keras_transformer.checkpoints.keras_hub import from_keras_hub
from keras_transformer.checkpoints.pretrained import from_pretrained, save_pretrained
from keras_transformer.checkpoints.safetensors import load_weights, read_metadata, save_weights
from keras_transformer.checkpoints.weights import (
    assign_weights,
    load_model_weights,
    model_weights,
    named_weights,
    save_model_weights,
)

__all__ = [
    "assign_weights",
    "from_keras_hub",
    "from_pretrained",
    "load_adapter",
    "load_model_weights",
    "load_weights",
    "model_weights",
    "named_weights",
    "read_metadata",
    "save_adapter",
    "save_model_weights",
    "save_pretrained",
    "save_weights",
]
