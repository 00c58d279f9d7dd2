"""Low-rank adapters in files that the library peft reads and writes.

D inputs, F outputs, r rank. A module of theirs may be several layers of ours, as GPT-2's `c_attn`
of queries, keys and values: its A (R, D) is then those of the layers below each other, and its
B (F₁ + F₂ + …, R) has theirs along a diagonal, which gives the same sums.
"""

import dataclasses
import math
import pathlib
import re

import keras
import numpy as np

from keras_transformer.checkpoints.files import write_json
from keras_transformer.checkpoints.pretrained import read_fields
from keras_transformer.checkpoints.safetensors import load_weights, save_weights
from keras_transformer.checkpoints.weight_table import Table
from keras_transformer.checkpoints.weights import named_weights
from keras_transformer.families import get_family
from keras_transformer.families.tables import TRANSPOSED, Row

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
A, B = ".lora_A.weight", ".lora_B.weight"


@dataclasses.dataclass
class Part:
    """The low-rank part of one module of theirs."""

    a: np.ndarray  # (R, D)
    b: np.ndarray  # (F, R)
    scale: float


def save_adapter(model, folder, base_model=None, family=None):
    """Writes the low-rank parts of a model, and nothing else of it.

    Args:
        model: a model of `models` after `training.enable_lora`.
        folder: made if missing; gets `adapter_config.json` and `adapter_model.safetensors`.
        base_model: name or folder of the checkpoint that the parts belong to, for peft.
        family: a published family's `model_type`, whose modules are named; by default that which
            the model was read from. A model of this package's own layout has names that peft does
            not know; `load_adapter` reads it.

    Raises:
        ValueError: the model has no low-rank parts, or the family no place for one.
        OSError: the disk is full; what was there before is untouched.

    Example:

    >>> import tempfile
    >>> from keras_transformer import models, training
    >>> model = models.CausalLM(models.DecoderConfig(
    ...     vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16))
    >>> training.enable_lora(model, rank=2)
    >>> folder = tempfile.mkdtemp()
    >>> save_adapter(model, folder)
    >>> sorted(path.name for path in pathlib.Path(folder).iterdir())
    ['adapter_config.json', 'adapter_model.safetensors']
    """
    layers = {name: layer for name, layer in dense_layers(model).items() if layer.lora_enabled}
    if not layers:
        raise ValueError("the model has no low-rank parts; training.enable_lora gives it some")
    rows, parts = kernel_rows(model, family), {}
    for module, row in rows.items():
        own = [layers.get(name) for name in row.ours]
        if any(own):
            shapes = [kernel_shape(model, name) for name in row.ours]
            parts[module] = joined(own, shapes, row.layout)
            layers = {name: layer for name, layer in layers.items() if name not in row.ours}
    if layers:
        raise ValueError(f"the layout has no place for the parts of {sorted(layers)}")
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for module, part in parts.items():
        tensors |= {f"{PREFIX}{module}{A}": part.a, f"{PREFIX}{module}{B}": part.b}
    save_weights(folder / WEIGHTS, tensors, {"format": "pt"})
    write_json(folder / CONFIG, configuration(parts, rows, base_model))


