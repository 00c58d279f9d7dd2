"""Low-rank adaptation: small matrices beside frozen kernels.

D inputs, F outputs, r rank
"""

import math

import keras
from keras import ops


def enable_lora(model, rank=8, alpha=16.0, targets=("query", "value")):
    """Gives dense layers a low-rank part each, and keeps all other weights as they are.

        y = x (W + α/r · A B) + b,  A (D, r) random, B (r, F) zero: at first nothing changes

    Compile afterwards. `checkpoints.save_adapter` writes A and B alone, `merge_lora` adds them up.

    Args:
        model: a built model of `models`.
        rank: r.
        alpha: α.
        targets: names of layers, of all blocks: "query", "key", "value", "output", "gate",
            "inner", "outer".

    Raises:
        ValueError: a number is out of its range, the model has no layer of a name (those there are
            are listed), or has low-rank parts already.

    Example:

    >>> from keras_transformer import models
    >>> config = models.DecoderConfig(
    ...     vocab_size=11, num_layers=2, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> model = models.CausalLM(config)
    >>> enable_lora(model, rank=2)
    >>> num_trainable(model)                            # 2 blocks · 2 layers · (8·2 + 2·8)
    128

    Reference: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1.
    """
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ValueError(f"rank must be an int of at least 1; got {rank!r}")
    if not alpha > 0:
        raise ValueError(f"alpha must be more than 0; got {alpha!r}")
    dense = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dense)]
    if any(layer.lora_enabled for layer in dense):
        raise ValueError("the model has low-rank parts already; merge_lora adds them up")
    names = sorted({layer.name for layer in dense})
    unknown = [name for name in targets if name not in names]
    if unknown or not targets:
        raise ValueError(f"targets must be some of {', '.join(names)}; got {list(targets)}")
    frozen = frozenset(variable.path for variable in model.weights if not variable.trainable)
    model.frozen_before_lora = frozen
    for variable in model.weights:
        variable.trainable = False
    for layer in dense:
        if layer.name in targets:
            # uniform in ±1/√D, as torch's Linear layers and with them the library peft begin
            start = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
            layer.enable_lora(rank, alpha, a_initializer=start)


def merge_lora(model):
    """Adds the low-rank parts to their kernels: the same outputs, and the weights of before.

    What `enable_lora` found frozen stays frozen; all else is trained again.

    What was compiled for training before is of no use afterwards: compile again to train on.

    Args:
        model: with low-rank parts.

    Raises:
        ValueError: it has none, or kernels are quantised.

    Example:

    >>> import numpy as np
    >>> from keras_transformer import models
    >>> config = models.DecoderConfig(
    ...     vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> model = models.CausalLM(config)
    >>> count = len(model.weights)
    >>> enable_lora(model, rank=2)
    >>> merge_lora(model)
    >>> len(model.weights) == count
    True
    """
    layers = [layer for layer in model._flatten_layers() if getattr(layer, "lora_enabled", False)]
    if not layers:
        raise ValueError("the model has no low-rank parts; enable_lora gives it some")
    quantized = [layer.path for layer in layers if layer.quantization_mode is not None]
    if quantized:
        raise ValueError(
            "low-rank parts cannot be added to quantised kernels, which would round them away; "
            f"merge before you quantise. Quantised are {', '.join(quantized)}"
        )
    for layer in layers:
        first, second = layer.lora_kernel_a, layer.lora_kernel_b
        part = ops.matmul(ops.convert_to_tensor(first), ops.convert_to_tensor(second))  # (D, F)
        scale = layer.lora_alpha / layer.lora_rank
        layer._kernel.assign_add(ops.cast(scale * part, layer._kernel.dtype))
        # Programs that were compiled before still read it.
        second.assign(ops.zeros(second.shape, second.dtype))
        layer._tracker.unlock()
        for variable in (first, second):
            layer._untrack_variable(variable)
        layer.lora_kernel_a = layer.lora_kernel_b = None
        layer._tracker.lock()
        layer.lora_enabled, layer.lora_rank, layer.lora_alpha = False, None, None
    frozen = getattr(model, "frozen_before_lora", ())
    for variable in model.weights:
        variable.trainable = variable.path not in frozen


def num_trainable(model):
    """How many numbers training changes.

    Example:

    >>> import keras
    >>> num_trainable(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
    8
    """
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)
