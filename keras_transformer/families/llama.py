"""Llama 1 to 3.2, and the models of the same layout such as SmolLM.

Touvron et al. 2023, "LLaMA: Open and Efficient Foundation Language Models", section 2.2;
Grattafiori et al. 2024, "The Llama 3 Herd of Models", section 3.2.
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
from keras_transformer.families.tables import attention, dense, embedding, norm
from keras_transformer.models import CausalLM, DecoderClassifier, DecoderConfig, TransformerDecoder

# What a published configuration leaves out: llama-7b
DEFAULTS = dict(
    vocab_size=32000,
    num_hidden_layers=32,
    hidden_size=4096,
    num_attention_heads=32,
    num_key_value_heads=None,
    head_dim=None,
    intermediate_size=11008,
    hidden_act="silu",
    attention_dropout=0.0,
    max_position_embeddings=2048,
    initializer_range=0.02,
    rms_norm_eps=1e-6,
    attention_bias=False,
    mlp_bias=False,
    tie_word_embeddings=False,
    pad_token_id=None,
    bos_token_id=1,
    eos_token_id=2,
)

# Ours and theirs of those fields that are only named differently
NAMES = dict(
    vocab_size="vocab_size",
    num_layers="num_hidden_layers",
    hidden_dim="hidden_size",
    num_heads="num_attention_heads",
    num_kv_heads="num_key_value_heads",
    head_dim="head_dim",
    ffn_dim="intermediate_size",
    max_length="max_position_embeddings",
    initializer_range="initializer_range",
    norm_epsilon="rms_norm_eps",
    tie_embeddings="tie_word_embeddings",
    bos_id="bos_token_id",
    eos_id="eos_token_id",
)


def to_arguments(fields):
    """The fields of a `DecoderConfig` that all of Llama's kin share, from theirs."""
    head_dim = fields["head_dim"] or fields["hidden_size"] // fields["num_attention_heads"]
    return dict(
        activation=to_activation(fields, "hidden_act"),
        gated=True,
        norm="rms",
        dropout=0.0,
        attention_dropout=fields["attention_dropout"] or 0.0,
        positions="rotary",
        position_options=to_rotary(fields, head_dim),
        pad_id=to_pad(fields),
        **{ours: fields[theirs] for ours, theirs in NAMES.items()},
    )


def from_arguments(config):
    """The inverse of `to_arguments`."""
    resolved = config.resolved()
    return {
        **{theirs: resolved[ours] for ours, theirs in NAMES.items()},
        "hidden_act": from_activation(config.activation),
        "attention_dropout": config.attention_dropout,
        "pad_token_id": config.pad_id,
        **from_rotary(config),
    }


def to_config(fields):
    """Their configuration as ours."""
    fields = {**DEFAULTS, **fields}
    return DecoderConfig(
        use_bias=fields["mlp_bias"],
        use_attention_bias=fields["attention_bias"],
        **to_arguments(fields),
    )


def from_config(config):
    """Our configuration as theirs."""
    return {
        **from_arguments(config),
        "mlp_bias": config.use_bias,
        "attention_bias": config.resolved()["use_attention_bias"],
    }


def table(config):
    """The weights of the decoder."""
    rows = [
        *embedding("token_embedding", "embed_tokens"),
        *norm("norm", "norm"),
    ]
    for i in range(config.num_layers):
        ours, theirs = f"block_{i}", f"layers.{i}"
        rows += [
            *norm(f"{ours}/self_attention_norm", f"{theirs}.input_layernorm"),
            *attention(
                f"{ours}/self_attention",
                f"{theirs}.self_attn",
                ("q_proj", "k_proj", "v_proj", "o_proj"),
            ),
            *norm(f"{ours}/self_attention/query_norm", f"{theirs}.self_attn.q_norm"),  # Qwen3's
            *norm(f"{ours}/self_attention/key_norm", f"{theirs}.self_attn.k_norm"),
            *norm(f"{ours}/feed_forward_norm", f"{theirs}.post_attention_layernorm"),
            *dense(f"{ours}/feed_forward/gate", f"{theirs}.mlp.gate_proj"),
            *dense(f"{ours}/feed_forward/inner", f"{theirs}.mlp.up_proj"),
            *dense(f"{ours}/feed_forward/outer", f"{theirs}.mlp.down_proj"),
        ]
    return rows


