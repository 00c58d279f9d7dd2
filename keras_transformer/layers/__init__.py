"""Transformer layers to compose and to subclass. They run on every Keras backend."""

from keras_transformer.layers import masks
from keras_transformer.layers.attention import (
    MultiHeadCrossAttention,
    MultiHeadSelfAttention,
    attend,
)
from keras_transformer.layers.blocks import TransformerDecoderBlock, TransformerEncoderBlock
from keras_transformer.layers.cache import KeyValueCache, LayerCache
from keras_transformer.layers.dropout import Dropout
from keras_transformer.layers.embedding import TokenEmbedding
from keras_transformer.layers.feed_forward import FeedForward
from keras_transformer.layers.position import PositionalEncoding

__all__ = [
    "Dropout",
    "FeedForward",
    "KeyValueCache",
    "LayerCache",
    "MultiHeadCrossAttention",
    "MultiHeadSelfAttention",
    "PositionalEncoding",
    "TokenEmbedding",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
    "attend",
    "masks",
]
