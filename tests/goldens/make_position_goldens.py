"""Writes positions.npz: the position code of Hugging Face transformers, and the paper's of ALiBi.

Run in an environment of its own, so that the tests need neither torch nor transformers:

    pip install torch==2.13.0 transformers==5.23.0 numpy
    python tests/goldens/make_position_goldens.py

The file holds the inverse frequencies and the attention factor of each rotary scaling, queries
before and after rotation, sinusoidal tables, the buckets of T5 and the slopes of ALiBi.
"""

import math
import pathlib

import numpy as np
import torch
import transformers
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.gpt_neox.modeling_gpt_neox import apply_rotary_pos_emb as rotate_halves
from transformers.models.gptj.modeling_gptj import apply_rotary_pos_emb as rotate_pairs
from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding
from transformers.models.t5.modeling_t5 import T5Attention
from transformers.models.whisper.modeling_whisper import sinusoids

HEAD_DIM = 34
ORIGINAL = 512  # the length of pre-training

SCALINGS = {
    "linear": dict(rope_type="linear", factor=4.0),
    "dynamic": dict(rope_type="dynamic", factor=2.0),
    "yarn": dict(rope_type="yarn", factor=8.0),
    "yarn_betas": dict(rope_type="yarn", factor=40.0, beta_fast=16, beta_slow=2, truncate=False),
    "yarn_factor": dict(rope_type="yarn", factor=4.0, attention_factor=0.75),
    "yarn_mscale": dict(rope_type="yarn", factor=40.0, mscale=1.5, mscale_all_dim=0.7),
    "llama3": dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0),
}
LENGTHS = (7, 512, 513, 1_999, 100_000)  # the dynamic scaling's
BUCKETS = [(32, 128, True), (32, 128, False), (8, 20, True), (12, 50, False), (320, 800, True)]
HEADS = (1, 2, 3, 5, 8, 12, 16, 20, 112)


def scaling_cases():
    found = {}
    for theta in (10_000.0, 500_000.0):
        for name, parameters in SCALINGS.items():
            parameters = dict(parameters, rope_theta=theta)
            longest = ORIGINAL
            if parameters["rope_type"] in ("yarn", "llama3"):
                parameters["original_max_position_embeddings"] = ORIGINAL
                longest = int(ORIGINAL * parameters["factor"])
            config = LlamaConfig(
                hidden_size=HEAD_DIM,
                num_attention_heads=1,
                max_position_embeddings=longest,
                rope_parameters=parameters,
            )
            compute = ROPE_INIT_FUNCTIONS[parameters["rope_type"]]
            for length in LENGTHS if name == "dynamic" else [None]:
                frequency, factor = compute(config, seq_len=length)
                key = f"scaling/{name}/{theta:.0f}" + (f"/{length}" if length else "")
                found[key] = np.append(frequency.numpy().astype("float64"), factor)
    return found


def rotation_cases():
    rng = np.random.default_rng(31)
    x = rng.normal(size=(2, 3, 5, 14)).astype("float32")
    positions = rng.integers(0, 300, (2, 5))
    query, found = torch.tensor(x, dtype=torch.float64), {"rotary/x": x}
    for width in (14, 6):
        frequency = 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
        angle = torch.tensor(positions)[..., None] * frequency  # (B, T, width/2)
        twice = torch.cat([angle, angle], dim=-1)
        halves, _ = rotate_halves(query, query, twice.cos(), twice.sin())
        by_position = query.transpose(1, 2)  # (B, T, H, K)
        pairs = rotate_pairs(by_position[..., :width], angle.sin(), angle.cos())
        pairs = torch.cat([pairs, by_position[..., width:]], dim=-1).transpose(1, 2)
        found[f"rotary/half_split/{width}"] = halves.numpy().astype("float32")
        found[f"rotary/interleaved/{width}"] = pairs.numpy().astype("float32")
    return {**found, "rotary/positions": positions.astype("int32")}


def table_cases():
    marian = MarianSinusoidalPositionalEmbedding(11, 14).create_weight()
    whisper = sinusoids(11, 14)
    return {"table/marian": marian.numpy(), "table/whisper": whisper.numpy()}


def bucket_cases():
    distance = torch.arange(-3_000, 3_001)
    found = {}
    for num_buckets, max_distance, bidirectional in BUCKETS:
        buckets = T5Attention._relative_position_bucket(
            distance, bidirectional, num_buckets, max_distance
        )
        key = f"buckets/{num_buckets}/{max_distance}/{bidirectional}"
        found[key] = buckets.numpy().astype("int16")
    return found


def slopes(num_heads):
    """As in the code of the ALiBi paper."""
    if math.log2(num_heads).is_integer():
        start = 2 ** (-(2 ** -(math.log2(num_heads) - 3)))
        return [start * start**i for i in range(num_heads)]
    below = 2 ** math.floor(math.log2(num_heads))
    return slopes(below) + slopes(2 * below)[0::2][: num_heads - below]


if __name__ == "__main__":
    cases = {
        **scaling_cases(),
        **rotation_cases(),
        **table_cases(),
        **bucket_cases(),
        **{f"slopes/{n}": np.array(slopes(n)) for n in HEADS},
    }
    path = pathlib.Path(__file__).with_name("positions.npz")
    np.savez_compressed(path, transformers=transformers.__version__, **cases)
