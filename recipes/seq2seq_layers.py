"""Fine-tuning an encoder-decoder layer by layer: rates that fall towards the input, and what stays.

Each stack counts its blocks by itself, since every block of the decoder reads the encoder's output.
"""

import types

from keras_transformer import training


def stacks(model):
    """The model as `training` takes it, once with its encoder as backbone, once its decoder."""
    return [
        types.SimpleNamespace(name=model.name, weights=model.weights, backbone=stack)
        for stack in (model.backbone.encoder, model.backbone.decoder)
    ]


def freeze(model, num_blocks=0):
    """Keeps the embeddings and the first blocks of both stacks as they are. Compile afterwards.

    Raises:
        ValueError: a stack has fewer blocks.
    """
    for stack in stacks(model):
        training.freeze(stack, num_blocks=num_blocks)


def layer_multipliers(model, decay):
    """Factors of the learning rate by the weights' names: see `training.layer_multipliers`.

    Embeddings that both stacks share have the smaller factor of the two; None for a decay of 1.
    """
    if decay == 1:
        return None
    encoder, decoder = (training.layer_multipliers(stack, decay) for stack in stacks(model))
    return {name: min(factor, decoder[name]) for name, factor in encoder.items()}
