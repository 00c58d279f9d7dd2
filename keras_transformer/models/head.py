"""What all models with a head share: a backbone, its inspection, a default way to compile."""

import keras

from keras_transformer.layers import Dropout
from keras_transformer.layers.dense import Dense
from keras_transformer.models.configured import ConfiguredModel, normal_initializer


class Head(ConfiguredModel):
    """A backbone and what is on top of it. Not used by itself.

    A subclass names its `backbone_class` and overrides `build_head`, `call`, `default_loss` and
    `default_metrics`; or `make_backbone`, to use a backbone of its own.

    Args:
        config: the backbone's configuration.
        **kwargs: the backbone's classes of blocks by its arguments' names, and Keras's arguments.
    """

    backbone_class = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.backbone_class is not None:
            cls.config_class = cls.backbone_class.config_class
            cls.block_classes = cls.backbone_class.block_classes

    def __init__(self, config, **kwargs):
        blocks = {name: kwargs.pop(name, None) for name in self.block_classes}
        self.choose(config, blocks)
        super().__init__(**kwargs)
        self.backbone = self.make_backbone("backbone")
        self.build_head()
        self.built = True

    @classmethod
    def from_preset(cls, name, **overrides):
        """A model of a published size with random weights.

        Args:
            name: one of the configuration class's `presets()`.
            **overrides: fields of the configuration to change, and arguments of the model.

        Raises:
            ValueError: the preset is not known; the message lists those that are.
        """
        fields, arguments = cls.split_arguments(overrides)
        return cls(cls.config_class.from_preset(name, **fields), **arguments)

    def make_backbone(self, name):
        """The backbone."""
        blocks = {argument: getattr(self, argument) for argument in self.block_classes}
        return self.backbone_class(self.config, **blocks, dtype=self.dtype_policy, name=name)

    def build_head(self):
        """Makes and builds the layers of the head."""
        raise NotImplementedError

    def build(self, input_shape=None):
        self.built = True  # the constructor has made all weights

    def make_dense(self, name, units, activation=None, shape=None, use_bias=True):
        """A dense layer with the backbone's initialiser, built for inputs (B, T, D) or `shape`."""
        initializer = normal_initializer(self.config.initializer_range)
        layer = Dense(
            units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=initializer or "glorot_uniform",
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build(shape or (None, None, self.config.hidden_dim))
        return layer

    def make_dropout(self, name, rate, shape=None):
        """A layer of dropout, built likewise."""
        layer = Dropout(rate, dtype=self.dtype_policy, name=name)
        layer.build(shape or (None, None, self.config.hidden_dim))
        return layer

    def hidden_states(self, inputs):
        """Hidden states of all layers of the backbone."""
        return self.backbone.hidden_states(inputs)

    def attention_scores(self, inputs):
        """Attention scores of all layers of the backbone."""
        return self.backbone.attention_scores(inputs)

    def default_loss(self):
        """The loss of `compile(loss="auto")`."""
        raise NotImplementedError

    def default_metrics(self):
        """The weighted metrics of `compile(weighted_metrics="auto")`."""
        return []

    def compile(self, optimizer="adam", loss="auto", weighted_metrics="auto", **kwargs):
        """As `keras.Model.compile`, with defaults.

        Args:
            loss: "auto" stands for the head's own.
            weighted_metrics: "auto" stands for the head's own where the loss is, else for none,
                since metrics over a vocabulary cost time in every step.
        """
        own_loss = isinstance(loss, str) and loss == "auto"
        if isinstance(weighted_metrics, str) and weighted_metrics == "auto":
            weighted_metrics = self.default_metrics() if own_loss else None
        super().compile(
            optimizer=optimizer,
            loss=self.default_loss() if own_loss else loss,
            weighted_metrics=weighted_metrics,
            **kwargs,
        )

    def compile_from_config(self, config):
        """Compiles a loaded model as it was; Keras leaves that to whoever overrides `compile`."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)
