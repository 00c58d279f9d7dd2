"""Qwen3's dense models: Qwen2's layout with normalised queries and keys in place of biases.

Yang et al. 2025, "Qwen3 Technical Report", section 2.
"""

from keras_transformer.families import llama, qwen2
from keras_transformer.models import DecoderConfig

# What a published configuration leaves out
DEFAULTS = {**qwen2.DEFAULTS, "head_dim": 128}


def to_config(fields):
    """Their configuration as ours."""
    fields = {**DEFAULTS, **fields}
    return DecoderConfig(
        use_bias=False,
        use_attention_bias=fields["attention_bias"],
        query_key_norm="rms",
        **qwen2.to_window(fields),
        **llama.to_arguments(fields),
    )


def from_config(config):
    """Our configuration as theirs."""
    return {
        **llama.from_arguments(config),
        **qwen2.from_window(config),
        "attention_bias": config.resolved()["use_attention_bias"],
    }


def size(layers, width, heads, ffn, parameters, **fields):
    """A published size of the language model."""
    fields = {
        "num_key_value_heads": 8,
        "max_position_embeddings": 40960,
        "rope_theta": 1000000.0,
        "bos_token_id": 151643,
        "eos_token_id": 151645,
        **fields,
    }
    return llama.size(layers, width, heads, ffn, parameters, **fields)


QWEN3 = llama.make_family(
    "qwen3",
    "Qwen3",
    to_config,
    from_config,
    sizes={
        "qwen3-0.6b": size(28, 1024, 16, 3072, 596_049_920, tie_word_embeddings=True),
        "qwen3-1.7b": size(28, 2048, 16, 6144, 1_720_574_976, tie_word_embeddings=True),
        "qwen3-4b": size(36, 2560, 32, 9728, 4_022_468_096, tie_word_embeddings=True),
        "qwen3-8b": size(36, 4096, 32, 12288, 8_190_735_360),
    },
)
