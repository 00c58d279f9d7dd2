"""Tokenizers: a fast Python side, and a twin inside TensorFlow graphs for SavedModels."""

from keras_transformer.text.byte_pair import BytePairTokenizer
from keras_transformer.text.byte_tokenizer import ByteTokenizer
from keras_transformer.text.characters import CharacterTokenizer
from keras_transformer.text.chat import (
    CHATML,
    ChatTemplate,
    JinjaChatTemplate,
    chat_tokens,
    read_chat_template,
)
from keras_transformer.text.encoding import Encoding, pad_encodings
from keras_transformer.text.sentencepiece import SentencePieceTokenizer
from keras_transformer.text.template import Template
from keras_transformer.text.tokenizer import Tokenizer
from keras_transformer.text.word_piece import WordPieceTokenizer

__all__ = [
    "BytePairTokenizer",
    "ByteTokenizer",
    "CHATML",
    "CharacterTokenizer",
    "ChatTemplate",
    "Encoding",
    "JinjaChatTemplate",
    "SentencePieceTokenizer",
    "Template",
    "Tokenizer",
    "WordPieceTokenizer",
    "chat_tokens",
    "pad_encodings",
    "read_chat_template",
]
