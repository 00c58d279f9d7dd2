"""A translator of German number words into English ones, trained in seconds."""

import functools

import keras
import numpy as np

from keras_transformer import models, tasks, text, training

WORDS = {
    "null": "zero",
    "eins": "one",
    "zwei": "two",
    "drei": "three",
    "vier": "four",
    "sechs": "six",
    "neun": "nine",
}
MAX_LENGTH = 23


def pairs(count=97, seed=0):
    """Sentences of one to five number words, and what they are in English."""
    rng = np.random.default_rng(seed)
    words = list(WORDS)
    source = [" ".join(rng.choice(words, size=rng.integers(1, 6))) for _ in range(count)]
    return source, [" ".join(WORDS[word] for word in line.split()) for line in source]


@functools.cache
def toy_translator():
    """The trained translator: right on nearly all sentences, and sure of most."""
    keras.utils.set_random_seed(3)
    source, target = pairs()
    tokenizer = text.SentencePieceTokenizer.train([source, target], vocab_size=47)
    model = models.Seq2SeqLM.from_preset(
        "transformer_tiny",
        vocab_size=tokenizer.vocab_size,
        max_length=MAX_LENGTH,
        num_encoder_layers=1,
        num_decoder_layers=2,
        hidden_dim=32,
        num_heads=2,
        ffn_dim=64,
        dropout=0.0,
        norm_first=True,
    )
    sources = [[*ids, 3] for ids in tokenizer.encode(source)]
    targets = [[*ids, 3] for ids in tokenizer.encode(target)]
    x = {
        "encoder_token_ids": rectangle(sources, 0),
        "encoder_padding_mask": rectangle(sources, 0) != 0,
        "decoder_token_ids": rectangle([[2, *ids[:-1]] for ids in targets], 0),
        "decoder_padding_mask": rectangle(targets, 0) != 0,
    }
    model.compile(keras.optimizers.Adam(5e-3), training.TokenCrossEntropy(), jit_compile=False)
    model.fit(x, rectangle(targets, -100), batch_size=97, epochs=100, verbose=0)
    return tasks.Translator(model, tokenizer)


def rectangle(rows, value):
    """Lists of ids as one int32 array, filled up with `value`."""
    filled = np.full((len(rows), max(map(len, rows))), value, np.int32)
    for place, ids in zip(filled, rows, strict=True):
        place[: len(ids)] = ids
    return filled
