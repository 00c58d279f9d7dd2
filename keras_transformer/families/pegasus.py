"""Pegasus.

Zhang et al. 2020, "PEGASUS: Pre-training with Extracted Gap-sentences for Abstractive
Summarization", section 6.
"""

import dataclasses

from keras_transformer.families import bart, marian
from keras_transformer.families.bart import BART
from keras_transformer.families.family import Size
from keras_transformer.models import Transformer

DEFAULTS = dict(
    bart.DEFAULTS,
    pad_token_id=0,
    bos_token_id=None,
    eos_token_id=1,
    decoder_start_token_id=0,
)


def to_config(fields):
    """Their configuration as ours."""
    return bart.translated(
        {**DEFAULTS, **fields},
        positions="sinusoidal",
        position_options={"layout": "concatenated"},
        norm_first=True,
    )


LARGE = dict(
    vocab_size=96103,
    encoder_layers=16,
    decoder_layers=16,
    activation_function="relu",
    scale_embedding=True,
    **bart.RATES,
)

PEGASUS = dataclasses.replace(
    BART,
    model_type="pegasus",
    to_config=to_config,
    heads=bart.heads("PegasusModel", "PegasusForConditionalGeneration"),
    ignored=marian.IGNORED,
    sizes={
        "pegasus-large": Size(Transformer, LARGE, 568_699_904),
        "pegasus-xsum": Size(Transformer, dict(LARGE, max_position_embeddings=512), 568_699_904),
    },
)
