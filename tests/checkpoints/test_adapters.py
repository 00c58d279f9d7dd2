"""Adapter files: ours read by peft, peft's read here, and back."""

import json

import keras
import numpy as np
import pytest

from keras_transformer import checkpoints, models, training
from keras_transformer.checkpoints import load_weights, model_weights, save_weights

V, D, F, T = 23, 24, 20, 7
FIELDS = {
    "llama": dict(
        vocab_size=V, hidden_size=D, intermediate_size=F, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32,
    ),
    "gpt2": dict(
        vocab_size=V, n_embd=D, n_inner=F, n_layer=2, n_head=3, n_positions=32, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=1,
    ),
    "gpt_neox": dict(
        vocab_size=V, hidden_size=D, intermediate_size=F, num_hidden_layers=2,
        num_attention_heads=3, max_position_embeddings=32, bos_token_id=0, eos_token_id=1,
    ),
}  # fmt: skip
TARGETS = [("query", "value"), ("query", "key", "value", "output"), ("value", "inner", "outer")]
MODULES = {
    "llama": ["q_proj", "v_proj", "down_proj"],
    "gpt2": ["c_attn", "c_proj"],
    "gpt_neox": ["query_key_value", "dense_h_to_4h"],
}


def tokens(seed=0):
    return np.random.default_rng(seed).integers(2, V, (3, T)).astype("int32")


def logits(model):
    return keras.ops.convert_to_numpy(model(tokens()))


def small(family="llama"):
    """A model of our own that the family can express."""
    keras.utils.set_random_seed(5)
    config = models.DecoderConfig.from_preset(
        {"llama": "smollm-135m", "gpt2": "gpt2"}[family],
        vocab_size=V, num_layers=2, hidden_dim=D, num_heads=4, ffn_dim=F, max_length=32,
        dropout=0.0, attention_dropout=0.0, bos_id=0, eos_id=1,
        **({"num_kv_heads": 2} if family == "llama" else {}),
    )  # fmt: skip
    return models.CausalLM(config)


def trained(model):
    """After some steps, the second of which changes A, too."""
    loss = training.TokenCrossEntropy()
    model.compile(keras.optimizers.Adam(0.03), loss, jit_compile=False)
    for seed in range(4):
        model.train_on_batch(tokens(seed), tokens(seed + 10))
    return model


@pytest.mark.parametrize(
    "family, targets",
    [
        pytest.param(family, targets, marks=() if i == j else pytest.mark.broad)
        for i, family in enumerate([None, "llama", "gpt2"])
        for j, targets in enumerate(TARGETS)
    ],
)
def test_an_adapter_comes_back_as_it_was(family, targets, tmp_path):
    model = small(family or "llama")
    model.save_pretrained(tmp_path / "base", family=family)
    model = models.CausalLM.from_pretrained(tmp_path / "base")
    base = logits(model)
    training.enable_lora(model, 3, 5.0, targets)
    checkpoints.save_adapter(trained(model), tmp_path / "adapter")
    assert np.abs(logits(model) - base).max() > 1e-2
    other = models.CausalLM.from_pretrained(tmp_path / "base")
    checkpoints.load_adapter(other, tmp_path / "adapter")
    expected, found = model_weights(model), model_weights(other)
    assert set(found) == set(expected)
    for name, weight in expected.items():
        np.testing.assert_array_equal(found[name], weight, name)
    np.testing.assert_allclose(logits(other), logits(model), atol=1e-6)
    training.enable_lora(
        other := models.CausalLM.from_pretrained(tmp_path / "base"), 3, 1.0, targets
    )
    checkpoints.load_adapter(other, tmp_path / "adapter")  # to train on
    np.testing.assert_allclose(logits(other), logits(model), atol=1e-6)


