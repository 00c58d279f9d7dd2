"""Folders in the published layout: what is read, and what is refused before memory is taken."""

import json

import keras
import ml_dtypes
import numpy as np
import pytest

from keras_transformer import models
from keras_transformer.checkpoints import load_weights, save_weights
from keras_transformer.checkpoints.weight_table import outline

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SIZES = dict(vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=6, max_length=9)
TOKENS = {"token_ids": np.array([[5, 6, 7], [8, 9, 0]]), "padding_mask": np.arange(3) < [[3], [2]]}


def encoder_config():
    return models.EncoderConfig(**SIZES, num_segments=2, initializer_range=0.3)


def values(x):
    return keras.ops.convert_to_numpy(x)


@pytest.fixture
def folder(tmp_path):
    """A masked language model in BERT's layout."""
    models.MaskedLM(encoder_config()).save_pretrained(tmp_path / "bert", family="bert")
    return tmp_path / "bert"


def outputs(folder, **more):
    return values(models.MaskedLM.from_pretrained(folder, **more)(TOKENS))


def edit(folder, name, **changes):
    fields = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**fields, **changes}))


def split(folder):
    """The same weights in two files with an index."""
    weights = load_weights(folder / WEIGHTS)
    names = sorted(weights)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, part in parts.items():
        save_weights(folder / file, {name: weights[name] for name in part})
    (folder / WEIGHTS).unlink()
    index = {name: file for file, part in parts.items() for name in part}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return index


def rewrite(folder, change):
    weights = load_weights(folder / WEIGHTS)
    change(weights)
    save_weights(folder / WEIGHTS, weights)


# what is read


def test_parts_with_an_index(folder):
    expected = outputs(folder)
    split(folder)
    np.testing.assert_array_equal(outputs(folder), expected)


@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16])
def test_files_of_half_precision_become_float32(folder, dtype):
    def cast(to):
        weights = load_weights(folder / WEIGHTS)
        save_weights(folder / WEIGHTS, {name: w.astype(to) for name, w in weights.items()})

    cast(dtype)
    model = models.MaskedLM.from_pretrained(folder)
    assert {variable.dtype for variable in model.weights} == {"float32"}
    cast("float32")  # the rounded values, in full precision
    np.testing.assert_array_equal(values(model(TOKENS)), outputs(folder))


def test_names_of_early_checkpoints(folder):
    expected = outputs(folder)

    def rename(weights):
        for name in [name for name in weights if "LayerNorm" in name]:
            old = name.replace("LayerNorm.weight", "LayerNorm.gamma")
            old = old.replace("LayerNorm.bias", "LayerNorm.beta")
            weights[old] = weights.pop(name)
        tied = weights["bert.embeddings.word_embeddings.weight"]
        weights["cls.predictions.decoder.weight"] = tied
        weights["cls.seq_relationship.weight"] = np.zeros((2, 8), "float32")

    rewrite(folder, rename)
    np.testing.assert_array_equal(outputs(folder), expected)


def test_a_new_head_starts_with_random_weights_and_a_warning(folder):
    with pytest.warns(UserWarning, match="no weights for pooler/kernel, pooler/bias, classes"):
        model = models.SequenceClassifier.from_pretrained(folder, num_classes=3)
    assert model(TOKENS).shape == (2, 3)
    assert np.std(values(model.classes.kernel)) > 0.1  # that of initializer_range
    backbone = models.TransformerEncoder.from_pretrained(folder)
    np.testing.assert_array_equal(values(backbone(TOKENS)), values(model.backbone(TOKENS)))


def test_a_backbone_alone_has_no_prefix_and_fits_a_head(folder, tmp_path):
    backbone = models.TransformerEncoder.from_pretrained(folder)
    backbone.save_pretrained(tmp_path / "bare")
    assert "embeddings.word_embeddings.weight" in load_weights(tmp_path / "bare" / WEIGHTS)
    with pytest.warns(UserWarning, match="no weights for classes/kernel"):
        model = models.TokenClassifier.from_pretrained(tmp_path / "bare", num_classes=2)
    np.testing.assert_array_equal(values(model.backbone(TOKENS)), values(backbone(TOKENS)))


