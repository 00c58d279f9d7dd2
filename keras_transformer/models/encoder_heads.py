"""Encoders with a head: what is fine-tuned for a job.

B batch, T length, D width, C classes
"""

import keras
from keras import ops

from keras_transformer.layers.checks import check_choice, check_positive, check_rate
from keras_transformer.layers.feed_forward import get_activation
from keras_transformer.layers.scores import mask_logits
from keras_transformer.models.encoder import TransformerEncoder
from keras_transformer.models.head import Head
from keras_transformer.models.pooling import POOLINGS
from keras_transformer.models.stack import unchanged

PROBLEMS = ("single_label", "multi_label", "regression")


@keras.saving.register_keras_serializable(package="keras_transformer")
class SequenceClassifier(Head):
    """A text, or a pair of texts, to logits of classes.

        h = activation(W pool(Encoder(x)) + b),  logits = V dropout(h) + c

    Args:
        config: an `EncoderConfig`.
        num_classes: C; 1 for one regression target.
        problem: "single_label" (softmax), "multi_label" (sigmoids) or "regression".
        pooling: "first" token as in BERT, "mean" or "max" of the real ones.
        head_activation: of the dense layer before the classes, "tanh" in BERT and RoBERTa, "relu"
            in DistilBERT, "gelu" in ELECTRA; None for no such layer.
        head_dropout: rate before the classes; by default the configuration's `dropout`.
        pooled_dropout: whether pool(…) is dropped out too, at that rate, as in RoBERTa and ELECTRA.
        labels: names of the C classes, or None.
        block: a subclass of `TransformerEncoderBlock`, or None for itself.

    Call:
        inputs: as `TransformerEncoder` takes them.
        training: whether dropout is active.

    Returns:
        (B, C) logits in the compute dtype.

    Raises:
        ValueError: a number is out of its range, or a name not known.

    Example:

    >>> import numpy as np
    >>> from keras_transformer.models import EncoderConfig
    >>> config = EncoderConfig(vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> SequenceClassifier(config, num_classes=3)(np.array([[5, 6, 7]])).shape == (1, 3)
    True

    Reference:
        Devlin et al. 2019, "BERT", section 4.1.
    """

    backbone_class = TransformerEncoder

    def __init__(
        self,
        config,
        num_classes,
        problem="single_label",
        pooling="first",
        head_activation="tanh",
        head_dropout=None,
        pooled_dropout=False,
        labels=None,
        **kwargs,
    ):
        check_positive("num_classes", num_classes)
        check_choice("problem", problem, PROBLEMS)
        check_choice("pooling", pooling, tuple(POOLINGS))
        self.num_classes = num_classes
        self.problem = problem
        self.pooling = pooling
        self.head_activation = head_activation
        self.head_dropout = config.dropout if head_dropout is None else head_dropout
        self.pooled_dropout = pooled_dropout
        self.labels = check_labels(labels, num_classes)
        check_rate("head_dropout", self.head_dropout)
        super().__init__(config, **kwargs)

    def build_head(self):
        rate = self.head_dropout if self.pooled_dropout else 0.0
        width = self.config.hidden_dim
        self.pooled_dropout_layer = self.make_dropout("pooled_dropout", rate, (None, width))
        self.pooler = unchanged
        if self.head_activation is not None:
            activation = get_activation(self.head_activation)
            self.pooler = self.make_dense("pooler", width, activation, (None, width))
        self.classes_dropout = self.make_dropout("dropout", self.head_dropout, (None, width))
        self.classes = self.make_classes()

    def make_classes(self):
        """The projection of a pooled vector to the classes."""
        return self.make_dense("classes", self.num_classes, shape=(None, self.config.hidden_dim))

    def call(self, inputs, training=None):
        inputs = self.backbone.named(inputs)
        hidden = self.backbone(inputs_present(inputs), training=training)
        return self.classify(hidden, inputs["padding_mask"], training)

    def classify(self, hidden, padding_mask, training=None):
        """Hidden states (B, T, D), of which those in the mask are pooled, to logits (B, C)."""
        pooled = POOLINGS[self.pooling](hidden, padding_mask)  # (B, D)
        pooled = self.pooler(self.pooled_dropout_layer(pooled, training=training))
        return self.classes(self.classes_dropout(pooled, training=training))

    def default_loss(self):
        return {
            "single_label": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "multi_label": keras.losses.BinaryCrossentropy(from_logits=True),
            "regression": keras.losses.MeanSquaredError(),
        }[self.problem]

    def default_metrics(self):
        return {
            "single_label": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
            "multi_label": [keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)],
            "regression": [keras.metrics.RootMeanSquaredError(name="rmse")],
        }[self.problem]

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "problem": self.problem,
            "pooling": self.pooling,
            "head_activation": self.head_activation,
            "head_dropout": self.head_dropout,
            "pooled_dropout": self.pooled_dropout,
            **labels_config(self.labels),
        }


