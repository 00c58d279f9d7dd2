"""Marian, with the translation models of OPUS-MT.

Junczys-Dowmunt et al. 2018, "Marian: Fast Neural Machine Translation in C++"; Tiedemann and
Thottingal 2020, "OPUS-MT: Building open translation services for the World", section 2.
"""

import dataclasses

from keras_transformer.families import bart
from keras_transformer.families.bart import BART
from keras_transformer.families.family import Size, need
from keras_transformer.models import Transformer

DEFAULTS = dict(
    bart.DEFAULTS,
    vocab_size=58101,
    share_encoder_decoder_embeddings=True,
    pad_token_id=58100,
    bos_token_id=None,
    eos_token_id=0,
    decoder_start_token_id=58100,
)


def to_config(fields):
    """Their configuration as ours."""
    fields = {**DEFAULTS, **fields}
    need(fields, "decoder_vocab_size", fields["vocab_size"], None)
    # Where source and target share their embeddings, but not with the output, these are three all
    # the same
    separate = "target" if fields["tie_word_embeddings"] else "none"
    shares = fields["share_encoder_decoder_embeddings"] and fields["tie_word_embeddings"]
    return bart.translated(
        fields,
        share_embeddings="all" if shares else separate,
        positions="sinusoidal",
        position_options={"layout": "concatenated"},
    )


def from_config(config):
    """Our configuration as theirs."""
    return {
        **bart.from_config(config),
        "decoder_vocab_size": config.vocab_size,
        "share_encoder_decoder_embeddings": config.share_embeddings == "all",
        "tie_word_embeddings": config.share_embeddings in ("all", "target"),
    }


# The tables of sines that some files carry are a formula; see `layers.PositionalEncoding`
IGNORED = (*bart.IGNORED, r"(encoder|decoder)\.embed_positions\.weight")

MARIAN = dataclasses.replace(
    BART,
    model_type="marian",
    to_config=to_config,
    from_config=from_config,
    heads=bart.heads("MarianModel", "MarianMTModel"),
    ignored=IGNORED,
    sizes={
        "opus-mt-en-de": Size(
            Transformer,
            dict(
                d_model=512,
                encoder_layers=6,
                decoder_layers=6,
                encoder_attention_heads=8,
                decoder_attention_heads=8,
                encoder_ffn_dim=2048,
                decoder_ffn_dim=2048,
                max_position_embeddings=512,
                activation_function="swish",
                scale_embedding=True,
            ),
            73_886_208,
        )
    },
)
