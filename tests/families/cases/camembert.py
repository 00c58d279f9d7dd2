from case import heads

CASES = heads(
    "camembert",
    dict(
        model_type="camembert",
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
        "TransformerEncoder": "CamembertModel",
        "SequenceClassifier": "CamembertForSequenceClassification",
        "TokenClassifier": "CamembertForTokenClassification",
        "SpanExtractor": "CamembertForQuestionAnswering",
        "MaskedLM": "CamembertForMaskedLM",
    },
    {
        "untied": ("MaskedLM", dict(tie_word_embeddings=False), dict(lacks=(r"lm_head\.bias",))),
        "left": ("MaskedLM", {}, dict(left=True, counts=True)),
    },
    lacks=(r"pooler\.",),
)  # fmt: skip
