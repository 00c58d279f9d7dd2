from case import heads

from . import bart

CASES = heads(
    "mbart",
    dict(model_type="mbart", **bart.FIELDS),
    {
        "Transformer": "MBartModel",
        "Seq2SeqLM": "MBartForConditionalGeneration",
        "Seq2SeqClassifier": "MBartForSequenceClassification",
        "Seq2SeqSpanExtractor": "MBartForQuestionAnswering",
    },
    {
        "untied": ("Seq2SeqLM", dict(tie_word_embeddings=False), bart.UNTIED),
        "language": ("Seq2SeqClassifier", dict(decoder_start_token_id=4), {}),
        "scaled": ("Seq2SeqLM", dict(scale_embedding=True, activation_function="gelu_new"), {}),
        "no_start": ("Seq2SeqLM", dict(decoder_start_token_id=None, decoder_layers=3), {}),
    },
)
