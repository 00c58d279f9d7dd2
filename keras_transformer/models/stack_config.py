"""Configurations of one stack of blocks: encoders such as BERT, decoders such as GPT.

Families differ in the parts that they choose, so that is what a configuration names.
"""

import dataclasses

import keras

from keras_transformer.layers.checks import check_choice, check_positive, check_rate
from keras_transformer.layers.multi_head import check_heads, check_query_key_norm
from keras_transformer.layers.norm import NORMS
from keras_transformer.models.base_config import LARGEST_WEIGHT, Config

# Fields that are the block's arguments of the same names
BLOCK_FIELDS = """
    num_heads head_dim num_kv_heads ffn_dim dropout attention_dropout activation_dropout activation
    gated norm norm_first norm_epsilon parallel use_bias use_attention_bias use_output_bias
    query_key_norm score soft_cap
""".split()

MOST_LAYERS = 1024  # a larger number in a file is an error, not a model
POSITIONS = ("learned", "sinusoidal", "rotary", "none")
POSITION_BIASES = ("alibi", "relative", None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StackConfig(Config):
    """The hyperparameters that encoders and decoders share.

    Args:
        vocab_size: V.
        num_layers: blocks.
        hidden_dim: model width D.
        num_heads: attention heads H.
        head_dim: K; by default D / H, which must then be whole.
        num_kv_heads: key-value heads, a divisor of H; by default H.
        ffn_dim: hidden width of the feed-forward layers.
        embedding_dim: width of the token embeddings, projected to D where it differs; by default D.
        max_length: longest input in tokens. Sinusoidal, rotary and biased positions have no limit
            of their own.
        positions: "learned" or "sinusoidal", added to embeddings; "rotary" in attention; "none".
        position_options: arguments of the positions' layer, such as `{"start": 2}` for
            `LearnedPositions` or `{"max_wavelength": 500000.0}` for `RotaryEmbedding`. An object,
            such as `YarnScaling(...)`, is kept in the form that Keras saves it in.
        position_bias: "alibi" or "relative", a bias of attention's scores that is made once for all
            blocks, or None.
        position_bias_options: its arguments, such as `{"num_buckets": 32}`.
        embedding_scale: factor on token embeddings, or None.
        embedding_norm: whether the sum of the embeddings is normalised.
        dropout: rate on embeddings and on each sublayer's output.
        attention_dropout: rate on the attention scores.
        activation_dropout: rate on the feed-forward layers' hidden units.
        output_dropout: rate on the stack's output, as in T5.
        activation: "relu", "gelu" (exact), "gelu_tanh", "silu".
        gated: whether feed-forward layers have a gate.
        norm: "layer" or "rms".
        norm_first: pre-norm, with one more norm at the end of the stack; else post-norm.
        norm_epsilon: added to the variance in normalisation, that of queries and keys included.
        parallel: whether attention and feed-forward start from the same input.
        use_bias: whether dense layers have biases.
        use_attention_bias: the same for attention's projections; by default `use_bias`.
        use_output_bias: the same for the last of them; by default as the others.
        query_key_norm: "layer", "rms" or None.
        score: "scaled_dot_product" or "dot_product".
        soft_cap: bound of the scores, or None.
        window: how many positions a query reaches back, or None for all.
        window_layers: numbers of the blocks that have the window, from 0; by default all.
        tie_embeddings: whether the output projection is the token embedding.
        initializer_range: standard deviation of all initial kernels and embeddings; None for each
            layer's own default.
        scaled_residuals: whether the last kernel before each residual sum starts with 1/√N of that
            deviation, N being the number of those sums, as in GPT-2.
        pad_id: token that fills rows up.

    Raises:
        ValueError: a value is out of its range; the message names it.
    """

    vocab_size: int
    num_layers: int = 12
    hidden_dim: int = 768
    num_heads: int = 12
    head_dim: int | None = None
    num_kv_heads: int | None = None
    ffn_dim: int = 3072
    embedding_dim: int | None = None
    max_length: int = 512
    positions: str = "learned"
    position_options: dict = dataclasses.field(default_factory=dict)
    position_bias: str | None = None
    position_bias_options: dict = dataclasses.field(default_factory=dict)
    embedding_scale: float | None = None
    embedding_norm: bool = False
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    output_dropout: float = 0.0
    activation: str = "gelu"
    gated: bool = False
    norm: str = "layer"
    norm_first: bool = False
    norm_epsilon: float = 1e-5
    parallel: bool = False
    use_bias: bool = True
    use_attention_bias: bool | None = None
    use_output_bias: bool | None = None
    query_key_norm: str | None = None
    score: str = "scaled_dot_product"
    soft_cap: float | None = None
    window: int | None = None
    window_layers: tuple[int, ...] | None = None
    tie_embeddings: bool = True
    initializer_range: float | None = 0.02
    scaled_residuals: bool = False
    pad_id: int | None = 0

    def __post_init__(self):
        self.check_types()
        for name in "vocab_size num_layers hidden_dim num_heads ffn_dim max_length".split():
            check_positive(name, getattr(self, name))
        if self.num_layers > MOST_LAYERS:
            raise ValueError(
                f"num_layers must be at most {MOST_LAYERS}; received {self.num_layers}"
            )
        for name in ("head_dim", "embedding_dim", "window"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        for name in ("dropout", "attention_dropout", "activation_dropout", "output_dropout"):
            check_rate(name, getattr(self, name))
        check_heads(self.num_heads, self.num_kv_heads)
        check_query_key_norm(self.query_key_norm)
        check_choice("norm", self.norm, tuple(NORMS))
        check_choice("positions", self.positions, POSITIONS)
        check_choice("position_bias", self.position_bias, POSITION_BIASES)
        self.check_window_layers()
        self.serialize_position_options()
        if self.head_dim is None and self.hidden_dim % self.num_heads:
            raise ValueError(
                "num_heads must divide hidden_dim unless head_dim is given; "
                f"received num_heads={self.num_heads}, hidden_dim={self.hidden_dim}"
            )
        for name in ("vocab_size", "ffn_dim", "max_length"):
            elements = getattr(self, name) * self.hidden_dim
            if elements > LARGEST_WEIGHT:
                raise ValueError(
                    f"{name}={getattr(self, name)} and hidden_dim={self.hidden_dim} make a weight "
                    f"of {elements:,} elements; at most {LARGEST_WEIGHT:,} are allowed"
                )
        if self.pad_id is not None and not (
            isinstance(self.pad_id, int) and 0 <= self.pad_id < self.vocab_size
        ):
            raise ValueError(
                f"pad_id must be a token of the vocabulary, in [0, {self.vocab_size}), or None; "
                f"received {self.pad_id!r}"
            )

    @classmethod
    def presets(cls):
        """The sizes of the published families, by their names."""
        from keras_transformer import families

        return families.preset_fields(cls)

    def check_window_layers(self):
        """Refuses numbers of blocks that are none; a list from JSON becomes a tuple."""
        if self.window_layers is None:
            return
        object.__setattr__(self, "window_layers", tuple(self.window_layers))
        wrong = [number for number in self.window_layers if number not in range(self.num_layers)]
        if wrong or self.window is None:
            raise ValueError(
                f"window_layers must be numbers of blocks in [0, {self.num_layers}) and go with a "
                f"window; received window_layers={self.window_layers}, window={self.window}"
            )

    def serialize_position_options(self):
        """An object among the options becomes what JSON can hold."""
        options = {
            name: keras.saving.serialize_keras_object(x) if hasattr(x, "get_config") else x
            for name, x in self.position_options.items()
        }
        object.__setattr__(self, "position_options", options)

    def resolved(self):
        fields = self.to_dict()
        bias = self.use_bias if self.use_attention_bias is None else self.use_attention_bias
        stands_for = dict(
            head_dim=self.hidden_dim // self.num_heads,
            num_kv_heads=self.num_heads,
            embedding_dim=self.hidden_dim,
            use_attention_bias=bias,
            use_output_bias=bias,
            window_layers=None if self.window is None else tuple(range(self.num_layers)),
        )
        return {name: stands_for.get(name) if x is None else x for name, x in fields.items()}

    def block_arguments(self, number):
        """What block `number` is made with, but for name, dtype and positions."""
        arguments = {name: getattr(self, name) for name in BLOCK_FIELDS}
        has_window = self.window_layers is None or number in self.window_layers
        return {**arguments, "window": self.window if has_window else None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig(StackConfig):
    """The hyperparameters of a `TransformerEncoder`; the defaults are BERT-base's but for V.

    Args:
        num_segments: segments (token types) with an embedding each; 0 for none.
        **others: as in `StackConfig`.

    Example:

    >>> config = EncoderConfig(vocab_size=30_522, num_segments=2)
    >>> EncoderConfig.from_json(config.to_json()) == config
    True

    Reference:
        Devlin et al. 2019, "BERT", section 3.
    """

    num_segments: int = 0
    embedding_norm: bool = True
    norm_epsilon: float = 1e-12

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.num_segments, int) or self.num_segments < 0:
            raise ValueError(f"num_segments must be 0 or more; received {self.num_segments!r}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderConfig(StackConfig):
    """The hyperparameters of a `TransformerDecoder`; the defaults are those of GPT-2 but for V.

    Args:
        context_dim: width of the context that blocks attend to besides the text, which makes this
            the decoder of an encoder-decoder; None for none.
        bos_id: token that begins a text, or None.
        eos_id: token that ends it, or several that do, or None.
        **others: as in `StackConfig`.

    Example:

    >>> config = DecoderConfig(vocab_size=50_257, eos_id=50_256)
    >>> DecoderConfig.from_json(config.to_json()) == config
    True

    Reference:
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
    """

    max_length: int = 1024
    norm_first: bool = True
    activation: str = "gelu_tanh"
    pad_id: int | None = None
    context_dim: int | None = None
    bos_id: int | None = None
    eos_id: int | tuple[int, ...] | None = None

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.eos_id, list):  # from JSON
            object.__setattr__(self, "eos_id", tuple(self.eos_id))