def test_names_and_shapes_are_pefts(tmp_path):
    model = small()
    training.enable_lora(model, 3, 6.0)
    checkpoints.save_adapter(model, tmp_path, base_model="some/model", family="llama")
    start = "base_model.model.model.layers.1.self_attn"
    found = load_weights(tmp_path / "adapter_model.safetensors")
    assert len(found) == 2 * 2 * 2
    assert found[f"{start}.q_proj.lora_A.weight"].shape == (3, D)
    assert found[f"{start}.v_proj.lora_B.weight"].shape == (D // 2, 3)
    fields = json.loads((tmp_path / "adapter_config.json").read_text())
    assert fields["target_modules"] == ["q_proj", "v_proj"]
    assert (fields["r"], fields["lora_alpha"], fields["fan_in_fan_out"]) == (3, 6.0, False)
    assert fields["base_model_name_or_path"] == "some/model"


def test_a_fused_projection_has_one_part_of_all_ranks(tmp_path):
    model = small("gpt2")
    training.enable_lora(model, 3, 6.0, ("query", "value", "output"))
    trained(model)
    checkpoints.save_adapter(model, tmp_path, family="gpt2")
    found = load_weights(tmp_path / "adapter_model.safetensors")
    b = found["base_model.model.transformer.h.0.attn.c_attn.lora_B.weight"]
    assert b.shape == (3 * D, 6) and not b[D : 2 * D].any()  # no key
    assert b[:D, :3].any() and not b[:D, 3:].any() and not b[2 * D :, :3].any()
    fields = json.loads((tmp_path / "adapter_config.json").read_text())
    assert fields["target_modules"] == ["attn.c_proj", "c_attn"]  # not the feed-forward's c_proj
    ranks = {fields["r"], *fields["rank_pattern"].values()}
    assert ranks == {3, 6} and fields["fan_in_fan_out"]


# Beside peft itself


def peer(family, folder):
    """A checkpoint of transformers with random weights, and its model."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("peft")
    torch.manual_seed(7)
    config = transformers.AutoConfig.for_model(family, **FIELDS[family])
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.normal_(0.0, 0.2)
    model.eval().save_pretrained(folder)
    return model


def peer_logits(model):
    import torch

    with torch.no_grad():
        return model(torch.from_numpy(tokens()).long()).logits.numpy()


@pytest.mark.parametrize("family", FIELDS)
@pytest.mark.parametrize("targets", TARGETS)
def test_peft_reads_what_was_trained_here(family, targets, tmp_path):
    theirs = peer(family, tmp_path / "base")
    import peft

    model = models.CausalLM.from_pretrained(tmp_path / "base")
    training.enable_lora(model, 3, 5.0, targets)
    checkpoints.save_adapter(trained(model), tmp_path / "adapter", str(tmp_path / "base"))
    base = peer_logits(theirs)
    adapted = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    np.testing.assert_allclose(peer_logits(adapted), logits(model), atol=1e-5)
    assert np.abs(logits(model) - base).max() > 1e-2
    merged = adapted.merge_and_unload()  # theirs, by the file's fan_in_fan_out
    training.merge_lora(model)
    np.testing.assert_allclose(peer_logits(merged), logits(model), atol=1e-5)


@pytest.mark.parametrize("family", FIELDS)
@pytest.mark.parametrize("rslora", [False, True])
def test_what_peft_trained_is_read_here(family, rslora, tmp_path):
    theirs = peer(family, tmp_path / "base")
    import peft
    import torch

    config = peft.LoraConfig(
        r=3,
        lora_alpha=5,
        target_modules=MODULES[family],
        fan_in_fan_out=family == "gpt2",
        use_rslora=rslora,
        rank_pattern={MODULES[family][1]: 2},
        alpha_pattern={MODULES[family][1]: 7},
        task_type="CAUSAL_LM",
    )
    adapted = peft.get_peft_model(theirs, config).eval()
    with torch.no_grad():
        for name, tensor in adapted.named_parameters():
            if "lora_" in name:
                tensor.normal_(0.0, 0.3)
    adapted.save_pretrained(tmp_path / "adapter")
    model = models.CausalLM.from_pretrained(tmp_path / "base")
    base = logits(model)
    checkpoints.load_adapter(model, tmp_path / "adapter")
    np.testing.assert_allclose(logits(model), peer_logits(adapted), atol=1e-5)
    assert np.abs(logits(model) - base).max() > 1e-2
    training.merge_lora(model)
    model.save_pretrained(tmp_path / "merged")
    import transformers

    merged = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    np.testing.assert_allclose(peer_logits(merged), peer_logits(adapted), atol=1e-5)


# What is refused


@pytest.fixture
def adapter(tmp_path):
    model = small()
    training.enable_lora(model, 3)
    checkpoints.save_adapter(model, tmp_path)
    return tmp_path


def test_a_model_without_parts_has_no_adapter(tmp_path):
    with pytest.raises(ValueError, match="no low-rank parts; training.enable_lora"):
        checkpoints.save_adapter(small(), tmp_path)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"peft_type": "IA3"}, "peft_type='IA3' is not supported, only 'LORA'"),
        ({"use_dora": True}, "use_dora=True is not supported"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save=\['lm_head'\] is not supported"),
        ({"bias": "all"}, "bias='all' is not supported, only 'none'"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa' is not supported"),
        ({"alora_invocation_tokens": [9]}, r"alora_invocation_tokens=\[9\] is not supported"),
        ({"a_field_of_tomorrow": {"x": 1}}, "a_field_of_tomorrow=.* is not supported"),
    ],
)
def test_other_kinds_are_refused(adapter, changes, message):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=message):
        checkpoints.load_adapter(small(), adapter)


def test_an_adapter_of_another_model_is_refused_and_nothing_changes(adapter):
    path = adapter / "adapter_model.safetensors"
    tensors = load_weights(path)
    name = next(iter(tensors))
    module = name.removeprefix("base_model.model.").rsplit(".lora_", 1)[0]
    model = small()
    before = set(model_weights(model))
    for changed, message in (
        ({f"{name}.more": tensors[name]}, "is no low-rank part of a dense layer"),
        ({name: tensors[name][:2]}, f"{module} needs A"),
        ({k.replace("block_1", "block_7"): v for k, v in tensors.items()}, "no modules .*block_7"),
        ({k: np.ones((3, 99) if "lora_A" in k else (99, 3), "f") for k in tensors}, "99"),
    ):
        save_weights(
            path, {**tensors, **changed} if name in changed or len(changed) == 1 else changed
        )
        with pytest.raises(ValueError, match=message):
            checkpoints.load_adapter(model, adapter)
    assert set(model_weights(model)) == before


def test_an_adapter_takes_the_place_of_another(tmp_path):
    for name, targets in (("wide", ("query", "value", "outer")), ("narrow", ("query", "value"))):
        model = small()
        training.enable_lora(model, 2, targets=targets)
        checkpoints.save_adapter(trained(model), tmp_path / name)
    alone, both = small(), small()
    trainable = len(both.trainable_variables)
    checkpoints.load_adapter(alone, tmp_path / "narrow")
    checkpoints.load_adapter(both, tmp_path / "wide")
    assert np.abs(logits(both) - logits(alone)).max() > 1e-2
    checkpoints.load_adapter(both, tmp_path / "narrow")
    np.testing.assert_allclose(logits(both), logits(alone), atol=1e-6)
    assert len(both.trainable_variables) == trainable


def test_another_rank_is_refused(adapter):
    model = small()
    training.enable_lora(model, 2)
    with pytest.raises(ValueError, match="has a part of rank 2, the file's is 3"):
        checkpoints.load_adapter(model, adapter)
