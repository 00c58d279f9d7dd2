from case import heads

CASES = heads(
    "qwen3",
    dict(
        model_type="qwen3",
        vocab_size=37,
        num_hidden_layers=2,
        hidden_size=16,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=6,
        intermediate_size=24,
        max_position_embeddings=12,
    ),
    {
        "TransformerDecoder": "Qwen3Model",
        "CausalLM": "Qwen3ForCausalLM",
        "DecoderClassifier": "Qwen3ForSequenceClassification",
    },
    {
        "tied": ("CausalLM", dict(tie_word_embeddings=True), {}),
        "epsilon": ("CausalLM", dict(rms_norm_eps=1e-2), {}),
        "biases": ("TransformerDecoder", dict(attention_bias=True), {}),
        "left": ("CausalLM", dict(pad_token_id=3), dict(left=True)),
        "window": (
            "CausalLM",
            dict(use_sliding_window=True, sliding_window=2, max_window_layers=1),
            {},
        ),
        "linear": (
            "TransformerDecoder",
            dict(rope_parameters=dict(rope_theta=100.0, rope_type="linear", factor=3.0)),
            {},
        ),
    },
)  # fmt: skip
