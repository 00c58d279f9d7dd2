"""T5, T5 1.1 (Flan-T5 among them) and mT5.

Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
Transformer", section 2.1; 1.1, with gates and an output embedding of its own: Shazeer 2020, "GLU
Variants Improve Transformer"; Xue et al. 2021, "mT5", section 3.2.
"""

import dataclasses

from keras_transformer.families.bart import readers
from keras_transformer.families.family import (
    ACTIVATIONS,
    Family,
    PublishedHead,
    Size,
    from_activation,
    need,
)
from keras_transformer.families.tables import Row, attention, dense, embedding, norm
from keras_transformer.models import Seq2SeqLM, Transformer, TransformerConfig

# What a published configuration leaves out: t5-small
DEFAULTS = dict(
    vocab_size=32128,
    d_model=512,
    d_kv=64,
    d_ff=2048,
    num_layers=6,
    num_heads=8,
    relative_attention_num_buckets=32,
    relative_attention_max_distance=128,
    dropout_rate=0.1,
    layer_norm_epsilon=1e-6,
    feed_forward_proj="relu",
    n_positions=512,
    pad_token_id=0,
    eos_token_id=1,
)

# mt5-small
MT5_DEFAULTS = dict(
    DEFAULTS,
    vocab_size=250112,
    d_ff=1024,
    num_layers=8,
    num_heads=6,
    feed_forward_proj="gated-gelu",
)

# Ours and theirs of those fields that are only named differently; one rate is for all dropout
NAMES = dict(
    vocab_size="vocab_size",
    num_encoder_layers="num_layers",
    hidden_dim="d_model",
    head_dim="d_kv",
    num_heads="num_heads",
    ffn_dim="d_ff",
    max_length="n_positions",
    dropout="dropout_rate",
    attention_dropout="dropout_rate",
    activation_dropout="dropout_rate",
    output_dropout="dropout_rate",
    norm_epsilon="layer_norm_epsilon",
    pad_id="pad_token_id",
    eos_id="eos_token_id",
)

# {published name: (gated, our activation)}
FEED_FORWARDS = {
    **{name: (False, activation) for name, activation in ACTIVATIONS.items()},
    **{f"gated-{name}": (True, activation) for name, activation in ACTIVATIONS.items()},
    "gated-gelu": (True, "gelu_tanh"),
}


def to_config(fields):
    """A T5's configuration as ours.

    The first T5 has one matrix for all embeddings and scales what is projected by it; its
    successors have an output embedding of their own.
    """
    return translated({**DEFAULTS, **fields}, scales_output(fields))


def mt5_to_config(fields):
    """An mT5's configuration as ours. Whether it says so or not, its output is not scaled."""
    return translated({**MT5_DEFAULTS, **fields}, False)


def scales_output(fields):
    """Whether a T5 scales its output."""
    if fields.get("scale_decoder_outputs") is not None:
        return fields["scale_decoder_outputs"]
    return fields.get("tie_word_embeddings") is not False


def translated(fields, is_tied):
    """Their configuration, with all fields, as ours."""
    need(fields, "is_encoder_decoder", True)
    need(fields, "is_decoder", False)
    first_token = fields.get("decoder_start_token_id")
    decoder_layers = fields.get("num_decoder_layers")
    return TransformerConfig(
        num_decoder_layers=fields["num_layers"] if decoder_layers is None else decoder_layers,
        bos_id=fields["pad_token_id"] if first_token is None else first_token,
        positions="none",
        position_bias="relative",
        position_bias_options={
            "num_buckets": fields["relative_attention_num_buckets"],
            "max_distance": fields["relative_attention_max_distance"],
        },
        norm="rms",
        norm_first=True,
        use_bias=False,
        score="dot_product",
        scale_embeddings=False,
        share_embeddings="all" if is_tied else "input",
        logit_scale=fields["d_model"] ** -0.5 if is_tied else None,
        **to_feed_forward(fields),
        **{ours: fields[theirs] for ours, theirs in NAMES.items()},
    )


def to_feed_forward(fields):
    """`activation` and `gated` of names such as "relu" and "gated-gelu"."""
    name = need(fields, "feed_forward_proj", *FEED_FORWARDS)
    gated, activation = FEED_FORWARDS[name]
    if fields.get("dense_act_fn") is not None:
        activation = ACTIVATIONS[need(fields, "dense_act_fn", *ACTIVATIONS)]
    return {"gated": need(fields, "is_gated_act", gated), "activation": activation}


def from_config(config):
    """Our configuration as theirs."""
    is_tied = config.share_embeddings == "all"
    return {
        **{theirs: getattr(config, ours) for ours, theirs in NAMES.items()},
        "num_decoder_layers": config.num_decoder_layers,
        "decoder_start_token_id": config.bos_id,
        "tie_word_embeddings": is_tied,
        "scale_decoder_outputs": is_tied,
        **from_parts(config),
    }


