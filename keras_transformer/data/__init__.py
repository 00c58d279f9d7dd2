"""Readers of text, batch plans, and downloads."""

from keras_transformer.data import multi30k, tags
from keras_transformer.data.accumulation import AccumulatedBatches
from keras_transformer.data.blocks import PackedBlocks
from keras_transformer.data.contrastive import ContrastiveBatches
from keras_transformer.data.documents import Document, read_documents
from keras_transformer.data.download import RemoteFile, fetch
from keras_transformer.data.labels import Labels, balanced_weights
from keras_transformer.data.masking import MaskedBatches, Masking
from keras_transformer.data.packing import PackedRecords, next_tokens, pack_records
from keras_transformer.data.pairs import (
    Conversations,
    Message,
    TextTriples,
    read_messages,
    read_pairs,
    read_triples,
)
from keras_transformer.data.parallel import ParallelBatches
from keras_transformer.data.reading import ParallelText, read_lines, read_parallel, read_tsv
from keras_transformer.data.records import RecordBatches
from keras_transformer.data.sentence_pairs import SentencePairBatches
from keras_transformer.data.shards import TokenShards, write_shards
from keras_transformer.data.splitting import hold_out
from keras_transformer.data.squad import Answer, Question, read_squad
from keras_transformer.data.table import Table, read_table
from keras_transformer.data.tagged import SpanText, TaggedText, read_conll, read_spans
from keras_transformer.data.tags import Span

__all__ = [
    "AccumulatedBatches",
    "Answer",
    "ContrastiveBatches",
    "Conversations",
    "Document",
    "Labels",
    "MaskedBatches",
    "Masking",
    "Message",
    "PackedBlocks",
    "PackedRecords",
    "ParallelBatches",
    "ParallelText",
    "Question",
    "RecordBatches",
    "RemoteFile",
    "SentencePairBatches",
    "Span",
    "SpanText",
    "Table",
    "TaggedText",
    "TextTriples",
    "TokenShards",
    "balanced_weights",
    "fetch",
    "hold_out",
    "multi30k",
    "next_tokens",
    "pack_records",
    "read_conll",
    "read_documents",
    "read_lines",
    "read_messages",
    "read_pairs",
    "read_parallel",
    "read_spans",
    "read_squad",
    "read_table",
    "read_triples",
    "read_tsv",
    "tags",
    "write_shards",
]
