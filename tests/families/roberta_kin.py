"""RoBERTa under other names."""

from case import heads


def roberta_kin(family, model_type, prefix):
    """The cases of a family that is RoBERTa under another name."""
    return heads(
        family,
        dict(
            model_type=model_type,
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
            "TransformerEncoder": f"{prefix}Model",
            "SequenceClassifier": f"{prefix}ForSequenceClassification",
            "TokenClassifier": f"{prefix}ForTokenClassification",
            "SpanExtractor": f"{prefix}ForQuestionAnswering",
            "MaskedLM": f"{prefix}ForMaskedLM",
        },
        {
            "untied": (
                "MaskedLM",
                dict(tie_word_embeddings=False),
                dict(lacks=(r"lm_head\.bias",)),
            ),
            "left": ("MaskedLM", {}, dict(left=True, counts=True)),
        },
        lacks=(r"pooler\.",),
    )
