"""The layers of `benchmarks.layers`, each beside its peer, and their timing on one backend.

The backend is that of the process. B rows, T length, D width, H heads, K head width
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from benchmarks.turns import product_seconds, quartiles, square_matrix, timed, times_faster
from keras_transformer import explain, layers

try:
    import keras_hub
except ImportError:
    keras_hub = None

RATE = 1e-3  # of gradient descent
KV_GROUP = 4  # query heads to a key-value head in grouped-query attention


class Sizes(NamedTuple):
    """The shape that a pair is timed in. A context is as long as the sequence, a cache too."""

    rows: int
    length: int
    width: int
    num_heads: int

    @property
    def head_dim(self):
        return self.width // self.num_heads

    @property
    def ffn_dim(self):
        return 4 * self.width


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two layers that compute the same of the same inputs."""

    ours: keras.layers.Layer
    peer: keras.layers.Layer
    inputs: dict
    """Tensors by name."""
    our_arguments: Callable
    """From the inputs to the keyword arguments of our layer; traced, as part of what is timed."""
    peer_arguments: Callable
    """Likewise, of the peer."""
    multiply_adds: int
    """Of the matrix products of one forward pass."""


# The pairs. Dropout has the same places on both sides: on attention scores, and in blocks also on
# what each sublayer adds.


def self_attention(sizes, dropout, causal=False, padded=False):
    ours = layers.MultiHeadSelfAttention(sizes.num_heads, causal=causal, dropout=dropout)
    peer = keras.layers.MultiHeadAttention(sizes.num_heads, sizes.head_dim, dropout=dropout)
    return attention_pair(sizes, ours, peer, sizes.num_heads, causal, padded)


