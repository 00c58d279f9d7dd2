"""Readers of text, batch plans, and downloads."""

from keras_transformer.data import multi30k
from keras_transformer.data.download import RemoteFile, fetch
from keras_transformer.data.parallel import ParallelBatches
from keras_transformer.data.reading import ParallelText, read_lines, read_parallel, read_tsv

__all__ = [
    "ParallelBatches",
    "ParallelText",
    "RemoteFile",
    "fetch",
    "multi30k",
    "read_lines",
    "read_parallel",
    "read_tsv",
]