def test_fields_and_arguments_may_be_changed(folder):
    model = models.MaskedLM.from_pretrained(folder, dropout=0.4, dtype="mixed_bfloat16")
    assert model.config.dropout == 0.4 and model.compute_dtype == "bfloat16"
    with pytest.raises(ValueError, match=r"unknown configuration fields \['dropuot'\]"):
        models.MaskedLM.from_pretrained(folder, dropuot=0.4)


def test_labels_survive(folder, tmp_path):
    model = models.SequenceClassifier(encoder_config(), num_classes=2)
    model.save_pretrained(tmp_path / "a", family="bert")
    edit(tmp_path / "a", "config.json", id2label={"0": "bad", "1": "good"})
    models.SequenceClassifier.from_pretrained(tmp_path / "a").save_pretrained(tmp_path / "b")
    fields = json.loads((tmp_path / "b" / "config.json").read_text())
    assert fields["id2label"] == {"0": "bad", "1": "good"}
    assert fields["architectures"] == ["BertForSequenceClassification"]


@pytest.mark.parametrize("pooling, normalize", [("mean", True), ("first", False), ("max", True)])
def test_sentence_embedders_keep_their_pooling(tmp_path, pooling, normalize):
    model = models.SentenceEmbedder(encoder_config(), pooling=pooling, normalize=normalize)
    model.save_pretrained(tmp_path, family="bert")
    again = models.SentenceEmbedder.from_pretrained(tmp_path)
    assert (again.pooling, again.normalize) == (pooling, normalize)
    np.testing.assert_array_equal(values(again(TOKENS)), values(model(TOKENS)))


def test_a_module_of_another_kind_is_refused(tmp_path):
    models.SentenceEmbedder(encoder_config()).save_pretrained(tmp_path, family="bert")
    kind = "sentence_transformers.models.Dense"
    modules = [{"idx": 0, "name": "0", "path": "2_Dense", "type": kind}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match="modules.json has a module .*Dense"):
        models.SentenceEmbedder.from_pretrained(tmp_path)


# what is refused


def test_a_classifier_needs_its_number_of_classes(folder):
    with pytest.raises(ValueError, match="pass num_classes"):
        models.SequenceClassifier.from_pretrained(folder)


def test_a_folder_without_configuration(folder):
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="config.json is missing"):
        outputs(folder)


def test_an_unknown_family_is_refused_with_those_known(folder):
    edit(folder, "config.json", model_type="mamba")
    with pytest.raises(ValueError, match="'mamba' is not known; known are .*bert"):
        outputs(folder)


def test_a_head_that_the_family_lacks(folder):
    with pytest.raises(ValueError, match="bert has no CausalLM; it has .*MaskedLM"):
        models.CausalLM.from_pretrained(folder)


def test_a_truncated_file(folder):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-50])
    with pytest.raises(ValueError, match="model.safetensors is damaged"):
        outputs(folder)


def test_all_that_does_not_fit_is_listed(folder):
    def damage(weights):
        del weights["bert.embeddings.LayerNorm.bias"]
        weights["bert.embeddings.position_embeddings.weight"] = np.zeros((10, 8), "float32")
        weights["bert.extra"] = np.zeros(3, "float32")

    rewrite(folder, damage)
    with pytest.raises(ValueError) as error:
        outputs(folder)
    assert "missing: bert.embeddings.LayerNorm.bias" in str(error.value)
    assert "unexpected: bert.extra" in str(error.value)
    assert "position_embeddings.weight is (10, 8), the model's (9, 8)" in str(error.value)


@pytest.mark.parametrize("name", ["../model-1.safetensors", "/etc/passwd", "a/b.safetensors"])
def test_an_index_that_names_a_file_outside(folder, name):
    index = split(folder)
    index[next(iter(index))] = name
    (folder / INDEX).write_text(json.dumps({"weight_map": index}))
    with pytest.raises(ValueError, match="files must lie in the folder itself"):
        outputs(folder)


