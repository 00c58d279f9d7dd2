from case import heads

from . import bart

TABLES = r"embed_positions\.weight"  # of sines, which both sides make themselves
OWN = dict(share_encoder_decoder_embeddings=False)

CASES = heads(
    "marian",
    dict(
        bart.FIELDS,
        model_type="marian",
        activation_function="swish",
        scale_embedding=True,
        pad_token_id=36,
        bos_token_id=None,
        eos_token_id=0,
        decoder_start_token_id=36,
        forced_eos_token_id=0,
    ),
    {"Transformer": "MarianModel", "Seq2SeqLM": "MarianMTModel"},
    {
        "own_embeddings": ("Seq2SeqLM", OWN, {}),
        "own_embeddings_backbone": ("Transformer", OWN, {}),
        "untied": (
            "Seq2SeqLM", dict(tie_word_embeddings=False), dict(lacks=(TABLES, r"shared\.weight")),
        ),
        "own_embeddings_untied": ("Seq2SeqLM", dict(OWN, tie_word_embeddings=False), {}),
        "unscaled": ("Seq2SeqLM", dict(scale_embedding=False, activation_function="relu"), {}),
        "shallow_decoder": ("Seq2SeqLM", dict(decoder_layers=1), {}),
    },
    lacks=(TABLES,),
)  # fmt: skip