@keras.saving.register_keras_serializable(package="keras_transformer")
class TokenClassifier(Head):
    """Each token to logits of classes.

        logits = V dropout(Encoder(x)) + c

    Args:
        config: an `EncoderConfig`.
        num_classes: C.
        head_dropout: rate before the classes; by default the configuration's `dropout`.
        labels: names of the C classes, or None.
        block: a subclass of `TransformerEncoderBlock`, or None for itself.

    Call:
        inputs: as `TransformerEncoder` takes them.
        training: whether dropout is active.

    Returns:
        (B, T, C) logits in the compute dtype. The default loss leaves out labels of -100.

    Raises:
        ValueError: a number is out of its range.

    Example:

    >>> import numpy as np
    >>> from keras_transformer.models import EncoderConfig
    >>> config = EncoderConfig(vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> TokenClassifier(config, num_classes=3)(np.array([[5, 6, 7]])).shape == (1, 3, 3)
    True

    Reference:
        Devlin et al. 2019, "BERT", section 5.3.
    """

    backbone_class = TransformerEncoder

    def __init__(self, config, num_classes, head_dropout=None, labels=None, **kwargs):
        check_positive("num_classes", num_classes)
        self.num_classes = num_classes
        self.labels = check_labels(labels, num_classes)
        self.head_dropout = config.dropout if head_dropout is None else head_dropout
        check_rate("head_dropout", self.head_dropout)
        super().__init__(config, **kwargs)

    def build_head(self):
        self.classes_dropout = self.make_dropout("dropout", self.head_dropout)
        self.classes = self.make_dense("classes", self.num_classes)

    def call(self, inputs, training=None):
        hidden = self.backbone(inputs, training=training)
        return self.classes(self.classes_dropout(hidden, training=training))

    def default_loss(self):
        from keras_transformer import training

        return training.TokenCrossEntropy()

    def default_metrics(self):
        from keras_transformer import training

        return [training.TokenAccuracy()]

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "head_dropout": self.head_dropout,
            **labels_config(self.labels),
        }


@keras.saving.register_keras_serializable(package="keras_transformer")
class SpanExtractor(Head):
    """Where an answer starts and ends in a text.

        logits = V dropout(Encoder(x)) + c

    Args:
        config: an `EncoderConfig`.
        head_dropout: rate of that dropout, 0.1 in DistilBERT; others have none.
        block: a subclass of `TransformerEncoderBlock`, or None for itself.

    Call:
        inputs: as `TransformerEncoder` takes them.
        training: whether dropout is active.

    Returns:
        (B, T, 2) float32: logits of the start and of the end, so low at padding that their softmax
        over T is 0 there. Labels of the default loss are (B, 2) positions.

    Example:

    >>> import numpy as np
    >>> from keras_transformer.models import EncoderConfig
    >>> config = EncoderConfig(vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> SpanExtractor(config)(np.array([[5, 6, 7]])).shape == (1, 3, 2)
    True

    Reference:
        Devlin et al. 2019, "BERT", section 4.2.
    """

    backbone_class = TransformerEncoder

    def __init__(self, config, head_dropout=0.0, **kwargs):
        check_rate("head_dropout", head_dropout)
        self.head_dropout = head_dropout
        super().__init__(config, **kwargs)

    def build_head(self):
        self.ends_dropout = self.make_dropout("dropout", self.head_dropout)
        self.ends = self.make_dense("ends", 2)

    def call(self, inputs, training=None):
        inputs = self.backbone.named(inputs)
        hidden = self.backbone(inputs_present(inputs), training=training)
        return self.extract(hidden, inputs["padding_mask"], training)

    def extract(self, hidden, padding_mask, training=None):
        """Hidden states (B, T, D) to logits (B, T, 2) of start and end."""
        logits = self.ends(self.ends_dropout(hidden, training=training))
        if padding_mask is None:
            return ops.cast(logits, "float32")
        return mask_logits(logits, ops.expand_dims(padding_mask, 2))

    def default_loss(self):
        return span_loss

    def get_config(self):
        return {**super().get_config(), "head_dropout": self.head_dropout}


