"""Mistral 7B: Llama's layout with grouped heads and a window.

Jiang et al. 2023, "Mistral 7B", section 2.
"""

from keras_transformer.families import llama
from keras_transformer.models import DecoderConfig

# What a published configuration leaves out: mistral-7b-v0.1, but for the longest text
DEFAULTS = {
    **llama.DEFAULTS,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "sliding_window": 4096,
}


def to_config(fields):
    """Their configuration as ours."""
    fields = {**DEFAULTS, **fields}
    return DecoderConfig(
        use_bias=False,
        window=fields["sliding_window"],
        **llama.to_arguments(fields),
    )


def from_config(config):
    """Our configuration as theirs."""
    return {**llama.from_arguments(config), "sliding_window": config.window}


MISTRAL = llama.make_family(
    "mistral",
    "Mistral",
    to_config,
    from_config,
    sizes={
        "mistral-7b-v0.1": llama.size(
            32, 4096, 32, 14336, 7_241_732_096,
            num_key_value_heads=8, max_position_embeddings=32768, rms_norm_eps=1e-5,
        ),
    },
)  # fmt: skip