def test_an_index_that_names_what_no_file_has(folder):
    index = split(folder)
    index["ghost"] = "model-1.safetensors"
    (folder / INDEX).write_text(json.dumps({"weight_map": index}))
    with pytest.raises(ValueError, match="names tensors that no file has: .*ghost"):
        outputs(folder)
    (folder / "model-2.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="model-2.safetensors is missing"):
        outputs(folder)


@pytest.mark.parametrize(
    "field, value",
    [("vocab_size", 10**12), ("num_hidden_layers", 10**9), ("max_position_embeddings", 10**13)],
)
def test_an_absurd_size_is_refused_before_memory_is_taken(folder, field, value):
    edit(folder, "config.json", **{field: value})
    with pytest.raises(ValueError, match="config.json"):
        outputs(folder)


def test_a_large_size_that_the_weights_do_not_have(folder):
    edit(folder, "config.json", vocab_size=2**32)  # 128 GiB of embeddings, were they made
    with pytest.raises(ValueError, match="of another shape: bert.embeddings.word_emb"):
        outputs(folder)


def test_an_outline_is_not_given_memory_later_either():
    made = []

    def make():
        made.append(models.MaskedLM(encoder_config()))
        return made[0]

    shapes = outline(make)
    assert shapes["backbone/token_embedding/embeddings"] == (11, 8)
    with keras.StatelessScope():  # Keras initialises what waits for it when such a scope ends
        pass
    assert all(variable._value is None for variable in made[0].weights)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "tf_model.h5"])
def test_pickles_are_refused_with_a_word_on_how_to_convert_them(folder, name):
    (folder / WEIGHTS).rename(folder / name)
    with pytest.raises(ValueError, match=f"(?s){name}.*save_pretrained"):
        outputs(folder)


def test_what_a_family_cannot_express_is_named(tmp_path):
    config = models.EncoderConfig(**SIZES, norm_first=True, num_segments=2)
    with pytest.raises(ValueError, match="bert cannot express norm_first=True"):
        models.MaskedLM(config).save_pretrained(tmp_path, family="bert")
    assert not (tmp_path / WEIGHTS).exists()


def test_a_name_that_is_neither_a_folder_nor_on_the_hub(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        models.MaskedLM.from_pretrained(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        models.MaskedLM.from_pretrained(tmp_path / "file")


def test_quantised_weights_are_refused_before_any_is_read(folder):
    edit(folder, "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    (folder / WEIGHTS).unlink()
    with pytest.raises(ValueError, match="quantization_config .method 'gptq'.*are not read"):
        models.MaskedLM.from_pretrained(folder)


def test_the_index_says_which_file_a_tensor_is_read_from(folder):
    expected, index = outputs(folder), split(folder)
    name = next(name for name, file in index.items() if file == "model-1.safetensors")
    other = load_weights(folder / "model-2.safetensors")
    wrong = np.zeros_like(load_weights(folder / "model-1.safetensors")[name])
    save_weights(folder / "model-2.safetensors", {**other, name: wrong})
    np.testing.assert_array_equal(outputs(folder), expected)


@pytest.mark.parametrize("files", [["x"], {"a": ["x"], "b": "c"}], ids=str)
def test_an_index_of_other_things_is_refused(folder, files):
    split(folder)
    weight_map = files if isinstance(files, dict) else {"a": files}
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ValueError, match=r"index.json names \['x'\]"):
        outputs(folder)


def test_a_position_table_of_the_vocabularys_size_is_no_embedding(tmp_path):
    """A copy of the embedding as output matrix is compared with the embedding."""
    config = models.DecoderConfig.from_preset(
        "gpt2", num_layers=1, num_heads=2, hidden_dim=8, ffn_dim=6, vocab_size=11, max_length=11
    )
    model = models.CausalLM(config)
    model.save_pretrained(tmp_path, family="gpt2")
    weights = load_weights(tmp_path / WEIGHTS)
    weights["lm_head.weight"] = next(x for name, x in weights.items() if "wte" in name)
    save_weights(tmp_path / WEIGHTS, weights)
    again = models.CausalLM.from_pretrained(tmp_path)
    np.testing.assert_array_equal(values(again(TOKENS)), values(model(TOKENS)))


def test_an_index_that_names_the_wrong_file_is_refused(folder):
    index = split(folder)
    name = next(name for name, file in index.items() if file == "model-1.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": index | {name: "model-2.safetensors"}}))
    with pytest.raises(ValueError, match="names tensors that lie in another file"):
        outputs(folder)
