"""Training of SentencePiece models, with refusals in our own words."""

import io
import re

import sentencepiece

from keras_transformer.text import files
from keras_transformer.text.sentencepiece_proto import rounded
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
    if isinstance(user_defined_symbols, str):
        raise TypeError(f"user_defined_symbols must be a list; got {user_defined_symbols!r}")
    lines = [clean(line) for line in files.read_lines(sources) if line.strip()]
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
    return rounded(proto.getvalue()) if model_type == "unigram" else proto.getvalue()


def _check_settings(vocab_size, model_type, character_coverage, normalization):
    if isinstance(vocab_size, bool) or not isinstance(vocab_size, int) or vocab_size < 1:
        raise ValueError(f"vocab_size must be a positive integer, got {vocab_size!r}.")
    if model_type not in MODEL_TYPES:
        raise ValueError(f"model_type must be one of {MODEL_TYPES}, got {model_type!r}.")
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"normalization must be one of {NORMALIZATIONS}, got {normalization!r}.")
    if not 0 < character_coverage <= 1:
        raise ValueError(f"character_coverage must be in (0, 1], got {character_coverage!r}.")


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