@keras.saving.register_keras_serializable(package="keras_transformer")
def span_loss(y_true, y_pred):
    """Mean cross-entropy of start and end over the positions of a text.

    Args:
        y_true: (B, 2) integers, the positions of the first and the last token.
        y_pred: (B, T, 2) logits.

    Returns:
        (B,) float32.
    """
    labels = ops.cast(y_true, "int32")
    logits = ops.transpose(ops.cast(y_pred, "float32"), (0, 2, 1))  # (B, 2, T)
    losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    return ops.mean(losses, axis=-1)


@keras.saving.register_keras_serializable(package="keras_transformer")
class SentenceEmbedder(Head):
    """A text to one vector.

        pool(Encoder(x)), divided by its length where `normalize` says so

    Args:
        config: an `EncoderConfig`.
        pooling: "mean" or "max" over the real tokens, or the "first" token.
        normalize: whether vectors have length 1, so that a dot product is the cosine.
        block: a subclass of `TransformerEncoderBlock`, or None for itself.

    Call:
        inputs: as `TransformerEncoder` takes them.
        training: whether dropout is active.

    Returns:
        (B, D) in the compute dtype; normalised ones in float32.

    Raises:
        ValueError: the pooling is not known.

    Example:

    >>> import numpy as np
    >>> from keras import ops
    >>> from keras_transformer.models import EncoderConfig
    >>> config = EncoderConfig(vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> vector = ops.convert_to_numpy(SentenceEmbedder(config)(np.array([[5, 6, 7]])))
    >>> vector.shape, round(float((vector**2).sum()), 4)
    ((1, 8), 1.0)

    Reference:
        Reimers and Gurevych 2019, "Sentence-BERT", section 3.
    """

    backbone_class = TransformerEncoder

    def __init__(self, config, pooling="mean", normalize=True, **kwargs):
        check_choice("pooling", pooling, tuple(POOLINGS))
        self.pooling = pooling
        self.normalize = normalize
        super().__init__(config, **kwargs)

    def build_head(self):
        pass

    def call(self, inputs, training=None):
        inputs = self.backbone.named(inputs)
        hidden = self.backbone(inputs_present(inputs), training=training)
        pooled = POOLINGS[self.pooling](hidden, inputs["padding_mask"])
        if not self.normalize:
            return pooled
        pooled = ops.cast(pooled, "float32")
        square = ops.sum(ops.square(pooled), axis=-1, keepdims=True)
        return pooled * ops.rsqrt(ops.maximum(square, 1e-24))  # √0 has no gradient

    def default_loss(self):
        return None

    def get_config(self):
        return {**super().get_config(), "pooling": self.pooling, "normalize": self.normalize}


def inputs_present(inputs):
    """Named inputs without those that are missing."""
    return {name: value for name, value in inputs.items() if value is not None}


def check_labels(labels, num_classes):
    """The names of the classes as a tuple, or None."""
    if labels is None:
        return None
    labels = tuple(labels)
    if len(labels) != num_classes or len(set(labels)) != num_classes:
        raise ValueError(
            f"labels must be {num_classes} different names, one for each class; received {labels}"
        )
    return labels


def labels_config(labels):
    """The labels as a part of a model's configuration, where there are any."""
    return {} if labels is None else {"labels": list(labels)}
