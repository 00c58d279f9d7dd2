from case import heads

CASES = heads(
    "bert",
    dict(
        model_type="bert",
        vocab_size=37,
        num_hidden_layers=2,
        hidden_size=16,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=12,
        type_vocab_size=2,
        pad_token_id=0,
    ),
    {
        "TransformerEncoder": "BertModel",
        "SequenceClassifier": "BertForSequenceClassification",
        "TokenClassifier": "BertForTokenClassification",
        "SpanExtractor": "BertForQuestionAnswering",
        "MaskedLM": "BertForMaskedLM",
    },
    {
        "untied": (
            "MaskedLM",
            dict(tie_word_embeddings=False),
            dict(lacks=(r"pooler\.", r"predictions\.bias")),
        ),
        "relu": ("MaskedLM", dict(hidden_act="relu", layer_norm_eps=1e-3), {}),
        "gelu_new": ("MaskedLM", dict(hidden_act="gelu_new"), {}),
        "dropout": ("SequenceClassifier", dict(classifier_dropout=0.25), {}),
        "token_dropout": ("TokenClassifier", dict(classifier_dropout=0.25), {}),
        "left": ("TransformerEncoder", {}, dict(left=True)),
        "regression": (
            "SequenceClassifier", dict(num_labels=1, problem_type="regression"), {},
        ),
        "multi_label": (
            "SequenceClassifier", dict(problem_type="multi_label_classification"), {},
        ),
    },
    lacks=(r"pooler\.",),
)  # fmt: skip
