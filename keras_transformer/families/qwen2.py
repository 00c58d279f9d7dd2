"""Qwen2 and Qwen2.5: Llama's layout with biases of queries, keys and values.

Yang et al. 2024, "Qwen2 Technical Report", section 2.2; "Qwen2.5 Technical Report", section 2.
"""

from keras_transformer.families import llama
from keras_transformer.families.family import need
from keras_transformer.models import DecoderConfig

# What a published configuration leaves out
DEFAULTS = {
    **llama.DEFAULTS,
    "vocab_size": 151936,
    "num_key_value_heads": 32,
    "intermediate_size": 22016,
    "max_position_embeddings": 32768,
    "use_sliding_window": False,
    "sliding_window": 4096,
    "max_window_layers": 28,
    "layer_types": None,
    "bos_token_id": None,
    "eos_token_id": None,
}


def to_config(fields):
    """Their configuration as ours."""
    fields = {**DEFAULTS, **fields}
    return DecoderConfig(
        use_bias=False,
        use_attention_bias=True,
        use_output_bias=False,
        **to_window(fields),
        **llama.to_arguments(fields),
    )


def from_config(config):
    """Our configuration as theirs."""
    return {**llama.from_arguments(config), **from_window(config)}


FULL, SLIDING = "full_attention", "sliding_attention"


def to_window(fields):
    """`window` and `window_layers`: which blocks have it, from a list or from one number on."""
    count = fields["num_hidden_layers"]
    window = fields["sliding_window"] if fields["use_sliding_window"] else None
    kinds = fields["layer_types"]
    if kinds is None:
        first = count if window is None else min(fields["max_window_layers"], count)
        kinds = [FULL] * first + [SLIDING] * (count - first)
    allowed = (FULL,) if window is None else (FULL, SLIDING)
    for i, kind in enumerate(kinds):
        need({**fields, f"layer_types[{i}]": kind}, f"layer_types[{i}]", *allowed)
    if len(kinds) != count:
        raise ValueError(f"layer_types has {len(kinds)} entries for {count} layers")
    layers = tuple(i for i, kind in enumerate(kinds) if kind == SLIDING)
    if not layers:
        return {}
    return {"window": window, "window_layers": None if len(layers) == count else layers}


def from_window(config):
    """The inverse of `to_window`, for readers of either field."""
    layers = config.resolved()["window_layers"] or ()
    count = config.num_layers
    fields = {
        "use_sliding_window": bool(layers),
        "layer_types": [SLIDING if i in layers else FULL for i in range(count)],
        # right where the blocks with the window are the last ones; else the list above counts
        "max_window_layers": count - len(layers),
    }
    return {**fields, "sliding_window": config.window} if layers else fields


def size(layers, width, heads, kv_heads, ffn, parameters, **fields):
    """A published size of the language model."""
    fields = {
        "num_key_value_heads": kv_heads,
        "rope_theta": 1000000.0,
        "bos_token_id": 151643,
        "eos_token_id": 151643,
        **fields,
    }
    return llama.size(layers, width, heads, ffn, parameters, **fields)


TIED = dict(tie_word_embeddings=True, max_position_embeddings=131072)
TIED_2_5 = dict(tie_word_embeddings=True)
WIDE = dict(vocab_size=152064, max_position_embeddings=131072)

QWEN2 = llama.make_family(
    "qwen2",
    "Qwen2",
    to_config,
    from_config,
    sizes={
        "qwen2-0.5b": size(24, 896, 14, 2, 4864, 494_032_768, **TIED),
        "qwen2-1.5b": size(28, 1536, 12, 2, 8960, 1_543_714_304, **TIED),
        "qwen2-7b": size(28, 3584, 28, 4, 18944, 7_615_616_512, **WIDE),
        "qwen2.5-0.5b": size(24, 896, 14, 2, 4864, 494_032_768, **TIED_2_5),
        "qwen2.5-1.5b": size(28, 1536, 12, 2, 8960, 1_543_714_304, **TIED),
        "qwen2.5-3b": size(36, 2048, 16, 2, 11008, 3_085_938_688, **TIED_2_5),
        "qwen2.5-7b": size(28, 3584, 28, 4, 18944, 7_615_616_512, **WIDE),
    },
)
