"""Text to text, such as translation and summaries: strings in, strings out.

B texts, S source tokens, T target tokens
"""

import dataclasses
import numbers
import warnings
from pathlib import Path

import keras
import numpy as np

from keras_transformer import generation
from keras_transformer.checkpoints.hub import find_folder
from keras_transformer.checkpoints.pretrained import MODEL_TYPE, read_fields
from keras_transformer.checkpoints.published import CONFIG
from keras_transformer.generation.decoding import check_positive, end_tokens
from keras_transformer.generation.inputs import bucket
from keras_transformer.models import Seq2SeqLM
from keras_transformer.tasks.decoding_defaults import (
    FILE_NAME,
    DecodingDefaults,
    check_decoding,
    read_decoding,
    write_decoding,
)
from keras_transformer.tasks.task import (
    check_integer,
    head_of,
    list_of_strings,
    progress_bar,
    read_max_length,
    write_max_length,
)
from keras_transformer.tasks.translation import Alignment, Alternative, Translation
from keras_transformer.text import SentencePieceTokenizer, Template, Tokenizer

FILES = (".json", ".model", ".spm", ".txt")  # of tokenizers
# From this many batches on, XLA has repaid what its compilation costs.
BATCHES_WORTH_XLA = 4


class Translator:
    """Translates strings with a `Seq2SeqLM` and its tokenizer, or summarises them, or alike.

    The source has the special tokens of the tokenizer's template, such as T5's end, or `eos_id`
    where there is none. The decoder starts with the model's `bos_id` and goes on to its `eos_id`. A
    text without any piece, such as the empty string, gives an empty translation with score 0.

    Args:
        model: a `models.Seq2SeqLM`.
        tokenizer: the `text.Tokenizer` it was trained with.
        max_length: longest source in tokens, special ones included; by default the smaller one of
            the model's and the tokenizer's, and at most the model's.
        decoding: the `DecodingDefaults` of the model, such as a first token that is forced.

    Call:
        texts: a string, or a list of them.
        beam_size: hypotheses kept for each text; 1 is greedy search. By default that of `decoding`,
            5 where nobody says another.
        length_penalty: alpha in score = log p / length ** alpha, or a callable of the length; by
            default that of `decoding`, 1.
        n_best: translations wanted of each text, at most `beam_size`; those after the best become
            `alternatives`.
        max_new_tokens: tokens of a translation at most, its end included. By default 2·S + 16, S
            being the source's tokens rounded up to 8, 16, 24, ..., or what `decoding` says where
            that is less; at most the model's `max_length`.
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

    def __init__(self, model, tokenizer, max_length=None, decoding=None):
        _check_parts(model, tokenizer)
        self.model, self.tokenizer = model, tokenizer
        limit = model.config.max_length
        if max_length is None:
            max_length = self.default_max_length()
        check_integer("max_length", max_length)
        if not 2 <= max_length <= limit:
            raise ValueError(
                f"max_length must be from 2 to the model's max_length, {limit}; got {max_length}."
            )
        decoding = DecodingDefaults() if decoding is None else decoding
        check_decoding(decoding)
        self.max_length, self.decoding = int(max_length), decoding
        self.template = source_template(tokenizer)

    def __call__(
        self,
        texts,
        *,
        beam_size=None,
        length_penalty=None,
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
        method = self.decoding.method(beam_size, length_penalty, n_best)
        sources = self._sources(lines, name, truncate)
        limits = self.target_limits(max_new_tokens)[[len(ids) for ids in sources]]

        # Short ones first; a text of nothing needs no model.
        order = [i for i in np.argsort([len(ids) for ids in sources]) if sources[i]]
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

    def default_max_length(self):
        """The length of sources where nobody says another."""
        limit = self.model.config.max_length
        return min(self.tokenizer.max_length or limit, limit)

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
            least, most = self.decoding.min_new_tokens + 1, self.decoding.max_new_tokens or limit
            # By the compiled lengths, so that those of the target add no further programs.
            sizes = (2 * bucket(s, self.max_length) + 16 for s in range(self.max_length + 1))
            sizes = (min(max(size, least), most) for size in sizes)
            return np.array([min(size, limit) for size in sizes], np.int32)
        is_whole = isinstance(max_new_tokens, numbers.Integral)
        if not is_whole or isinstance(max_new_tokens, bool) or not 1 <= max_new_tokens <= limit:
            raise ValueError(
                "max_new_tokens must be an integer from 1 to the model's max_length, "
                f"{limit}; got {max_new_tokens!r}."
            )
        return np.full((self.max_length + 1,), max_new_tokens, np.int32)

    def save_pretrained(self, folder):
        """Writes model, tokenizer and, where it is not the usual one, `generation_config.json`."""
        folder = Path(folder)
        self.model.save_pretrained(folder)
        self.tokenizer.save(folder)
        write_max_length(folder, self.max_length, self.default_max_length())
        if self.decoding != DecodingDefaults() or self.model.published is not None:
            write_decoding(self.decoding, self.model.config, folder)
        else:
            (folder / FILE_NAME).unlink(missing_ok=True)

    @classmethod
    def from_pretrained(
        cls, name, max_length=None, *, source=None, target=None, revision=None, dtype=None
    ):
        """The translator of a folder, or of a name on the Hugging Face hub.

        Args:
            name: a folder with a model and its tokenizer, as `save_pretrained`, a recipe or
                transformers writes it; or a name on the hub.
            max_length: as in `Translator`; by default what `save_pretrained` wrote, too.
            source: code of the source's language, such as "de_DE", for tokenizers that have them.
            target: code of the target's language, likewise.
            revision: commit, tag or branch on the hub.
            dtype: dtype policy of the model; by default Keras's global one.

        Raises:
            FileNotFoundError: there is no such folder or model, or a file of it is missing.
            ValueError: a file is damaged, model and tokenizer do not fit each other, or a language
                is not known to the tokenizer.
        """
        folder = find_folder(name, revision)
        kind = head_of(folder, Seq2SeqLM)
        tokenizer = load_tokenizer(folder)
        published = read_fields(folder / CONFIG).get("model_type") != MODEL_TYPE
        decoding, of_model = read_decoding(folder, published)
        if target is not None:
            own = with_language("target", tokenizer, target).template.single
            if isinstance(own[0][0], int):  # mBART-50: the target begins with its language
                decoding = dataclasses.replace(decoding, forced_first_id=own[0][0])
            else:  # mBART: it ends with it, and what comes last is what the decoder starts with
                of_model["bos_id"] = own[-1][0]
        if source is not None:
            tokenizer = with_language("source", tokenizer, source)
        model = kind.from_pretrained(folder, dtype=dtype, **of_model)
        if max_length is None:
            max_length = read_max_length(folder)
        return cls(model, tokenizer, max_length, decoding)

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
        """The ids of each text as the template has them, none longer than `max_length`."""
        added = self.template.num_added()
        room = self.max_length - added
        sources = self.tokenizer.encode(lines)
        long = [i for i, ids in enumerate(sources) if len(ids) > room]
        if long and not truncate:
            which = name if name == "text" else f"texts[{long[0]}]"
            special = "its end" if added == 1 else "special ones"
            raise ValueError(
                f"{which} has {len(sources[long[0]]) + added} tokens, {special} included; the "
                f"limit is {self.max_length} (max_length). truncate=True cuts what is too long."
            )
        if long:
            warnings.warn(
                f"{len(long)} of {len(lines)} texts were cut to {self.max_length} tokens.",
                stacklevel=3,
            )
        return [self.template.apply((ids[:room], None)).ids if ids else [] for ids in sources]

    def _answers(self, found, maps):
        """A Translation of each row of `Generated`; places that hold no hypothesis are left out."""
        for sequences, lengths, scores, alignment in zip(*found, maps, strict=True):
            kept = np.flatnonzero(lengths > 0)
            rows = [self._known(sequences[i, : lengths[i]]) for i in kept]
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
        first = np.full((len(batch), 1), self.model.config.bos_id, np.int32)
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
                tuple(self._pieces(target[i, : lengths[i]])),
            )

    def _known(self, ids):
        """Those of the ids that the tokenizer has; a model may have room for more."""
        return [i for i in ids.tolist() if i < self.tokenizer.vocab_size]

    def _pieces(self, ids):
        """The pieces of ids; "" where the tokenizer has none."""
        size = self.tokenizer.vocab_size
        return [self.tokenizer.pieces([i])[0] if i < size else "" for i in ids.tolist()]


def source_template(tokenizer):
    """What a source becomes: the tokenizer's template, or, where that adds nothing, its end."""
    if tokenizer.template.num_added() or tokenizer.eos_id < 0:
        return tokenizer.template
    return Template.of(["A", tokenizer.eos_id], ["A", "B", tokenizer.eos_id])


