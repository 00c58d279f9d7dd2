"""Training of SentencePiece models: text read from files or lists, refusals in our own words."""

import gzip
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path

import sentencepiece

from keras_transformer.text.tokenizer import clean

MODEL_TYPES = ("bpe", "unigram")
NORMALIZATIONS = ("nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf", "identity")
# Unigram training sums per thread: another number of threads would give another vocabulary.
TRAINING_THREADS = 16


def train_model(
    sources,
    vocab_size,
    model_type,
    character_coverage,
    normalization,
    byte_fallback,
    user_defined_symbols,
) -> bytes:
    """The serialized model that `SentencePieceTokenizer.train` learns."""
    _check_settings(vocab_size, model_type, character_coverage, normalization)
    lines = [line for line in read_sources(sources) if line.strip()]
    if not lines:
        raise ValueError("sources has no text to train on: every line is blank.")
    proto = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=proto,
            vocab_size=vocab_size,
            model_type=model_type,
            character_coverage=character_coverage,
            normalization_rule_name=normalization,
            byte_fallback=byte_fallback,
            user_defined_symbols=list(user_defined_symbols),
            # Longer lines would be dropped without a word.
            max_sentence_length=max(10, *(len(line.encode()) + 1 for line in lines)),
            num_threads=TRAINING_THREADS,
            pad_id=0,
            unk_id=1,
            bos_id=2,
            eos_id=3,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(_explain(str(error), vocab_size)) from error
    return proto.getvalue()


def _check_settings(vocab_size, model_type, character_coverage, normalization):
    if isinstance(vocab_size, bool) or not isinstance(vocab_size, int) or vocab_size < 1:
        raise ValueError(f"vocab_size must be a positive integer, got {vocab_size!r}.")
    if model_type not in MODEL_TYPES:
        raise ValueError(f"model_type must be one of {MODEL_TYPES}, got {model_type!r}.")
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"normalization must be one of {NORMALIZATIONS}, got {normalization!r}.")
    if not 0 < character_coverage <= 1:
        raise ValueError(f"character_coverage must be in (0, 1], got {character_coverage!r}.")


def read_sources(sources):
    """All lines of all sources, one after the other."""
    if isinstance(sources, (str, os.PathLike)):
        sources = [sources]
    for i, source in enumerate(sources):
        if isinstance(source, (str, os.PathLike)):
            yield from _read_file(source, f"sources[{i}]")
        elif isinstance(source, Iterable) and not isinstance(source, bytes):
            for j, line in enumerate(source):
                if not isinstance(line, str):
                    raise TypeError(
                        f"sources[{i}][{j}] must be a line of text, got {type(line).__name__}."
                    )
                yield clean(line)
        else:
            raise TypeError(
                f"sources[{i}] must be a path or a list of lines, got {type(source).__name__}."
            )


def _read_file(path, name):
    # A line given by mistake for a path may be too long for one, or hold a NUL.
    try:
        found = Path(path).is_file()
    except (OSError, ValueError):
        found = False
    if not found:
        raise FileNotFoundError(
            f"{name} is no file: {str(path)[:200]!r}. To train on lines, give a list of lists: "
            "train([lines], ...)."
        )
    opener = gzip.open if str(path).endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    # The byte order mark belongs to the file, not to its first word.
                    yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    message = f"{path}:{number} is not valid UTF-8: {error.reason}."
                    raise ValueError(message) from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{path} is no whole gzip file: {error}.") from error


def _explain(message, vocab_size):
    """The trainer's refusal in the words of our arguments."""
    if found := re.search(r"Vocabulary size too high .* value <= (\d+)", message):
        return (
            f"vocab_size={vocab_size} is more than this text can fill; "
            f"the largest possible is {found[1]}."
        )
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return (
            f"vocab_size={vocab_size} cannot hold the characters of this text; the smallest "
            f"possible is {found[1]} (or lower character_coverage)."
        )
    return f"SentencePiece cannot be trained on sources: {message}"