def make_family(model_type, name, to_config, from_config, sizes):
    """A family with Llama's tensors.

    Args:
        model_type: its name in a published `config.json`.
        name: what its classes' names start with.
        to_config, from_config, sizes: as in `Family`.
    """
    return Family(
        model_type=model_type,
        backbone=TransformerDecoder,
        prefix="model.",
        to_config=to_config,
        from_config=from_config,
        table=table,
        heads={
            TransformerDecoder: PublishedHead(f"{name}Model"),
            CausalLM: PublishedHead(
                f"{name}ForCausalLM",
                lambda config: embedding("output_embedding", "lm_head"),
                tied=(r"lm_head\.weight",),
            ),
            DecoderClassifier: PublishedHead(
                f"{name}ForSequenceClassification",
                lambda config: dense("classes", "score"),
                to_problem,
                from_problem,
            ),
        },
        ignored=(
            r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq",
            r"(classifier|qa_outputs)\..*",
        ),
        sizes=sizes,
    )


def size(layers, width, heads, ffn, parameters, **fields):
    """A published size of the language model."""
    shape = dict(
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=heads,
        intermediate_size=ffn,
    )
    return Size(CausalLM, {**shape, **fields}, parameters)


LLAMA_2 = dict(max_position_embeddings=4096, rms_norm_eps=1e-5)
LLAMA_3 = dict(
    vocab_size=128256,
    num_key_value_heads=8,
    max_position_embeddings=8192,
    rms_norm_eps=1e-5,
    rope_theta=500000.0,
    bos_token_id=128000,
    eos_token_id=128001,
)
SCALING = dict(
    rope_type="llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=8192,
)
LLAMA_3_1 = {**LLAMA_3, "max_position_embeddings": 131072, "rope_scaling": SCALING}
LLAMA_3_2 = {
    **LLAMA_3_1,
    "rope_scaling": {**SCALING, "factor": 32.0},
    "head_dim": 64,
    "tie_word_embeddings": True,
}
SMOLLM = dict(
    vocab_size=49152,
    rms_norm_eps=1e-5,
    tie_word_embeddings=True,
    bos_token_id=0,
    eos_token_id=0,
)
SMOLLM_2 = {**SMOLLM, "max_position_embeddings": 8192, "rope_theta": 100000.0}

LLAMA = make_family(
    "llama",
    "Llama",
    to_config,
    from_config,
    sizes={
        "llama-7b": size(32, 4096, 32, 11008, 6_738_415_616),
        "llama-13b": size(40, 5120, 40, 13824, 13_015_864_320),
        "llama-2-7b": size(32, 4096, 32, 11008, 6_738_415_616, **LLAMA_2),
        "llama-3-8b": size(32, 4096, 32, 14336, 8_030_261_248, **LLAMA_3),
        "llama-3.1-8b": size(32, 4096, 32, 14336, 8_030_261_248, **LLAMA_3_1),
        "llama-3.2-1b": size(16, 2048, 32, 8192, 1_235_814_400, **LLAMA_3_2),
        "llama-3.2-3b": size(28, 3072, 24, 8192, 3_212_749_824, **{**LLAMA_3_2, "head_dim": 128}),
        "smollm-135m": size(30, 576, 9, 1536, 134_515_008, num_key_value_heads=3, **SMOLLM),
        "smollm-360m": size(32, 960, 15, 2560, 361_821_120, num_key_value_heads=5, **SMOLLM),
        "smollm-1.7b": size(24, 2048, 32, 8192, 1_711_376_384, **SMOLLM),
        "smollm2-135m": size(30, 576, 9, 1536, 134_515_008, num_key_value_heads=3, **SMOLLM_2),
        "smollm2-360m": size(32, 960, 15, 2560, 361_821_120, num_key_value_heads=5, **SMOLLM_2),
        "smollm2-1.7b": size(
            24, 2048, 32, 8192, 1_711_376_384, **{**SMOLLM_2, "rope_theta": 130000.0}
        ),
    },
)
