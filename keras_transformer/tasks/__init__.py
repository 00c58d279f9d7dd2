"""Strings in, answers out: a model with its tokenizer, for one job."""

from keras_transformer.tasks.translation import Alignment, Alternative, Translation
from keras_transformer.tasks.translator import Translator

__all__ = ["Alignment", "Alternative", "Translation", "Translator"]
