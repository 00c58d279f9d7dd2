"""Models for servers: a TensorFlow SavedModel that takes strings and returns answers."""

from keras_transformer.export.saved_model import export_task, export_translator

__all__ = ["export_task", "export_translator"]
