from case import heads

CASES = heads(
    "distilbert",
    dict(
        model_type="distilbert",
        vocab_size=37,
        n_layers=2,
        dim=16,
        n_heads=4,
        hidden_dim=24,
        max_position_embeddings=12,
        pad_token_id=0,
    ),
    {
        "TransformerEncoder": "DistilBertModel",
        "SequenceClassifier": "DistilBertForSequenceClassification",
        "TokenClassifier": "DistilBertForTokenClassification",
        "SpanExtractor": "DistilBertForQuestionAnswering",
        "MaskedLM": "DistilBertForMaskedLM",
    },
    {
        "untied": ("MaskedLM", dict(tie_word_embeddings=False), {}),
        "relu": ("MaskedLM", dict(activation="relu"), {}),
        "gelu_new": ("SequenceClassifier", dict(activation="gelu_new"), {}),
        "sinusoidal": ("MaskedLM", dict(sinusoidal_pos_embds=True), {}),
        "left": ("TransformerEncoder", {}, dict(left=True)),
        "dropout": ("SequenceClassifier", dict(seq_classif_dropout=0.3), {}),
        "span_dropout": ("SpanExtractor", dict(qa_dropout=0.3), {}),
        "regression": (
            "SequenceClassifier", dict(num_labels=1, problem_type="regression"), {},
        ),
        "multi_label": (
            "SequenceClassifier", dict(problem_type="multi_label_classification"), {},
        ),
    },
)  # fmt: skip
