"""How the parts of a layer or a model are quantised, as its configuration says it."""

import gc

import keras


def quantization_of(layer):
    """{"quantization": for each sublayer None, or a pair of mode and configuration}, or {}."""
    parts = layer._flatten_layers(include_self=False)
    found = [
        part.quantization_mode
        and [
            part.quantization_mode,
            keras.saving.serialize_keras_object(getattr(part, "quantization_config", None)),
        ]
        for part in parts
    ]
    return {"quantization": found} if any(found) else {}


def quantize_again(layer, found):
    """Quantises the parts of a new layer as `quantization_of` found them; None: none."""
    if found is None:
        return
    parts = list(layer._flatten_layers(include_self=False))
    gc.freeze()  # Keras collects all garbage after each part, which took most of the time
    try:
        for part, how in zip(parts, found, strict=True):
            if how is not None and part.quantization_mode is None:
                mode, config = how
                part.quantize(mode, config=keras.saving.deserialize_keras_object(config))
    finally:
        gc.unfreeze()