def from_parts(config):
    """The published fields of positions and feed-forward layers, of either stack."""
    return {
        "relative_attention_num_buckets": config.position_bias_options.get("num_buckets", 32),
        "relative_attention_max_distance": config.position_bias_options.get("max_distance", 128),
        "feed_forward_proj": from_feed_forward(config),
        "dense_act_fn": from_activation(config.activation),
        "is_gated_act": config.gated,
    }


def from_feed_forward(config):
    """The published name of our `gated` and `activation`."""
    if (config.gated, config.activation) == (True, "gelu_tanh"):
        return "gated-gelu"
    return ("gated-" if config.gated else "") + from_activation(config.activation)


PROJECTIONS = ("q", "k", "v", "o")


def table(config):
    """The weights of both stacks and what they share."""
    anywhere = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
    if config.share_embeddings == "all":
        anywhere += ("lm_head.weight",)
    return [
        Row("shared.weight", ("token_embedding/embeddings",), also=anywhere),
        *stack("encoder", config.num_encoder_layers, ("self_attention",), config.gated),
        *stack(
            "decoder",
            config.num_decoder_layers,
            ("self_attention", "cross_attention"),
            config.gated,
        ),
    ]


def stack(name, num_layers, attentions, gated):
    """The weights of one stack, which is called the same on both sides."""
    published = {"self_attention": "SelfAttention", "cross_attention": "EncDecAttention"}
    rows = [
        *embedding(
            f"{name}/position_bias", f"{name}.block.0.layer.0.SelfAttention.relative_attention_bias"
        ),
        *norm(f"{name}/norm", f"{name}.final_layer_norm"),
    ]
    for i in range(num_layers):
        ours, theirs = f"{name}/block_{i}", f"{name}.block.{i}.layer"
        for number, part in enumerate(attentions):
            inside = f"{theirs}.{number}.{published[part]}"
            rows += attention(f"{ours}/{part}", inside, PROJECTIONS)
            rows += norm(f"{ours}/{part}_norm", f"{theirs}.{number}.layer_norm")
        inside = f"{theirs}.{len(attentions)}.DenseReluDense"
        rows += [
            *dense(f"{ours}/feed_forward/gate", f"{inside}.wi_0"),
            *dense(f"{ours}/feed_forward/inner", f"{inside}.wi_1" if gated else f"{inside}.wi"),
            *dense(f"{ours}/feed_forward/outer", f"{inside}.wo"),
            *norm(f"{ours}/feed_forward_norm", f"{theirs}.{len(attentions)}.layer_norm"),
        ]
    return rows


def output_table(config):
    """The output embedding; a file without one means the input's."""
    return [Row("lm_head.weight", ("output_embedding/embeddings",), also=("shared.weight",))]


def size(width, ffn_dim, num_layers, num_heads, parameters, **more):
    """A published size; the number of layers is that of each stack."""
    fields = dict(d_model=width, d_ff=ffn_dim, num_layers=num_layers, num_heads=num_heads)
    return Size(Seq2SeqLM, {**fields, **more}, parameters)


FIRST = dict(tie_word_embeddings=True)
SECOND = dict(tie_word_embeddings=False, feed_forward_proj="gated-gelu")  # T5 1.1

T5 = Family(
    model_type="t5",
    backbone=Transformer,
    prefix="",
    to_config=to_config,
    from_config=from_config,
    table=table,
    heads={
        Transformer: PublishedHead("T5Model"),
        Seq2SeqLM: PublishedHead(
            "T5ForConditionalGeneration", output_table, tied=(r"lm_head\.weight",)
        ),
        **readers("T5", prefix="transformer."),
    },
    ignored=(
        r"(encoder|decoder)\.embed_tokens\.weight",
        # of the first released files, which no attention to the encoder has ever used
        r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",
        r"classifier\..*",  # of tokens, over the encoder alone
    ),
    sizes={
        "t5-small": size(512, 2048, 6, 8, 60_506_624, **FIRST),
        "t5-base": size(768, 3072, 12, 12, 222_903_552, **FIRST),
        "t5-large": size(1024, 4096, 24, 16, 737_668_096, **FIRST),
        "t5-3b": size(1024, 16384, 24, 32, 2_851_598_336, d_kv=128, **FIRST),
        "flan-t5-small": size(512, 1024, 8, 6, 76_961_152, **SECOND),
        "flan-t5-base": size(768, 2048, 12, 12, 247_577_856, **SECOND),
        "flan-t5-large": size(1024, 2816, 24, 16, 783_150_080, **SECOND),
        "flan-t5-xl": size(2048, 5120, 24, 32, 2_849_757_184, **SECOND),
    },
)

MT5 = dataclasses.replace(
    T5,
    model_type="mt5",
    to_config=mt5_to_config,
    heads={
        Transformer: PublishedHead("MT5Model"),
        Seq2SeqLM: PublishedHead("MT5ForConditionalGeneration", output_table),
        **readers("MT5", prefix="transformer."),
    },
    sizes={
        "mt5-small": size(512, 1024, 8, 6, 300_176_768),
        "mt5-base": size(768, 2048, 12, 12, 582_401_280),
    },
)
