from case import heads

CASES = heads(
    "electra",
    dict(
        model_type="electra",
        vocab_size=37,
        embedding_size=8,
        num_hidden_layers=2,
        hidden_size=16,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=12,
        type_vocab_size=2,
        pad_token_id=0,
    ),
    {
        "TransformerEncoder": "ElectraModel",
        "SequenceClassifier": "ElectraForSequenceClassification",
        "TokenClassifier": "ElectraForTokenClassification",
        "SpanExtractor": "ElectraForQuestionAnswering",
        "MaskedLM": "ElectraForMaskedLM",
        "ReplacedTokenDetector": "ElectraForPreTraining",
    },
    {
        "wide_embedding": ("MaskedLM", dict(embedding_size=20), {}),
        "unprojected": ("MaskedLM", dict(embedding_size=16), {}),
        "unprojected_encoder": ("TransformerEncoder", dict(embedding_size=16), {}),
        "untied": ("MaskedLM", dict(tie_word_embeddings=False), {}),
        "relu": ("MaskedLM", dict(hidden_act="relu", layer_norm_eps=1e-3), {}),
        "silu": ("SequenceClassifier", dict(hidden_act="silu"), {}),
        "discriminator": ("ReplacedTokenDetector", dict(hidden_act="relu"), {}),
        "left": ("TransformerEncoder", {}, dict(left=True)),
        "dropout": ("SequenceClassifier", dict(classifier_dropout=0.25), {}),
        "token_dropout": ("TokenClassifier", dict(classifier_dropout=0.25), {}),
        "regression": (
            "SequenceClassifier", dict(num_labels=1, problem_type="regression"), {},
        ),
        "multi_label": (
            "SequenceClassifier", dict(problem_type="multi_label_classification"), {},
        ),
    },
)  # fmt: skip
