from case import heads

from . import bart

CASES = heads(
    "mbart",
    dict(model_type="mbart", **bart.FIELDS),
    {"Transformer": "MBartModel", "Seq2SeqLM": "MBartForConditionalGeneration"},
    {
        "untied": ("Seq2SeqLM", dict(tie_word_embeddings=False), bart.UNTIED),
        "scaled": ("Seq2SeqLM", dict(scale_embedding=True, activation_function="gelu_new"), {}),
        "no_start": ("Seq2SeqLM", dict(decoder_start_token_id=None, decoder_layers=3), {}),
    },
)
