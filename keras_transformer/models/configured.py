"""What all models share: they are made, saved and loaded by a configuration."""

import contextlib
import inspect

import keras

from keras_transformer.layers.quantized import quantization_of, quantize_again


def normal_initializer(stddev):
    """A normal distribution's, or None for each layer's own."""
    return None if stddev is None else keras.initializers.RandomNormal(stddev=stddev)


@contextlib.contextmanager
def shapes_shown(model):
    """Shows, while `summary` prints, what a part says about its output in place of "?".

    Keras asks layers that were built without being called for a shape that depends on their input
    alone. A part of a model may take more than that.
    """
    changed = []
    models = [model]
    while models:
        whole = models.pop()
        for part in whole.layers:
            if isinstance(part, ConfiguredModel):
                models.append(part)
            by_default = getattr(part.compute_output_shape, "_is_default", False)
            if (part._build_shapes_dict and not by_default) or hasattr(part, "output_shape"):
                continue  # Keras knows it, or it has been said
            changed.append((part, part._build_shapes_dict))
            part._build_shapes_dict = {"input_shape": ()}
            part.output_shape = whole.part_shape(part)
    try:
        yield
    finally:
        for part, shapes in changed:
            part._build_shapes_dict = shapes
            del part.output_shape


class ConfiguredModel(keras.Model):
    """A model that is made, saved and loaded by its configuration and its classes of blocks.

    It has `config`, an instance of `config_class`, and for each argument that `block_classes` names
    an attribute of that name: a subclass of the class that stands there.
    """

    config_class = None
    block_classes = {}
    published = None
    """The published `config.json` that the model was read with, or None."""

    def choose(self, config, blocks):
        """Sets `config` and the classes of blocks, those that are None to the model's own."""
        if not isinstance(config, self.config_class):
            wanted = self.config_class.__name__
            raise TypeError(f"config must be of type {wanted}; received {config!r}")
        self.config = config
        for name, block in blocks.items():
            base = self.block_classes[name]
            if block is not None and not (isinstance(block, type) and issubclass(block, base)):
                raise TypeError(f"{name} must be a subclass of {base.__name__}; received {block!r}")
            setattr(self, name, block or base)

    @classmethod
    def from_pretrained(cls, name, revision=None, dtype=None, **overrides):
        """A model with the weights of a folder or of a model on the Hugging Face hub.

        Args:
            name: a folder that `save_pretrained` or a library with the same layout wrote, or a name
                on the hub, such as "google-bert/bert-base-uncased".
            revision: commit, tag or branch on the hub; by default its main branch.
            dtype: dtype policy of the model; by default Keras's global one.
            **overrides: fields of the configuration, and arguments of the model, to change.

        Raises:
            FileNotFoundError: there is no such folder or model, or a file of it is missing.
            ValueError: the family is not known or has no such head; weights are missing, unexpected
                or misshapen: the message lists them. Weights of the head alone may be missing;
                they start with random values, and a warning names them.
        """
        from keras_transformer import checkpoints

        return checkpoints.from_pretrained(cls, name, revision=revision, dtype=dtype, **overrides)

    def save_pretrained(self, folder, family=None):
        """Writes `config.json` and `model.safetensors`; each file is replaced in one step.

        A model that was read from a published family is written in that family's layout, which
        other libraries read; any other in this package's own.

        Args:
            folder: made if missing.
            family: "bert" or another published family, to write in its layout.

        Raises:
            ValueError: the family cannot express the model; the message says what.
            OSError: the disk is full; what was there before is untouched.
        """
        from keras_transformer import checkpoints

        checkpoints.save_pretrained(self, folder, family=family)

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """`layer_call` itself: under `keras.RematScope` its blocks are recomputed, one by one."""
        return layer_call

    def summary(self, *args, expand_nested=True, **kwargs):
        """As `keras.Model.summary`, with the parts of all parts and the shapes of their outputs."""
        with shapes_shown(self):
            super().summary(*args, expand_nested=expand_nested, **kwargs)

    def part_shape(self, part):
        """The shape of a part's output for `summary`, where Keras does not know it."""
        return (None, None, self.config.hidden_dim)

    @classmethod
    def split_arguments(cls, overrides):
        """`(fields of the configuration, arguments of the constructor)` among named values.

        What is neither counts as a field, so that the configuration refuses it by name.
        """
        parameters = {"name", "dtype", "trainable", "quantization", *cls.block_classes}
        for base in cls.__mro__[: cls.__mro__.index(ConfiguredModel)]:
            parameters |= set(inspect.signature(base.__init__).parameters)
        parameters -= {"self", "config", "args", "kwargs"}
        arguments = {name: value for name, value in overrides.items() if name in parameters}
        fields = {name: value for name, value in overrides.items() if name not in parameters}
        return fields, arguments

    def arguments(self):
        """The constructor's arguments besides the configuration, as `from_config` takes them."""
        base = ("name", "trainable", "dtype", "config")
        return {name: value for name, value in self.get_config().items() if name not in base}

    def get_config(self):
        config = {**super().get_config(), "config": self.config.to_dict()}
        for name, base in self.block_classes.items():
            block = getattr(self, name)
            if block is not base:
                config[name] = keras.saving.get_registered_name(block)
        return {**config, **quantization_of(self)}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        quantization = config.pop("quantization", None)
        for name in cls.block_classes:
            if config.get(name) is not None:
                config[name] = keras.saving.get_registered_object(config[name])
        model = cls(cls.config_class.from_dict(config.pop("config")), **config)
        quantize_again(model, quantization)
        return model
