from case import heads


def rope(**fields):
    return {"rope_parameters": {"rope_theta": 100.0, **fields}}


CASES = heads(
    "llama",
    dict(
        model_type="llama",
        vocab_size=37,
        num_hidden_layers=2,
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=12,
    ),
    {
        "TransformerDecoder": "LlamaModel",
        "CausalLM": "LlamaForCausalLM",
        "DecoderClassifier": "LlamaForSequenceClassification",
    },
    {
        "tied": ("CausalLM", dict(tie_word_embeddings=True, rms_norm_eps=1e-3), {}),
        "grouped": ("CausalLM", dict(num_attention_heads=4, num_key_value_heads=2), {}),
        "one_key_head": ("TransformerDecoder", dict(num_key_value_heads=1, head_dim=6), {}),
        "biases": ("CausalLM", dict(attention_bias=True, mlp_bias=True), {}),
        "attention_bias": ("TransformerDecoder", dict(attention_bias=True), {}),
        "mlp_bias": ("TransformerDecoder", dict(mlp_bias=True), {}),
        "gelu": ("TransformerDecoder", dict(hidden_act="gelu_pytorch_tanh"), {}),
        "left": ("CausalLM", dict(pad_token_id=3), dict(left=True)),
        "left_classifier": ("DecoderClassifier", {}, dict(left=True)),
        "regression": (
            "DecoderClassifier", dict(num_labels=1, problem_type="regression"), {},
        ),
        "several_ends": ("CausalLM", dict(eos_token_id=[2, 4]), {}),
        "theta": ("TransformerDecoder", rope(), {}),
        "linear": ("CausalLM", rope(rope_type="linear", factor=3.0), {}),
        "dynamic": (
            "CausalLM",
            {"max_position_embeddings": 4, **rope(rope_type="dynamic", factor=3.0)},
            {},
        ),
        "yarn": (
            "CausalLM",
            rope(rope_type="yarn", factor=3.0, original_max_position_embeddings=40),
            {},
        ),
        "yarn_ramp": (
            "TransformerDecoder",
            rope(
                rope_type="yarn", factor=3.0, original_max_position_embeddings=40,
                attention_factor=1.5, beta_fast=5.0, beta_slow=0.5, truncate=False,
            ),
            {},
        ),
        "yarn_scale": (
            "TransformerDecoder",
            rope(
                rope_type="yarn", factor=3.0, original_max_position_embeddings=40,
                mscale=2.0, mscale_all_dim=0.5,
            ),
            {},
        ),
        "llama3": (
            "CausalLM",
            rope(
                rope_type="llama3", factor=3.0, low_freq_factor=1.0, high_freq_factor=4.0,
                original_max_position_embeddings=10,
            ),
            {},
        ),
    },
)  # fmt: skip
