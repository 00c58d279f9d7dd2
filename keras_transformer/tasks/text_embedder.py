"""Texts to vectors.

B texts, D width
"""

import numpy as np

from keras_transformer.checkpoints.hub import find_folder
from keras_transformer.checkpoints.sentence_transformers import (
    read_encoding,
    read_modules,
    refuse_default_prompt,
    write_encoding,
)
from keras_transformer.models import SentenceEmbedder
from keras_transformer.tasks.task import SETTINGS, Task, list_of_strings
from keras_transformer.text import Tokenizer


class TextEmbedder(Task):
    """Turns strings into vectors with a `SentenceEmbedder` and its tokenizer.

    Args:
        model: a `models.SentenceEmbedder`.
        tokenizer: the `text.Tokenizer` it was trained with.
        max_length: tokens of an input at most; by default the model's and the tokenizer's.
            `from_pretrained` reads the `max_seq_length` of a folder of sentence-transformers.

    Call:
        texts: a string, or a list of them.
        batch_size: texts that the model is given together; they are sorted by length first.
        truncate: cut texts that are too long, and warn with their number, in place of an error.
        progress: whether to show a progress bar; by default on a terminal, for long work.

    Returns:
        (D,) float32 for a string, (B, D) in the order of the texts for a list.

    Raises:
        TypeError: `texts`, or an item of it, is no string.
        ValueError: a text is too long, or an argument is out of its range.

    Example:

    >>> from keras_transformer import models, tasks, text
    >>> tokenizer = text.SentencePieceTokenizer.train([["a dog runs", "a dog eats"]], 22)
    >>> config = models.EncoderConfig(
    ...     vocab_size=22, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> embedder = tasks.TextEmbedder(models.SentenceEmbedder(config), tokenizer)   # untrained
    >>> vectors = embedder(["a dog runs", "a dog eats"])
    >>> vectors.shape
    (2, 8)
    >>> similarity = vectors @ vectors.T          # cosines, since the vectors have length 1
    """

    model_class = SentenceEmbedder

    def __call__(self, texts, *, batch_size=32, truncate=False, progress=None):
        single = isinstance(texts, str)
        lines = [texts] if single else list_of_strings(texts)
        encodings = self.encode(lines, None, truncate)
        vectors = self.forward(encodings, batch_size, progress)
        found = np.zeros((len(lines), self.model.config.hidden_dim), np.float32)
        for place, vector in zip(found, vectors, strict=True):
            place[:] = vector
        return found[0] if single else found

    def save_settings(self, folder):
        write_encoding(folder, self.max_length)  # where sentence-transformers reads it too
        (folder / SETTINGS).unlink(missing_ok=True)

    @classmethod
    def from_pretrained(cls, name, revision=None, dtype=None, **arguments):
        folder = find_folder(name, revision)
        encoder_folder, _ = read_modules(folder)
        refuse_default_prompt(folder)
        limit, lowers = read_encoding(folder, encoder_folder)
        tokenizer = Tokenizer.load(encoder_folder)
        if lowers and tokenizer.encode("ABC") != tokenizer.encode("abc"):
            raise ValueError(
                f"{folder} asks for texts to be lower-cased (do_lower_case), which its tokenizer "
                "does not do and a TextEmbedder does not do for it; lower-case your texts, and set "
                "do_lower_case to false."
            )
        model = cls.model_class.from_pretrained(folder, dtype=dtype)
        if limit is not None and arguments.get("max_length") is None:
            arguments["max_length"] = min(limit, model.config.max_length)
        return cls(model, tokenizer, **arguments)
