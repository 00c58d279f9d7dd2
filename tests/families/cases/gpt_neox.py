from case import heads


def rope(**fields):
    return {"rope_parameters": {"rope_theta": 100.0, "partial_rotary_factor": 0.5, **fields}}


CASES = heads(
    "gpt_neox",
    dict(
        model_type="gpt_neox",
        vocab_size=37,
        num_hidden_layers=2,
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=12,
    ),
    {
        "TransformerDecoder": "GPTNeoXModel",
        "CausalLM": "GPTNeoXForCausalLM",
        "DecoderClassifier": "GPTNeoXForSequenceClassification",
    },
    {
        "tied": ("CausalLM", dict(tie_word_embeddings=True), {}),
        "sequential": ("TransformerDecoder", dict(use_parallel_residual=False), {}),
        "whole_heads": ("CausalLM", dict(rotary_pct=1.0, rotary_emb_base=100), {}),
        "no_attention_bias": ("TransformerDecoder", dict(attention_bias=False), {}),
        "gelu_fast": ("TransformerDecoder", dict(hidden_act="gelu_fast", layer_norm_eps=1e-3), {}),
        "left": ("CausalLM", dict(pad_token_id=3), dict(left=True)),
        "linear": ("TransformerDecoder", rope(rope_type="linear", factor=3.0), {}),
        "dynamic": (
            "TransformerDecoder",
            {"max_position_embeddings": 4, **rope(rope_type="dynamic", factor=3.0)},
            {},
        ),
    },
)  # fmt: skip
