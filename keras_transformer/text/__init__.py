"""Tokenizers: a fast Python side, and a twin inside TensorFlow graphs for SavedModels."""

from keras_transformer.text.sentencepiece import SentencePieceTokenizer

__all__ = ["SentencePieceTokenizer"]
