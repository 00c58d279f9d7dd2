"""What a model cannot read is refused by name, and so is what a configuration cannot hold."""

import numpy as np
import pytest

from keras_transformer import layers, models
from keras_transformer.models import EncoderConfig, TransformerConfig

IDS = np.ones((2, 5), "int32")


def seq2seq():
    return models.Seq2SeqLM.from_preset(
        "transformer_tiny", vocab_size=11, num_encoder_layers=1, num_decoder_layers=1
    )


@pytest.mark.parametrize("shapes", [((1, 5), (4, 3)), ((5,), (2, 3)), ((2, 5), (3,))])
def test_sources_and_targets_are_as_many(shapes):
    source, target = (np.ones(shape, "int32") for shape in shapes)
    with pytest.raises(ValueError, match="encoder_token_ids.*as many rows"):
        seq2seq()({"encoder_token_ids": source, "decoder_token_ids": target})


def test_token_ids_have_two_axes():
    config = EncoderConfig(vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    encoder = models.TransformerEncoder(config)
    assert encoder(IDS).shape[:2] == IDS.shape
    with pytest.raises(ValueError, match=r"token_ids must be \(B, T\)"):
        encoder(IDS[0])


@pytest.mark.parametrize("shape", [(3, 8), (2, 2, 3, 8)])
def test_attention_takes_three_axes(shape):
    with pytest.raises(ValueError, match=r"takes \(B, T, D\)"):
        layers.MultiHeadSelfAttention(2)(np.ones(shape, "float32"))


def test_attention_to_nothing_is_refused():
    with pytest.raises(ValueError, match="context"):
        layers.MultiHeadCrossAttention(2)(np.ones((2, 3, 8), "float32"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("norm_first", "no"),
        ("gated", 1),
        ("embedding_norm", None),
        ("initializer_range", "a"),
        ("logit_scale", True),
        ("position_options", 3),
        ("dropout", "0.1"),
    ],
)
def test_fields_of_another_type_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} must be .*received {value!r}"):
        TransformerConfig(vocab_size=11, **{field: value})


def test_none_is_taken_where_it_may_be():
    config = EncoderConfig(vocab_size=11, initializer_range=None, dropout=0)
    assert config.use_attention_bias is None
    with pytest.raises(ValueError, match="use_attention_bias must be True or False or None"):
        EncoderConfig(vocab_size=11, use_attention_bias="yes")
