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


PROJECTIONS = ("self.query", "self.key", "self.value", "output.dense")


def table(config, projections=PROJECTIONS, attention_norm="output.LayerNorm"):
    """The weights of the encoder; its kin name some parts of attention in their own way."""
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
            *attention(f"{ours}/self_attention", f"{theirs}.attention", projections),
            *norm(f"{ours}/self_attention_norm", f"{theirs}.attention.{attention_norm}"),
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
        output_bias(config, "cls.predictions.decoder.bias", "cls.predictions.bias"),
    ]


def output_bias(config, own, shared):
    """The bias of the logits: where the matrix is not tied, its bias is not either."""
    name, other = (shared, own) if config.tie_embeddings else (own, shared)
    return Row(name, ("output_bias",), also=(other,))


def head_dropout(fields):
    """The rate before a classifier's classes."""
    rate = fields.get("classifier_dropout")
    return {} if rate is None else {"head_dropout": rate}


def from_head_dropout(model):
    """Its published field."""
    return {"classifier_dropout": model.head_dropout}


def to_classifier(fields):
    """The arguments of a classifier of texts."""
    arguments = {**to_problem(fields), **head_dropout(fields)}
    return {**arguments, "pooling": "first", "head_activation": "tanh", "pooled_dropout": False}


def from_classifier(model):
    """Their published fields."""
    return {**from_problem(model), **from_head_dropout(model)}


def to_token_classifier(fields):
    """The arguments of a classifier of tokens."""
    return {**to_classes(fields), **head_dropout(fields)}


def from_token_classifier(model):
    """Their published fields."""
    return {**from_classes(model), **from_head_dropout(model)}


def to_masked_lm(fields):
    """The arguments of a masked language model."""
    return {"head_activation": to_activation({**DEFAULTS, **fields}, "hidden_act")}


def shape(num_layers, hidden_dim, num_heads):
    """The published fields of a size whose feed-forward layers are four times as wide."""
    return dict(
        num_hidden_layers=num_layers,
        hidden_size=hidden_dim,
        num_attention_heads=num_heads,
        intermediate_size=4 * hidden_dim,
    )


LARGE = shape(24, 1024, 16)

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
            to_classifier,
            from_classifier,
        ),
        TokenClassifier: PublishedHead(
            "BertForTokenClassification",
            lambda config: dense("classes", "classifier"),
            to_token_classifier,
            from_token_classifier,
        ),
        SpanExtractor: PublishedHead(
            "BertForQuestionAnswering", lambda config: dense("ends", "qa_outputs")
        ),
        MaskedLM: PublishedHead(
            "BertForMaskedLM",
            masked_lm_table,
            to_masked_lm,
            tied=(r"cls\.predictions\.(decoder\.weight|decoder\.bias|bias)",),
        ),
    },
    ignored=(r"embeddings\.position_ids", r"pooler\..*", r"cls\.seq_relationship\..*"),
    sizes={
        "bert-base-uncased": Size(MaskedLM, {}, 109_514_298),
        "bert-large-uncased": Size(MaskedLM, LARGE, 335_174_458),
        "bert-base-cased": Size(MaskedLM, dict(vocab_size=28996), 108_340_804),
        "bert-large-cased": Size(MaskedLM, dict(vocab_size=28996, **LARGE), 333_610_308),
        "bert-base-multilingual-cased": Size(MaskedLM, dict(vocab_size=119547), 177_974_523),
        # Turc et al. 2019, "Well-Read Students Learn Better", table 1
        "bert-tiny": Size(MaskedLM, shape(2, 128, 2), 4_416_698),
        "bert-mini": Size(MaskedLM, shape(4, 256, 4), 11_201_594),
        "bert-small": Size(MaskedLM, shape(4, 512, 8), 28_795_194),
        "bert-medium": Size(MaskedLM, shape(8, 512, 8), 41_404_730),
        # of sentence-transformers; Wang et al. 2020, "MiniLM"
        "all-MiniLM-L6-v2": Size(MaskedLM, shape(6, 384, 12), 22_744_506),
    },
)
