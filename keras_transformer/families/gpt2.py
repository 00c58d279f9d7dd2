"""GPT-2.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
"""

from keras_transformer.families.family import (
    Family,
    PublishedHead,
    Size,
    from_activation,
    from_problem,
    need,
    to_activation,
    to_pad,
    to_problem,
)
from keras_transformer.families.tables import SIDE_BY_SIDE, Row, dense, embedding, norm
from keras_transformer.models import CausalLM, DecoderClassifier, DecoderConfig, TransformerDecoder

# What a published configuration leaves out: gpt2
DEFAULTS = dict(
    vocab_size=50257,
    n_layer=12,
    n_embd=768,
    n_head=12,
    n_inner=None,
    n_positions=1024,
    activation_function="gelu_new",
    resid_pdrop=0.1,
    embd_pdrop=0.1,
    attn_pdrop=0.1,
    layer_norm_epsilon=1e-5,
    initializer_range=0.02,
    scale_attn_weights=True,
    tie_word_embeddings=True,
    pad_token_id=None,
    bos_token_id=50256,
    eos_token_id=50256,
)

# Ours and theirs of those fields that are only named differently
NAMES = dict(
    vocab_size="vocab_size",
    num_layers="n_layer",
    hidden_dim="n_embd",
    num_heads="n_head",
    max_length="n_positions",
    dropout="resid_pdrop",
    attention_dropout="attn_pdrop",
    norm_epsilon="layer_norm_epsilon",
    initializer_range="initializer_range",
    tie_embeddings="tie_word_embeddings",
    bos_id="bos_token_id",
    eos_id="eos_token_id",
)


def to_config(fields):
    """Their configuration as ours."""
    fields = {**DEFAULTS, **fields}
    need(fields, "scale_attn_by_inverse_layer_idx", False)
    need(fields, "add_cross_attention", False)
    need(fields, "embd_pdrop", fields["resid_pdrop"])
    return DecoderConfig(
        ffn_dim=fields["n_inner"] or 4 * fields["n_embd"],
        activation=to_activation(fields, "activation_function"),
        score="scaled_dot_product" if fields["scale_attn_weights"] else "dot_product",
        pad_id=to_pad(fields),
        scaled_residuals=True,  # section 2.3
        **{ours: fields[theirs] for ours, theirs in NAMES.items()},
    )


def from_config(config):
    """Our configuration as theirs."""
    return {
        **{theirs: getattr(config, ours) for ours, theirs in NAMES.items()},
        "n_inner": None if config.ffn_dim == 4 * config.hidden_dim else config.ffn_dim,
        "activation_function": from_activation(config.activation),
        "scale_attn_weights": config.score == "scaled_dot_product",
        "embd_pdrop": config.dropout,
        "pad_token_id": config.pad_id,
    }


def convolution(ours, theirs):
    """Dense layers from one convolution of width 1, whose kernel is (inputs, outputs)."""
    return [
        Row(f"{theirs}.weight", tuple(f"{name}/kernel" for name in ours), SIDE_BY_SIDE),
        Row(f"{theirs}.bias", tuple(f"{name}/bias" for name in ours), SIDE_BY_SIDE),
    ]


def table(config):
    """The weights of the decoder."""
    rows = [
        *embedding("token_embedding", "wte"),
        *embedding("positions", "wpe"),
        *norm("norm", "ln_f"),
    ]
    for i in range(config.num_layers):
        ours, theirs = f"block_{i}", f"h.{i}"
        attention = f"{ours}/self_attention"
        rows += [
            *norm(f"{attention}_norm", f"{theirs}.ln_1"),
            *convolution(
                [f"{attention}/{name}" for name in ("query", "key", "value")],
                f"{theirs}.attn.c_attn",
            ),
            *convolution([f"{attention}/output"], f"{theirs}.attn.c_proj"),
            *norm(f"{ours}/feed_forward_norm", f"{theirs}.ln_2"),
            *convolution([f"{ours}/feed_forward/inner"], f"{theirs}.mlp.c_fc"),
            *convolution([f"{ours}/feed_forward/outer"], f"{theirs}.mlp.c_proj"),
        ]
    return rows


def size(layers, width, heads, parameters):
    """A published size of the language model."""
    return Size(CausalLM, dict(n_layer=layers, n_embd=width, n_head=heads), parameters)


GPT2 = Family(
    model_type="gpt2",
    backbone=TransformerDecoder,
    prefix="transformer.",
    to_config=to_config,
    from_config=from_config,
    table=table,
    heads={
        TransformerDecoder: PublishedHead("GPT2Model"),
        CausalLM: PublishedHead(
            "GPT2LMHeadModel",
            lambda config: embedding("output_embedding", "lm_head"),
            tied=(r"lm_head\.weight",),
        ),
        DecoderClassifier: PublishedHead(
            "GPT2ForSequenceClassification",
            lambda config: dense("classes", "score"),
            to_problem,
            from_problem,
        ),
    },
    ignored=(
        r"h\.\d+\.attn\.(bias|masked_bias)",  # the causal mask
        r"(classifier|qa_outputs|multiple_choice_head)\..*",
    ),
    sizes={
        "gpt2": size(12, 768, 12, 124_439_808),
        "gpt2-medium": size(24, 1024, 16, 354_823_168),
        "gpt2-large": size(36, 1280, 20, 774_030_080),
        "gpt2-xl": size(48, 1600, 25, 1_557_611_200),
        "distilgpt2": size(6, 768, 12, 81_912_576),
    },
)
