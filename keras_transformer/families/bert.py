"""BERT.

Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding".
"""

from keras_transformer.families.family import (
    Family,
    PublishedHead,
    Size,
    from_activation,
    from_classes,
    from_problem,
    need,
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

# What a published configuration leaves out: bert-base-uncased
DEFAULTS = dict(
    vocab_size=30522,
    num_hidden_layers=12,
    hidden_size=768,
    num_attention_heads=12,
    intermediate_size=3072,
    hidden_act="gelu",
    hidden_dropout_prob=0.1,
    attention_probs_dropout_prob=0.1,
    max_position_embeddings=512,
    type_vocab_size=2,
    initializer_range=0.02,
    layer_norm_eps=1e-12,
    pad_token_id=0,
    tie_word_embeddings=True,
)

# Ours and theirs of those fields that are only named differently
NAMES = dict(
    vocab_size="vocab_size",
    num_layers="num_hidden_layers",
    hidden_dim="hidden_size",
    num_heads="num_attention_heads",
    ffn_dim="intermediate_size",
    dropout="hidden_dropout_prob",
    attention_dropout="attention_probs_dropout_prob",
    max_length="max_position_embeddings",
    num_segments="type_vocab_size",
    initializer_range="initializer_range",
    norm_epsilon="layer_norm_eps",
    pad_id="pad_token_id",
    tie_embeddings="tie_word_embeddings",
)


def to_config(fields):
    """Their configuration as ours."""
    fields = {**DEFAULTS, **fields}
    need(fields, "position_embedding_type", "absolute", None)
    need(fields, "is_decoder", False)
    need(fields, "add_cross_attention", False)
    return EncoderConfig(
        activation=to_activation(fields, "hidden_act"),
        **{ours: fields[theirs] for ours, theirs in NAMES.items()},
    )


def from_config(config):
    """Our configuration as theirs."""
    return {
        **{theirs: getattr(config, ours) for ours, theirs in NAMES.items()},
        "hidden_act": from_activation(config.activation),
    }


def table(config):
    """The weights of the encoder."""
    rows = [
        *embedding("token_embedding", "embeddings.word_embeddings"),
        *embedding("positions", "embeddings.position_embeddings"),
        *embedding("segment_embedding", "embeddings.token_type_embeddings"),
        *norm("embedding_norm", "embeddings.LayerNorm"),
        *dense("embedding_projection", "embeddings_project"),  # ELECTRA's
    ]
    for i in range(config.num_layers):
        ours, theirs = f"block_{i}", f"encoder.layer.{i}"
        rows += [
            *attention(
                f"{ours}/self_attention",
                f"{theirs}.attention",
                ("self.query", "self.key", "self.value", "output.dense"),
            ),
            *norm(f"{ours}/self_attention_norm", f"{theirs}.attention.output.LayerNorm"),
            *dense(f"{ours}/feed_forward/inner", f"{theirs}.intermediate.dense"),
            *dense(f"{ours}/feed_forward/outer", f"{theirs}.output.dense"),
            *norm(f"{ours}/feed_forward_norm", f"{theirs}.output.LayerNorm"),
        ]
    return rows


def classifier_table(config):
    """The weights of a classifier; the dense layer before the classes is called a pooler."""
    return [*dense("pooler", "bert.pooler.dense"), *dense("classes", "classifier")]


def masked_lm_table(config):
    """The weights of the masked language model's head."""
    return [
        *dense("transform", "cls.predictions.transform.dense"),
        *norm("transform_norm", "cls.predictions.transform.LayerNorm"),
        *embedding("output_embedding", "cls.predictions.decoder"),
        # where the matrix is not tied, its bias is not either
        Row(
            "cls.predictions.bias" if config.tie_embeddings else "cls.predictions.decoder.bias",
            ("output_bias",),
        ),
    ]


def head_dropout(fields):
    """The rate before a classifier's classes."""
    rate = fields.get("classifier_dropout")
    return {} if rate is None else {"head_dropout": rate}


def from_head_dropout(model):
    """Its published field."""
    return {"classifier_dropout": model.head_dropout}


BERT = Family(
    model_type="bert",
    backbone=TransformerEncoder,
    prefix="bert.",
    to_config=to_config,
    from_config=from_config,
    table=table,
    heads={
        TransformerEncoder: PublishedHead("BertModel"),
        SentenceEmbedder: PublishedHead("BertModel"),
        SequenceClassifier: PublishedHead(
            "BertForSequenceClassification",
            classifier_table,
            lambda fields: {**to_problem(fields), **head_dropout(fields)},
            lambda model: {**from_problem(model), **from_head_dropout(model)},
        ),
        TokenClassifier: PublishedHead(
            "BertForTokenClassification",
            lambda config: dense("classes", "classifier"),
            lambda fields: {**to_classes(fields), **head_dropout(fields)},
            lambda model: {**from_classes(model), **from_head_dropout(model)},
        ),
        SpanExtractor: PublishedHead(
            "BertForQuestionAnswering", lambda config: dense("ends", "qa_outputs")
        ),
        MaskedLM: PublishedHead(
            "BertForMaskedLM",
            masked_lm_table,
            tied=(r"cls\.predictions\.(decoder\.weight|decoder\.bias|bias)",),
        ),
    },
    ignored=(r"embeddings\.position_ids", r"pooler\..*", r"cls\.seq_relationship\..*"),
    sizes={
        "bert-base-uncased": Size(MaskedLM, {}, 109_514_298),
        "bert-large-uncased": Size(
            MaskedLM,
            dict(
                num_hidden_layers=24,
                hidden_size=1024,
                num_attention_heads=16,
                intermediate_size=4096,
            ),
            335_174_458,
        ),
        "bert-base-cased": Size(MaskedLM, dict(vocab_size=28996), 108_340_804),
        "bert-base-multilingual-cased": Size(MaskedLM, dict(vocab_size=119547), 177_974_523),
    },
)
