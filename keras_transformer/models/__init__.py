"""Transformer models: layers composed. They run on every Keras backend."""

from keras_transformer.models.config import TransformerConfig
from keras_transformer.models.heads import Seq2SeqLM
from keras_transformer.models.transformer import DecodingState, Transformer

__all__ = ["DecodingState", "Seq2SeqLM", "Transformer", "TransformerConfig"]
