"""Losses, schedules, metrics and callbacks for `model.fit`."""

from keras_transformer.training.averaging import AverageCheckpoints
from keras_transformer.training.binary import TokenBinaryAccuracy, TokenBinaryCrossEntropy
from keras_transformer.training.callbacks import (
    BestCheckpoint,
    Bleu,
    EarlyStopping,
    MetricsLog,
    Throughput,
)
from keras_transformer.training.checkpointing import Progress, RunCheckpoints
from keras_transformer.training.contrastive import ContrastiveLoss
from keras_transformer.training.layerwise import LayerwiseAdamW, freeze, layer_multipliers
from keras_transformer.training.lora import enable_lora, merge_lora, num_trainable
from keras_transformer.training.losses import TokenCrossEntropy
from keras_transformer.training.metrics import Perplexity, TokenAccuracy, TokenCrossEntropyMetric
from keras_transformer.training.schedules import (
    CosineDecay,
    InverseSquareRoot,
    LinearDecay,
    PerUpdate,
)
from keras_transformer.training.scores import Scores, entity_scores, retrieval_scores
from keras_transformer.training.squad import squad_scores

__all__ = [
    "AverageCheckpoints",
    "BestCheckpoint",
    "Bleu",
    "ContrastiveLoss",
    "CosineDecay",
    "EarlyStopping",
    "InverseSquareRoot",
    "LayerwiseAdamW",
    "LinearDecay",
    "MetricsLog",
    "PerUpdate",
    "Perplexity",
    "Progress",
    "RunCheckpoints",
    "Scores",
    "Throughput",
    "TokenAccuracy",
    "TokenBinaryAccuracy",
    "TokenBinaryCrossEntropy",
    "TokenCrossEntropy",
    "TokenCrossEntropyMetric",
    "enable_lora",
    "entity_scores",
    "freeze",
    "layer_multipliers",
    "merge_lora",
    "num_trainable",
    "retrieval_scores",
    "squad_scores",
]
