"""The encoders of T5 and mT5 alone, as `T5EncoderModel` publishes them.

Ni et al. 2022, "Sentence-T5: Scalable Sentence Encoders from Pre-trained Text-to-Text Models".
"""

import dataclasses

from keras_transformer.families import t5
from keras_transformer.families.family import Family, PublishedHead, from_classes, to_classes
from keras_transformer.families.tables import Row, dense
from keras_transformer.models import SentenceEmbedder, TokenClassifier, TransformerEncoder

OF_THE_WHOLE = ("num_encoder_layers", "eos_id")
NAMES = {
    "num_layers": "num_layers",
    **{ours: theirs for ours, theirs in t5.NAMES.items() if ours not in OF_THE_WHOLE},
}


def from_config(config):
    """Our encoder's configuration as theirs."""
    return {
        **{theirs: getattr(config, ours) for ours, theirs in NAMES.items()},
        **t5.from_parts(config),
        "is_encoder_decoder": False,
    }


def table(config):
    """The weights of the encoder."""
    rows = t5.stack("encoder", config.num_layers, ("self_attention",), config.gated)
    return [
        Row(
            "shared.weight",
            ("token_embedding/embeddings",),
            also=("encoder.embed_tokens.weight",),
        ),
        *(
            dataclasses.replace(
                row, ours=tuple(name.removeprefix("encoder/") for name in row.ours)
            )
            for row in rows
        ),
    ]


def to_token_classifier(fields):
    """The arguments of a classifier of tokens."""
    return {**to_classes(fields), "head_dropout": fields.get("classifier_dropout") or 0.0}


def from_token_classifier(model):
    """Their published fields."""
    return {**from_classes(model), "classifier_dropout": model.head_dropout}


def encoder(whole, name):
    """The encoder of a family, whose published classes begin with a name."""
    return Family(
        model_type=whole.model_type,
        backbone=TransformerEncoder,
        prefix="",
        to_config=lambda fields: whole.to_config(
            {**fields, "is_encoder_decoder": True}  # which files of an encoder alone deny
        ).encoder_config(),
        from_config=from_config,
        table=table,
        heads={
            TransformerEncoder: PublishedHead(f"{name}EncoderModel"),
            SentenceEmbedder: PublishedHead(f"{name}EncoderModel"),
            TokenClassifier: PublishedHead(
                f"{name}ForTokenClassification",
                lambda config: dense("classes", "classifier"),
                to_token_classifier,
                from_token_classifier,
                prefix="transformer.",
            ),
        },
        ignored=(
            r"encoder\.embed_tokens\.weight",
            r"decoder\..*",
            r"(lm_head|qa_outputs|classification_head)\..*",
        ),
    )


T5 = dataclasses.replace(t5.T5, others=(encoder(t5.T5, "T5"),))
MT5 = dataclasses.replace(t5.MT5, others=(encoder(t5.MT5, "MT5"),))
