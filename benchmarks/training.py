"""Training speed of `recipes.translation multi30k-tiny`, beside the same model of peers' layers.

    python -m benchmarks.training --data-dir DIR [--json FILE]
    taskset -c 0,1 python -m benchmarks.training         on two cores of a larger machine

What is timed is a whole training step (forward, backward, Adam), compiled with XLA, of models with
the same sizes on the same batches:

    keras_transformer   the recipe's model, loss and optimizer, as the recipe makes them
    keras.layers        MultiHeadAttention, LayerNormalization, Dense and Dropout of Keras itself,
                        with a plain label-smoothed cross-entropy (positions, which Keras does not
                        have, are ours)
    keras_hub.layers    TransformerEncoder, TransformerDecoder and SinePositionEncoding of KerasHub
                        (left out where `keras-hub` is not installed). Its blocks have one rate for
                        all dropout, so with dropout it also drops attention scores, which the
                        others do not; `--dropout 0` compares without any dropout.

The models take turns, step by step, so that whatever else the machine does slows them all alike. A
rate counts real source and target tokens: padding takes time and counts nothing. Without
`--data-dir` the batches are random tokens with the lengths of image captions.

S source length, T target length, D width, F feed-forward width, V vocabulary
"""

import collections
import dataclasses
import json
import math
import os
import pathlib
import time

import keras
import numpy as np
import tyro
from keras import layers, ops

from benchmarks.turns import product_seconds, quartiles, square_matrix, timed, times_faster
from keras_transformer import data, explain
from keras_transformer.layers import PositionalEncoding
from recipes import translation

try:
    import keras_hub
except ImportError:
    keras_hub = None

CAPTIONS = 29_000  # random ones, as many as Multi30k has
PRODUCT = 2048  # width of the square matrices whose product is the machine's peak


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the measurement."""

    data_dir: pathlib.Path | None = None
    """Folder with Multi30k, as for the recipe; without it, random tokens."""
    steps: int = 12
    """Timed steps of each model in each shape."""
    shapes: int = 2
    """How many of the recipe's batch shapes are timed, the most frequent first."""
    dropout: float = 0.3
    """Rate of dropout."""
    tokens_per_batch: int = 8192
    """Target slots of a batch, padding included."""
    json: pathlib.Path | None = None
    """File for the result."""


def main(settings: Settings):
    load = os.getloadavg()
    recipe = dataclasses.replace(
        translation.PRESETS["multi30k-tiny"][1],
        data_dir=settings.data_dir,
        dropout=settings.dropout,
        tokens_per_batch=settings.tokens_per_batch,
    )
    batches, tokenizer = caption_batches(recipe)
    print(batches.describe())
    by_shape = collections.defaultdict(list)  # of one epoch
    for x, y in (batches.batch(0, step) for step in range(len(batches))):
        by_shape[(*x["encoder_token_ids"].shape, y.shape[1])].append((x, y))
    shapes = sorted(by_shape, key=lambda shape: -len(by_shape[shape]))[: settings.shapes]

    models = make_models(recipe, tokenizer)
    for name, model in models.items():
        for shape in shapes:
            start = time.perf_counter()
            for batch in by_shape[shape][:2]:
                model.train_on_batch(*batch)
            print(f"{name} {shape}: compiled in {time.perf_counter() - start:.0f} s", flush=True)

    seconds, products = take_turns(models, [by_shape[shape] for shape in shapes], settings.steps)
    result = summary(models, shapes, by_shape, seconds, products)
    result["load"] = {"before": load, "after": os.getloadavg()}
    names = ("steps", "dropout", "tokens_per_batch")
    result["settings"] = {name: getattr(settings, name) for name in names}
    result["data"] = "random tokens" if settings.data_dir is None else "Multi30k"
    show(result)
    if settings.json is not None:
        settings.json.write_text(json.dumps(result, indent=2) + "\n")


# The batches


def caption_batches(recipe):
    """Batches in the recipe's shapes, and the tokenizer that they were made with."""
    if recipe.data_dir is None:
        tokenizer = Numbers()
        pairs = data.ParallelText.from_lines(*random_captions(CAPTIONS, seed=recipe.seed))
    else:
        pairs, _, _ = translation.parallel_corpus(recipe)
        tokenizer = translation.learn_tokenizer(recipe, pairs)
    batches = data.ParallelBatches(
        pairs,
        tokenizer=tokenizer,
        tokens_per_batch=recipe.tokens_per_batch,
        seed=recipe.seed,
        num_shapes=recipe.num_shapes,
        max_padding=recipe.max_padding,
    )
    return batches, tokenizer


class Numbers:
    """A stand-in for a tokenizer: its text is token ids in decimal."""

    vocab_size, pad_id, bos_id, eos_id, fingerprint = 10_000, 0, 2, 3, "numbers"

    def encode(self, lines):
        return [[int(number) for number in line.split()] for line in lines]


