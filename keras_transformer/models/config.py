"""Model configurations: one frozen dataclass a style, to and from JSON, and the published sizes."""

import dataclasses
import json

from keras_transformer.layers.checks import check_choice, check_positive, check_rate

# Most elements that one weight may have: a larger size in a file is an error, not a model.
LARGEST_WEIGHT = 2**36


@dataclasses.dataclass(frozen=True)
class Config:
    """What all configurations share: dictionaries, JSON and presets.

    Example:

    >>> TransformerConfig.from_preset("transformer_base", vocab_size=100).num_heads
    8
    """

    @classmethod
    def presets(cls):
        """The published sizes: a dictionary from name to fields."""
        return {}

    @classmethod
    def from_preset(cls, name, **overrides):
        """The configuration of a published size.

        Args:
            name: one of `presets()`.
            **overrides: fields to change.

        Raises:
            ValueError: the preset or a field is not known, or `vocab_size` is not given.
        """
        check_choice("preset", name, tuple(cls.presets()))
        return cls.from_dict({**cls.presets()[name], **overrides})

    @classmethod
    def fields(cls):
        """The names of all fields."""
        return [field.name for field in dataclasses.fields(cls)]

    def to_dict(self):
        """The fields as a dictionary."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields):
        """The configuration of a dictionary; an unknown field is a ValueError that names it."""
        known = cls.fields()
        unknown = sorted(set(fields) - set(known))
        if unknown:
            raise ValueError(
                f"unknown configuration fields {unknown}; {cls.__name__} has {sorted(known)}"
            )
        if "vocab_size" not in fields:
            raise ValueError(f"the configuration lacks vocab_size; it has {sorted(fields)}")
        return cls(**fields)

    def to_json(self):
        """The fields as a JSON object."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_json(cls, text):
        """The inverse of `to_json`."""
        return cls.from_dict(json.loads(text))


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
        max_length: longest source and target in tokens that `generate` accepts. The sinusoidal
            positions themselves have no limit.
        dropout: rate on embeddings and on the output of each sublayer (paper, section 5.4).
        attention_dropout: rate on the attention scores.
        activation_dropout: rate on the feed-forward layers' hidden units.
        activation: of the feed-forward layers, a Keras activation name.
        norm_first: pre-norm when True, post-norm as in the paper when False.
        norm_epsilon: added to the variance in normalisation.
        share_embeddings: "all" for one matrix as source embedding, target embedding and output
            projection (paper, section 3.4); "target" to share the last two only; "none".
        pad_id: token that fills rows up.
        bos_id: token that the decoder's input starts with.
        eos_id: token that ends a sequence.

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
    eos_id: int = 3

    def __post_init__(self):
        sizes = "vocab_size num_encoder_layers num_decoder_layers hidden_dim num_heads ffn_dim"
        for name in (*sizes.split(), "max_length"):
            check_positive(name, getattr(self, name))
        for name in ("dropout", "attention_dropout", "activation_dropout"):
            check_rate(name, getattr(self, name))
        check_choice("share_embeddings", self.share_embeddings, ("all", "target", "none"))
        if self.hidden_dim % self.num_heads:
            raise ValueError(
                "num_heads must divide hidden_dim; "
                f"received num_heads={self.num_heads}, hidden_dim={self.hidden_dim}"
            )
        if self.hidden_dim % 2:
            raise ValueError(
                "hidden_dim must be even, since positions are pairs of sine and cosine; "
                f"received {self.hidden_dim}"
            )
        for name in ("pad_id", "bos_id", "eos_id"):
            token = getattr(self, name)
            if not isinstance(token, int) or not 0 <= token < self.vocab_size:
                raise ValueError(
                    f"{name} must be a token of the vocabulary, in [0, {self.vocab_size}); "
                    f"received {token!r}"
                )

    @classmethod
    def presets(cls):
        """The sizes of the paper, and `transformer_tiny` for corpora such as Multi30k."""
        return PRESETS


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
