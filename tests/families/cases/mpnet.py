from case import heads

CASES = heads(
    "mpnet",
    dict(
        model_type="mpnet",
        vocab_size=37,
        num_hidden_layers=2,
        hidden_size=16,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=14,
        layer_norm_eps=1e-05,
        pad_token_id=1,
    ),
    {
        "TransformerEncoder": "MPNetModel",
        "SequenceClassifier": "MPNetForSequenceClassification",
        "TokenClassifier": "MPNetForTokenClassification",
        "SpanExtractor": "MPNetForQuestionAnswering",
        "MaskedLM": "MPNetForMaskedLM",
    },
    {
        "untied": ("MaskedLM", dict(tie_word_embeddings=False), dict(lacks=(r"lm_head\.bias",))),
        "relu": ("MaskedLM", dict(hidden_act="relu", layer_norm_eps=1e-3), {}),
        "gelu_new": ("SequenceClassifier", dict(hidden_act="gelu_new"), {}),
        "left": ("TransformerEncoder", {}, dict(left=True, counts=True)),
        "dropout": ("SequenceClassifier", dict(hidden_dropout_prob=0.25), {}),
        "regression": (
            "SequenceClassifier", dict(num_labels=1, problem_type="regression"), {},
        ),
        "multi_label": (
            "SequenceClassifier", dict(problem_type="multi_label_classification"), {},
        ),
    },
    lacks=(r"pooler\.",),
)  # fmt: skip
