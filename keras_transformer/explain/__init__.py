"""What a model attends to, and what a run was like: figures and a report in one HTML file."""

from keras_transformer.explain.attention import attention_heatmap, attention_of_words
from keras_transformer.explain.confusion import confusion_heatmap, confusion_matrix, confusions
from keras_transformer.explain.curves import learning_curves, read_metrics
from keras_transformer.explain.machine import environment, peak_memory
from keras_transformer.explain.marked import marked_text
from keras_transformer.explain.report import Report

__all__ = [
    "Report",
    "attention_heatmap",
    "attention_of_words",
    "confusion_heatmap",
    "confusion_matrix",
    "confusions",
    "environment",
    "learning_curves",
    "marked_text",
    "peak_memory",
    "read_metrics",
]
