"""Losses, schedules, metrics and callbacks for `model.fit`."""

from keras_transformer.training.losses import TokenCrossEntropy
from keras_transformer.training.metrics import Perplexity, TokenAccuracy, TokenCrossEntropyMetric
from keras_transformer.training.schedules import InverseSquareRoot

__all__ = [
    "InverseSquareRoot",
    "Perplexity",
    "TokenAccuracy",
    "TokenCrossEntropy",
    "TokenCrossEntropyMetric",
]
