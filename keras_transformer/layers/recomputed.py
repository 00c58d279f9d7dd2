"""Layers that `keras.RematScope` can recompute in the backward pass: the same function again."""

import contextlib
import copy

import keras
from keras import ops, tree
from keras.src.backend.common import global_state  # no public access to the context of a call

from keras_transformer.layers.masks import implicit_mask, propagate

CONTEXT = "current_call_ctx"


class Recomputed:
    """A part of a layer's class that stands before Keras's.

    What Keras recomputes gets neither the masks of its inputs, nor the dropout of the first time,
    nor whether it is training, so that gradients would be those of another function; and under
    TensorFlow keyword arguments are refused there. Sublayers of what is recomputed are not
    recomputed once more.

    Example:

    >>> from keras_transformer.layers.dense import Dense
    >>> with keras.RematScope("full"):
    ...     layer = Dense(3, activation="gelu")
    >>> layer(ops.ones((2, 5))).shape == (2, 3)
    True
    """

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """`layer_call`, recomputed where the mode of the scope says so.

        Arguments of what is recomputed are the tensors of floats among the layer's own, which alone
        have gradients. All else is bound: `training`, ids, masks, and the seed of each generator.
        """

        def wrap(*args, **kwargs):
            leaves = tree.flatten((args, kwargs))
            places = [n for n, leaf in enumerate(leaves) if is_float_tensor(leaf)]
            if not places:  # a look-up of ids
                return layer_call(*args, **kwargs)
            masks = [implicit_mask(leaves[n]) for n in places]
            parts = self._flatten_layers(include_self=False)
            generators = seed_generators((self, *parts))
            seeds = [generator.state.value * 1 for generator in generators]
            context, counts = copy.copy(global_state.get_global_attribute(CONTEXT)), []

            def call_with(*tensors):
                merged = list(leaves)
                for n, tensor, mask in zip(places, tensors, masks, strict=True):
                    merged[n] = propagate(tensor, mask)
                args_, kwargs_ = tree.pack_sequence_as((args, kwargs), merged)
                with in_context(context), kept(parts), drawing(generators, seeds) as draws:
                    outputs = layer_call(*args_, **kwargs_)
                counts[:] = [each.count for each in draws]
                return outputs

            with kept(parts):  # Keras may compute the size of the outputs here
                call = super(Recomputed, self).rematerialized_call(call_with, *args, **kwargs)
            if call is call_with:  # the scope's mode leaves this layer out
                return layer_call(*args, **kwargs)
            outputs = call(*(leaves[n] for n in places))
            for generator, count in zip(generators, counts, strict=True):
                for _ in range(count):  # outside of what is recomputed, where states may change
                    generator.next()
            return outputs

        return wrap


class Identity(keras.layers.Identity):
    """Keras's, of which there is nothing to recompute, nor can Keras tell the size in a call.

    Example:

    >>> Identity()(ops.ones((2, 5))).shape == (2, 5)
    True
    """

    def rematerialized_call(self, layer_call, *args, **kwargs):
        return layer_call


class Draws:
    """The seeds that a generator gives while a call is recomputed, from one on; its state stays.

    Args:
        seed: (2,), that of the first draw.
    """

    def __init__(self, seed):
        self.seed, self.count = seed, 0

    def __call__(self, ordered=True):
        seed = self.seed + ops.convert_to_tensor([0, self.count], dtype=self.seed.dtype)
        self.count += 1
        return seed


def seed_generators(layers):
    """Those of layers, each once."""
    found = (each for layer in layers for each in layer._seed_generators)
    return list({id(generator): generator for generator in found}.values())


@contextlib.contextmanager
def drawing(generators, seeds):
    """Inside, generators draw from given seeds on, and no state changes.

    Gives the `Draws`, which count.
    """
    draws = [Draws(seed) for seed in seeds]
    for generator, each in zip(generators, draws, strict=True):
        generator.next = each
    try:
        yield draws
    finally:
        for generator in generators:
            del generator.next


@contextlib.contextmanager
def kept(layers):
    """Inside, layers are not recomputed by themselves: what is around them is."""
    modes = [layer._remat_mode for layer in layers]
    for layer in layers:
        object.__setattr__(layer, "_remat_mode", None)  # past Keras's tracking of attributes
    try:
        yield
    finally:
        for layer, mode in zip(layers, modes, strict=True):
            object.__setattr__(layer, "_remat_mode", mode)


@contextlib.contextmanager
def in_context(context):
    """Inside, Keras is in a copy of a call's context, in which sublayers find `training`.

    They write there, too.
    """
    before = global_state.get_global_attribute(CONTEXT)
    global_state.set_global_attribute(CONTEXT, copy.copy(context))
    try:
        yield
    finally:
        global_state.set_global_attribute(CONTEXT, before)


def is_float_tensor(leaf):
    """Whether an argument is a tensor that may have a gradient."""
    return ops.is_tensor(leaf) and keras.backend.is_float_dtype(
        keras.backend.standardize_dtype(leaf.dtype)
    )
