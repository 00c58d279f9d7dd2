"""Tokenizers: a fast Python side, and a twin inside TensorFlow graphs for SavedModels."""

from keras_transformer.text.byte_pair import BytePairTokenizer
from keras_transformer.text.encoding import Encoding, pad_encodings
from keras_transformer.text.sentencepiece import SentencePieceTokenizer
from keras_transformer.text.template import Template
from keras_transformer.text.tokenizer import Tokenizer
from keras_transformer.text.word_piece import WordPieceTokenizer

__all__ = [
    "BytePairTokenizer",
    "Encoding",
    "SentencePieceTokenizer",
    "Template",
    "Tokenizer",
    "WordPieceTokenizer",
    "pad_encodings",
]
