"""Decoders of published families: checkpoints of other times, and what is refused."""

import json

import numpy as np
import pytest
from cases import cases_of
from compare import check, open_ours, run_ours, write_folder
from keras import ops
from test_goldens import golden

from keras_transformer import layers, models
from keras_transformer.checkpoints import load_weights, save_weights
from keras_transformer.families import get_family
from keras_transformer.families.rope import from_rotary, to_rotary

FAMILIES = ("gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3")


def case_of(family, name):
    return next(case for case in cases_of(family) if case.name == f"{family}/{name}")


def change(folder, function):
    """Rewrites a checkpoint's tensors."""
    path = folder / "model.safetensors"
    save_weights(path, function(load_weights(path)), {"format": "pt"})


def buffers(family, prefix):
    """What files of earlier releases hold besides the weights."""
    frequency, mask = np.ones(4, "float32"), np.ones((1, 1, 12, 12), "uint8")
    low = np.array(-1e4, "float32")
    name = {"gpt2": "h.0.attn", "gpt_neox": "layers.0.attention"}.get(family)
    if name is not None:
        found = {f"{name}.bias": mask, f"{name}.masked_bias": low}
    else:
        name, found = "layers.0.self_attn", {}
    if family != "gpt2":
        found[f"{name}.rotary_emb.inv_freq"] = frequency
    return {prefix + name: array for name, array in found.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_files_of_an_earlier_release_are_read(family, tmp_path):
    case = case_of(family, "CausalLM")
    record, expected = golden(case)
    write_folder(tmp_path, record, case)
    prefix = get_family(family).prefix
    change(tmp_path, lambda tensors: {**tensors, **buffers(family, prefix)})
    check(run_ours(open_ours(tmp_path, case), case), expected, case)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_copy_of_the_tied_matrix_is_left_out(family, tmp_path):
    case = case_of(family, "CausalLM" if family == "gpt2" else "tied")
    record, expected = golden(case)
    write_folder(tmp_path, record, case)
    output = "embed_out.weight" if family == "gpt_neox" else "lm_head.weight"
    parts = {"gpt2": "wte", "gpt_neox": "embed_in"}
    name = f"{parts.get(family, 'embed_tokens')}.weight"

    def with_copy(tensors, changed=0.0):
        (copy,) = (x for key, x in tensors.items() if key.endswith(name))
        return {**tensors, output: copy + np.float32(changed)}

    change(tmp_path, with_copy)
    check(run_ours(open_ours(tmp_path, case), case), expected, case)
    change(tmp_path, lambda tensors: with_copy(tensors, 0.5))
    with pytest.raises(ValueError, match=f"{output} differs from .*{name}, .*tie_word_embeddings"):
        open_ours(tmp_path, case)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_decoder_is_read_from_a_checkpoint_with_a_head_and_without(family, tmp_path):
    case, whole = case_of(family, "TransformerDecoder"), case_of(family, "CausalLM")
    write_folder(tmp_path, golden(whole)[0], whole)
    prefix = get_family(family).prefix
    with_head = run_ours(open_ours(tmp_path, case), case)["last_hidden_state"]

    def with_another(tensors):
        found = {name: x for name, x in tensors.items() if name.startswith(prefix)}
        return {**found, "score.weight": np.zeros((2, 16), "float32")}

    change(tmp_path, with_another)
    with_another_head = run_ours(open_ours(tmp_path, case), case)["last_hidden_state"]
    np.testing.assert_array_equal(with_another_head, with_head)
    change(
        tmp_path,
        lambda tensors: {
            name.removeprefix(prefix): array
            for name, array in tensors.items()
            if name.startswith(prefix)
        },
    )
    without = run_ours(open_ours(tmp_path, case), case)["last_hidden_state"]
    np.testing.assert_array_equal(without, with_head)


def test_gpt2_was_published_without_a_prefix(tmp_path):
    case = case_of("gpt2", "CausalLM")
    record, expected = golden(case)
    write_folder(tmp_path, record, case)

    def as_published(tensors):
        found = {name.removeprefix("transformer."): x for name, x in tensors.items()}
        return {**found, **buffers("gpt2", "")}

    change(tmp_path, as_published)
    check(run_ours(open_ours(tmp_path, case), case), expected, case)


def test_gpt_neox_is_read_with_either_name_of_its_output(tmp_path):
    case = case_of("gpt_neox", "CausalLM")
    record, expected = golden(case)
    write_folder(tmp_path, record, case)
    change(
        tmp_path,
        lambda tensors: {
            name.replace("embed_out", "lm_head"): array for name, array in tensors.items()
        },
    )
    check(run_ours(open_ours(tmp_path, case), case), expected, case)


@pytest.mark.parametrize(
    "family, name",
    [
        ("llama", "theta"),
        ("llama", "linear"),
        ("llama", "dynamic"),
        ("llama", "yarn_ramp"),
        ("llama", "llama3"),
        ("gpt_neox", "dynamic"),
        ("gpt_neox", "whole_heads"),
    ],
)
@pytest.mark.parametrize("kind", ["type", "rope_type"])
def test_rotary_settings_of_old_files_are_read(family, name, kind, tmp_path):
    case = case_of(family, name)
    record, expected = golden(case)
    fields = dict(record["config"])
    new = fields.pop("rope_parameters")
    theta, share = {
        "llama": ("rope_theta", "partial_rotary_factor"),
        "gpt_neox": ("rotary_emb_base", "rotary_pct"),
    }[family]
    fields[theta] = new.pop("rope_theta")
    fields[share] = new.pop("partial_rotary_factor", 1.0)
    new[kind] = new.pop("rope_type")
    fields["rope_scaling"] = new if new[kind] != "default" else None
    write_folder(tmp_path, {**record, "config": fields}, case)
    check(run_ours(open_ours(tmp_path, case), case), expected, case)


@pytest.mark.parametrize(
    "name", ["theta", "linear", "dynamic", "yarn_ramp", "yarn_scale", "llama3"]
)
def test_rotary_settings_are_written_for_old_readers_and_for_new_ones(name, tmp_path):
    case = case_of("llama", name)
    record = golden(case)[0]
    write_folder(tmp_path / "theirs", record, case)
    open_ours(tmp_path / "theirs", case).save_pretrained(tmp_path / "ours")
    fields = json.loads((tmp_path / "ours" / "config.json").read_text())
    both = {**(fields["rope_scaling"] or {"rope_type": "default"})}
    assert fields["rope_parameters"] == {**both, "rope_theta": fields["rope_theta"]}
    old = {**record["config"], "rope_theta": fields["rope_theta"]}
    old = {**old, "rope_scaling": fields["rope_scaling"], "rope_parameters": None}
    assert to_rotary(old, 8) == to_rotary(record["config"], 8)


def test_a_factor_that_is_left_out_is_that_of_the_lengths():
    given = {"type": "yarn", "factor": None, "original_max_position_embeddings": 10}
    options = to_rotary({"rope_scaling": given, "max_position_embeddings": 40}, 8)
    assert options["scaling"]["config"]["factor"] == 4.0


def test_a_scaling_in_a_configuration_is_kept_as_json():
    scaling = layers.YarnScaling(4.0, original_max_length=512)
    config = models.DecoderConfig(
        vocab_size=11, positions="rotary", position_options={"scaling": scaling}
    )
    assert models.DecoderConfig.from_json(config.to_json()) == config
    assert from_rotary(config)["rope_scaling"]["rope_type"] == "yarn"


@pytest.mark.parametrize(
    "model_type, fields, message",
    [
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "inverse_layer_idx=True is not supp"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention=True is not supported"),
        ("gpt2", {"embd_pdrop": 0.3}, "embd_pdrop=0.3 is not supported, only 0.1"),
        ("gpt_neox", {"hidden_act": "gelu_10"}, "gpt_neox with hidden_act='gelu_10'"),
        ("llama", {"rope_scaling": {"rope_type": "longrope"}}, "rope_type='longrope'"),
        ("llama", {"rope_scaling": {"type": "su"}}, "llama with rope_type='su' is not supported"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5 is not supported"),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 0.5}}, "factor must be a number"),
        ("qwen2", {"rope_parameters": {"full_attention": {}}}, "differ between layers"),
        ("qwen2", {"layer_types": ["full_attention"]}, "layer_types has 1 entries for 32 layers"),
        ("qwen3", {"layer_types": ["sliding_attention"] * 32}, r"layer_types\[0\]='sliding_atten"),
        (
            "qwen3",
            {"layer_types": ["linear_attention"] * 32, "use_sliding_window": True},
            "only 'full_attention', 'sliding_attention'",
        ),
    ],
)
def test_what_cannot_be_expressed_is_refused(model_type, fields, message):
    with pytest.raises(ValueError, match=message):
        get_family(model_type).to_config({"model_type": model_type, **fields})


@pytest.mark.parametrize(
    "family, fields, message",
    [
        ("gpt2", {"norm": "rms"}, "gpt2 cannot express norm='rms'"),
        ("gpt2", {"use_bias": False}, "cannot express use_bias=False"),
        ("llama", {"dropout": 0.1}, "llama cannot express dropout=0.1"),
        ("llama", {"window": 3}, "llama cannot express window=3"),
        ("llama", {"max_length": 7}, "cannot express position_options"),
        ("mistral", {"window": 3, "window_layers": (1,)}, r"cannot express window_layers=\(1,\)"),
        ("qwen2", {"query_key_norm": "rms"}, "cannot express query_key_norm='rms'"),
        ("qwen3", {"use_output_bias": True}, "cannot express use_output_bias=True"),
    ],
)
def test_what_has_no_field_is_not_written(family, fields, message, tmp_path):
    name = "dynamic" if "max_length" in fields else "CausalLM"
    config = get_family(family).to_config(case_of(family, name).fields)
    model = models.TransformerDecoder(type(config)(**{**config.to_dict(), **fields}))
    with pytest.raises(ValueError, match=message):
        model.save_pretrained(tmp_path, family=family)


def test_a_model_with_the_defaults_left_out_is_written(tmp_path):
    config = models.DecoderConfig(
        vocab_size=11, num_layers=2, hidden_dim=16, num_heads=2, ffn_dim=24, max_length=12,
        positions="rotary", norm="rms", gated=True, activation="silu", use_bias=False,
        dropout=0.0, window=5,
    )  # fmt: skip
    model = models.CausalLM(config)
    model.save_pretrained(tmp_path, family="mistral")
    again = models.CausalLM.from_pretrained(tmp_path)
    assert again.config.resolved() == config.resolved()
    tokens = np.array([[3, 4, 5, 6, 7, 8, 9]])
    found, expected = (ops.convert_to_numpy(each(tokens)) for each in (again, model))
    np.testing.assert_array_equal(found, expected)


def test_tokens_that_end_a_text_may_be_several_and_padding_may_be_none():
    to_config = get_family("llama").to_config
    assert to_config({"eos_token_id": [2, 4]}).eos_id == (2, 4)
    assert to_config({"pad_token_id": -1}).pad_id is None
    assert to_config({"pad_token_id": 32000}).pad_id is None
    assert to_config({"pad_token_id": 0}).pad_id == 0


@pytest.mark.parametrize(
    "fields, window, blocks",
    [
        ({}, None, None),
        ({"use_sliding_window": True}, 4096, (28, 29, 30, 31)),
        ({"use_sliding_window": True, "max_window_layers": 0}, 4096, None),
        ({"use_sliding_window": True, "max_window_layers": 40}, None, None),
        ({"use_sliding_window": True, "sliding_window": None}, None, None),
    ],
)
def test_blocks_with_a_window(fields, window, blocks):
    config = get_family("qwen2").to_config(fields)
    assert (config.window, config.window_layers) == (window, blocks)
    again = get_family("qwen2").to_config(get_family("qwen2").from_config(config))
    assert again.resolved() == config.resolved()
