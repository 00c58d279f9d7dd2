"""Models with a head: what is trained and served.

B batch, S source length, T target length, V vocabulary
"""

import keras

from keras_transformer.layers import TokenEmbedding
from keras_transformer.models.config import TransformerConfig
from keras_transformer.models.transformer import Transformer


@keras.saving.register_keras_serializable(package="keras_transformer")
class Seq2SeqLM(keras.Model):
    """An encoder-decoder `Transformer` that predicts the target's next token.

        logits = Transformer(source, target) Eᵀ

    A subclass overrides `make_backbone` to use a backbone of its own.

    Args:
        config: a `TransformerConfig`; `share_embeddings` says whether E is the embedding matrix.

    Call:
        inputs: as `Transformer` takes them. `decoder_token_ids` are the target shifted right:
            `bos_id`, then all tokens but the last.
        training: whether dropout is active.

    Returns:
        (B, T, V) logits in the compute dtype.

    Example:

    >>> import numpy as np
    >>> model = Seq2SeqLM.from_preset("transformer_tiny", vocab_size=11)
    >>> tokens = np.array([[5, 6, 7]])
    >>> inputs = {"encoder_token_ids": tokens, "decoder_token_ids": tokens[:, :2]}
    >>> model(inputs).shape == (1, 2, 11)
    True

    Reference:
        Vaswani et al. 2017, section 3.
    """

    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.backbone = self.make_backbone("backbone")
        self.output_embedding = self.backbone.decoder_embedding
        if config.share_embeddings == "none":
            self.output_embedding = TokenEmbedding(
                config.vocab_size,
                config.hidden_dim,
                dtype=self.dtype_policy,
                name="output_embedding",
            )
            self.output_embedding.build((None, None))
        self.built = True

    @classmethod
    def from_preset(cls, name, **overrides):
        """A model of a published size with random weights.

        Args:
            name: `transformer_tiny`, `transformer_base` or `transformer_big`.
            **overrides: `vocab_size`, and other fields of `TransformerConfig` to change.

        Raises:
            ValueError: the preset is not known; the message lists those that are.
        """
        return cls(TransformerConfig.from_preset(name, **overrides))

    def make_backbone(self, name):
        """The backbone."""
        return Transformer(self.config, dtype=self.dtype_policy, name=name)

    def build(self, input_shape=None):
        self.built = True  # the constructor has made all weights

    def call(self, inputs, training=None):
        return self.output_embedding(self.backbone(inputs, training=training), reverse=True)

    def hidden_states(self, inputs):
        """Hidden states of all layers: a dictionary of two lists, `encoder` and `decoder`.

        Each starts with the embeddings and goes on with the output of each block, (B, S, D) and
        (B, T, D).
        """
        found = self.backbone.trace(inputs)
        return {side: found[f"{side}_hidden_states"] for side in ("encoder", "decoder")}

    def attention_scores(self, inputs):
        """Attention scores of all layers and heads, float32.

        Returns:
            A dictionary of lists, an item a layer: `encoder` (B, H, S, S), `decoder`
            (B, H, T, T), `cross` (B, H, T, S).
        """
        found = self.backbone.trace(inputs)
        return {name: found[name] for name in ("encoder", "decoder", "cross")}

    def start(self, inputs, max_length, beams=1):
        """Encodes the sources and prepares decoding; see `Transformer.start`."""
        return self.backbone.start(inputs, max_length, beams=beams)

    def step(self, token_ids, state):
        """Logits (N, T, V) of the tokens after `token_ids` (N, T), and the advanced state."""
        hidden, state = self.backbone.step(token_ids, state)
        return self.output_embedding(hidden, reverse=True), state

    def reorder(self, state, rows):
        """The state whose row i continues row `rows[i]`; rows of one source stay with it."""
        return state._replace(cache=state.cache.reorder(rows))

    def generate(self, inputs, max_new_tokens=None, method=None):
        """Generates target sequences.

        Args:
            inputs: token ids (B, S), a ragged list of them, or a dictionary with
                `encoder_token_ids` and perhaps `encoder_padding_mask`.
            max_new_tokens: the longest target in tokens, the ending one included; by default
                `config.max_length`.
            method: `generation.Greedy()` (the default) or `generation.BeamSearch(...)`.

        Returns:
            `generation.Generated` with `sequences`, `lengths` and `scores`.

        Raises:
            ValueError: token ids outside the vocabulary, an empty source, or limits that
                contradict each other.
        """
        from keras_transformer import generation

        return generation.generate(self, inputs, max_new_tokens=max_new_tokens, method=method)

    def save_pretrained(self, folder):
        """Writes `config.json` and `model.safetensors`; each file is replaced in one step."""
        from keras_transformer import checkpoints

        checkpoints.save_pretrained(self, folder)

    @classmethod
    def from_pretrained(cls, folder, dtype=None):
        """The model that `save_pretrained` wrote.

        Args:
            folder: a local folder.
            dtype: dtype policy of the model; by default Keras's global one.

        Raises:
            FileNotFoundError: the folder or a file of it does not exist.
            ValueError: weights are missing, unexpected or misshapen; the message lists them.
        """
        from keras_transformer import checkpoints

        return checkpoints.from_pretrained(cls, folder, dtype=dtype)

    def get_config(self):
        return {**super().get_config(), "config": self.config.to_dict()}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        return cls(TransformerConfig.from_dict(config.pop("config")), **config)