def load_adapter(model, folder):
    """Gives a model the low-rank parts of a folder, as peft or `save_adapter` wrote it.

    Layers that have none get them; the rank of others must be that of the file, and what they had
    is gone, also where the file has nothing for them. Which weights training changes is left as it
    is, and new parts are not among them: call `training.enable_lora` before to train on.

    Args:
        model: a model of `models`, of the checkpoint that the adapter belongs to.
        folder: with `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, the adapter is of another kind than plain LoRA on dense
            layers, or it does not fit the model; modules are listed. The model is unchanged.

    Example:

    >>> import tempfile
    >>> from keras_transformer import models, training
    >>> config = models.DecoderConfig(
    ...     vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> model, folder = models.CausalLM(config), tempfile.mkdtemp()
    >>> training.enable_lora(model, rank=2)
    >>> save_adapter(model, folder)
    >>> other = models.CausalLM(config)
    >>> load_adapter(other, folder)
    >>> len(other.weights) - len(models.CausalLM(config).weights)
    4
    """
    folder = pathlib.Path(folder)
    fields = read_fields(folder / CONFIG)
    refuse_other_kinds(fields, folder / CONFIG)
    parts = read_parts(load_weights(folder / WEIGHTS), fields, folder / WEIGHTS)
    rows, layers, found = kernel_rows(model), dense_layers(model), {}
    unknown = sorted(set(parts) - set(rows))
    if unknown:
        raise ValueError(f"{folder / WEIGHTS}: the model has no modules {', '.join(unknown)}")
    for module, part in parts.items():
        row = rows[module]
        shapes = [kernel_shape(model, name) for name in row.ours]
        width, outputs = shapes[0][0], sum(shape[1] for shape in shapes)
        if (part.a.shape[1], part.b.shape[0]) != (width, outputs):
            raise ValueError(
                f"{folder / WEIGHTS}: {module} is from {part.a.shape[1]} to {part.b.shape[0]}, "
                f"the model's from {width} to {outputs}"
            )
        for name, (first, second) in zip(row.ours, parted(part, shapes, row.layout), strict=True):
            if first.shape[1]:  # else nothing is added to this layer
                found[name] = first, second, part.scale
    for name, (first, _, _) in found.items():
        rank = layers[name].lora_rank
        if layers[name].lora_enabled and rank != first.shape[1]:
            raise ValueError(f"{name} has a part of rank {rank}, the file's is {first.shape[1]}")
    for name, layer in layers.items():
        if layer.lora_enabled and name not in found:
            layer.lora_kernel_b.assign(np.zeros(layer.lora_kernel_b.shape))
    for name, (first, second, scale) in found.items():
        layer = layers[name]
        if not layer.lora_enabled:
            is_trained = layer._kernel.trainable
            layer.enable_lora(first.shape[1])
            layer._kernel.trainable = is_trained
            layer.lora_kernel_a.trainable = layer.lora_kernel_b.trainable = False
        layer.lora_alpha = scale * first.shape[1]
        layer.lora_kernel_a.assign(first)
        layer.lora_kernel_b.assign(second)


# The model's side


def dense_layers(model):
    """{name of the kernel: layer} of all dense layers."""
    return {
        layer._kernel.path.removeprefix(f"{model.name}/"): layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.Dense)
    }


def kernel_shape(model, name):
    """(D, F) of a kernel."""
    return tuple(dense_layers(model)[name]._kernel.shape)


def kernel_rows(model, family=None):
    """{module's name: row of its kernel} of all dense layers, by the family's table."""
    kernels = dense_layers(model)
    if family is None and model.published is not None:
        family = model.published["model_type"]
    if family is None:
        rows = [Row(name.replace("/", "."), (name,), TRANSPOSED) for name in kernels]
        return {row.theirs.removesuffix(".kernel"): row for row in rows}
    family = get_family(family).of(type(model))
    shapes = {
        name: tuple(weight.shape)
        for name, weight in named_weights(model).items()
        if "/lora_kernel_" not in name
    }
    table = Table.of(family, type(model), model.config)
    prefix = table.prefix if table.is_backbone else ""
    return {
        row.theirs.removeprefix(prefix).removesuffix(".weight"): row
        for rows in table.rows(shapes)
        for row in rows
        if set(row.ours) <= set(kernels)
    }


# Between the two


def joined(layers, shapes, layout):
    """The `Part` of a module from those of its layers, None where a layer has none."""
    scales = [layer.lora_alpha / layer.lora_rank for layer in layers if layer]
    scale = scales[0]
    firsts = [_numpy(layer.lora_kernel_a) for layer in layers if layer]  # (D, r)
    a = np.concatenate(firsts, axis=1)  # (D, R)
    blocks, start = [], 0
    for layer, shape in zip(layers, shapes, strict=True):
        block = np.zeros((a.shape[1], shape[1]), "float32")  # (R, F)
        if layer:
            rank = layer.lora_rank
            block[start : start + rank] = _numpy(layer.lora_kernel_b) * (
                layer.lora_alpha / rank / scale
            )
            start += rank
        blocks.append(block)
    b = layout.pack(blocks)
    return Part(_rows(a.T), _rows(b if layout.outputs_first else b.T), scale)


