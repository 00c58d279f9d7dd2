from case import heads

CASES = heads(
    "xlm_roberta",
    dict(
        model_type="xlm-roberta",
        vocab_size=37,
        num_hidden_layers=2,
        hidden_size=16,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=14,
        type_vocab_size=1,
        layer_norm_eps=1e-05,
        pad_token_id=1,
    ),
    {
        "TransformerEncoder": "XLMRobertaModel",
        "SequenceClassifier": "XLMRobertaForSequenceClassification",
        "TokenClassifier": "XLMRobertaForTokenClassification",
        "SpanExtractor": "XLMRobertaForQuestionAnswering",
        "MaskedLM": "XLMRobertaForMaskedLM",
    },
    {
        "untied": ("MaskedLM", dict(tie_word_embeddings=False), dict(lacks=(r"lm_head\.bias",))),
        "left": ("MaskedLM", {}, dict(left=True, counts=True)),
    },
    lacks=(r"pooler\.",),
)  # fmt: skip
