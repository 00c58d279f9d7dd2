from case import heads

CASES = heads(
    "gpt2",
    dict(
        model_type="gpt2",
        vocab_size=37,
        n_layer=2,
        n_embd=16,
        n_head=4,
        n_positions=12,
    ),
    {
        "TransformerDecoder": "GPT2Model",
        "CausalLM": "GPT2LMHeadModel",
        "DecoderClassifier": "GPT2ForSequenceClassification",
    },
    {
        "untied": ("CausalLM", dict(tie_word_embeddings=False, n_inner=24), {}),
        "relu": ("CausalLM", dict(activation_function="relu", layer_norm_epsilon=1e-3), {}),
        "unscaled": ("TransformerDecoder", dict(scale_attn_weights=False), {}),
        "left": ("CausalLM", dict(pad_token_id=3), dict(left=True)),
    },
)  # fmt: skip
