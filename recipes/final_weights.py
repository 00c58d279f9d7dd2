"""Which weights of a run are scored and saved: the last ones, an average of them, or the best."""

import contextlib

from keras_transformer import training
from keras_transformer.checkpoints import assign_weights, load_model_weights, model_weights


class FinalWeights:
    """The weights that a run is judged by, and the callbacks that keep them.

    Args:
        settings: with `run_dir`, `average`, `ema` and `patience`.
        model: compiled.
        score: function without arguments to the scores of the model's weights as they are.
        monitor: which of them decides, such as "val_accuracy".
        mode: "max" where larger is better, "min" where smaller is.
        every: fit-epochs between two scores.

    Attributes:
        callbacks: of `fit`, in their order.
        kept: those among them whose state belongs to the run.
    """

    def __init__(self, settings, model, score, monitor, mode, every=1):
        run, patience = settings.run_dir, settings.patience or 10**9
        self.settings, self.model, self.score = settings, model, score
        self.averages = training.AverageCheckpoints(run / "snapshots", last=settings.average)
        self.best = training.BestCheckpoint(run / "best.safetensors", monitor, mode, self.weights)
        stopping = training.EarlyStopping(monitor, mode=mode, patience=patience)
        averages = [self.averages] * (settings.average > 1)
        scores = training.Scores(self.scores, every)
        self.callbacks = [*averages, scores, self.best, stopping]
        self.kept = [*averages, self.best, stopping]

    def applied(self):
        """A context in which the model has them."""
        if self.settings.average > 1:
            return self.averages.applied(self.model)
        if self.settings.ema is not None:
            return moving_average(self.model)
        return contextlib.nullcontext()

    def weights(self):
        """They themselves, as `assign_weights` takes them."""
        with self.applied():
            return model_weights(self.model)

    def scores(self):
        """What they are worth."""
        with self.applied():
            return self.score()

    def assign(self):
        """Leaves them in the model, once training is over: the best, if that could stop early."""
        if self.best.model is None:  # Keras gives callbacks their model when it trains
            print(f"{self.settings.run_dir} holds the finished run: nothing is left to train")
        if self.settings.patience and self.best.best is None:
            print(f"{self.best.monitor} was never a number: the last weights are taken")
        if self.settings.patience and self.best.best is not None:
            load_model_weights(self.model, self.best.path)
        else:
            assign_weights(self.model, self.weights(), "the run's weights")


@contextlib.contextmanager
def moving_average(model):
    """Inside the block the model has the moving average that its optimizer keeps."""
    own = model_weights(model)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    # As copies: on JAX `evaluate` frees the arrays that it begins with, here the optimizer's own.
    average = {name: value.copy() for name, value in model_weights(model).items()}
    assign_weights(model, average, "the moving average")
    try:
        yield
    finally:
        assign_weights(model, own, "the own weights")
