"""Models for servers: SavedModels that take strings; ONNX and LiteRT files that take tokens."""

from keras_transformer.export.saved_model import export_task, export_translator
from keras_transformer.export.tokens import export_tokens

__all__ = ["export_task", "export_tokens", "export_translator"]
