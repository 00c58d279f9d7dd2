"""The configuration of encoder-decoders, and the published sizes."""

import dataclasses
import math

from keras_transformer.layers.checks import check_choice, check_positive
from keras_transformer.models.base_config import Config
from keras_transformer.models.stack_config import DecoderConfig, EncoderConfig, StackConfig

SHARING = ("all", "input", "target", "none")


@dataclasses.dataclass(frozen=True)
class TransformerConfig(Config):
    """The hyperparameters of an encoder-decoder `Transformer`.

    Args:
        vocab_size: number of tokens; source and target share one vocabulary.
        num_encoder_layers: encoder blocks.
        num_decoder_layers: decoder blocks.
        hidden_dim: model width D.
        num_heads: attention heads H; must divide `hidden_dim`.
        ffn_dim: hidden width of the feed-forward layers.
        max_length: longest source and target in tokens. Sinusoidal and relative positions have no
            limit of their own; with them it is what `generate` accepts.
        dropout: rate on embeddings and on the output of each sublayer (paper, section 5.4).
        attention_dropout: rate on the attention scores.
        activation_dropout: rate on the feed-forward layers' hidden units.
        output_dropout: rate on each stack's output, as in T5.
        activation: of the feed-forward layers, a Keras activation name or "gelu_tanh".
        norm_first: pre-norm when True, post-norm as in the paper when False.
        norm_epsilon: added to the variance in normalisation.
        share_embeddings: "all" for one matrix as source embedding, target embedding and output
            projection (paper, section 3.4); "input" to share the first two only, "target" to share
            the last two only; "none".
        head_dim: K; by default D / H.
        positions: "sinusoidal", "learned" or "none", added to the embeddings.
        position_options: arguments of the positions' layer.
        position_bias: "relative" for T5's bias of each stack's self-attention, or None.
        position_bias_options: its arguments; the encoder's looks both ways, the decoder's back.
        scale_embeddings: whether embeddings are multiplied by √D (paper, section 3.4).
        embedding_norm: whether the sum of the embeddings is normalised.
        gated: whether feed-forward layers have a gate.
        norm: "layer" or "rms".
        use_bias: whether dense layers have biases.
        score: "scaled_dot_product", or "dot_product" as in T5.
        initializer_range: standard deviation of all initial kernels and embeddings; None for each
            layer's own default.
        logit_scale: factor on the decoder's states before the output projection, or None.
        output_bias: whether logits have a bias.
        pad_id: token that fills rows up.
        bos_id: token that the decoder's input starts with.
        eos_id: token that ends a sequence, or several that do.

    Raises:
        ValueError: a value is out of its range; the message names it.

    Example:

    >>> config = TransformerConfig(vocab_size=100, hidden_dim=32, num_heads=4, ffn_dim=64)
    >>> TransformerConfig.from_json(config.to_json()) == config
    True
    """

    vocab_size: int
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    hidden_dim: int = 512
    num_heads: int = 8
    ffn_dim: int = 2048
    max_length: int = 1024
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    activation: str = "relu"
    norm_first: bool = False
    norm_epsilon: float = 1e-5
    share_embeddings: str = "all"
    pad_id: int = 0
    bos_id: int = 2
    eos_id: int | tuple[int, ...] = 3
    head_dim: int | None = None
    positions: str = "sinusoidal"
    position_options: dict = dataclasses.field(default_factory=dict)
    position_bias: str | None = None
    position_bias_options: dict = dataclasses.field(default_factory=dict)
    scale_embeddings: bool = True
    embedding_norm: bool = False
    gated: bool = False
    norm: str = "layer"
    use_bias: bool = True
    score: str = "scaled_dot_product"
    initializer_range: float | None = None
    logit_scale: float | None = None
    output_bias: bool = False
    output_dropout: float = 0.0

    def __post_init__(self):
        self.check_types()
        for name in ("vocab_size", "hidden_dim", "num_encoder_layers", "num_decoder_layers"):
            check_positive(name, getattr(self, name))
        check_choice("share_embeddings", self.share_embeddings, SHARING)
        check_choice("positions", self.positions, ("sinusoidal", "learned", "none"))
        check_choice("position_bias", self.position_bias, ("relative", None))
        if self.positions == "sinusoidal" and self.hidden_dim % 2:
            raise ValueError(
                "hidden_dim must be even, since positions are pairs of sine and cosine; "
                f"received {self.hidden_dim}"
            )
        if isinstance(self.eos_id, list):  # from JSON
            object.__setattr__(self, "eos_id", tuple(self.eos_id))
        ends = self.eos_id if isinstance(self.eos_id, tuple) and self.eos_id else [self.eos_id]
        named = [("pad_id", self.pad_id), ("bos_id", self.bos_id), *(("eos_id", x) for x in ends)]
        for name, token in named:
            if not isinstance(token, int) or not 0 <= token < self.vocab_size:
                raise ValueError(
                    f"{name} must be a token of the vocabulary, in [0, {self.vocab_size}); "
                    f"received {token!r}"
                )
        self.encoder_config()  # checks what is not of this class alone

    def encoder_config(self):
        """The `EncoderConfig` of the encoder."""
        return EncoderConfig(
            num_layers=self.num_encoder_layers,
            **self.stack_fields(bidirectional=True),
        )

    def decoder_config(self):
        """The `DecoderConfig` of the decoder, with attention to the encoder's output."""
        return DecoderConfig(
            num_layers=self.num_decoder_layers,
            context_dim=self.hidden_dim,
            bos_id=self.bos_id,
            eos_id=self.eos_id,
            **self.stack_fields(bidirectional=False),
        )

    def stack_fields(self, bidirectional):
        """What the two stacks share."""
        shared = set(self.fields()) & set(StackConfig.fields())
        fields = {name: getattr(self, name) for name in shared}
        if self.position_bias is not None:
            fields["position_bias_options"] = {
                **self.position_bias_options,
                "bidirectional": bidirectional,
            }
        scale = math.sqrt(self.hidden_dim) if self.scale_embeddings else None
        return {**fields, "embedding_scale": scale}

    @classmethod
    def presets(cls):
        """The paper's sizes, `transformer_tiny` for small corpora, and the published families'."""
        from keras_transformer import families

        return {**PRESETS, **families.preset_fields(cls)}


# Parameter counts are without the embedding matrix, which adds vocab_size · hidden_dim.
PRESETS = {
    # Wu et al. 2021, "Good for Misconceived Reasons", for Multi30k
    "transformer_tiny": dict(  # 1,325,056
        num_encoder_layers=4,
        num_decoder_layers=4,
        hidden_dim=128,
        num_heads=4,
        ffn_dim=256,
        dropout=0.3,
    ),
    # Vaswani et al. 2017, table 3
    "transformer_base": dict(  # 44,138,496
        num_encoder_layers=6,
        num_decoder_layers=6,
        hidden_dim=512,
        num_heads=8,
        ffn_dim=2048,
        dropout=0.1,
    ),
    "transformer_big": dict(  # 176,357,376
        num_encoder_layers=6,
        num_decoder_layers=6,
        hidden_dim=1024,
        num_heads=16,
        ffn_dim=4096,
        dropout=0.3,
    ),
}
