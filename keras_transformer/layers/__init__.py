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
from keras_transformer.layers.feed_forward import FeedForward, gelu_tanh
from keras_transformer.layers.linformer import LinformerSelfAttention
from keras_transformer.layers.position import PositionalEncoding
from keras_transformer.layers.scores import (
    AdditiveScore,
    BilinearScore,
    dot_product,
    masked_softmax,
    scaled_dot_product,
)

__all__ = [
    "AdditiveScore",
    "BilinearScore",
    "Dropout",
    "FeedForward",
    "KeyValueCache",
    "LayerCache",
    "LinformerSelfAttention",
    "MultiHeadCrossAttention",
    "MultiHeadSelfAttention",
    "PositionalEncoding",
    "TokenEmbedding",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
    "attend",
    "dot_product",
    "gelu_tanh",
    "masked_softmax",
    "masks",
    "scaled_dot_product",
]
