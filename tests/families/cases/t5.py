from case import heads

FIELDS = dict(
    vocab_size=37,
    d_model=16,
    d_kv=6,
    d_ff=24,
    num_layers=2,
    num_heads=3,
    relative_attention_num_buckets=8,
    relative_attention_max_distance=10,
    pad_token_id=0,
    eos_token_id=1,
    decoder_start_token_id=0,
)
ONE_POINT_ONE = dict(tie_word_embeddings=False, feed_forward_proj="gated-gelu")

CASES = heads(
    "t5",
    dict(model_type="t5", **FIELDS),
    {
        "Transformer": "T5Model",
        "Seq2SeqLM": "T5ForConditionalGeneration",
        "Seq2SeqClassifier": "T5ForSequenceClassification",
        "Seq2SeqSpanExtractor": "T5ForQuestionAnswering",
        "TransformerEncoder": "T5EncoderModel",
        "TokenClassifier": "T5ForTokenClassification",
    },
    {
        "1.1": ("Seq2SeqLM", ONE_POINT_ONE, dict(untied=True)),
        "untied_relu": ("Seq2SeqLM", dict(tie_word_embeddings=False), dict(untied=True)),
        "gated_silu": ("Transformer", dict(feed_forward_proj="gated-silu"), {}),
        "shallow_decoder": (
            "Seq2SeqLM", dict(num_decoder_layers=1, layer_norm_epsilon=1e-3), {},
        ),
        "left": ("Seq2SeqLM", dict(d_kv=5, num_heads=4), dict(left=True)),
        "gated_encoder": ("TransformerEncoder", ONE_POINT_ONE, dict(left=True)),
        "many_buckets": (
            "Transformer",
            dict(relative_attention_num_buckets=32, relative_attention_max_distance=128),
            {},
        ),
    },
)  # fmt: skip
