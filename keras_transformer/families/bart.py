"""BART, and what its kin have in common with it.

Lewis et al. 2020, "BART: Denoising Sequence-to-Sequence Pre-training for Natural Language
Generation, Translation, and Comprehension", section 2.

LayerDrop, for which published configurations have two rates, is not ours; it is a matter of
training alone.
"""

from keras_transformer.families.family import (
    Family,
    PublishedHead,
    Size,
    from_activation,
    from_problem,
    need,
    to_activation,
    to_problem,
)
from keras_transformer.families.tables import ROW, Row, attention, dense, embedding, norm
from keras_transformer.models import (
    Seq2SeqClassifier,
    Seq2SeqLM,
    Seq2SeqSpanExtractor,
    Transformer,
    TransformerConfig,
)

# What a published configuration leaves out: bart-large
DEFAULTS = dict(
    vocab_size=50265,
    max_position_embeddings=1024,
    encoder_layers=12,
    encoder_ffn_dim=4096,
    encoder_attention_heads=16,
    decoder_layers=12,
    decoder_ffn_dim=4096,
    decoder_attention_heads=16,
    activation_function="gelu",
    d_model=1024,
    dropout=0.1,
    attention_dropout=0.0,
    activation_dropout=0.0,
    init_std=0.02,
    scale_embedding=False,
    pad_token_id=1,
    bos_token_id=0,
    eos_token_id=2,
    decoder_start_token_id=2,
    tie_word_embeddings=True,
)

# Ours and theirs of those fields that are only named differently
NAMES = dict(
    vocab_size="vocab_size",
    max_length="max_position_embeddings",
    num_encoder_layers="encoder_layers",
    num_decoder_layers="decoder_layers",
    num_heads="encoder_attention_heads",
    ffn_dim="encoder_ffn_dim",
    hidden_dim="d_model",
    dropout="dropout",
    attention_dropout="attention_dropout",
    activation_dropout="activation_dropout",
    initializer_range="init_std",
    scale_embeddings="scale_embedding",
    pad_id="pad_token_id",
    eos_id="eos_token_id",
)


def translated(fields, **style):
    """Their configuration, with all fields, as ours.

    Args:
        fields: theirs.
        **style: those of our fields that are the same in all models of the family.
    """
    need(fields, "is_encoder_decoder", True)
    need(fields, "is_decoder", False)
    need(fields, "decoder_attention_heads", fields["encoder_attention_heads"])
    need(fields, "decoder_ffn_dim", fields["encoder_ffn_dim"])
    first_token = fields.get("decoder_start_token_id")
    return TransformerConfig(
        activation=to_activation(fields, "activation_function"),
        bos_id=fields.get("bos_token_id") if first_token is None else first_token,
        norm_epsilon=1e-5,
        output_bias=True,
        **{"share_embeddings": "all" if fields["tie_word_embeddings"] else "none", **style},
        **{ours: fields[theirs] for ours, theirs in NAMES.items()},
    )


def to_config(fields):
    """Their configuration as ours."""
    return translated(
        {**DEFAULTS, **fields},
        positions="learned",
        position_options={"start": 2},
        embedding_norm=True,
    )


def from_config(config):
    """Our configuration as theirs."""
    return {
        **{theirs: getattr(config, ours) for ours, theirs in NAMES.items()},
        "decoder_attention_heads": config.num_heads,
        "decoder_ffn_dim": config.ffn_dim,
        "activation_function": from_activation(config.activation),
        "decoder_start_token_id": config.bos_id,
        "tie_word_embeddings": config.share_embeddings == "all",
    }


PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
ANYWHERE = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")