def load_tokenizer(folder):
    """The tokenizer of a folder, of whatever kind."""
    try:
        return Tokenizer.load(folder)
    except ValueError as error:
        if any(path.name != CONFIG and path.suffix in FILES for path in folder.iterdir()):
            raise
        raise FileNotFoundError(f"{folder} has no tokenizer.model or other tokenizer") from error


def with_language(name, tokenizer, code):
    """The tokenizer for another language; `name` is that of the argument."""
    if not hasattr(tokenizer, "with_language"):
        raise ValueError(f"{name} must be None for a {type(tokenizer).__name__}; got {code!r}.")
    try:
        return tokenizer.with_language(code)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _check_parts(model, tokenizer):
    if not isinstance(model, Seq2SeqLM):
        raise TypeError(f"model must be a Seq2SeqLM, got {type(model).__name__}.")
    if not isinstance(tokenizer, Tokenizer):
        raise TypeError(f"tokenizer must be a Tokenizer, got {type(tokenizer).__name__}.")
    config = model.config
    # Of published families ids beyond the tokenizer's fill up the vocabulary, and the decoder may
    # start with any token; a tokenizer without a family has been trained for this very model.
    is_own = isinstance(tokenizer, SentencePieceTokenizer) and not tokenizer.template.num_added()
    fits = {
        "vocab_size": tokenizer.vocab_size == config.vocab_size
        or (not is_own and tokenizer.vocab_size < config.vocab_size),
        "pad_id": tokenizer.pad_id in (-1, config.pad_id),
        "bos_id": not is_own or tokenizer.bos_id == config.bos_id,
        "eos_id": tokenizer.eos_id in (-1, *end_tokens(config)),
    }
    for name, fit in fits.items():
        if not fit:
            raise ValueError(
                f"The tokenizer does not belong to the model: its {name} is "
                f"{getattr(tokenizer, name)}, the model's is {getattr(config, name)}."
            )
