"""Fine-tuning layer by layer: rates that fall towards the input, and layers that stay."""

import keras
from keras import ops


def freeze(model, embeddings=True, num_blocks=0):
    """Keeps the first layers of a model as they are. Compile afterwards.

    Args:
        model: a model of `models` whose `backbone` is one stack of blocks: not a `Seq2SeqLM`.
        embeddings: whether the embeddings stay, with all that is before the first block.
        num_blocks: how many blocks do.

    Raises:
        ValueError: the model has fewer blocks, or not one stack of them.

    Example:

    >>> from keras_transformer import models
    >>> config = models.EncoderConfig(
    ...     vocab_size=11, num_layers=2, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> model = models.SequenceClassifier(config, num_classes=3)
    >>> before = len(model.trainable_variables)
    >>> freeze(model, num_blocks=1)
    >>> before, len(model.trainable_variables)
    (40, 20)
    """
    blocks = _blocks(model)
    if not 0 <= num_blocks <= len(blocks):
        raise ValueError(f"num_blocks must be 0 to {len(blocks)}, got {num_blocks!r}")
    for layer in [*(_before_blocks(model) if embeddings else ()), *blocks[:num_blocks]]:
        layer.trainable = False


def layer_multipliers(model, decay):
    """Factors of the learning rate that fall by `decay` with each layer towards the input.

    Of L blocks, block i (from 0) has decay^(L - i), the embeddings decay^(L + 1), and what is
    behind the blocks 1.

    Args:
        model: a model of `models` whose `backbone` is one stack of blocks: not a `Seq2SeqLM`.
        decay: above 0, at most 1, which leaves all rates as they are.

    Returns:
        {name of a weight: factor}, names as of `checkpoints.named_weights`.

    Raises:
        ValueError: `decay` is out of its range, or the model has not one stack of blocks.

    Example:

    >>> from keras_transformer import models
    >>> config = models.EncoderConfig(
    ...     vocab_size=11, num_layers=2, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> model = models.SequenceClassifier(config, num_classes=3)
    >>> sorted(set(layer_multipliers(model, 0.5).values()))
    [0.125, 0.25, 0.5, 1.0]

    Reference: Howard and Ruder 2018, "Universal Language Model Fine-tuning", section 3.2.
    """
    if not 0 < decay <= 1:
        raise ValueError(f"decay must be above 0 and at most 1, got {decay!r}")
    blocks = _blocks(model)
    depths = {id(weight): 0 for weight in model.weights}
    for number, block in enumerate(blocks):
        depths |= {id(weight): len(blocks) - number for weight in block.weights}
    for layer in _before_blocks(model):
        depths |= {id(weight): len(blocks) + 1 for weight in layer.weights}
    return {
        weight.path.removeprefix(f"{model.name}/"): decay ** depths[id(weight)]
        for weight in model.weights
    }


@keras.saving.register_keras_serializable(package="keras_transformer")
class LayerwiseAdamW(keras.optimizers.Adam):
    """AdamW with a learning rate for each weight: the schedule's times a factor.

        x ← x - lr·m·(λ x + m̂ / (√v̂ + ε)),  m the weight's factor

    With `use_ema`, the average moves when the weights do: not with batches whose gradients are
    only accumulated, so that k batches are averaged as the one large batch that they stand for.

    Args:
        learning_rate: a number or a schedule.
        multipliers: {name of a weight: factor} of all weights, such as `layer_multipliers` gives;
            None: 1.
        weight_decay: λ. `exclude_from_weight_decay` says of which weights not.
        **kwargs: of `keras.optimizers.Adam`, as `gradient_accumulation_steps`.

    Raises:
        ValueError: `ema_overwrite_frequency` with accumulation; when it is built, a weight that
            `multipliers` do not have.

    Example:

    >>> from keras_transformer import models
    >>> config = models.EncoderConfig(
    ...     vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> model = models.SequenceClassifier(config, num_classes=3)
    >>> model.compile(LayerwiseAdamW(1e-3, layer_multipliers(model, 0.9), weight_decay=0.01))

    Reference: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization".
    """

    def __init__(self, learning_rate=1e-3, multipliers=None, weight_decay=0.0, **kwargs):
        if kwargs.get("ema_overwrite_frequency") and kwargs.get("gradient_accumulation_steps"):
            raise ValueError(
                "ema_overwrite_frequency must be None with gradient_accumulation_steps: Keras "
                "counts the batches, and would overwrite weights in the middle of a step"
            )
        super().__init__(learning_rate, **{**kwargs, "weight_decay": None})
        self.multipliers = dict(multipliers or {})
        self.decay = float(weight_decay)

    def build(self, variables):
        if self.built:
            return
        self._factors = [self._factor(variable.path) for variable in variables]
        super().build(variables)

    def _factor(self, path):
        if not self.multipliers:
            return 1.0
        for name in (path, path.partition("/")[2]):  # with and without the model's own
            if name in self.multipliers:
                return self.multipliers[name]
        raise ValueError(f"multipliers have no {path!r}; theirs are {sorted(self.multipliers)}")

    def update_step(self, gradient, variable, learning_rate):
        rate = learning_rate * self._factors[self._get_variable_index(variable)]
        if self.decay and self._use_weight_decay(variable):
            shrink = ops.cast(rate * self.decay, variable.dtype)
            self.assign_sub(variable, ops.multiply(variable, shrink))
        super().update_step(gradient, variable, rate)

    def _update_model_variables_moving_average(self, trainable_variables):
        # Keras's own moves with every batch. It calls this before it counts the batch.
        steps = self.gradient_accumulation_steps or 1
        is_update = ops.equal((self._iterations + 1) % steps, 0)
        momentum = ops.where(is_update, self.ema_momentum, 1.0)
        momentum = ops.where(ops.equal(self.iterations, 0), 0.0, momentum)  # begins as the weights
        averages = self._model_variables_moving_average
        for variable, average in zip(trainable_variables, averages, strict=True):
            if average is not None:
                kept = ops.cast(momentum, average.dtype)
                average.assign(kept * average + (1 - kept) * variable)

    def get_config(self):
        return {
            **super().get_config(),
            "multipliers": self.multipliers,
            "weight_decay": self.decay,
        }


def _blocks(model):
    """The blocks of a model that has one stack of them."""
    blocks = getattr(getattr(model, "backbone", None), "blocks", None)
    if blocks is None:
        raise ValueError(
            "model must have a backbone with one stack of blocks, as encoders and causal models "
            f"with their heads have; got {type(model).__name__}"
        )
    return blocks


def _before_blocks(model):
    """The layers of the backbone that come before its first block."""
    blocks = {id(block) for block in model.backbone.blocks}
    behind = {"norm", "output_dropout"}
    return [
        layer
        for layer in model.backbone.layers
        if id(layer) not in blocks and layer.name not in behind
    ]
