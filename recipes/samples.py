"""Texts that a language model writes while it learns."""

import keras

from keras_transformer import generation


class Samples(keras.callbacks.Callback):
    """Writes a text with every validation, so that one can read how the model learns.

    The texts belong to the run: its checkpoints hold them, for the report of a resumed one.
    """

    def __init__(self, settings, generator):
        super().__init__()
        self.generator, self.every = generator, settings.validate_every
        self.method = generation.Sampling(temperature=settings.temperature, seed=settings.seed)
        self.texts = {}

    def on_epoch_end(self, epoch, logs=None):
        is_last = epoch + 1 == self.params.get("epochs")
        if (epoch + 1) % self.every and not is_last:
            return
        self.texts[epoch + 1] = self.sample()
        print(f"--- {self.texts[epoch + 1]}\n---", flush=True)

    def sample(self):
        """A text that follows a line feed."""
        model, tokenizer = self.generator.model, self.generator.tokenizer
        prompt = tokenizer.encode("\n") or [self.generator.start_id()]
        room = self.generator.max_length - len(prompt)
        found = model.generate([prompt], room, self.method, jit_compile=False)
        return tokenizer.decode(found.sequences[0, 0, : found.lengths[0, 0]].tolist())

    def get_state(self):
        """What `set_state` needs to go on as if nothing had happened, as JSON."""
        return {"texts": list(self.texts.items())}

    def set_state(self, state):
        """Takes over what `get_state` gave."""
        self.texts = {epoch: sample for epoch, sample in state["texts"]}
