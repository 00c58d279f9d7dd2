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
from keras_transformer.layers.multi_head import MultiHeadAttention
from keras_transformer.layers.position import (
    LearnedPositions,
    PositionalEncoding,
    token_positions,
)
from keras_transformer.layers.position_bias import AlibiBias, PositionBias, RelativePositionBias
from keras_transformer.layers.rotary import RotaryEmbedding
from keras_transformer.layers.rotary_scaling import (
    DynamicNtkScaling,
    LinearScaling,
    Llama3Scaling,
    RotaryScaling,
    YarnScaling,
)
from keras_transformer.layers.scores import (
    AdditiveScore,
    BilinearScore,
    dot_product,
    masked_softmax,
    scaled_dot_product,
)

__all__ = [
    "AdditiveScore",
    "AlibiBias",
    "BilinearScore",
    "Dropout",
    "DynamicNtkScaling",
    "FeedForward",
    "KeyValueCache",
    "LayerCache",
    "LearnedPositions",
    "LinearScaling",
    "LinformerSelfAttention",
    "Llama3Scaling",
    "MultiHeadAttention",
    "MultiHeadCrossAttention",
    "MultiHeadSelfAttention",
    "PositionBias",
    "PositionalEncoding",
    "RelativePositionBias",
    "RotaryEmbedding",
    "RotaryScaling",
    "TokenEmbedding",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
    "YarnScaling",
    "attend",
    "dot_product",
    "gelu_tanh",
    "masked_softmax",
    "masks",
    "scaled_dot_product",
    "token_positions",
]
