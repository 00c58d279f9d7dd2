import dataclasses
import inspect
import json
import re

import pytest
import tiny

from keras_transformer import models
from keras_transformer.models import TransformerConfig
from keras_transformer.models import config as config_module


def number_of_parameters(config, embeddings):
    """What the paper's section 3 adds up to; pre-norm stacks have one more norm each."""
    d, f = config.hidden_dim, config.ffn_dim
    attention, feed_forward, norm = 4 * d * d + 4 * d, 2 * d * f + f + d, 2 * d
    encoder = attention + feed_forward + 2 * norm
    decoder = 2 * attention + feed_forward + 3 * norm
    final = 2 * norm if config.norm_first else 0
    blocks = config.num_encoder_layers * encoder + config.num_decoder_layers * decoder
    return blocks + final + embeddings * config.vocab_size * d


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("share, matrices", [("all", 1), ("target", 2), ("none", 3)])
def test_the_number_of_parameters(share, matrices, norm_first):
    settings = dict(share_embeddings=share, norm_first=norm_first, num_decoder_layers=3)
    model = models.Seq2SeqLM(tiny.config(**settings))
    assert model.count_params() == number_of_parameters(model.config, matrices)


def test_the_comments_beside_the_presets_are_their_number_of_parameters():
    source = inspect.getsource(config_module)
    stated = dict(re.findall(r'"(\w+)": dict\(  # ([\d,]+)', source))
    assert stated.keys() == config_module.PRESETS.keys()
    for name, number in stated.items():
        config = TransformerConfig.from_preset(name, vocab_size=11)
        assert f"{number_of_parameters(config, 0):,}" == number, name


def test_the_smallest_preset_has_its_number_of_parameters():
    model = models.Seq2SeqLM.from_preset("transformer_tiny", vocab_size=11)
    assert model.count_params() == number_of_parameters(model.config, 1) == 1_325_056 + 11 * 128


@pytest.mark.parametrize("name", config_module.PRESETS)
def test_a_preset_may_be_changed(name):
    config = TransformerConfig.from_preset(name, vocab_size=101, dropout=0.25, norm_first=True)
    assert (config.vocab_size, config.dropout, config.norm_first) == (101, 0.25, True)
    for field, value in config_module.PRESETS[name].items():
        assert field == "dropout" or getattr(config, field) == value


def test_json_and_back():
    config = tiny.config(activation="gelu", norm_first=True, share_embeddings="none")
    assert TransformerConfig.from_json(config.to_json()) == config
    assert TransformerConfig.from_dict(config.to_dict()) == config
    assert json.loads(config.to_json()) == config.to_dict()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.dropout = 0.5


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("vocab_size", 0, "vocab_size must be a positive integer; received 0"),
        ("num_encoder_layers", 0, "num_encoder_layers must be a positive integer; received 0"),
        ("num_decoder_layers", -2, "num_decoder_layers must be a positive integer; received -2"),
        ("hidden_dim", 14.0, "hidden_dim must be a positive integer; received 14.0"),
        ("ffn_dim", None, "ffn_dim must be a positive integer; received None"),
        ("max_length", 0, "max_length must be a positive integer; received 0"),
        ("num_heads", 4, "num_heads must divide hidden_dim .* received num_heads=4, hidden_dim"),
        ("dropout", 1.0, r"dropout must be a number in \[0, 1\); received 1.0"),
        ("attention_dropout", -0.1, r"attention_dropout must be .* received -0.1"),
        ("activation_dropout", "a", r"activation_dropout must be .* received 'a'"),
        ("share_embeddings", "both", "one of 'all', 'input', 'target', 'none'; received 'both'"),
        ("pad_id", -1, r"pad_id must be a token of the vocabulary, in \[0, 23\); received -1"),
        ("bos_id", 23, r"bos_id must be .* received 23"),
        ("eos_id", None, r"eos_id must be .* received None"),
    ],
)
def test_a_value_out_of_its_range_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        tiny.config(**{field: value})


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="hidden_dim must be even.* received 15"):
        tiny.config(hidden_dim=15, num_heads=3)


def test_unknown_and_missing_fields_are_named():
    with pytest.raises(ValueError, match=r"unknown configuration fields \['depth', 'width'\]"):
        TransformerConfig.from_dict({"vocab_size": 11, "width": 3, "depth": 2})
    with pytest.raises(ValueError, match="lacks vocab_size"):
        TransformerConfig.from_dict({"hidden_dim": 14})
    with pytest.raises(ValueError, match="lacks vocab_size"):
        models.Seq2SeqLM.from_preset("transformer_tiny")
    with pytest.raises(ValueError, match=r"unknown configuration fields \['width'\].*hidden_dim"):
        models.Seq2SeqLM.from_preset("transformer_tiny", vocab_size=11, width=3)


def test_an_unknown_preset_is_refused_with_those_known():
    with pytest.raises(ValueError, match="'transformer_big'.*; received 'transformer_huge'"):
        models.Seq2SeqLM.from_preset("transformer_huge", vocab_size=11)
