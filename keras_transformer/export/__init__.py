"""Models for servers: a TensorFlow SavedModel that takes strings and returns answers."""

from keras_transformer.export.saved_model import export_translator

__all__ = ["export_translator"]
