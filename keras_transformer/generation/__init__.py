"""Decoding: greedy and beam search, compiled whole."""

from keras_transformer.generation.beam_search import BeamSearch
from keras_transformer.generation.compile import num_programs
from keras_transformer.generation.decoding import Generated
from keras_transformer.generation.generate import generate
from keras_transformer.generation.greedy import Greedy
from keras_transformer.generation.length_penalty import GnmtLengthPenalty, LengthPenalty

__all__ = [
    "BeamSearch",
    "Generated",
    "GnmtLengthPenalty",
    "Greedy",
    "LengthPenalty",
    "generate",
    "num_programs",
]
