from case import heads

from . import bart, marian

CASES = heads(
    "pegasus",
    dict(
        bart.FIELDS,
        model_type="pegasus",
        activation_function="relu",
        scale_embedding=True,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    ),
    {"Transformer": "PegasusModel", "Seq2SeqLM": "PegasusForConditionalGeneration"},
    {
        "untied": (
            "Seq2SeqLM",
            dict(tie_word_embeddings=False),
            dict(lacks=(marian.TABLES, r"shared\.weight")),
        ),
        "unscaled": ("Seq2SeqLM", dict(scale_embedding=False, activation_function="gelu"), {}),
        "deep_decoder": ("Seq2SeqLM", dict(decoder_layers=3), {}),
    },
    lacks=(marian.TABLES,),
)
