"""One stack of blocks over embedded tokens: what encoders and decoders share.

B batch, T length, D width, H heads, V vocabulary
"""

import math

from keras import ops

from keras_transformer import layers
from keras_transformer.layers.dense import Dense
from keras_transformer.layers.norm import make_norm
from keras_transformer.models.configured import ConfiguredModel, normal_initializer


def unchanged(x):
    """Its argument: what stands where a configuration leaves a part out."""
    return x


class TransformerStack(ConfiguredModel):
    """Embeddings, blocks, and the norm that a pre-norm stack ends with. Not used by itself.

    A subclass overrides `make_block`, `make_embedding`, `make_positions` or `make_norm` to change
    that part and nothing else; another class of blocks alone is passed as `block`. Weights are made
    by the constructor; what a hook needs beyond `self.config` must be set before
    `super().__init__`.

    Args:
        config: an instance of the class's `config_class`.
        block: a subclass of the class's own kind of block, registered with Keras where the model is
            to be saved; by default that itself.
        token_embedding: a `TokenEmbedding` that the stack shares with others, built, or None for
            one of its own.
    """

    input_names = ("token_ids", "padding_mask")

    def __init__(self, config, block=None, token_embedding=None, **kwargs):
        self.choose(config, {"block": block})
        super().__init__(**kwargs)
        self.supports_masking = True
        self.token_embedding = token_embedding
        self.build()

    # The parts

    def build(self, input_shape=None):
        if self.built:
            return
        config = self.config
        width = config.embedding_dim or config.hidden_dim
        if self.token_embedding is None:
            self.token_embedding = self.make_embedding("token_embedding", width)
        self.positions = self.make_positions("positions")
        self.position_bias = self.make_position_bias("position_bias")
        self.embedding_norm = unchanged
        if config.embedding_norm:
            self.embedding_norm = self.make_norm("embedding_norm", width)
        self.embedding_dropout = layers.Dropout(
            config.dropout, dtype=self.dtype_policy, name="embedding_dropout"
        )
        self.embedding_dropout.build((None, None, width))
        self.embedding_projection = unchanged
        if width != config.hidden_dim:
            self.embedding_projection = Dense(
                config.hidden_dim,
                kernel_initializer=self.initializer() or "glorot_uniform",
                dtype=self.dtype_policy,
                name="embedding_projection",
            )
            self.embedding_projection.build((None, None, width))
        if isinstance(self.positions, (layers.LearnedPositions, layers.PositionalEncoding)):
            self.positions.build((None, None, width))
        self.blocks = [self.make_block(i) for i in range(config.num_layers)]
        for block in self.blocks:
            self.build_block(block)
        self.norm = unchanged
        if config.norm_first:
            self.norm = self.make_norm("norm", config.hidden_dim)
        self.output_dropout = layers.Dropout(
            config.output_dropout, dtype=self.dtype_policy, name="output_dropout"
        )
        self.built = True

    def make_block(self, number):
        """Block `number`, from 0."""
        return self.block(
            rotary=self.positions if isinstance(self.positions, layers.RotaryEmbedding) else None,
            kernel_initializer=self.initializer(),
            output_initializer=self.output_initializer(),
            dtype=self.dtype_policy,
            name=f"block_{number}",
            **self.config.block_arguments(number),
        )

    def build_block(self, block):
        """Makes a block's weights."""
        block.build((None, None, self.config.hidden_dim))

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
        kinds = {
            "learned": (layers.LearnedPositions, {"max_length": config.max_length, **initial}),
            "sinusoidal": (layers.PositionalEncoding, {}),
            "rotary": (layers.RotaryEmbedding, {}),
        }
        if config.positions == "none":
            return unchanged
        kind, arguments = kinds[config.positions]
        return kind(**arguments, **config.position_options, dtype=self.dtype_policy, name=name)

    def make_position_bias(self, name):
        """The bias that the configuration's `position_bias` stands for, built, or None."""
        config = self.config
        if config.position_bias is None:
            return None
        kind, arguments = {
            "alibi": (layers.AlibiBias, {}),
            "relative": (
                layers.RelativePositionBias,
                {"embeddings_initializer": self.initializer()},
            ),
        }[config.position_bias]
        arguments = {**arguments, **config.position_bias_options}
        bias = kind(config.num_heads, **arguments, dtype=self.dtype_policy, name=name)
        bias.build()
        return bias

    def make_norm(self, name, width):
        """One normalisation layer outside the blocks, built."""
        norm = make_norm(
            self.config.norm, epsilon=self.config.norm_epsilon, dtype=self.dtype_policy, name=name
        )
        norm.build((None, None, width))
        return norm

    def initializer(self):
        """Of all kernels and embeddings, or None for each layer's own."""
        return normal_initializer(self.config.initializer_range)

    def output_initializer(self):
        """Of the last kernel before each residual sum, or None for that of all kernels."""
        deviation = self.config.initializer_range
        if not self.config.scaled_residuals or deviation is None:
            return None
        return normal_initializer(deviation / math.sqrt(2 * self.config.num_layers))

    # What they compute

    def call(self, inputs, training=None):
        return self.run(self.named(inputs), training=training)

    def run(self, inputs, training=None, states=None, scores=None):
        """The hidden states (B, T, D) of named inputs; lists take those of all layers on the way.

        Args:
            inputs: what `named` returned.
            training: whether dropout is active.
            states: a list that is given the embeddings and each block's output, the last one
                normalised where the stack ends with a norm; or None.
            scores: a list that is given a list of each block's attention scores; or None.
        """
        x = self.embed(inputs, training=training)
        arguments = {
            "padding_mask": inputs["padding_mask"],
            "attention_bias": self.attention_bias(ops.shape(x)[1], ops.shape(x)[1]),
            "return_attention_scores": scores is not None,
            "training": training,
            **self.context_arguments(inputs),
        }
        trace = [x]
        for block in self.blocks:
            x = block(x, **arguments)
            if scores is not None:
                x, *block_scores = x
                scores.append(block_scores)
            trace.append(x)
        x = self.norm(x)
        if states is not None:
            states.extend([*trace[:-1], x])
        return self.output_dropout(x, training=training)

    def part_shape(self, part):
        config = self.config
        if part is self.position_bias:
            return (config.num_heads, None, None)
        if isinstance(part, layers.RotaryEmbedding):
            return (None, config.num_heads, None, config.resolved()["head_dim"])
        if part is self.positions:
            return (None, None, config.embedding_dim or config.hidden_dim)
        return super().part_shape(part)

    def compute_mask(self, inputs, previous_mask=None):
        return None  # the last block has set the mask of the output, if there is one

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
        if self.position_bias is None:
            return None
        return self.position_bias(query_length, key_length, offset)

    def context_arguments(self, inputs):
        """Hook: what blocks are given besides their input and its masks."""
        return {}

    def hidden_states(self, inputs):
        """Hidden states of all layers, without dropout.

        Returns:
            A list of (B, T, D): the embeddings, then each block's output; the last is what the
            model returns.
        """
        states = []
        self.run(self.named(inputs), states=states)
        return states

    def attention_scores(self, inputs):
        """Attention scores of all layers: a list of (B, H, T, T) float32."""
        scores = []
        self.run(self.named(inputs), scores=scores)
        return [own for own, *_ in scores]

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
        if len(inputs["token_ids"].shape) != 2:
            raise ValueError(
                f"token_ids must be (B, T); received shape {tuple(inputs['token_ids'].shape)}"
            )
        return {name: inputs.get(name) for name in self.input_names}
