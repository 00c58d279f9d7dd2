"""Backbones of KerasHub: their weights give the same outputs in our models."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer import models
from keras_transformer.checkpoints import from_keras_hub

V, B, T, S = 37, 2, 6, 7
SHAPE = dict(vocabulary_size=V, num_layers=2, hidden_dim=16, intermediate_dim=24)
ENCODER = dict(SHAPE, num_heads=4, max_sequence_length=12)
DECODER = dict(SHAPE, num_query_heads=4, num_key_value_heads=2)
# KerasHub's Qwen has its window on TensorFlow alone
QWEN_WINDOW = 3 if keras.backend.backend() == "tensorflow" else 300
# 1e-5 is what it normalises queries and keys with, whatever the configuration says
QWEN3 = dict(DECODER, head_dim=6, sliding_window_size=QWEN_WINDOW, layer_norm_epsilon=1e-5)
ELECTRA = {name: value for name, value in ENCODER.items() if name != "vocabulary_size"}
LLAMA3 = dict(
    rope_frequency_adjustment_factor=3.0,
    rope_low_freq_factor=1.0,
    rope_high_freq_factor=4.0,
    rope_pretraining_sequence_length=10,
)

# {name: (KerasHub's class, its configuration, our backbone)}
BACKBONES = {
    "bert": ("BertBackbone", ENCODER, models.TransformerEncoder),
    "distilbert": ("DistilBertBackbone", ENCODER, models.TransformerEncoder),
    "electra": (
        "ElectraBackbone",
        dict(ELECTRA, vocab_size=V, embedding_dim=8),
        models.TransformerEncoder,
    ),
    "roberta": ("RobertaBackbone", ENCODER, models.TransformerEncoder),
    "xlm_roberta": ("XLMRobertaBackbone", ENCODER, models.TransformerEncoder),
    "gpt2": ("GPT2Backbone", ENCODER, models.TransformerDecoder),
    "llama": ("LlamaBackbone", DECODER, models.TransformerDecoder),
    "llama_tied": (
        "LlamaBackbone",
        dict(DECODER, rope_max_wavelength=100, tie_word_embeddings=True),
        models.TransformerDecoder,
    ),
    "llama3": ("Llama3Backbone", dict(DECODER, **LLAMA3), models.TransformerDecoder),
    "mistral": ("MistralBackbone", dict(DECODER, sliding_window=3), models.TransformerDecoder),
    "mistral_linear": (
        "MistralBackbone",
        dict(DECODER, sliding_window=None, rope_scaling_factor=3.0),
        models.TransformerDecoder,
    ),
    "qwen_window": (
        "QwenBackbone",
        dict(DECODER, use_sliding_window_attention=True, sliding_window_size=QWEN_WINDOW),
        models.TransformerDecoder,
    ),
    "qwen": ("QwenBackbone", DECODER, models.TransformerDecoder),
    "qwen3": ("Qwen3Backbone", QWEN3, models.TransformerDecoder),
    "bart": ("BartBackbone", ENCODER, models.Transformer),
}


def make(name):
    """One of their backbones, all weights random."""
    keras_hub = pytest.importorskip("keras_hub")
    cls, config, _ = BACKBONES[name]
    backbone = getattr(keras_hub.models, cls)(**config)
    rng = np.random.default_rng(3)
    for weight in backbone.weights:
        center = weight.path.endswith(("gamma", "scale"))
        weight.assign(center + rng.normal(0.0, 0.25, weight.shape))
    return backbone


def padded(length, seed):
    tokens = np.random.default_rng(seed).integers(5, V, (B, length)).astype("int32")
    mask = np.ones((B, length), bool)
    mask[1, -2:] = False
    return np.where(mask, tokens, 0), mask


def inputs_of(backbone):
    if "encoder_token_ids" in backbone.input:
        (source, source_mask), (target, target_mask) = padded(S, 1), padded(T, 2)
        return {
            "encoder_token_ids": source,
            "encoder_padding_mask": source_mask,
            "decoder_token_ids": target,
            "decoder_padding_mask": target_mask,
        }
    tokens, mask = padded(T, 1)
    inputs = {"token_ids": tokens, "padding_mask": mask}
    if "segment_ids" in backbone.input:
        inputs["segment_ids"] = np.tile(np.arange(T) > 2, (B, 1)).astype("int32")
    return inputs


def hidden_states(backbone, inputs):
    found = backbone({name: np.asarray(x, "int32") for name, x in inputs.items()})
    if isinstance(found, dict):
        found = found.get("sequence_output", found.get("decoder_sequence_output"))
    return ops.convert_to_numpy(found)


def same(ours, theirs, tolerance=1e-5):
    real = padded(T, 1)[1]
    ours, theirs = ops.convert_to_numpy(ours)[real], theirs[real]
    scale = max(1.0, np.abs(theirs).max())
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("name", BACKBONES)
def test_hidden_states_are_those_of_keras_hub_and_may_be_written(name, tmp_path):
    backbone = make(name)
    inputs, cls = inputs_of(backbone), BACKBONES[name][2]
    model, expected = from_keras_hub(cls, backbone), hidden_states(backbone, inputs)
    same(model(inputs), expected)
    model.save_pretrained(tmp_path)
    same(cls.from_pretrained(tmp_path)(inputs), expected)


@pytest.mark.parametrize("name", ["gpt2", "llama", "llama_tied"])
def test_a_language_model_has_its_output_embedding(name):
    backbone = make(name)
    inputs = inputs_of(backbone)
    hidden = ops.convert_to_tensor(hidden_states(backbone, inputs))
    expected = ops.convert_to_numpy(backbone.token_embedding(hidden, reverse=True))
    model = from_keras_hub(models.CausalLM, backbone, eos_id=3)
    same(model(inputs), expected)
    assert model.config.eos_id == 3


def test_a_language_model_of_two_stacks_has_its_output_embedding():
    backbone = make("bart")
    inputs = inputs_of(backbone)
    hidden = ops.convert_to_tensor(hidden_states(backbone, inputs))
    expected = ops.convert_to_numpy(backbone.token_embedding(hidden, reverse=True))
    same(from_keras_hub(models.Seq2SeqLM, backbone)(inputs), expected)


def test_a_classifier_has_the_pooler_of_bert_and_new_classes():
    backbone = make("bert")
    inputs = inputs_of(backbone)
    expected = backbone({name: np.asarray(x, "int32") for name, x in inputs.items()})
    with pytest.warns(UserWarning, match="BertBackbone has no weights for classes/kernel"):
        model = from_keras_hub(models.SequenceClassifier, backbone, num_classes=3)
    pooled = model.pooler(model.backbone(inputs)[:, 0])
    theirs = ops.convert_to_numpy(expected["pooled_output"])
    np.testing.assert_allclose(ops.convert_to_numpy(pooled), theirs, rtol=0, atol=1e-5)
    assert model(inputs).shape == (B, 3)


@pytest.mark.parametrize(
    "name, head, arguments",
    [
        ("electra", "TokenClassifier", {"num_classes": 3}),
        ("electra", "SpanExtractor", {}),
        ("electra", "MaskedLM", {}),
        ("gpt2", "DecoderClassifier", {"num_classes": 3}),
    ],
)
def test_the_weights_of_other_heads_are_new(name, head, arguments):
    backbone = make(name)
    with pytest.warns(UserWarning, match="Backbone has no weights for"):
        model = from_keras_hub(getattr(models, head), backbone, **arguments)
    same(model.backbone(inputs_of(backbone)), hidden_states(backbone, inputs_of(backbone)))


def test_a_setting_that_keras_hub_ignores_is_refused():
    keras_hub = pytest.importorskip("keras_hub")
    backbone = keras_hub.models.LlamaBackbone(**DECODER, rope_position_scaling_factor=3.0)
    with pytest.raises(ValueError, match="rope_position_scaling_factor=3.0 is not supported"):
        from_keras_hub(models.CausalLM, backbone)


def test_other_backbones_and_heads_are_refused():
    with pytest.raises(ValueError, match="must be one of KerasHub's BertBackbone, .* Sequential"):
        from_keras_hub(models.CausalLM, keras.Sequential())
    with pytest.raises(ValueError, match="BertBackbone has no CausalLM; it has MaskedLM"):
        from_keras_hub(models.CausalLM, make("bert"))
    with pytest.raises(ValueError, match="pass num_classes"):
        from_keras_hub(models.SequenceClassifier, make("bert"))
