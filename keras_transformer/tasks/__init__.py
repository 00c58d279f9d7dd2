"""Strings in, answers out: a model with its tokenizer, for one job."""

from keras_transformer.tasks.decoding_defaults import DecodingDefaults
from keras_transformer.tasks.entity_tagger import Entity, EntityTagger
from keras_transformer.tasks.evaluation import evaluate
from keras_transformer.tasks.loading import load_task
from keras_transformer.tasks.mask_filler import Candidate, Filling, MaskFiller
from keras_transformer.tasks.question_answerer import Answer, QuestionAnswerer, Span
from keras_transformer.tasks.text_classifier import (
    Classification,
    LabelSet,
    Regression,
    TextClassifier,
)
from keras_transformer.tasks.text_embedder import TextEmbedder
from keras_transformer.tasks.text_generator import Continuation, TextGenerator
from keras_transformer.tasks.translation import Alignment, Alternative, Translation
from keras_transformer.tasks.translator import Translator

__all__ = [
    "Alignment",
    "Alternative",
    "Answer",
    "Candidate",
    "Classification",
    "Continuation",
    "DecodingDefaults",
    "Entity",
    "EntityTagger",
    "Filling",
    "LabelSet",
    "MaskFiller",
    "QuestionAnswerer",
    "Regression",
    "Span",
    "TextClassifier",
    "TextEmbedder",
    "TextGenerator",
    "Translation",
    "Translator",
    "evaluate",
    "load_task",
]
