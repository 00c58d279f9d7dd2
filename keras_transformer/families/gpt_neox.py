"""GPT-NeoX, and the Pythia models of the same layout.

Black et al. 2022, "GPT-NeoX-20B: An Open-Source Autoregressive Language Model", section 2.1;
Biderman et al. 2023, "Pythia", table 1.
"""

from keras_transformer.families.family import (
    Family,
    PublishedHead,
    Size,
    from_activation,
    from_problem,
    to_activation,
    to_pad,
    to_problem,
)
from keras_transformer.families.rope import from_rotary, to_rotary
from keras_transformer.families.tables import HeadByHead, Row, dense, embedding, norm
from keras_transformer.models import CausalLM, DecoderClassifier, DecoderConfig, TransformerDecoder

# What a published configuration leaves out: gpt-neox-20b
DEFAULTS = dict(
    vocab_size=50432,
    num_hidden_layers=44,
    hidden_size=6144,
    num_attention_heads=64,
    intermediate_size=24576,
    hidden_act="gelu",
    hidden_dropout=0.0,
    attention_dropout=0.0,
    max_position_embeddings=2048,
    initializer_range=0.02,
    layer_norm_eps=1e-5,
    tie_word_embeddings=False,
    use_parallel_residual=True,
    attention_bias=True,
    rotary_pct=0.25,
    pad_token_id=None,
    bos_token_id=0,
    eos_token_id=2,
)

# Ours and theirs of those fields that are only named differently
NAMES = dict(
    vocab_size="vocab_size",
    num_layers="num_hidden_layers",
    hidden_dim="hidden_size",
    num_heads="num_attention_heads",
    ffn_dim="intermediate_size",
    dropout="hidden_dropout",
    attention_dropout="attention_dropout",
    max_length="max_position_embeddings",
    initializer_range="initializer_range",
    norm_epsilon="layer_norm_eps",
    parallel="use_parallel_residual",
    use_attention_bias="attention_bias",
    tie_embeddings="tie_word_embeddings",
    bos_id="bos_token_id",
    eos_id="eos_token_id",
)

ROTARY = dict(theta="rotary_emb_base", share="rotary_pct")


def to_config(fields):
    """Their configuration as ours."""
    fields = {**DEFAULTS, **fields}
    head_dim = fields["hidden_size"] // fields["num_attention_heads"]
    return DecoderConfig(
        activation=to_activation(fields, "hidden_act"),
        positions="rotary",
        position_options=to_rotary(fields, head_dim, **ROTARY),
        pad_id=to_pad(fields),
        **{ours: fields[theirs] for ours, theirs in NAMES.items()},
    )


def from_config(config):
    """Our configuration as theirs."""
    resolved = config.resolved()
    return {
        **{theirs: resolved[ours] for ours, theirs in NAMES.items()},
        "hidden_act": from_activation(config.activation),
        "pad_token_id": config.pad_id,
        **from_rotary(config, **ROTARY),
    }


def table(config):
    """The weights of the decoder."""
    rows = [
        *embedding("token_embedding", "embed_in"),
        *norm("norm", "final_layer_norm"),
    ]
    joined = HeadByHead(config.num_heads)
    for i in range(config.num_layers):
        ours, theirs = f"block_{i}", f"layers.{i}"
        attention = f"{ours}/self_attention"
        parts = [f"{attention}/{name}" for name in ("query", "key", "value")]
        rows += [
            *norm(f"{attention}_norm", f"{theirs}.input_layernorm"),
            Row(
                f"{theirs}.attention.query_key_value.weight",
                tuple(f"{part}/kernel" for part in parts),
                joined,
            ),
            Row(
                f"{theirs}.attention.query_key_value.bias",
                tuple(f"{part}/bias" for part in parts),
                joined,
            ),
            *dense(f"{attention}/output", f"{theirs}.attention.dense"),
            *norm(f"{ours}/feed_forward_norm", f"{theirs}.post_attention_layernorm"),
            *dense(f"{ours}/feed_forward/inner", f"{theirs}.mlp.dense_h_to_4h"),
            *dense(f"{ours}/feed_forward/outer", f"{theirs}.mlp.dense_4h_to_h"),
        ]
    return rows


def pythia(layers, width, heads, parameters, vocabulary=50304):
    """A published size of the language model."""
    fields = dict(
        vocab_size=vocabulary,
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        eos_token_id=0,
    )
    return Size(CausalLM, fields, parameters)


GPT_NEOX = Family(
    model_type="gpt_neox",
    backbone=TransformerDecoder,
    prefix="gpt_neox.",
    to_config=to_config,
    from_config=from_config,
    table=table,
    heads={
        TransformerDecoder: PublishedHead("GPTNeoXModel"),
        CausalLM: PublishedHead(
            "GPTNeoXForCausalLM",
            lambda config: [
                Row("embed_out.weight", ("output_embedding/embeddings",), also=("lm_head.weight",))
            ],
            tied=(r"(embed_out|lm_head)\.weight",),
        ),
        DecoderClassifier: PublishedHead(
            "GPTNeoXForSequenceClassification",
            lambda config: dense("classes", "score"),
            to_problem,
            from_problem,
        ),
    },
    ignored=(
        r"layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)",  # masks and angles
        r"(classifier|qa_outputs)\..*",
    ),
    sizes={
        "pythia-70m": pythia(6, 512, 8, 70_426_624),
        "pythia-160m": pythia(12, 768, 12, 162_322_944),
        "pythia-410m": pythia(24, 1024, 16, 405_334_016),
        "pythia-1b": pythia(16, 2048, 8, 1_011_781_632),
        "pythia-1.4b": pythia(24, 2048, 16, 1_414_647_808),
        "pythia-2.8b": pythia(32, 2560, 32, 2_775_208_960),
        "pythia-6.9b": pythia(32, 4096, 32, 6_857_302_016, vocabulary=50432),
        "pythia-12b": pythia(36, 5120, 40, 11_846_072_320, vocabulary=50688),
    },
)
