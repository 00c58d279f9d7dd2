"""Writes layers.npz: torch's attention, encoder and decoder layers and a Transformer made of them.

Run in an environment of its own, so that the tests need no torch:

    pip install torch==2.13.0 numpy && python tests/goldens/make_layer_goldens.py

The file holds weights under torch's names, inputs, and outputs that were computed in float64.
"""

import math
import pathlib

import numpy as np
import torch
from torch import nn

B, T, S, D, C, H, F = 2, 5, 7, 15, 11, 3, 13
VOCABULARY, WIDTH, HEADS = 23, 14, 2
VARIANTS = [(order, activation) for order in ("post", "pre") for activation in ("relu", "gelu")]

torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(29)


def normal(*shape):
    """Random numbers that float32 holds exactly, as both sides must start from the same."""
    return torch.tensor(rng.normal(size=shape).astype("float32").astype("float64"))


def randomise(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(normal(*parameter.shape) * 0.25 + (parameter == 1.0))
    return module.eval()


def arrays(prefix, tensors):
    return {
        f"{prefix}/{name}": value.detach()
        .numpy()
        .astype("float32" if value.is_floating_point() else value.numpy().dtype)
        for name, value in tensors.items()
    }


def right_padding(lengths, size):
    return torch.arange(size)[None, :] < torch.tensor(lengths)[:, None]


def attention_case():
    x, context = normal(B, T, D), normal(B, S, C)
    padding, context_padding = right_padding([T, 3], T), right_padding([4, S], S)
    causal = torch.ones(T, T, dtype=torch.bool).triu(1)
    own = randomise(nn.MultiheadAttention(D, H, batch_first=True))
    other = randomise(nn.MultiheadAttention(D, H, kdim=C, vdim=C, batch_first=True))
    per_head = dict(average_attn_weights=False)
    y, scores = own(x, x, x, key_padding_mask=~padding, attn_mask=causal, **per_head)
    z, cross_scores = other(x, context, context, key_padding_mask=~context_padding, **per_head)
    return {
        **arrays("attention", dict(x=x, context=context)),
        **arrays("attention", dict(padding=padding, context_padding=context_padding)),
        **arrays("attention/self", {**own.state_dict(), "output": y, "scores": scores}),
        **arrays("attention/cross", {**other.state_dict(), "output": z, "scores": cross_scores}),
    }


def block_case():
    x, context = normal(B, T, D), normal(B, S, D)
    padding, context_padding = right_padding([T, 3], T), right_padding([4, S], S)
    causal = torch.ones(T, T, dtype=torch.bool).triu(1)
    found = {
        **arrays("block", dict(x=x, context=context)),
        **arrays("block", dict(padding=padding, context_padding=context_padding)),
    }
    settings = dict(dropout=0.0, batch_first=True)
    encoder = randomise(nn.TransformerEncoderLayer(D, H, F, **settings)).state_dict()
    decoder = randomise(nn.TransformerDecoderLayer(D, H, F, **settings)).state_dict()
    found.update(arrays("block/encoder", encoder))
    found.update(arrays("block/decoder", decoder))
    for order, activation in VARIANTS:
        variant = dict(settings, norm_first=order == "pre", activation=activation)
        layer = nn.TransformerEncoderLayer(D, H, F, **variant)
        layer.load_state_dict(encoder)
        output = layer(x, src_key_padding_mask=~padding)
        found.update(arrays(f"block/encoder/{order}/{activation}", dict(output=output)))
        layer = nn.TransformerDecoderLayer(D, H, F, **variant)
        layer.load_state_dict(decoder)
        output = layer(
            x,
            context,
            tgt_mask=causal,
            tgt_key_padding_mask=~padding,
            memory_key_padding_mask=~context_padding,
        )
        found.update(arrays(f"block/decoder/{order}/{activation}", dict(output=output)))
    return found


def positions(length, width):
    table = torch.zeros(length, width)
    for position in range(length):
        for i in range(0, width, 2):
            angle = position / 10000 ** (i / width)
            table[position, i], table[position, i + 1] = math.sin(angle), math.cos(angle)
    return table


class Transformer(nn.Module):
    """The paper's model out of torch's layers: one matrix as both embeddings and the output."""

    def __init__(self, norm_first):
        super().__init__()
        settings = dict(dropout=0.0, batch_first=True, norm_first=norm_first)
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(WIDTH, HEADS, F, **settings),
            2,
            norm=nn.LayerNorm(WIDTH) if norm_first else None,
            enable_nested_tensor=False,
        )
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(WIDTH, HEADS, F, **settings),
            2,
            norm=nn.LayerNorm(WIDTH) if norm_first else None,
        )

    def embed(self, tokens):
        return self.embedding(tokens) * math.sqrt(WIDTH) + positions(tokens.shape[1], WIDTH)

    def forward(self, source, target, source_padding, target_padding):
        memory = self.encoder(self.embed(source), src_key_padding_mask=~source_padding)
        length = target.shape[1]
        hidden = self.decoder(
            self.embed(target),
            memory,
            tgt_mask=torch.ones(length, length, dtype=torch.bool).triu(1),
            tgt_key_padding_mask=~target_padding,
            memory_key_padding_mask=~source_padding,
        )
        return hidden @ self.embedding.weight.T


def model_case(order):
    model = randomise(Transformer(norm_first=order == "pre"))
    source_padding, target_padding = right_padding([S, 4, 1], S), right_padding([3, T, 2], T)
    source = torch.tensor(rng.integers(4, VOCABULARY, (3, S))) * source_padding
    target = torch.tensor(rng.integers(4, VOCABULARY, (3, T))) * target_padding
    labels = torch.tensor(rng.integers(3, VOCABULARY, (3, T)))
    labels[~target_padding] = -100
    logits = model(source, target, source_padding, target_padding)
    loss = nn.functional.cross_entropy(
        logits.reshape(-1, VOCABULARY), labels.reshape(-1), label_smoothing=0.1
    )
    loss.backward()
    tensors = dict(
        encoder_token_ids=source,
        encoder_padding_mask=source_padding,
        decoder_token_ids=target,
        decoder_padding_mask=target_padding,
        labels=labels,
        logits=logits,
        loss=loss,
        embedding_gradient=model.embedding.weight.grad,
    )
    return arrays(f"model/{order}", {**model.state_dict(), **tensors})


if __name__ == "__main__":
    cases = {**attention_case(), **block_case(), **model_case("post"), **model_case("pre")}
    path = pathlib.Path(__file__).with_name("layers.npz")
    np.savez_compressed(path, torch=torch.__version__, **cases)
