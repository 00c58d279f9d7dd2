"""DistilBERT.

Sanh et al. 2019, "DistilBERT, a distilled version of BERT: smaller, faster, cheaper and lighter",
section 2: BERT without segments and with half of its layers.
"""

from keras_transformer.families.family import (
    Family,
    PublishedHead,
    Size,
    from_activation,
    from_classes,
    from_problem,
    to_activation,
    to_classes,
    to_problem,
)
from keras_transformer.families.tables import Row, attention, dense, embedding, norm
from keras_transformer.models import (
    EncoderConfig,
    MaskedLM,
    SentenceEmbedder,
    SequenceClassifier,
    SpanExtractor,
    TokenClassifier,
    TransformerEncoder,
)

# What a published configuration leaves out: distilbert-base-uncased
DEFAULTS = dict(
    vocab_size=30522,
    n_layers=6,
    dim=768,
    n_heads=12,
    hidden_dim=3072,
    activation="gelu",
    dropout=0.1,
    attention_dropout=0.1,
    qa_dropout=0.1,
    seq_classif_dropout=0.2,
    max_position_embeddings=512,
    initializer_range=0.02,
    pad_token_id=0,
    tie_word_embeddings=True,
)

# Ours and theirs of those fields that are only named differently
NAMES = dict(
    vocab_size="vocab_size",
    num_layers="n_layers",
    hidden_dim="dim",
    num_heads="n_heads",
    ffn_dim="hidden_dim",
    dropout="dropout",
    attention_dropout="attention_dropout",
    max_length="max_position_embeddings",
    initializer_range="initializer_range",
    pad_id="pad_token_id",
    tie_embeddings="tie_word_embeddings",
)


def to_config(fields):
    """Their configuration as ours. Positions are read, whatever they were initialised with."""
    fields = {**DEFAULTS, **fields}
    return EncoderConfig(
        activation=to_activation(fields, "activation"),
        norm_epsilon=1e-12,  # of all models
        **{ours: fields[theirs] for ours, theirs in NAMES.items()},
    )


def from_config(config):
    """Our configuration as theirs."""
    return {
        **{theirs: getattr(config, ours) for ours, theirs in NAMES.items()},
        "activation": from_activation(config.activation),
    }


def table(config):
    """The weights of the encoder."""
    rows = [
        *embedding("token_embedding", "embeddings.word_embeddings"),
        *embedding("positions", "embeddings.position_embeddings"),
        *norm("embedding_norm", "embeddings.LayerNorm"),
    ]
    for i in range(config.num_layers):
        ours, theirs = f"block_{i}", f"transformer.layer.{i}"
        rows += [
            *attention(
                f"{ours}/self_attention",
                f"{theirs}.attention",
                ("q_lin", "k_lin", "v_lin", "out_lin"),
            ),
            *norm(f"{ours}/self_attention_norm", f"{theirs}.sa_layer_norm"),
            *dense(f"{ours}/feed_forward/inner", f"{theirs}.ffn.lin1"),
            *dense(f"{ours}/feed_forward/outer", f"{theirs}.ffn.lin2"),
            *norm(f"{ours}/feed_forward_norm", f"{theirs}.output_layer_norm"),
        ]
    return rows


def classifier_table(config):
    """The weights of a classifier."""
    return [*dense("pooler", "pre_classifier"), *dense("classes", "classifier")]


def masked_lm_table(config):
    """The weights of the masked language model's head."""
    return [
        *dense("transform", "vocab_transform"),
        *norm("transform_norm", "vocab_layer_norm"),
        *embedding("output_embedding", "vocab_projector"),
        Row("vocab_projector.bias", ("output_bias",)),
    ]


def to_classifier(fields):
    """The arguments of a classifier of texts."""
    return {
        **to_problem(fields),
        "pooling": "first",
        "head_activation": "relu",
        "head_dropout": {**DEFAULTS, **fields}["seq_classif_dropout"],
        "pooled_dropout": False,
    }


def from_classifier(model):
    """Their published fields."""
    return {**from_problem(model), "seq_classif_dropout": model.head_dropout}


def to_masked_lm(fields):
    """The arguments of a masked language model."""
    return {"head_activation": to_activation({**DEFAULTS, **fields}, "activation")}


DISTILBERT = Family(
    model_type="distilbert",
    backbone=TransformerEncoder,
    prefix="distilbert.",
    to_config=to_config,
    from_config=from_config,
    table=table,
    heads={
        TransformerEncoder: PublishedHead("DistilBertModel"),
        SentenceEmbedder: PublishedHead("DistilBertModel"),
        SequenceClassifier: PublishedHead(
            "DistilBertForSequenceClassification",
            classifier_table,
            to_classifier,
            from_classifier,
        ),
        TokenClassifier: PublishedHead(
            "DistilBertForTokenClassification",
            lambda config: dense("classes", "classifier"),
            to_classes,
            from_classes,
        ),
        SpanExtractor: PublishedHead(
            "DistilBertForQuestionAnswering",
            lambda config: dense("ends", "qa_outputs"),
            lambda fields: {"head_dropout": {**DEFAULTS, **fields}["qa_dropout"]},
            lambda model: {"qa_dropout": model.head_dropout},
        ),
        MaskedLM: PublishedHead("DistilBertForMaskedLM", masked_lm_table, to_masked_lm),
    },
    ignored=(r"embeddings\.position_ids",),
    sizes={
        "distilbert-base-uncased": Size(MaskedLM, {}, 66_985_530),
        "distilbert-base-cased": Size(MaskedLM, dict(vocab_size=28996), 65_812_036),
        "distilbert-base-multilingual-cased": Size(MaskedLM, dict(vocab_size=119547), 135_445_755),
    },
)
