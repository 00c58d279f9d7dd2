"""Transformer models: layers composed. They run on every Keras backend."""

from keras_transformer.models.config import TransformerConfig
from keras_transformer.models.decoder import TransformerDecoder
from keras_transformer.models.encoder import TransformerEncoder
from keras_transformer.models.heads import Seq2SeqLM
from keras_transformer.models.stack_config import DecoderConfig, EncoderConfig
from keras_transformer.models.transformer import DecodingState, Transformer

__all__ = [
    "DecoderConfig",
    "DecodingState",
    "EncoderConfig",
    "Seq2SeqLM",
    "Transformer",
    "TransformerConfig",
    "TransformerDecoder",
    "TransformerEncoder",
]