def grouped_query_attention(sizes, dropout):
    num_kv_heads = max(1, sizes.num_heads // KV_GROUP)
    ours = layers.MultiHeadSelfAttention(
        sizes.num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=sizes.head_dim,
        causal=True,
        dropout=dropout,
    )
    peer = keras.layers.GroupQueryAttention(
        sizes.head_dim, sizes.num_heads, num_kv_heads, dropout=dropout
    )
    return attention_pair(sizes, ours, peer, num_kv_heads, causal=True, padded=False)


def attention_pair(sizes, ours, peer, num_kv_heads, causal, padded):
    """Self-attention of either kind."""
    inputs = {"x": sequence(sizes)}
    if padded:
        inputs["padding_mask"] = padding_mask(sizes)

    def peer_arguments(x, padding_mask=None):
        mask = None if padding_mask is None else padding_mask[:, None, :]
        return dict(query=x, value=x, attention_mask=mask, use_causal_mask=causal)

    return Pair(ours, peer, inputs, dict, peer_arguments, attention_products(sizes, num_kv_heads))


def cross_attention(sizes, dropout):
    def peer_arguments(x, context, padding_mask):
        return dict(query=x, value=context, attention_mask=padding_mask[:, None, :])

    return Pair(
        ours=layers.MultiHeadCrossAttention(sizes.num_heads, dropout=dropout),
        peer=keras.layers.MultiHeadAttention(sizes.num_heads, sizes.head_dim, dropout=dropout),
        inputs=dict(x=sequence(sizes), context=sequence(sizes), padding_mask=padding_mask(sizes)),
        our_arguments=dict,
        peer_arguments=peer_arguments,
        multiply_adds=attention_products(sizes, sizes.num_heads),
    )


def encoder_block(sizes, dropout):
    def peer_arguments(x, padding_mask):
        return dict(inputs=x, padding_mask=padding_mask)

    return Pair(
        ours=layers.TransformerEncoderBlock(**our_block(sizes, dropout)),
        peer=keras_hub.layers.TransformerEncoder(**peer_block(sizes, dropout)),
        inputs=dict(x=sequence(sizes), padding_mask=padding_mask(sizes)),
        our_arguments=dict,
        peer_arguments=peer_arguments,
        multiply_adds=attention_products(sizes, sizes.num_heads) + feed_forward_products(sizes),
    )


def decoder_block(sizes, dropout, cross=False):
    inputs = {"x": sequence(sizes)}
    if cross:
        inputs["context"] = sequence(sizes)
        inputs["context_padding_mask"] = padding_mask(sizes)

    def peer_arguments(x, context=None, context_padding_mask=None):
        return dict(
            decoder_sequence=x,
            encoder_sequence=context,
            encoder_padding_mask=context_padding_mask,
        )

    products = attention_products(sizes, sizes.num_heads)
    return Pair(
        ours=layers.TransformerDecoderBlock(**our_block(sizes, dropout)),
        peer=keras_hub.layers.TransformerDecoder(**peer_block(sizes, dropout)),
        inputs=inputs,
        our_arguments=dict,
        peer_arguments=peer_arguments,
        multiply_adds=products * (2 if cross else 1) + feed_forward_products(sizes),
    )


def cached_step(sizes, dropout):
    """One new position, and a cache of which half is written."""
    b, t, d, h = sizes
    key, value = (random_tensor(b, h, t, sizes.head_dim) for _ in range(2))
    peer_cache = ops.stack([ops.transpose(part, (0, 2, 1, 3)) for part in (key, value)], axis=1)
    index = ops.convert_to_tensor(t // 2, "int32")

    def our_arguments(x, index, key, value, peer_cache):
        return dict(x=x, cache=layers.LayerCache(key, value, index))

    def peer_arguments(x, index, key, value, peer_cache):
        return dict(
            decoder_sequence=x,
            self_attention_cache=peer_cache,
            self_attention_cache_update_index=index,
        )

    return Pair(
        ours=layers.TransformerDecoderBlock(**our_block(sizes, dropout)),
        peer=keras_hub.layers.TransformerDecoder(**peer_block(sizes, dropout)),
        inputs=dict(
            x=random_tensor(b, 1, d), index=index, key=key, value=value, peer_cache=peer_cache
        ),
        our_arguments=our_arguments,
        peer_arguments=peer_arguments,
        multiply_adds=b * (4 * d * d + 2 * t * d) + feed_forward_products(sizes) // t,
    )


def our_block(sizes, dropout):
    return dict(
        num_heads=sizes.num_heads,
        ffn_dim=sizes.ffn_dim,
        dropout=dropout,
        attention_dropout=dropout,
        activation="gelu",
        norm_first=True,
    )


def peer_block(sizes, dropout):
    return dict(
        num_heads=sizes.num_heads,
        intermediate_dim=sizes.ffn_dim,
        dropout=dropout,
        activation="gelu",
        normalize_first=True,
    )


PAIRS = {
    "self-attention": self_attention,
    "self-attention, causal": functools.partial(self_attention, causal=True),
    "self-attention, padding": functools.partial(self_attention, padded=True),
    "grouped-query attention, causal": grouped_query_attention,
    "cross-attention, padding": cross_attention,
    "encoder block, padding": encoder_block,
    "decoder block": decoder_block,
    "decoder block, context": functools.partial(decoder_block, cross=True),
    "decoder block, cached step": cached_step,
}
KERAS_HUB = ("encoder block", "decoder block")  # how the names of its pairs begin

# Name of a measure: (whether it is a train step, whether it has dropout)
MEASURES = {
    "forward": (False, False),
    "train step": (True, False),
    "train step, dropout": (True, True),
}


def pair_measures(name):
    """The measures of a pair; nobody trains by single positions."""
    return ["forward"] if name == "decoder block, cached step" else list(MEASURES)


# Inputs and counts


def sequence(sizes):
    """(B, T, D)."""
    return random_tensor(sizes.rows, sizes.length, sizes.width)


def random_tensor(*shape):
    """Normal numbers in the dtype that layers compute in."""
    values = np.random.default_rng(len(shape)).normal(size=shape).astype("float32")
    return ops.convert_to_tensor(values, keras.config.dtype_policy().compute_dtype)


def padding_mask(sizes):
    """(B, T), True = real token; a quarter of the slots is padding, and no row is empty."""
    lengths = np.random.default_rng(0).integers(sizes.length // 2, sizes.length, sizes.rows)
    return ops.convert_to_tensor(np.arange(sizes.length) <= lengths[:, None])


def attention_products(sizes, num_kv_heads):
    """Multiply-adds of attention; masked scores count, for both sides compute them."""
    b, t, d, h = sizes
    projections = 2 * d * d + 2 * d * d * num_kv_heads // h  # query and output, key and value
    return b * t * (projections + 2 * t * d)


def feed_forward_products(sizes):
    """Multiply-adds of a feed-forward layer."""
    return sizes.rows * sizes.length * 2 * sizes.width * sizes.ffn_dim


# One call of a layer, compiled


def make_work(layer, arguments, inputs, train, xla):
    """What is timed: a call without arguments that returns when its results are there.

    A train step is the forward pass, the backward pass of a mean-square loss and gradient descent.
    As within a deeper model, it computes the gradients of the layer's inputs too. All tensors are
    arguments of the compiled function, so nothing is folded, and all results leave it, so nothing
    is dropped.
    """
    outputs = layer(**arguments(**inputs))  # builds
    make = {"tensorflow": tensorflow_work, "jax": jax_work}[keras.backend.backend()]
    if not train:
        return make(layer, arguments, inputs, None, xla)
    return make(layer, arguments, inputs, random_tensor(*outputs.shape), xla)


def tensorflow_work(layer, arguments, inputs, target, xla):
    import tensorflow as tf

    @tf.function(jit_compile=xla)
    def forward(inputs):
        return layer(**arguments(**inputs), training=False)

    @tf.function(jit_compile=xla)
    def train_step(inputs, target):
        variables = [variable.value for variable in layer.trainable_variables]
        sequences = float_tensors(inputs)
        with tf.GradientTape() as tape:
            tape.watch(sequences)
            loss = mean_square(layer(**arguments(**inputs), training=True), target)
        gradients, input_gradients = tape.gradient(loss, (variables, sequences))
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(RATE * gradient)
        return loss, input_gradients

    def work():
        forward(inputs) if target is None else train_step(inputs, target)
        tf.test.experimental.sync_devices()

    return work


def jax_work(layer, arguments, inputs, target, xla):
    import jax

    variables = layer.trainable_variables, layer.non_trainable_variables
    state = tuple([variable.value for variable in kind] for kind in variables)

    def call(trainable, rest, inputs, training):
        mapping = zip(sum(variables, []), trainable + rest, strict=True)
        with keras.StatelessScope(mapping) as scope:
            outputs = layer(**arguments(**inputs), training=training)
        return outputs, [scope.get_current_value(variable) for variable in variables[1]]

    @jax.jit
    def forward(state, inputs):
        return call(*state, inputs, training=False)[0]

    @functools.partial(jax.jit, donate_argnums=0)
    def train_step(state, inputs, target):
        def loss_of(trainable, sequences):
            outputs, rest = call(trainable, state[1], inputs | sequences, training=True)
            return mean_square(outputs, target), rest

        gradient = jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True)
        (loss, rest), gradients = gradient(state[0], float_tensors(inputs))
        trainable = jax.tree.map(lambda value, slope: value - RATE * slope, state[0], gradients[0])
        return (trainable, rest), (loss, gradients[1])

    def work():
        nonlocal state
        if target is None:
            jax.block_until_ready(forward(state, inputs))
        else:
            state, results = train_step(state, inputs, target)
            jax.block_until_ready((state, results))

    # Donated, they must not be those of the layer.
    state = jax.tree.map(lambda value: value.copy(), state)
    return work


def float_tensors(inputs):
    """Those of the inputs that have gradients."""
    return {
        name: x for name, x in inputs.items() if "float" in keras.backend.standardize_dtype(x.dtype)
    }


def mean_square(outputs, target):
    """The mean of the squared differences, a float32 scalar."""
    return ops.mean(ops.square(ops.cast(outputs - target, "float32")))


# The measurement


def measure(mode, xla, settings):
    """All pairs in all shapes, on this process's backend.

    Args:
        mode: its name.
        xla: whether XLA compiles.
        settings: `benchmarks.layers.Settings`.

    Returns:
        A dictionary for JSON.
    """
    keras.config.set_dtype_policy(settings.dtype)
    matrix = square_matrix(settings.product, keras.config.dtype_policy().compute_dtype)
    wanted = [name for name in PAIRS if any(word in name for word in settings.pairs)]
    names = [name for name in wanted if keras_hub or not name.startswith(KERAS_HUB)]
    cases, products = [], []
    for sizes in (Sizes(*shape) for shape in settings.shapes):
        for name in names:
            for measure_name in pair_measures(name):
                products.append(product_seconds(matrix))
                case = measure_case(name, measure_name, sizes, xla, settings)
                cases.append({"mode": mode, "shape": list(sizes)} | case)
                ratio = case["times_ours"]["median"]
                print(f"{mode} {tuple(sizes)} {name}, {measure_name}: {ratio:.2f}", flush=True)
    peak = 2 * settings.product**3 / np.median(products)
    for case in cases:
        for side in ("ours", "peer"):
            seconds = case[f"{side}_milliseconds"]["median"] / 1e3
            case[f"{side}_share_of_peak"] = case["flops"] / seconds / peak
    environment = explain.environment()
    if keras_hub:
        environment["keras-hub"] = keras_hub.__version__
    return {
        "mode": mode,
        "environment": environment,
        "matrix_product_gflops": float(peak / 1e9),
        "left_out": sorted(set(wanted) - set(names)),
        "cases": cases,
    }


def measure_case(name, measure_name, sizes, xla, settings):
    """Both layers of a pair, in turns."""
    train, drop = MEASURES[measure_name]
    pair = PAIRS[name](sizes, settings.dropout if drop else 0.0)
    works = [
        make_work(layer, arguments, pair.inputs, train, xla)
        for layer, arguments in ((pair.ours, pair.our_arguments), (pair.peer, pair.peer_arguments))
    ]
    parameters = pair.ours.count_params()
    if parameters != pair.peer.count_params():
        raise ValueError(
            f"{name} is no fair pair: ours has {parameters} parameters, the peer has "
            f"{pair.peer.count_params()}"
        )
    ours, peer = take_turns(works, settings.rounds, settings.seconds)
    return {
        "pair": name,
        "measure": measure_name,
        "peer": f"{'keras_hub' if name.startswith(KERAS_HUB) else 'keras'}.layers."
        + type(pair.peer).__name__,
        "parameters": parameters,
        "flops": 2 * pair.multiply_adds * (3 if train else 1),  # backward: two products for one
        "rounds": len(ours),
        "ours_milliseconds": quartiles(1e3 * ours),
        "peer_milliseconds": quartiles(1e3 * peer),
        "times_ours": times_faster(ours, peer),
    }


def take_turns(works, rounds, seconds):
    """Times each work once a round, until both so many rounds and seconds are done.

    Returns:
        Seconds, (works, rounds).
    """
    for _ in range(2):  # the first call compiles
        for work in works:
            work()
    times, total = [], 0.0
    while len(times) < rounds or total < seconds:
        turn = {}
        for number in range(len(works)) if len(times) % 2 == 0 else range(len(works))[::-1]:
            turn[number] = timed(works[number])
        times.append([turn[number] for number in range(len(works))])
        total += sum(times[-1])
    return np.array(times).T
