"""Losses, schedules, metrics and callbacks for `model.fit`."""

from keras_transformer.training.averaging import AverageCheckpoints
from keras_transformer.training.callbacks import (
    BestCheckpoint,
    Bleu,
    EarlyStopping,
    MetricsLog,
    Throughput,
)
from keras_transformer.training.checkpointing import Progress, RunCheckpoints
from keras_transformer.training.losses import TokenCrossEntropy
from keras_transformer.training.metrics import Perplexity, TokenAccuracy, TokenCrossEntropyMetric
from keras_transformer.training.schedules import InverseSquareRoot
from keras_transformer.training.squad import squad_scores

__all__ = [
    "AverageCheckpoints",
    "BestCheckpoint",
    "Bleu",
    "EarlyStopping",
    "InverseSquareRoot",
    "MetricsLog",
    "Perplexity",
    "Progress",
    "RunCheckpoints",
    "Throughput",
    "TokenAccuracy",
    "TokenCrossEntropy",
    "TokenCrossEntropyMetric",
    "squad_scores",
]
