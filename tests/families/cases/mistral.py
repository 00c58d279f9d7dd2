from case import heads

CASES = heads(
    "mistral",
    dict(
        model_type="mistral",
        vocab_size=37,
        num_hidden_layers=2,
        hidden_size=16,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=24,
        max_position_embeddings=12,
    ),
    {
        "TransformerDecoder": "MistralModel",
        "CausalLM": "MistralForCausalLM",
        "DecoderClassifier": "MistralForSequenceClassification",
    },
    {
        "window": ("CausalLM", dict(sliding_window=3), {}),
        "window_left": ("CausalLM", dict(sliding_window=2, pad_token_id=3), dict(left=True)),
        "no_window": ("TransformerDecoder", dict(sliding_window=None), {}),
        "wide_heads": ("CausalLM", dict(head_dim=6, sliding_window=None), {}),
        "tied": ("CausalLM", dict(tie_word_embeddings=True, rms_norm_eps=1e-3), {}),
        "gelu": ("TransformerDecoder", dict(hidden_act="gelu"), {}),
        "yarn": (
            "TransformerDecoder",
            dict(
                rope_parameters=dict(
                    rope_theta=100.0, rope_type="yarn", factor=3.0,
                    original_max_position_embeddings=40,
                ),
            ),
            {},
        ),
    },
)  # fmt: skip