def parted(part, shapes, layout):
    """The pairs A (D, r), B (r, F) of a module's layers; r is 0 where a layer gets nothing."""
    rank = part.a.shape[0]
    b = part.b if layout.outputs_first else part.b.T
    blocks = layout.unpack(b, [(rank, shape[1]) for shape in shapes])  # (R, F) each
    used = [block.any(axis=1) for block in blocks]
    if not np.any(used):  # it has not learned anything yet: nothing tells them apart
        used = [np.ones(rank, bool)] * len(blocks)
    return [(part.a.T[:, own], block[own]) for own, block in zip(used, blocks, strict=True)]


# The files


def configuration(parts, rows, base_model):
    """The content of `adapter_config.json`."""
    ranks = {module: part.a.shape[0] for module, part in parts.items()}
    alphas = {module: part.scale * ranks[module] for module, part in parts.items()}
    targets = {module: target(module, parts, rows) for module in parts}
    rank, alpha = next(iter(ranks.values())), next(iter(alphas.values()))
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": not any(rows[module].layout.outputs_first for module in parts),
        "target_modules": sorted(set(targets.values())),
        "rank_pattern": {targets[m]: each for m, each in ranks.items() if each != rank},
        "alpha_pattern": {targets[m]: each for m, each in alphas.items() if each != alpha},
    }


def target(module, parts, rows):
    """The shortest end of a module's name that none without a part, or of another rank, has."""
    names = module.split(".")
    for start in range(len(names) - 1, -1, -1):
        end = ".".join(names[start:])
        same = [other for other in rows if other == end or other.endswith(f".{end}")]
        if all(other in parts for other in same) and 1 == len(
            {(parts[other].a.shape[0], parts[other].scale) for other in same}
        ):
            return end
    return module


# How A and B began, where that leaves the base model's weights as they are
STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
# Fields of peft's that change nothing in what A and B say, or are read here
HARMLESS = """
    alpha_pattern auto_mapping base_model_name_or_path ensure_weight_tying eva_config
    exclude_modules fan_in_fan_out inference_mode init_lora_weights layers_pattern
    layers_to_transform loftq_config lora_alpha lora_dropout megatron_config megatron_core
    peft_version qalora_group_size r rank_pattern revision runtime_config target_modules task_type
    use_rslora
""".split()


def refuse_other_kinds(fields, path):
    """Refuses adapters that are more than A and B of dense layers."""
    plain = dict(
        peft_type="LORA", bias="none", use_dora=False, modules_to_save=None, lora_bias=False
    )
    for name, usual in plain.items():
        value = fields.get(name, usual)
        if value != usual and (value or usual):
            raise ValueError(f"{path}: {name}={value!r} is not supported, only {usual!r}")
    start = fields.get("init_lora_weights", True)
    if start not in STARTS:
        raise ValueError(
            f"{path}: init_lora_weights={start!r} is not supported, since it changes the base "
            f"model's weights; supported are {', '.join(map(repr, STARTS))}"
        )
    unknown = sorted(n for n, x in fields.items() if x and n not in {*plain, *HARMLESS})
    if unknown:
        said = ", ".join(f"{name}={fields[name]!r}" for name in unknown)
        raise ValueError(f"{path}: {said} is not supported, and may change what is computed")


def read_parts(tensors, fields, path):
    """{module: `Part`} of an adapter's tensors."""
    found, parts = {}, {}
    for name, tensor in tensors.items():
        end = next((end for end in (A, B) if name.endswith(end)), None)
        if end is None or tensor.ndim != 2:
            raise ValueError(f"{path}: {name} is no low-rank part of a dense layer")
        module = name.removeprefix(PREFIX).removesuffix(end)
        found.setdefault(module, {})[end] = tensor.astype("float32")
    for module, pair in found.items():
        if len(pair) < 2 or pair[A].shape[0] != pair[B].shape[1]:
            raise ValueError(f"{path}: {module} needs A (r, D) and B (F, r)")
        rank = pair[A].shape[0]
        alpha = _by_pattern(fields.get("alpha_pattern"), module, fields.get("lora_alpha", 8))
        scale = alpha / (math.sqrt(rank) if fields.get("use_rslora") else rank)
        parts[module] = Part(pair[A], pair[B], scale)
    if not parts:
        raise ValueError(f"{path}: the adapter is empty")
    return parts


def _by_pattern(patterns, module, default):
    """The value of the first pattern that fits a module, as peft looks it up."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def _rows(array):
    return np.ascontiguousarray(array, "float32")


def _numpy(variable):
    return np.asarray(variable.numpy(), "float32")