def random_captions(count, seed):
    """Source and target lines whose lengths are distributed like those of Multi30k.

    Its log-lengths are normal with mean 2.66, deviation 0.3 and a correlation of 0.86; the tokens
    follow Zipf's law.
    """
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=count)
    sides = []
    for _ in range(2):
        deviation = math.sqrt(0.86) * shared + math.sqrt(1 - 0.86) * rng.normal(size=count)
        lengths = np.clip(np.exp(2.6 + 0.3 * deviation).round(), 1, 50).astype(int)
        logs = rng.uniform(np.log(4), np.log(Numbers.vocab_size), size=lengths.sum())
        tokens = np.exp(logs).astype(int).astype(str)
        sides.append([" ".join(line) for line in np.split(tokens, lengths.cumsum()[:-1])])
    return sides


# The models


def make_models(recipe, tokenizer):
    """Ours and the peers, compiled for training, by name."""
    ours = translation.build_model(recipe, tokenizer)
    peers = {"keras.layers": keras_model(ours.config)}
    if keras_hub is None:
        print("keras-hub is not installed (pip install keras-hub): left out")
    else:
        peers["keras_hub.layers"] = keras_hub_model(ours.config)
    for model in peers.values():
        model.compile(
            optimizer=keras.optimizers.Adam.from_config(ours.optimizer.get_config()),
            loss=SmoothedCrossEntropy(recipe.label_smoothing),
            jit_compile=True,
        )
    return {"keras_transformer": ours, **peers}


def keras_model(config):
    """The model as one would write it with the layers of Keras alone."""
    source, source_mask, target, target_mask = inputs = seq2seq_inputs()
    embedding = layers.ReversibleEmbedding(
        config.vocab_size,
        config.hidden_dim,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=config.hidden_dim**-0.5),
    )
    positions = PositionalEncoding()

    def embed(tokens):
        x = layers.Rescaling(math.sqrt(config.hidden_dim))(embedding(tokens))
        return layers.Dropout(config.dropout)(positions(x))

    def residual(x, y):
        norm = layers.LayerNormalization(epsilon=config.norm_epsilon)
        return norm(x + layers.Dropout(config.dropout)(y))

    def attention(x, context, mask, causal=False):
        head_dim = config.hidden_dim // config.num_heads
        attend = layers.MultiHeadAttention(
            config.num_heads, head_dim, dropout=config.attention_dropout
        )
        return attend(x, context, attention_mask=mask[:, None, :], use_causal_mask=causal)

    def feed_forward(x):
        return layers.Dense(config.hidden_dim)(
            layers.Dense(config.ffn_dim, activation=config.activation)(x)
        )

    context = embed(source)
    for _ in range(config.num_encoder_layers):
        context = residual(context, attention(context, context, source_mask))
        context = residual(context, feed_forward(context))
    x = embed(target)
    for _ in range(config.num_decoder_layers):
        x = residual(x, attention(x, x, target_mask, causal=True))
        x = residual(x, attention(x, context, source_mask))
        x = residual(x, feed_forward(x))
    return keras.Model({tensor.name: tensor for tensor in inputs}, embedding(x, reverse=True))


def keras_hub_model(config):
    """The model as one would write it with KerasHub's blocks."""
    source, source_mask, target, target_mask = inputs = seq2seq_inputs()
    embedding = layers.ReversibleEmbedding(
        config.vocab_size,
        config.hidden_dim,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=config.hidden_dim**-0.5),
    )
    block = dict(
        intermediate_dim=config.ffn_dim,
        num_heads=config.num_heads,
        dropout=config.dropout,
        activation=config.activation,
        layer_norm_epsilon=config.norm_epsilon,
    )

    def embed(tokens):
        x = layers.Rescaling(math.sqrt(config.hidden_dim))(embedding(tokens))
        return layers.Dropout(config.dropout)(x + keras_hub.layers.SinePositionEncoding()(x))

    context = embed(source)
    for _ in range(config.num_encoder_layers):
        encoder = keras_hub.layers.TransformerEncoder(**block)
        context = encoder(context, padding_mask=source_mask)
    x = embed(target)
    for _ in range(config.num_decoder_layers):
        decoder = keras_hub.layers.TransformerDecoder(**block)
        x = decoder(x, context, decoder_padding_mask=target_mask, encoder_padding_mask=source_mask)
    return keras.Model({tensor.name: tensor for tensor in inputs}, embedding(x, reverse=True))


def seq2seq_inputs():
    """Source and its mask (B, S), target and its mask (B, T), named as our models name them."""
    return [
        keras.Input((None,), name=f"{side}_{name}", dtype=dtype)
        for side in ("encoder", "decoder")
        for name, dtype in (("token_ids", "int32"), ("padding_mask", "bool"))
    ]


class SmoothedCrossEntropy(keras.losses.Loss):
    """The mean cross-entropy of real tokens with label smoothing, in the textbook's terms."""

    def __init__(self, label_smoothing):
        super().__init__(reduction="sum")
        self.label_smoothing = label_smoothing

    def call(self, labels, logits):
        is_token = ops.cast(labels >= 0, "float32")  # (B, T)
        log_p = ops.log_softmax(logits, axis=-1)  # (B, T, V)
        picked = ops.take_along_axis(log_p, ops.maximum(labels, 0)[..., None], axis=-1)[..., 0]
        smoothed = self.label_smoothing * ops.mean(log_p, axis=-1)
        losses = -((1 - self.label_smoothing) * picked + smoothed)
        return ops.sum(losses * is_token) / ops.sum(is_token)


