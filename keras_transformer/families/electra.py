"""ELECTRA: a `ReplacedTokenDetector`, its encoder with the usual heads, and the `MaskedLM` beside.

Clark et al. 2020, "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators",
section 3. The encoder is BERT's; embeddings may be of another width and are then projected.
"""

import dataclasses

from keras_transformer.families import bert
from keras_transformer.families.family import Family, PublishedHead, Size
from keras_transformer.families.tables import Row, dense, embedding, norm
from keras_transformer.models import (
    MaskedLM,
    ReplacedTokenDetector,
    SentenceEmbedder,
    SequenceClassifier,
    SpanExtractor,
    TokenClassifier,
    TransformerEncoder,
)

# What a published configuration leaves out: electra-small-discriminator
DEFAULTS = {**bert.DEFAULTS, **bert.shape(12, 256, 4), "embedding_size": 128}


def to_config(fields):
    """Their configuration as ours."""
    fields = {**DEFAULTS, **fields}
    width = fields["embedding_size"]
    return dataclasses.replace(
        bert.to_config(fields), embedding_dim=None if width == fields["hidden_size"] else width
    )


def from_config(config):
    """Our configuration as theirs."""
    width = config.embedding_dim or config.hidden_dim
    return {**bert.from_config(config), "embedding_size": width}


def classifier_table(config):
    """The weights of a classifier."""
    return [*dense("pooler", "classifier.dense"), *dense("classes", "classifier.out_proj")]


def masked_lm_table(config):
    """The weights of the masked language model's head."""
    return [
        *dense("transform", "generator_predictions.dense"),
        *norm("transform_norm", "generator_predictions.LayerNorm"),
        *embedding("output_embedding", "generator_lm_head"),
        Row("generator_lm_head.bias", ("output_bias",)),
    ]


def detector_table(config):
    """The weights of the discriminator's head."""
    return [
        *dense("transform", "discriminator_predictions.dense"),
        *dense("replaced", "discriminator_predictions.dense_prediction"),
    ]


# Whatever the encoder's activation is
GELU = {"head_activation": "gelu"}


def to_classifier(fields):
    """The arguments of a classifier of texts."""
    return {**bert.to_classifier(fields), **GELU, "pooled_dropout": True}


BASE = dict(embedding_size=768, **bert.shape(12, 768, 12))
LARGE = dict(embedding_size=1024, **bert.LARGE)

ELECTRA = Family(
    model_type="electra",
    backbone=TransformerEncoder,
    prefix="electra.",
    to_config=to_config,
    from_config=from_config,
    table=bert.table,
    heads={
        TransformerEncoder: PublishedHead("ElectraModel"),
        SentenceEmbedder: PublishedHead("ElectraModel"),
        SequenceClassifier: PublishedHead(
            "ElectraForSequenceClassification",
            classifier_table,
            to_classifier,
            bert.from_classifier,
        ),
        TokenClassifier: PublishedHead(
            "ElectraForTokenClassification",
            lambda config: dense("classes", "classifier"),
            bert.to_token_classifier,
            bert.from_token_classifier,
        ),
        SpanExtractor: PublishedHead(
            "ElectraForQuestionAnswering", lambda config: dense("ends", "qa_outputs")
        ),
        MaskedLM: PublishedHead("ElectraForMaskedLM", masked_lm_table, lambda fields: GELU),
        ReplacedTokenDetector: PublishedHead("ElectraForPreTraining", detector_table),
    },
    ignored=(r"embeddings\.position_ids",),
    sizes={
        "electra-small-discriminator": Size(TransformerEncoder, {}, 13_483_008),
        "electra-base-discriminator": Size(TransformerEncoder, BASE, 108_891_648),
        "electra-large-discriminator": Size(TransformerEncoder, LARGE, 334_092_288),
        "electra-small-generator": Size(MaskedLM, {}, 13_546_682),
        "electra-base-generator": Size(MaskedLM, dict(embedding_size=768), 33_740_602),
        "electra-large-generator": Size(
            MaskedLM, dict(embedding_size=1024, num_hidden_layers=24), 51_295_290
        ),
    },
)
