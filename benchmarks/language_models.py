"""Training of a small language model: the recipe's step beside plain torch, in one run.

    python -m benchmarks.language_models [--preset shakespeare-cpu] [--turns 8]

Both train the same architecture (GPT-2's without biases, of the preset's size) on blocks of the
same random tokens with AdamW and clipped gradients: ours by `model.fit` as the recipe does it, the
other as nanoGPT is written, with torch's fused attention, uncompiled. They take turns of
`STEPS` steps, so that whatever else the machine does slows both alike; the figures are medians.
"""

import argparse

import numpy as np
import torch
from torch import nn

from benchmarks.turns import quartiles, timed, times_faster
from recipes import pretrain_decoder

STEPS, VOCAB = 50, 65  # as many characters as Shakespeare uses


def main(preset, turns):
    settings = pretrain_decoder.PRESETS[preset][1]
    sides = {"keras_transformer": ours(settings), "torch": theirs(settings)}
    for run in sides.values():
        run()  # compiles, and fills caches
    seconds = {name: [] for name in sides}
    for _ in range(turns):
        for name, run in sides.items():
            seconds[name].append(timed(run) / STEPS)
    for name, each in seconds.items():
        figures = {key: 1000 * value for key, value in quartiles(each).items()}
        whole = settings.steps * figures["median"] / 1000
        print(
            f"{name:20}{figures['median']:7.1f} ms a step ({figures['low']:.1f} to "
            f"{figures['high']:.1f}); {settings.steps:,} steps take {whole:,.0f} s"
        )
    ratio = times_faster(*seconds.values())
    print(
        f"ours is {ratio['median']:.2f} times as fast ({ratio['low']:.2f} to {ratio['high']:.2f})"
    )


def blocks(settings):
    """Random blocks for `STEPS` steps, and what follows each token: (STEPS·B, T)."""
    shape = (STEPS * settings.batch_size, settings.block_length + 1)
    tokens = np.random.default_rng(0).integers(3, VOCAB, size=shape, dtype="int32")
    return tokens[:, :-1], tokens[:, 1:]


def ours(settings):
    """Trains for some steps by `model.fit`."""

    class Characters:  # as many as the other side has
        vocab_size, pad_id = VOCAB, 0

    model = pretrain_decoder.build_model(settings, Characters)
    x, y = blocks(settings)
    return lambda: model.fit(x, y, batch_size=settings.batch_size, verbose=0)


def theirs(settings):
    """Trains for some steps by a loop."""
    torch.manual_seed(0)
    model = Gpt(settings)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    x, y = (torch.from_numpy(part).long() for part in blocks(settings))
    size = settings.batch_size

    def run():
        for start in range(0, len(x), size):
            logits = model(x[start : start + size])
            target = y[start : start + size]
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
            optimizer.step()

    return run


class Gpt(nn.Module):
    """GPT-2's architecture without biases: tokens (B, T) to logits (B, T, V)."""

    def __init__(self, settings):
        super().__init__()
        width = settings.hidden_dim
        self.tokens = nn.Embedding(VOCAB, width)
        self.places = nn.Embedding(settings.block_length, width)
        blocks = (Block(width, settings.num_heads) for _ in range(settings.num_layers))
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(width, bias=False)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
        return self.norm(self.blocks(x)) @ self.tokens.weight.T


class Block(nn.Module):
    """Causal attention and a feed-forward network, normalised before."""

    def __init__(self, width, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, bias=False) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x):
        shape = (*x.shape[:2], self.num_heads, -1)
        heads = (
            part.view(shape).transpose(1, 2) for part in self.qkv(self.norms[0](x)).chunk(3, 2)
        )
        attended = nn.functional.scaled_dot_product_attention(*heads, is_causal=True)
        x = x + self.output(attended.transpose(1, 2).reshape(x.shape))
        return x + self.down(nn.functional.gelu(self.up(self.norms[1](x))))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="shakespeare-cpu", help="of recipes.pretrain_decoder")
    parser.add_argument("--turns", type=int, default=8, help="how often each side is timed")
    arguments = parser.parse_args()
    main(arguments.preset, arguments.turns)
