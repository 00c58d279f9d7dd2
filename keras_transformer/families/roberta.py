"""RoBERTa, XLM-RoBERTa and CamemBERT, which are one architecture with three names.

Liu et al. 2019, "RoBERTa: A Robustly Optimized BERT Pretraining Approach", section 3; Conneau et
al. 2020, "Unsupervised Cross-lingual Representation Learning at Scale"; Martin et al. 2020,
"CamemBERT: a Tasty French Language Model". The encoder is BERT's, but that positions are counted
from `pad_token_id` + 1 on.
"""

import dataclasses

from keras_transformer.families import bert
from keras_transformer.families.bert import output_bias
from keras_transformer.families.family import Family, PublishedHead, Size
from keras_transformer.families.tables import dense, embedding, norm
from keras_transformer.models import (
    MaskedLM,
    SentenceEmbedder,
    SequenceClassifier,
    SpanExtractor,
    TokenClassifier,
    TransformerEncoder,
)

DEFAULTS = {**bert.DEFAULTS, "vocab_size": 50265, "pad_token_id": 1}

# What all published sizes have
COMMON = dict(max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5)


def to_config(fields):
    """Their configuration as ours."""
    config = bert.to_config({**DEFAULTS, **fields})
    if config.pad_id is None:
        raise ValueError(
            f"{fields['model_type']} needs pad_token_id, after which its positions are counted"
        )
    start = config.pad_id + 1
    return dataclasses.replace(
        config, max_length=config.max_length - start, position_options={"start": start}
    )


def from_config(config):
    """Our configuration as theirs."""
    start = 0 if config.pad_id is None else config.pad_id + 1
    return {**bert.from_config(config), "max_position_embeddings": config.max_length + start}


def classifier_table(config):
    """The weights of a classifier."""
    return [*dense("pooler", "classifier.dense"), *dense("classes", "classifier.out_proj")]


def masked_lm_table(config):
    """The weights of the masked language model's head."""
    return [
        *dense("transform", "lm_head.dense"),
        *norm("transform_norm", "lm_head.layer_norm"),
        *embedding("output_embedding", "lm_head.decoder"),
        output_bias(config, "lm_head.decoder.bias", "lm_head.bias"),
    ]


def to_classifier(fields):
    """The arguments of a classifier of texts."""
    return {**bert.to_classifier(fields), "pooled_dropout": True}


# Whatever the encoder's activation is
GELU = {"head_activation": "gelu"}


def family(model_type, classes, sizes):
    """The family of one of the three names.

    Args:
        model_type: the name.
        classes: what the names of its classes begin with.
        sizes: {published name: `Size`}.
    """
    return Family(
        model_type=model_type,
        backbone=TransformerEncoder,
        prefix="roberta.",
        to_config=to_config,
        from_config=from_config,
        table=bert.table,
        heads={
            TransformerEncoder: PublishedHead(f"{classes}Model"),
            SentenceEmbedder: PublishedHead(f"{classes}Model"),
            SequenceClassifier: PublishedHead(
                f"{classes}ForSequenceClassification",
                classifier_table,
                to_classifier,
                bert.from_classifier,
            ),
            TokenClassifier: PublishedHead(
                f"{classes}ForTokenClassification",
                lambda config: dense("classes", "classifier"),
                bert.to_token_classifier,
                bert.from_token_classifier,
            ),
            SpanExtractor: PublishedHead(
                f"{classes}ForQuestionAnswering", lambda config: dense("ends", "qa_outputs")
            ),
            MaskedLM: PublishedHead(
                f"{classes}ForMaskedLM",
                masked_lm_table,
                lambda fields: GELU,
                tied=(r"lm_head\.(decoder\.weight|decoder\.bias|bias)",),
            ),
        },
        ignored=(r"embeddings\.position_ids", r"embeddings\.token_type_ids", r"pooler\..*"),
        sizes=sizes,
    )


def size(parameters, **fields):
    """A size that has what is common to all."""
    return Size(MaskedLM, {**COMMON, **fields}, parameters)


ROBERTA = family(
    "roberta",
    "Roberta",
    {
        "roberta-base": size(124_697_433),
        "roberta-large": size(355_412_057, **bert.LARGE),
        # Sanh et al. 2019, "DistilBERT", whose repository published it
        "distilroberta-base": size(82_170_201, num_hidden_layers=6),
    },
)

XLM_ROBERTA = family(
    "xlm-roberta",
    "XLMRoberta",
    {
        "xlm-roberta-base": size(278_295_186, vocab_size=250002),
        "xlm-roberta-large": size(560_142_482, vocab_size=250002, **bert.LARGE),
    },
)

CAMEMBERT = family(
    "camembert",
    "Camembert",
    {
        "camembert-base": size(110_655_493, vocab_size=32005),
        "camembert-large": size(336_695_557, vocab_size=32005, **bert.LARGE),
    },
)
