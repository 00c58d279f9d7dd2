"""Translation: strings in, strings out.

B texts, S source tokens, T target tokens
"""

import warnings
from pathlib import Path

import keras
import numpy as np

from keras_transformer import generation
from keras_transformer.generation.decoding import check_positive
from keras_transformer.generation.inputs import bucket
from keras_transformer.models import Seq2SeqLM
from keras_transformer.tasks.task import list_of_strings, progress_bar
from keras_transformer.tasks.translation import Alignment, Alternative, Translation
from keras_transformer.text import SentencePieceTokenizer

# From this many batches on, XLA has repaid what its compilation costs.
BATCHES_WORTH_XLA = 4


class Translator:
    """Translates strings with a `Seq2SeqLM` and its tokenizer.

    The source is its pieces and `eos_id`, as in training. A text without any piece, such as the
    empty string, gives an empty translation with score 0.

    Args:
        model: a `models.Seq2SeqLM`.
        tokenizer: the `text.SentencePieceTokenizer` it was trained with.
        max_length: longest source in tokens, its end included; by default, and at most, the
            model's `max_length`.

    Call:
        texts: a string, or a list of them.
        beam_size: hypotheses kept for each text; 1 is greedy search.
        length_penalty: alpha in score = log p / length ** alpha, or a callable of the length.
        n_best: translations wanted of each text, at most `beam_size`; those after the best become
            `alternatives`.
        max_new_tokens: tokens of a translation at most, its end included. By default 2·S + 16, S
            being the source's tokens rounded up to 8, 16, 24, ...; at most the model's
            `max_length`.
        batch_size: texts decoded together; they are sorted by length first.
        truncate: cut texts that are too long, and warn with their number, in place of an error.
        alignment: whether to return the cross-attention of the best translation too.
        progress: whether to show a progress bar; by default on a terminal, for long work.

    Returns:
        A `Translation` for a string, a list of them in the order of the texts for a list.

    Raises:
        TypeError: `texts`, or an item of it, is no string.
        ValueError: a text is too long (the message says which, its tokens and the limit), or an
            argument is out of its range.

    Example:

    >>> from keras_transformer import models, tasks, text
    >>> tokenizer = text.SentencePieceTokenizer.train([["a dog runs", "a dog eats"]], 22)
    >>> model = models.Seq2SeqLM.from_preset(
    ...     "transformer_tiny", vocab_size=22, max_length=16, num_encoder_layers=1,
    ...     num_decoder_layers=1)
    >>> translator = tasks.Translator(model, tokenizer)    # untrained
    >>> [type(answer).__name__ for answer in translator(["a dog", "runs"], beam_size=2)]
    ['Translation', 'Translation']
    >>> translator("")
    Translation(text='', score=0.0, alternatives=(), alignment=None)
    """

    def __init__(self, model, tokenizer, max_length=None):
        _check_parts(model, tokenizer)
        limit = model.config.max_length
        max_length = limit if max_length is None else max_length
        if isinstance(max_length, bool) or not isinstance(max_length, int):
            raise TypeError(f"max_length must be an integer, got {max_length!r}.")
        if not 2 <= max_length <= limit:
            raise ValueError(
                f"max_length must be from 2 to the model's max_length, {limit}; got {max_length}."
            )
        self.model, self.tokenizer, self.max_length = model, tokenizer, max_length

    def __call__(
        self,
        texts,
        *,
        beam_size=5,
        length_penalty=1.0,
        n_best=1,
        max_new_tokens=None,
        batch_size=64,
        truncate=False,
        alignment=False,
        progress=None,
    ):
        if isinstance(texts, str):
            name, lines = "text", [texts]
        else:
            name, lines = "texts", list_of_strings(texts)
        check_positive("batch_size", batch_size)
        method = search_method(beam_size, length_penalty, n_best)
        sources = self._sources(lines, name, truncate)
        limits = self.target_limits(max_new_tokens)[[len(ids) for ids in sources]]

        # Short ones first; a text of nothing but its end needs no model.
        order = [i for i in np.argsort([len(ids) for ids in sources]) if len(sources[i]) > 1]
        answers = [Translation("", 0.0) for _ in lines]
        batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
        bar = progress_bar(progress, len(order), len(batches))
        for rows in batches:
            batch = [sources[i] for i in rows]
            found = generation.generate(
                self.model,
                batch,
                limits[rows],
                method,
                batch_size=batch_size,
                jit_compile=len(batches) >= BATCHES_WORTH_XLA,
            )
            maps = self._alignments(batch, found) if alignment else [None] * len(rows)
            for row, answer in zip(rows, self._answers(found, maps), strict=True):
                answers[row] = answer
            if bar is not None:
                bar.add(len(rows))
        return answers[0] if isinstance(texts, str) else answers

    def target_limits(self, max_new_tokens=None):
        """How many tokens a translation may have, for each length of the source.

        Args:
            max_new_tokens: for all lengths, or None for the default rule.

        Returns:
            (max_length + 1,) int32, indexed by S, the source's tokens with its end.

        Raises:
            ValueError: `max_new_tokens` is not from 1 to the model's `max_length`.
        """
        limit = self.model.config.max_length
        if max_new_tokens is None:
            # By the compiled lengths, so that those of the target add no further programs.
            sizes = (2 * bucket(s, self.max_length) + 16 for s in range(self.max_length + 1))
            return np.array([min(size, limit) for size in sizes], np.int32)
        whole = isinstance(max_new_tokens, int) and not isinstance(max_new_tokens, bool)
        if not whole or not 1 <= max_new_tokens <= limit:
            raise ValueError(
                "max_new_tokens must be an integer from 1 to the model's max_length, "
                f"{limit}; got {max_new_tokens!r}."
            )
        return np.full((self.max_length + 1,), max_new_tokens, np.int32)

    def save_pretrained(self, folder):
        """Writes `config.json`, `model.safetensors` and `tokenizer.model` into a folder."""
        self.tokenizer.save(Path(folder) / "tokenizer.model")
        self.model.save_pretrained(folder)

    @classmethod
    def from_pretrained(cls, folder, max_length=None):
        """The translator that `save_pretrained`, or a run of the recipe, has left in a folder.

        Args:
            folder: a local folder with `config.json`, `model.safetensors` and `tokenizer.model`.
            max_length: as in `Translator`.

        Raises:
            FileNotFoundError: the folder or a file of it is not there.
            ValueError: a file is damaged, or model and tokenizer do not fit each other.
        """
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"There is no folder {folder} to load a Translator from.")
        tokenizer = SentencePieceTokenizer.load(folder)
        return cls(Seq2SeqLM.from_pretrained(folder), tokenizer, max_length)

    def export(self, path, *, format="savedmodel", **options):
        """Writes this translator for a server: by default a SavedModel of strings.

        Args:
            path: the folder to write; a file where `format` is "onnx" or "litert".
            **options: as in `export.export_translator`, or, of a file, `export.export_tokens`.
        """
        from keras_transformer.export import export_task

        export_task(self, path, format=format, **options)

    def __repr__(self):
        return f"Translator({self.model.name!r}, {self.tokenizer!r}, max_length={self.max_length})"

    def _sources(self, lines, name, truncate):
        """The ids of each text with its end, none longer than `max_length`."""
        eos, room = self.tokenizer.eos_id, self.max_length - 1
        sources = self.tokenizer.encode(lines)
        long = [i for i, ids in enumerate(sources) if len(ids) > room]
        if long and not truncate:
            which = name if name == "text" else f"texts[{long[0]}]"
            raise ValueError(
                f"{which} has {len(sources[long[0]]) + 1} tokens, its end included; the limit is "
                f"{self.max_length} (max_length). truncate=True cuts what is too long."
            )
        if long:
            warnings.warn(
                f"{len(long)} of {len(lines)} texts were cut to {self.max_length} tokens.",
                stacklevel=3,
            )
        return [[*ids[:room], eos] for ids in sources]

    def _answers(self, found, maps):
        """A Translation of each row of `Generated`; places that hold no hypothesis are left out."""
        for sequences, lengths, scores, alignment in zip(*found, maps, strict=True):
            kept = np.flatnonzero(lengths > 0)
            rows = [sequences[i, : lengths[i]] for i in kept]
            best, *others = zip(self.tokenizer.decode(rows), scores[kept].tolist(), strict=True)
            yield Translation(*best, tuple(Alternative(*other) for other in others), alignment)

    def _alignments(self, batch, found):
        """The Alignment of each row's best translation."""
        lengths = found.lengths[:, 0]
        steps = bucket(int(lengths.max()), found.sequences.shape[2])
        target = found.sequences[:, 0, :steps]  # (B, T)
        size = bucket(max(map(len, batch)), self.max_length)
        source = np.zeros((len(batch), size), np.int32)
        for row, ids in zip(source, batch, strict=True):
            row[: len(ids)] = ids
        first = np.full((len(batch), 1), self.tokenizer.bos_id, np.int32)
        inputs = {
            "encoder_token_ids": source,
            "encoder_padding_mask": np.arange(size) < np.array([[len(ids)] for ids in batch]),
            "decoder_token_ids": np.concatenate([first, target[:, :-1]], axis=1),
            "decoder_padding_mask": np.arange(target.shape[1]) < lengths[:, None],
        }
        scores = self.model.attention_scores(inputs)["cross"]
        scores = keras.ops.mean(scores[max(len(scores) - 2, 0)], axis=1)  # (B, T, S)
        scores = keras.ops.convert_to_numpy(scores)
        for i, ids in enumerate(batch):
            yield Alignment(
                scores[i, : lengths[i], : len(ids)].astype("float32"),
                tuple(self.tokenizer.pieces(ids)),
                tuple(self.tokenizer.pieces(target[i, : lengths[i]])),
            )


def search_method(beam_size, length_penalty, n_best):
    """The decoding method of these settings: greedy search where the beam is one wide."""
    beam = generation.BeamSearch(beam_size, length_penalty, n_best)  # checks them
    return generation.Greedy(length_penalty) if beam_size == 1 else beam


def _check_parts(model, tokenizer):
    if not isinstance(model, Seq2SeqLM):
        raise TypeError(f"model must be a Seq2SeqLM, got {type(model).__name__}.")
    if not isinstance(tokenizer, SentencePieceTokenizer):
        raise TypeError(
            f"tokenizer must be a SentencePieceTokenizer, got {type(tokenizer).__name__}."
        )
    for name in ("vocab_size", "pad_id", "bos_id", "eos_id"):
        ours, theirs = getattr(tokenizer, name), getattr(model.config, name)
        if ours != theirs:
            raise ValueError(
                f"The tokenizer does not belong to the model: its {name} is {ours}, "
                f"the model's is {theirs}."
            )