# The measurement


def take_turns(models, examples, steps):
    """Times one step of each model in turn.

    Args:
        models: by name.
        examples: for each shape a list of batches.
        steps: rounds.

    Returns:
        Seconds of each model, by name (steps, shapes), and of a matrix product (steps,).
    """
    seconds = {name: np.zeros((steps, len(examples))) for name in models}
    products = np.zeros(steps)
    matrix = square_matrix(PRODUCT)
    for step in range(steps):
        order = list(models) if step % 2 == 0 else list(models)[::-1]
        products[step] = product_seconds(matrix)
        for shape, batches in enumerate(examples):
            batch = batches[step % len(batches)]
            for name in order:
                seconds[name][step, shape] = timed(models[name].train_on_batch, *batch)
    return seconds, products


def summary(models, shapes, by_shape, seconds, products):
    """The figures: medians, and quartiles as their spread.

    Shapes are weighted as in an epoch. `times_ours` is how many times faster ours is.
    """
    counts = np.array([len(by_shape[shape]) for shape in shapes])
    tokens = sum(count_tokens(*batch) for shape in shapes for batch in by_shape[shape])
    slots = sum(n * rows * (s + t) for n, (rows, s, t) in zip(counts, shapes, strict=True))
    config = models["keras_transformer"].config
    flops = sum(n * matrix_flops(config, *shape) for n, shape in zip(counts, shapes, strict=True))
    peak = 2 * PRODUCT**3 / np.median(products)
    epochs = {name: s @ counts for name, s in seconds.items()}  # (steps,) seconds
    ours = epochs["keras_transformer"]
    return {
        "environment": explain.environment()
        | ({"keras-hub": keras_hub.__version__} if keras_hub else {}),
        "shapes": [list(shape) for shape in shapes],
        "share_of_batches": float(counts.sum() / sum(map(len, by_shape.values()))),
        "padding_share": float(1 - tokens / slots),
        "matrix_product_gflops": float(peak / 1e9),
        "models": {
            name: {
                "parameters": model.count_params(),
                "milliseconds_a_step": quartiles(1e3 * epochs[name] / counts.sum()),
                "tokens_per_second": quartiles(tokens / epochs[name]),
                "share_of_peak": float(flops / np.median(epochs[name]) / peak),
                "times_ours": times_faster(ours, epochs[name]),
            }
            for name, model in models.items()
        },
    }


def count_tokens(x, y):
    """Real source and target tokens of a batch."""
    return int(x["encoder_padding_mask"].sum() + (y >= 0).sum())


def matrix_flops(config, rows, source, target):
    """Floating point operations of the matrix products of a training step, padding included."""
    d, f, v = config.hidden_dim, config.ffn_dim, config.vocab_size
    encoder = 4 * d * d + 2 * d * f + 2 * source * d  # multiply-adds of a block, a source position
    decoder = 6 * d * d + 2 * d * f + 2 * (source + target) * d  # and a target position
    forward = rows * (
        config.num_encoder_layers * source * encoder
        + config.num_decoder_layers * (target * decoder + source * 2 * d * d)
        + target * d * v
    )
    return 2 * 3 * forward  # a multiplication and an addition; backward has two products for one


def show(result):
    """Prints the table."""
    facts = result["environment"]
    backend = facts["backend"]
    print(f"\n{facts['processor']}, {facts['cores']} cores; Python {facts['python']}, ", end="")
    print(f"keras {facts['keras']}, {backend} {facts[backend]}", end="")
    print(f", keras-hub {keras_hub.__version__}" if keras_hub else "")
    print(f"{result['data']}; dropout {result['settings']['dropout']}; ", end="")
    print(f"load {result['load']['before'][0]:.1f} before, {result['load']['after'][0]:.1f} after")
    print(f"{PRODUCT}³ float32 matrix product: {result['matrix_product_gflops']:.0f} GFLOP/s")
    print(
        f"shapes (rows, source, target) {result['shapes']}: "
        f"{100 * result['share_of_batches']:.0f} % of the batches, "
        f"{100 * result['padding_share']:.1f} % padding\n"
    )
    print(f"{'':19}parameters  ms a step  tokens/s (quartiles)     of peak  ours is faster by")
    for name, m in result["models"].items():
        rate, ratio = m["tokens_per_second"], m["times_ours"]
        faster = f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
        print(
            f"{name:19}{m['parameters']:10,}{m['milliseconds_a_step']['median']:11.0f}"
            f"{rate['median']:10,.0f} ({rate['low']:,.0f} to {rate['high']:,.0f})"
            f"{100 * m['share_of_peak']:6.0f} %  {'' if name == 'keras_transformer' else faster}"
        )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
