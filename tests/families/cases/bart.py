from case import heads

FIELDS = dict(
    vocab_size=37,
    d_model=16,
    encoder_layers=2,
    decoder_layers=2,
    encoder_attention_heads=4,
    decoder_attention_heads=4,
    encoder_ffn_dim=24,
    decoder_ffn_dim=24,
    max_position_embeddings=12,
    pad_token_id=1,
    bos_token_id=0,
    eos_token_id=2,
    decoder_start_token_id=2,
)
UNTIED = dict(lacks=(r"shared\.weight",))  # which nothing uses there

CASES = heads(
    "bart",
    dict(model_type="bart", **FIELDS),
    {
        "Transformer": "BartModel",
        "Seq2SeqLM": "BartForConditionalGeneration",
        "Seq2SeqClassifier": "BartForSequenceClassification",
        "Seq2SeqSpanExtractor": "BartForQuestionAnswering",
    },
    {
        "untied": ("Seq2SeqLM", dict(tie_word_embeddings=False), UNTIED),
        "untied_backbone": ("Transformer", dict(tie_word_embeddings=False), UNTIED),
        "scaled": ("Seq2SeqLM", dict(scale_embedding=True, activation_function="relu"), {}),
        "shallow_decoder": ("Seq2SeqLM", dict(decoder_layers=1, activation_function="tanh"), {}),
    },
)
