"""One stack of blocks over embedded tokens: what encoders and decoders share.

B batch, T length, D width, H heads, V vocabulary
"""

import keras
from keras import ops

from keras_transformer import layers
from keras_transformer.layers.norm import make_norm


class ConfiguredModel(keras.Model):
    """A model that is made, saved and loaded by its configuration and its class of blocks.

    It has `config`, an instance of `config_class`, and `block`, a subclass of `block_class`.
    """

    config_class = None
    block_class = None

    def get_config(self):
        config = {**super().get_config(), "config": self.config.to_dict()}
        if self.block is not self.block_class:
            config["block"] = keras.saving.get_registered_name(self.block)
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        block = config.pop("block", None)
        if block is not None:
            block = keras.saving.get_registered_object(block)
        fields = config.pop("config")
        return cls(cls.config_class.from_dict(fields), block=block, **config)


class TransformerStack(ConfiguredModel):
    """Embeddings, blocks, and the norm that a pre-norm stack ends with. Not used by itself.

    A subclass overrides `make_block`, `make_embedding`, `make_positions` or `make_norm` to change
    that part and nothing else; another class of blocks alone is passed as `block`. Weights are made
    by the constructor; what a hook needs beyond `self.config` must be set before
    `super().__init__`.

    Args:
        config: an instance of the class's `config_class`.
        block: a subclass of the class's `block_class`, registered with Keras where the model is to
            be saved; by default `block_class` itself.
    """

    input_names = ("token_ids", "padding_mask")

    def __init__(self, config, block=None, **kwargs):
        if not isinstance(config, self.config_class):
            wanted = self.config_class.__name__
            raise TypeError(f"config must be of type {wanted}; received {config!r}")
        if block is not None and not (
            isinstance(block, type) and issubclass(block, self.block_class)
        ):
            raise TypeError(
                f"block must be a subclass of {self.block_class.__name__}; received {block!r}"
            )
        self.config = config
        self.block = block or self.block_class
        super().__init__(**kwargs)
        self.build()

    # The parts

    def build(self, input_shape=None):
        if self.built:
            return
        config = self.config
        width = config.embedding_dim or config.hidden_dim
        self.token_embedding = self.make_embedding("token_embedding", width)
        self.positions = self.make_positions("positions")
        self.embedding_norm = self.identity("embedding_norm")
        if config.embedding_norm:
            self.embedding_norm = self.make_norm("embedding_norm", width)
        self.embedding_dropout = layers.Dropout(
            config.dropout, dtype=self.dtype_policy, name="embedding_dropout"
        )
        self.embedding_projection = self.identity("embedding_projection")
        if width != config.hidden_dim:
            self.embedding_projection = keras.layers.Dense(
                config.hidden_dim,
                kernel_initializer=self.initializer(),
                dtype=self.dtype_policy,
                name="embedding_projection",
            )
            self.embedding_projection.build((None, None, width))
        if isinstance(self.positions, (layers.LearnedPositions, layers.PositionalEncoding)):
            self.positions.build((None, None, width))
        elif isinstance(self.positions, layers.PositionBias):
            self.positions.build()
        self.blocks = [self.make_block(f"block_{i}") for i in range(config.num_layers)]
        for block in self.blocks:
            block.build((None, None, config.hidden_dim))
        self.norm = self.identity("norm")
        if config.norm_first:
            self.norm = self.make_norm("norm", config.hidden_dim)
        self.built = True

    def make_block(self, name):
        """One block."""
        return self.block(
            rotary=self.positions if isinstance(self.positions, layers.RotaryEmbedding) else None,
            kernel_initializer=self.initializer(),
            dtype=self.dtype_policy,
            name=name,
            **self.config.block_arguments(),
        )

    def make_embedding(self, name, width):
        """The token embedding."""
        embedding = layers.TokenEmbedding(
            self.config.vocab_size,
            width,
            scale=self.config.embedding_scale,
            embeddings_initializer=self.initializer(),
            dtype=self.dtype_policy,
            name=name,
        )
        embedding.build((None, None))
        return embedding

    def make_positions(self, name):
        """The layer that the configuration's `positions` stands for."""
        config = self.config
        initial = {"embeddings_initializer": self.initializer()}
        heads = {"num_heads": config.num_heads}
        kinds = {
            "learned": (layers.LearnedPositions, {"max_length": config.max_length, **initial}),
            "sinusoidal": (layers.PositionalEncoding, {}),
            "rotary": (layers.RotaryEmbedding, {}),
            "alibi": (layers.AlibiBias, heads),
            "relative": (layers.RelativePositionBias, {**heads, **initial}),
            "none": (keras.layers.Identity, {}),
        }
        kind, arguments = kinds[config.positions]
        return kind(**arguments, **config.position_options, dtype=self.dtype_policy, name=name)

    def make_norm(self, name, width):
        """One normalisation layer outside the blocks, built."""
        norm = make_norm(
            self.config.norm, epsilon=self.config.norm_epsilon, dtype=self.dtype_policy, name=name
        )
        norm.build((None, None, width))
        return norm

    def identity(self, name):
        """What stands where a configuration leaves a part out."""
        return keras.layers.Identity(dtype=self.dtype_policy, name=name)

    def initializer(self):
        """Of all kernels and embeddings."""
        return keras.initializers.RandomNormal(stddev=self.config.initializer_range)

    # What they compute

    def call(self, inputs, training=None):
        return self.forward(self.named(inputs), training=training)

    def forward(self, inputs, training=None, states=None, scores=None):
        """The hidden states (B, T, D) of named inputs; lists take those of all layers on the way.

        Args:
            inputs: what `named` returned.
            training: whether dropout is active.
            states: a list that is given the embeddings and each block's output, the last one
                normalised where the stack ends with a norm; or None.
            scores: a list that is given each block's attention scores; or None.
        """
        x = self.embed(inputs, training=training)
        bias = self.attention_bias(ops.shape(x)[1], ops.shape(x)[1])
        trace = [x]
        for block in self.blocks:
            x = block(
                x,
                padding_mask=inputs["padding_mask"],
                attention_bias=bias,
                return_attention_scores=scores is not None,
                training=training,
            )
            if scores is not None:
                x, block_scores = x
                scores.append(block_scores)
            trace.append(x)
        x = self.norm(x)
        if states is not None:
            states.extend([*trace[:-1], x])
        return x

    def embed(self, inputs, start_index=0, training=None):
        """Embedded tokens with what is added to them: (B, T, D)."""
        x = self.token_embedding(inputs["token_ids"])
        if isinstance(self.positions, (layers.LearnedPositions, layers.PositionalEncoding)):
            x = self.positions(
                x,
                start_index=start_index,
                padding_mask=inputs.get("padding_mask"),
                positions=inputs.get("positions"),
            )
        x = self.add_to_embedding(x, inputs)
        x = self.embedding_dropout(self.embedding_norm(x), training=training)
        return self.embedding_projection(x)

    def add_to_embedding(self, x, inputs):
        """Hook: what a style adds to its embeddings besides positions."""
        return x

    def attention_bias(self, query_length, key_length, offset=0):
        """The bias of positions that all blocks share, (H, T, S), or None."""
        if isinstance(self.positions, layers.PositionBias):
            return self.positions(query_length, key_length, offset)
        return None

    def hidden_states(self, inputs):
        """Hidden states of all layers, without dropout.

        Returns:
            A list of (B, T, D): the embeddings, then each block's output; the last is what the
            model returns.
        """
        states = []
        self.forward(self.named(inputs), states=states)
        return states

    def attention_scores(self, inputs):
        """Attention scores of all layers: a list of (B, H, T, T) float32."""
        scores = []
        self.forward(self.named(inputs), scores=scores)
        return scores

    def named(self, inputs):
        """The inputs as a dictionary with all keys, those that are missing as None.

        Raises:
            ValueError: the inputs lack `token_ids`, or have a key that is not known.
        """
        if not isinstance(inputs, dict):
            inputs = {"token_ids": inputs}
        if not {"token_ids"} <= set(inputs) <= set(self.input_names):
            raise ValueError(
                f"inputs must be token ids or a dictionary with token_ids, and optionally "
                f"{', '.join(self.input_names[1:])}; received {sorted(inputs)}"
            )
        return {name: inputs.get(name) for name in self.input_names}
