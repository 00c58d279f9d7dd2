"""mBART: BART with norms before sublayers, for many languages.

Liu et al. 2020, "Multilingual Denoising Pre-training for Neural Machine Translation", section 2.2;
Tang et al. 2020, "Multilingual Translation with Extensible Multilingual Pretraining and
Finetuning", for mBART-50.
"""

import dataclasses

from keras_transformer.families import bart
from keras_transformer.families.bart import BART
from keras_transformer.families.family import Size
from keras_transformer.models import Transformer

# The decoder starts with the target's language, which is another one in each example
DEFAULTS = dict(bart.DEFAULTS, decoder_start_token_id=None)


def to_config(fields):
    """Their configuration as ours."""
    return bart.translated(
        {**DEFAULTS, **fields},
        positions="learned",
        position_options={"start": 2},
        embedding_norm=True,
        norm_first=True,
    )


MBART = dataclasses.replace(
    BART,
    model_type="mbart",
    to_config=to_config,
    heads={
        **bart.heads("MBartModel", "MBartForConditionalGeneration"),
        **bart.readers("MBart", decoder_start="last"),
    },
    sizes={
        "mbart-large-cc25": Size(
            Transformer,
            dict(vocab_size=250027, scale_embedding=True, attention_dropout=0.1),
            610_851_840,
        ),
        "mbart-large-50": Size(
            Transformer,
            dict(vocab_size=250054, scale_embedding=True, decoder_start_token_id=2),
            610_879_488,
        ),
    },
)