def table(config):
    """The weights of both stacks and what they share, as BART and all its kin name them."""
    shared = Row("shared.weight", ("token_embedding/embeddings",), also=ANYWHERE)
    rows = [shared]
    for name, num_layers in (
        ("encoder", config.num_encoder_layers),
        ("decoder", config.num_decoder_layers),
    ):
        rows += [
            Row(
                f"{name}.embed_tokens.weight",
                (f"{name}/token_embedding/embeddings",),
                also=("shared.weight",),
            ),
            *embedding(f"{name}/positions", f"{name}.embed_positions"),
            *norm(f"{name}/embedding_norm", f"{name}.layernorm_embedding"),
            *norm(f"{name}/norm", f"{name}.layer_norm"),
        ]
        for i in range(num_layers):
            rows += block(f"{name}/block_{i}", f"{name}.layers.{i}")
    return rows


def block(ours, theirs):
    """The weights of one block; an encoder's has no attention to another stack."""
    return [
        *attention(f"{ours}/self_attention", f"{theirs}.self_attn", PROJECTIONS),
        *norm(f"{ours}/self_attention_norm", f"{theirs}.self_attn_layer_norm"),
        *attention(f"{ours}/cross_attention", f"{theirs}.encoder_attn", PROJECTIONS),
        *norm(f"{ours}/cross_attention_norm", f"{theirs}.encoder_attn_layer_norm"),
        *dense(f"{ours}/feed_forward/inner", f"{theirs}.fc1"),
        *dense(f"{ours}/feed_forward/outer", f"{theirs}.fc2"),
        *norm(f"{ours}/feed_forward_norm", f"{theirs}.final_layer_norm"),
    ]


def output_table(config):
    """The weights of the output; files without its bias mean zeros."""
    return [
        *embedding("output_embedding", "lm_head"),
        Row("final_logits_bias", ("output_bias",), ROW, optional=True),
    ]


def classifier_table(config):
    """The weights of a classifier of texts."""
    return [
        *dense("pooler", "classification_head.dense"),
        *dense("classes", "classification_head.out_proj"),
    ]


def to_classifier(fields):
    """The arguments of a classifier of texts."""
    return {**to_problem(fields), "head_dropout": fields.get("classifier_dropout") or 0.0}


def from_classifier(model):
    """Their published fields."""
    return {**from_problem(model), "classifier_dropout": model.head_dropout}


def readers(name, prefix=None, decoder_start="bos"):
    """The heads that read a text with both stacks, of the published classes that begin so."""
    return {
        Seq2SeqClassifier: PublishedHead(
            f"{name}ForSequenceClassification",
            classifier_table,
            lambda fields: {**to_classifier(fields), "decoder_start": decoder_start},
            from_classifier,
            prefix=prefix,
        ),
        Seq2SeqSpanExtractor: PublishedHead(
            f"{name}ForQuestionAnswering",
            lambda config: dense("ends", "qa_outputs"),
            lambda fields: {"decoder_start": decoder_start},
        ),
    }


def heads(model, language_model):
    """The heads of BART and its kin, from the names of the published classes."""
    return {
        Transformer: PublishedHead(model),
        Seq2SeqLM: PublishedHead(language_model, output_table, tied=(r"lm_head\.weight",)),
    }


# Copies of shared embeddings
IGNORED = (
    r"shared\.weight",
    r"(encoder|decoder)\.(embed_tokens\.weight|version)",
)

RATES = dict(attention_dropout=0.1, activation_dropout=0.1)

BART = Family(
    model_type="bart",
    backbone=Transformer,
    prefix="model.",
    to_config=to_config,
    from_config=from_config,
    table=table,
    heads={**heads("BartModel", "BartForConditionalGeneration"), **readers("Bart")},
    ignored=IGNORED,
    sizes={
        "bart-base": Size(
            Transformer,
            dict(
                d_model=768,
                encoder_layers=6,
                decoder_layers=6,
                encoder_attention_heads=12,
                decoder_attention_heads=12,
                encoder_ffn_dim=3072,
                decoder_ffn_dim=3072,
                **RATES,
            ),
            139_420_416,
        ),
        "bart-large": Size(Transformer, RATES, 406_291_456),
        "bart-large-cnn": Size(Transformer, dict(vocab_size=50264), 406_290_432),
        "distilbart-cnn-12-6": Size(
            Transformer, dict(vocab_size=50264, decoder_layers=6), 305_510_400
        ),
    },
)
