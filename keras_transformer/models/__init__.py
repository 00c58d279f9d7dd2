"""Transformer models: layers composed. They run on every Keras backend."""

from keras_transformer.models.config import TransformerConfig
from keras_transformer.models.decoder import TransformerDecoder
from keras_transformer.models.decoder_heads import DecoderClassifier
from keras_transformer.models.detector import ReplacedTokenDetector
from keras_transformer.models.encoder import TransformerEncoder
from keras_transformer.models.encoder_heads import (
    SentenceEmbedder,
    SequenceClassifier,
    SpanExtractor,
    TokenClassifier,
)
from keras_transformer.models.heads import Seq2SeqLM
from keras_transformer.models.language_heads import CausalLM, MaskedLM
from keras_transformer.models.seq2seq_heads import Seq2SeqClassifier, Seq2SeqSpanExtractor
from keras_transformer.models.stack_config import DecoderConfig, EncoderConfig
from keras_transformer.models.transformer import DecodingState, Transformer

__all__ = [
    "CausalLM",
    "DecoderClassifier",
    "DecoderConfig",
    "DecodingState",
    "EncoderConfig",
    "MaskedLM",
    "SentenceEmbedder",
    "ReplacedTokenDetector",
    "Seq2SeqClassifier",
    "Seq2SeqLM",
    "Seq2SeqSpanExtractor",
    "SequenceClassifier",
    "SpanExtractor",
    "TokenClassifier",
    "Transformer",
    "TransformerConfig",
    "TransformerDecoder",
    "TransformerEncoder",
]
