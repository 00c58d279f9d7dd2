from case import heads

CASES = heads(
    "qwen2",
    dict(
        model_type="qwen2",
        vocab_size=37,
        num_hidden_layers=2,
        hidden_size=16,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=24,
        max_position_embeddings=12,
    ),
    {
        "TransformerDecoder": "Qwen2Model",
        "CausalLM": "Qwen2ForCausalLM",
        "DecoderClassifier": "Qwen2ForSequenceClassification",
    },
    {
        "tied": ("CausalLM", dict(tie_word_embeddings=True, rms_norm_eps=1e-3), {}),
        "left": ("CausalLM", dict(pad_token_id=3), dict(left=True)),
        "window_unused": ("CausalLM", dict(sliding_window=2, max_window_layers=0), {}),
        "window": (
            "CausalLM",
            dict(use_sliding_window=True, sliding_window=2, max_window_layers=0),
            {},
        ),
        "window_from_1": (
            "TransformerDecoder",
            dict(use_sliding_window=True, sliding_window=3, max_window_layers=1),
            {},
        ),
        "window_of_0": (
            "CausalLM",
            dict(
                use_sliding_window=True, sliding_window=3,
                layer_types=["sliding_attention", "full_attention"],
            ),
            {},
        ),
        "yarn": (
            "TransformerDecoder",
            dict(
                rope_parameters=dict(
                    rope_theta=100.0, rope_type="yarn", factor=4.0,
                    original_max_position_embeddings=3,
                ),
            ),
            {},
        ),
    },
)  # fmt: skip
