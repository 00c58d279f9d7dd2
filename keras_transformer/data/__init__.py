"""Readers of text and batch plans."""

from keras_transformer.data.parallel import ParallelBatches
from keras_transformer.data.reading import ParallelText, read_lines, read_parallel, read_tsv

__all__ = ["ParallelBatches", "ParallelText", "read_lines", "read_parallel", "read_tsv"]
