"""KerasHub's backbones: their configurations translated, and where they keep our weights.

Its encoders and decoders name their parts alike, so one table covers them all; what a backbone does
not have is dropped when the table meets the model. Kernels of attention keep heads on an axis of
their own.

H heads, K head width, D model width, L positions
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_transformer.families.family import Family, PublishedHead
from keras_transformer.families.rope import WAVELENGTH
from keras_transformer.families.tables import SAME, TRANSPOSED, Row, Same
from keras_transformer.layers import LinearScaling, Llama3Scaling
from keras_transformer.models import (
    CausalLM,
    DecoderClassifier,
    DecoderConfig,
    EncoderConfig,
    MaskedLM,
    SentenceEmbedder,
    Seq2SeqLM,
    SequenceClassifier,
    SpanExtractor,
    TokenClassifier,
    Transformer,
    TransformerConfig,
    TransformerDecoder,
    TransformerEncoder,
)


class Heads(Same):
    """One axis of H·K as two: (D, H·K) as (D, H, K), or with `axis=0` (H·K, D) as (H, K, D)."""

    def __init__(self, num_heads, axis=-1):
        self.num_heads = num_heads
        self.axis = axis

    def shape(self, shapes):
        before, after = list(shapes[0]), []
        width = before.pop(self.axis)
        if self.axis == 0:
            before, after = after, before
        return (*before, self.num_heads, width // self.num_heads, *after)

    def unpack(self, tensor, shapes):
        return [tensor.reshape(shapes[0])]

    def pack(self, weights):
        return weights[0].reshape(self.shape([weights[0].shape]))


class WithoutFirst(Same):
    """A table of positions (count + L, D) without its first rows, which stand for no position."""

    def __init__(self, count):
        self.count = count

    def shape(self, shapes):
        length, width = shapes[0]
        return (length - self.count, width)

    def unpack(self, tensor, shapes):
        return [np.concatenate([np.zeros((self.count, tensor.shape[1]), tensor.dtype), tensor])]

    def pack(self, weights):
        return weights[0][self.count :]


KINDS = ("kernel", "bias", "gamma", "beta", "scale", "embeddings")


def layer(ours, *theirs, layout=SAME, kinds=KINDS):
    """The rows of a layer; several names of theirs are those that different backbones give it."""
    first, *others = theirs
    return [
        Row(
            f"{first}/{kind}",
            (f"{ours}/{kind}",),
            layout,
            also=tuple(f"{name}/{kind}" for name in others),
        )
        for kind in kinds
    ]


def attention(ours, theirs, num_heads, num_kv_heads):
    """The rows of an attention layer, which encoders call by another name than decoders do."""
    rows = []
    for part, heads in (("query", num_heads), ("key", num_kv_heads), ("value", num_kv_heads)):
        names = (f"{theirs}/{part}", f"{theirs}_layer/{part}")
        rows += layer(f"{ours}/{part}", *names, layout=Heads(heads))
        rows += layer(f"{ours}/{part}_norm", f"{theirs}/{part}_dense_layernorm")  # Qwen3's
    names = (f"{theirs}/attention_output", f"{theirs}_layer/attention_output")
    rows += layer(f"{ours}/output", *names, layout=Heads(num_heads, axis=0), kinds=["kernel"])
    return rows + layer(f"{ours}/output", *names, kinds=["bias"])


def block(ours, theirs, num_heads, num_kv_heads):
    """The rows of one block; only a decoder of two stacks has attention to the other one."""
    rows = []
    for part in ("self_attention", "cross_attention"):
        norms = (f"{part}_layer_norm", f"{part}_layernorm")
        rows += attention(f"{ours}/{part}", f"{theirs}/{part}", num_heads, num_kv_heads)
        rows += layer(f"{ours}/{part}_norm", *(f"{theirs}/{name}" for name in norms))
    norms = ("feedforward_layer_norm", "feedforward_layernorm")
    return [
        *rows,
        *layer(f"{ours}/feed_forward_norm", *(f"{theirs}/{name}" for name in norms)),
        *layer(f"{ours}/feed_forward/inner", f"{theirs}/feedforward_intermediate_dense"),
        *layer(f"{ours}/feed_forward/gate", f"{theirs}/feedforward_gate_dense"),
        *layer(f"{ours}/feed_forward/outer", f"{theirs}/feedforward_output_dense"),
    ]


def table(config):
    """The weights of one stack."""
    inside = ("embeddings", "token_and_position_embedding")  # layers that hold both embeddings
    tokens, positions = ("token_embedding", "position_embedding")
    first = config.position_options.get("start", 0)
    num_kv_heads = config.resolved()["num_kv_heads"]
    rows = [
        *layer("token_embedding", tokens, *(f"{name}/{tokens}" for name in inside)),
        *layer(
            "positions",
            positions,
            *(f"{name}/{positions}" for name in inside),
            layout=WithoutFirst(first),
        ),
        *layer("embedding_norm", "embeddings_layer_norm"),
        *layer("embedding_projection", "embeddings_projection"),
        *layer("norm", "layer_norm", "sequence_output_layernorm"),
        Row("segment_embedding/embeddings", ("segment_embedding/embeddings",), optional=True),
    ]
    for i in range(config.num_layers):
        rows += block(f"block_{i}", f"transformer_layer_{i}", config.num_heads, num_kv_heads)
    return rows


def bart_table(config):
    """The weights of both stacks."""
    rows = layer("token_embedding", "token_embedding")
    layout = WithoutFirst(config.position_options["start"])
    for name, num_layers in (
        ("encoder", config.num_encoder_layers),
        ("decoder", config.num_decoder_layers),
    ):
        rows += layer(f"{name}/positions", f"{name}_position_embedding", layout=layout)
        rows += layer(f"{name}/embedding_norm", f"{name}_embeddings_layer_norm")
        for i in range(num_layers):
            theirs = f"transformer_{name}_layer_{i}"
            rows += block(f"{name}/block_{i}", theirs, config.num_heads, config.num_heads)
    return rows


# KerasHub's fields and ours
NAMES = dict(
    vocabulary_size="vocab_size",
    vocab_size="vocab_size",  # ELECTRA's
    num_layers="num_layers",
    num_heads="num_heads",
    num_query_heads="num_heads",
    num_key_value_heads="num_kv_heads",
    head_dim="head_dim",
    hidden_dim="hidden_dim",
    intermediate_dim="ffn_dim",
    max_sequence_length="max_length",
    num_segments="num_segments",
    dropout="dropout",
    layer_norm_epsilon="norm_epsilon",
)


def renamed(fields):
    """Those fields that are only named differently; one rate is for all dropout."""
    found = {ours: fields[theirs] for theirs, ours in NAMES.items() if theirs in fields}
    return {**found, "attention_dropout": found["dropout"]}


def bert_config(fields):
    """The configuration of a BERT; its GELU is the approximate one there."""
    return EncoderConfig(activation="gelu_tanh", **renamed(fields))


def distilbert_config(fields):
    """The configuration of a DistilBERT."""
    return EncoderConfig(**renamed(fields))


def roberta_config(fields):
    """The configuration of a RoBERTa, with positions as its published files count them."""
    return EncoderConfig(
        norm_epsilon=1e-5,
        num_segments=1,
        pad_id=1,
        position_options={"start": 2},
        **renamed(fields),
    )


def electra_config(fields):
    """The configuration of an ELECTRA."""
    width = fields["embedding_dim"]
    embedding_dim = None if width == fields["hidden_dim"] else width
    return dataclasses.replace(bert_config(fields), embedding_dim=embedding_dim)


def gpt2_config(fields):
    """The configuration of a GPT-2."""
    return DecoderConfig(**renamed(fields))


def llama_config(fields, **style):
    """The configuration of a Llama and its kin."""
    return DecoderConfig(
        activation="silu",
        gated=True,
        norm="rms",
        positions="rotary",
        position_options=rotary_options(fields),
        tie_embeddings=fields["tie_weights"],
        **{"use_bias": False, **style},
        **renamed(fields),
    )


def rotary_options(fields):
    """The arguments of `RotaryEmbedding`."""
    if fields.get("rope_position_scaling_factor", 1.0) != 1.0:
        raise ValueError(
            f"rope_position_scaling_factor={fields['rope_position_scaling_factor']} is not "
            "supported, since KerasHub's Llama does not apply it"
        )
    options, wavelength = {}, float(fields["rope_max_wavelength"])
    if wavelength != WAVELENGTH:
        options["max_wavelength"] = wavelength
    if fields.get("rope_scaling_factor", 1.0) != 1.0:
        options["scaling"] = LinearScaling(fields["rope_scaling_factor"])
    if fields.get("rope_frequency_adjustment_factor") is not None:
        options["scaling"] = Llama3Scaling(
            factor=fields["rope_frequency_adjustment_factor"],
            low_frequency_factor=fields["rope_low_freq_factor"],
            high_frequency_factor=fields["rope_high_freq_factor"],
            original_max_length=fields["rope_pretraining_sequence_length"],
        )
    return options


def mistral_config(fields):
    """The configuration of a Mistral."""
    return llama_config(fields, window=fields["sliding_window"])


def qwen2_config(fields):
    """The configuration of a Qwen2, whose queries, keys and values alone have biases."""
    window = fields["sliding_window_size"] if fields["use_sliding_window_attention"] else None
    return llama_config(fields, window=window, use_attention_bias=True, use_output_bias=False)


def qwen3_config(fields):
    """The configuration of a Qwen3.

    KerasHub adds 1e-5 where queries and keys are normalised; ours is the configuration's, as the
    published model has it.
    """
    return llama_config(fields, window=fields["sliding_window_size"], query_key_norm="rms")


def bart_config(fields):
    """The configuration of a BART."""
    found = renamed(fields)
    num_layers = found.pop("num_layers")
    return TransformerConfig(
        num_encoder_layers=num_layers,
        num_decoder_layers=num_layers,
        activation="gelu",
        positions="learned",
        position_options={"start": 2},
        embedding_norm=True,
        scale_embeddings=False,
        output_bias=True,
        initializer_range=0.02,
        pad_id=1,
        bos_id=2,
        eos_id=2,
        **found,
    )


def new(*names):
    """Rows of weights that no backbone has; they start with random values."""
    return lambda config: [Row(name, (name,)) for name in names]


CLASSES = ("classes/kernel", "classes/bias")
TRANSFORM = ("transform/kernel", "transform/bias", "transform_norm/gamma", "transform_norm/beta")
OUTPUT = ("output_embedding/embeddings", "output_bias")


def pooler_table(config):
    """The weights of a classifier: a pooler that some backbones have, and new classes."""
    return [*layer("pooler", "pooled_dense"), *new(*CLASSES)(config)]


def reverse_table(config):
    """The output embedding, which a backbone has where it is not tied."""
    name = "token_embedding/reverse_embeddings"
    return [Row(name, ("output_embedding/embeddings",), TRANSPOSED)]


HEADS = {
    TransformerEncoder: {
        SentenceEmbedder: new(),
        SequenceClassifier: pooler_table,
        TokenClassifier: new(*CLASSES),
        SpanExtractor: new("ends/kernel", "ends/bias"),
        MaskedLM: new(*TRANSFORM, *OUTPUT),
    },
    TransformerDecoder: {CausalLM: reverse_table, DecoderClassifier: new("classes/kernel")},
    Transformer: {
        Seq2SeqLM: lambda config: [Row("output_bias", ("output_bias",), optional=True)],
    },
}


@dataclasses.dataclass(frozen=True)
class KerasHubBackbone:
    """One of KerasHub's classes.

    Args:
        model_type: the published family that it is.
        backbone: our class.
        to_config: (its configuration) to ours.
        table: (our configuration) to the rows of the backbone.
    """

    model_type: str
    backbone: type
    to_config: Callable
    table: Callable = table

    def family(self, name):
        """The class as a `Family`, whose table is run in one direction only."""
        heads = {self.backbone: new(), **HEADS[self.backbone]}
        return Family(
            model_type=name,
            backbone=self.backbone,
            prefix="",
            to_config=self.to_config,
            from_config=None,
            table=self.table,
            heads={head: PublishedHead(name, rows) for head, rows in heads.items()},
        )


BACKBONES = {
    "BertBackbone": KerasHubBackbone("bert", TransformerEncoder, bert_config),
    "DistilBertBackbone": KerasHubBackbone("distilbert", TransformerEncoder, distilbert_config),
    "ElectraBackbone": KerasHubBackbone("electra", TransformerEncoder, electra_config),
    "RobertaBackbone": KerasHubBackbone("roberta", TransformerEncoder, roberta_config),
    "XLMRobertaBackbone": KerasHubBackbone("xlm-roberta", TransformerEncoder, roberta_config),
    "GPT2Backbone": KerasHubBackbone("gpt2", TransformerDecoder, gpt2_config),
    "LlamaBackbone": KerasHubBackbone("llama", TransformerDecoder, llama_config),
    "Llama3Backbone": KerasHubBackbone("llama", TransformerDecoder, llama_config),
    "MistralBackbone": KerasHubBackbone("mistral", TransformerDecoder, mistral_config),
    "QwenBackbone": KerasHubBackbone("qwen2", TransformerDecoder, qwen2_config),
    "Qwen3Backbone": KerasHubBackbone("qwen3", TransformerDecoder, qwen3_config),
    "BartBackbone": KerasHubBackbone("bart", Transformer, bart_config, bart_table),
}
