import json

import keras
import numpy as np
import pytest

from keras_transformer import models
from keras_transformer.checkpoints import load_weights, save_weights

INPUTS = {
    "encoder_token_ids": np.array([[5, 7, 4], [8, 6, 0]], "int32"),
    "encoder_padding_mask": np.array([[True, True, True], [True, True, False]]),
    "decoder_token_ids": np.array([[2, 9], [2, 4]], "int32"),
}


def make(**settings):
    sizes = dict(num_encoder_layers=1, num_decoder_layers=1, hidden_dim=6, num_heads=2, ffn_dim=7)
    return models.Seq2SeqLM(models.TransformerConfig(**{"vocab_size": 11, **sizes, **settings}))


def logits(model):
    return keras.ops.convert_to_numpy(model(INPUTS))


@pytest.fixture
def folder(tmp_path):
    make().save_pretrained(tmp_path / "new" / "model")
    return tmp_path / "new" / "model"


def edit_config(folder, **changes):
    path = folder / "config.json"
    fields = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: v for name, v in fields.items() if v is not None}))


@pytest.mark.parametrize("share", ["all", "target", "none"])
def test_saved_equals_loaded(share, tmp_path):
    model = make(share_embeddings=share, norm_first=True, activation="gelu")
    model.save_pretrained(tmp_path)
    again = models.Seq2SeqLM.from_pretrained(tmp_path)
    assert again.config == model.config
    np.testing.assert_array_equal(logits(again), logits(model))


def test_a_folder_holds_two_files(folder):
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]
    fields = json.loads((folder / "config.json").read_text())
    assert fields["model_type"] == "keras_transformer" and fields["hidden_dim"] == 6
    assert fields["architectures"] == ["Seq2SeqLM"]
    names = load_weights(folder / "model.safetensors").keys()
    assert "backbone/encoder/block_0/self_attention/query/kernel" in names
    assert not any("seq2_seq" in name for name in names)


def test_a_second_model_replaces_the_first(folder):
    model = make(hidden_dim=10)
    model.save_pretrained(folder)
    np.testing.assert_array_equal(logits(models.Seq2SeqLM.from_pretrained(folder)), logits(model))


def test_the_dtype_of_the_model_may_be_another(folder):
    model = models.Seq2SeqLM.from_pretrained(folder, dtype="mixed_bfloat16")
    assert keras.backend.standardize_dtype(model(INPUTS).dtype) == "bfloat16"
    assert all(variable.dtype == "float32" for variable in model.weights)


def test_what_is_not_there_is_named(folder):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        models.Seq2SeqLM.from_pretrained(folder / "nowhere")
    (folder / "model.safetensors").rename(folder / "hidden")
    with pytest.raises(FileNotFoundError, match="model.safetensors"):
        models.Seq2SeqLM.from_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="config.json is missing"):
        models.Seq2SeqLM.from_pretrained(folder)


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "config.json is not valid JSON"),
        ("[]", "config.json must hold an object; received list"),
        ("{}", "model_type None is not known"),
        ('{"model_type": "marian-2"}', "model_type 'marian-2' is not known; known are .*bert"),
    ],
)
def test_a_configuration_that_is_none_is_refused(folder, text, message):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        models.Seq2SeqLM.from_pretrained(folder)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"depth": 3}, r"unknown configuration fields \['depth'\]"),
        ({"vocab_size": None}, "lacks vocab_size"),
        ({"num_heads": 4}, "num_heads must divide hidden_dim"),
        ({"dropout": "much"}, "dropout must be a number"),
        ({"pad_id": "<pad>"}, "pad_id must be a token"),
    ],
)
def test_a_field_that_does_not_fit_is_named_with_its_file(folder, changes, message):
    edit_config(folder, **changes)
    with pytest.raises(ValueError, match=f"config.json: .*{message}"):
        models.Seq2SeqLM.from_pretrained(folder)


def test_all_weights_that_do_not_fit_are_listed(folder):
    weights = load_weights(folder / "model.safetensors")
    missing = "backbone/encoder/block_0/self_attention/query/kernel"
    misshapen = "backbone/decoder/block_0/feed_forward/inner/bias"
    del weights[missing]
    weights[misshapen] = np.zeros(8, "float32")
    weights["head/extra"] = np.zeros(3, "float32")
    save_weights(folder / "model.safetensors", weights)
    with pytest.raises(ValueError) as error:
        models.Seq2SeqLM.from_pretrained(folder)
    text = str(error.value)
    assert f"missing: {missing}" in text and "unexpected: head/extra" in text
    assert f"of another shape: {misshapen} is (8,), the model's is (7,)" in text
    assert "model.safetensors" in text


def test_weights_of_another_configuration_are_refused(folder):
    edit_config(folder, num_decoder_layers=2)
    with pytest.raises(ValueError, match="missing: backbone/decoder/block_1"):
        models.Seq2SeqLM.from_pretrained(folder)
    edit_config(folder, num_decoder_layers=1, share_embeddings="target")
    with pytest.raises(ValueError, match="missing: backbone/encoder/token_embedding/embeddings"):
        models.Seq2SeqLM.from_pretrained(folder)


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(folder, size):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match="model.safetensors"):
        models.Seq2SeqLM.from_pretrained(folder)
