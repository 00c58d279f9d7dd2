"""Decoding: greedy and beam search, sampling and their constraints, compiled whole."""

from keras_transformer.generation.beam_search import BeamSearch
from keras_transformer.generation.compile import num_programs
from keras_transformer.generation.contrastive import ContrastiveSearch
from keras_transformer.generation.decoding import Generated
from keras_transformer.generation.details import GeneratedDetails
from keras_transformer.generation.diverse_beam_search import DiverseBeamSearch
from keras_transformer.generation.generate import generate
from keras_transformer.generation.greedy import Greedy
from keras_transformer.generation.history import History
from keras_transformer.generation.length_penalty import GnmtLengthPenalty, LengthPenalty
from keras_transformer.generation.penalties import (
    FrequencyPenalty,
    PresencePenalty,
    RepetitionPenalty,
)
from keras_transformer.generation.processors import (
    AllowedTokens,
    BadWords,
    ForcedFirstToken,
    ForcedLastToken,
    MinNewTokens,
    NoRepeatNgram,
    PrefixForcing,
    Renormalize,
)
from keras_transformer.generation.sampling import Sampling
from keras_transformer.generation.speculative import DraftModel, PromptLookup, Speculative
from keras_transformer.generation.streaming import TextStream, stream_text, stream_tokens

__all__ = [
    "AllowedTokens",
    "BadWords",
    "BeamSearch",
    "ContrastiveSearch",
    "DiverseBeamSearch",
    "DraftModel",
    "ForcedFirstToken",
    "ForcedLastToken",
    "FrequencyPenalty",
    "Generated",
    "GeneratedDetails",
    "GnmtLengthPenalty",
    "Greedy",
    "History",
    "LengthPenalty",
    "MinNewTokens",
    "NoRepeatNgram",
    "PrefixForcing",
    "PresencePenalty",
    "PromptLookup",
    "Renormalize",
    "RepetitionPenalty",
    "Sampling",
    "Speculative",
    "TextStream",
    "generate",
    "num_programs",
    "stream_text",
    "stream_tokens",
]
