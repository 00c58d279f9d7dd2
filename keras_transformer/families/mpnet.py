"""MPNet.

Song et al. 2020, "MPNet: Masked and Permuted Pre-training for Language Understanding", section
3.1. The encoder is BERT's without segments; positions are counted as RoBERTa's, and a bias of
relative positions as in T5 is shared by all layers.
"""

from keras_transformer.families import bert
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
from keras_transformer.families.roberta import GELU, classifier_table, masked_lm_table
from keras_transformer.families.tables import dense, embedding
from keras_transformer.models import (
    EncoderConfig,
    MaskedLM,
    SentenceEmbedder,
    SequenceClassifier,
    SpanExtractor,
    TokenClassifier,
    TransformerEncoder,
)

DEFAULTS = {
    **bert.DEFAULTS,
    "vocab_size": 30527,
    "pad_token_id": 1,
    "relative_attention_num_buckets": 32,
}

# Ours and theirs of those fields that are only named differently
NAMES = {ours: theirs for ours, theirs in bert.NAMES.items() if ours != "num_segments"}

# The first position's row, and the buckets of distances: fixed, whatever the fields say
START = 2
BUCKETS = {"num_buckets": 32, "max_distance": 128}


def to_config(fields):
    """Their configuration as ours."""
    fields = {**DEFAULTS, **fields}
    need(fields, "pad_token_id", START - 1)
    need(fields, "relative_attention_num_buckets", BUCKETS["num_buckets"])
    shared = {ours: fields[theirs] for ours, theirs in NAMES.items()}
    return EncoderConfig(
        **{**shared, "max_length": shared["max_length"] - START},
        activation=to_activation(fields, "hidden_act"),
        position_options={"start": START},
        position_bias="relative",
        position_bias_options=BUCKETS,
    )


def from_config(config):
    """Our configuration as theirs."""
    return {
        **{theirs: getattr(config, ours) for ours, theirs in NAMES.items()},
        "max_position_embeddings": config.max_length + START,
        "hidden_act": from_activation(config.activation),
        "relative_attention_num_buckets": BUCKETS["num_buckets"],
    }


def table(config):
    """The weights of the encoder."""
    return [
        *bert.table(config, ("attn.q", "attn.k", "attn.v", "attn.o"), "LayerNorm"),
        *embedding("position_bias", "encoder.relative_attention_bias"),
    ]


def to_classifier(fields):
    """The arguments of a classifier of texts; the rate of its dropout is the encoder's."""
    fixed = {"pooling": "first", "head_activation": "tanh", "pooled_dropout": True}
    return {**to_problem(fields), **fixed}


MPNET = Family(
    model_type="mpnet",
    backbone=TransformerEncoder,
    prefix="mpnet.",
    to_config=to_config,
    from_config=from_config,
    table=table,
    heads={
        TransformerEncoder: PublishedHead("MPNetModel"),
        SentenceEmbedder: PublishedHead("MPNetModel"),
        SequenceClassifier: PublishedHead(
            "MPNetForSequenceClassification", classifier_table, to_classifier, from_problem
        ),
        TokenClassifier: PublishedHead(
            "MPNetForTokenClassification",
            lambda config: dense("classes", "classifier"),
            to_classes,
            from_classes,
        ),
        SpanExtractor: PublishedHead(
            "MPNetForQuestionAnswering", lambda config: dense("ends", "qa_outputs")
        ),
        MaskedLM: PublishedHead(
            "MPNetForMaskedLM",
            masked_lm_table,
            lambda fields: GELU,
            tied=(r"lm_head\.(decoder\.weight|decoder\.bias|bias)",),
        ),
    },
    ignored=(r"embeddings\.position_ids", r"pooler\..*"),
    sizes={
        "mpnet-base": Size(
            MaskedLM, dict(max_position_embeddings=514, layer_norm_eps=1e-5), 109_518_527
        ),
    },
)
