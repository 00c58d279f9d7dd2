"""Tasks as TensorFlow SavedModels. TensorFlow is imported when something is exported."""

import errno
import json

import keras

import keras_transformer
from keras_transformer.export.folder import MARK, replacing_folder
from keras_transformer.tasks.translator import search_method


def export_translator(
    translator, path, *, beam_size=5, length_penalty=1.0, n_best=None, max_new_tokens=None
):
    """Writes a SavedModel that takes strings and returns translations, tokenizer and search inside.

    Whoever serves it needs tensorflow and tensorflow-text, not Keras. It answers as the translator
    does in Python, for batches of any size, none included, with these signatures:

    - `serving_default`: `texts` (B,) string to `translations` (B,) string and `scores` (B,)
      float32.
    - `translate_n_best`: the same, with outputs (B, n_best), best first. Where a text has fewer
      hypotheses, an empty string with score -inf fills up.
    - `translate_tokens`: `encoder_token_ids` (B, S) int32, each row ending in `eos_id` and filled
      up with `pad_id`, to `sequences` (B, n_best, L) int32, `lengths` (B, n_best) int32 and
      `scores` (B, n_best) float32. Ids outside of the vocabulary are an InvalidArgumentError.

    There is nobody to tell inside a graph: a text longer than `translator.max_length` tokens is
    cut to them, as `truncate=True` does, and so are token ids. An empty text gives an empty
    translation with score 0.

    Args:
        translator: a `tasks.Translator`.
        path: the folder to write. It appears whole or not at all. An earlier export is replaced;
            any other folder with something in it is refused.
        beam_size: hypotheses kept for each text; 1 is greedy search.
        length_penalty: as in `Translator`.
        n_best: translations of each text in the second and third signature; by default
            `beam_size`.
        max_new_tokens: tokens of a translation at most; by default as in `Translator`, by length.

    Raises:
        RuntimeError: Keras runs on another backend than TensorFlow.
        FileExistsError: `path` is there and is no earlier export.
        ImportError: tensorflow-text is not installed.
        OSError: the disk is full; what was at `path` is untouched.

    Example:

    >>> import tempfile
    >>> from keras_transformer import export, models, tasks, text
    >>> tokenizer = text.SentencePieceTokenizer.train([["a dog runs", "a dog eats"]], 22)
    >>> model = models.Seq2SeqLM.from_preset(
    ...     "transformer_tiny", vocab_size=22, max_length=16, num_encoder_layers=1,
    ...     num_decoder_layers=1)
    >>> folder = tempfile.mkdtemp()
    >>> export.export_translator(tasks.Translator(model, tokenizer), folder, beam_size=1)
    >>> import tensorflow as tf
    >>> sorted(tf.saved_model.load(folder).signatures)
    ['serving_default', 'translate_n_best', 'translate_tokens']
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"A SavedModel is written by the TensorFlow backend; this is {keras.backend.backend()}."
            " Save with translator.save_pretrained(folder), then run "
            "Translator.from_pretrained(folder).export(path) with KERAS_BACKEND=tensorflow."
        )
    n_best = beam_size if n_best is None else n_best
    best = search_method(beam_size, length_penalty, 1)
    several = search_method(beam_size, length_penalty, n_best)
    limits = translator.target_limits(max_new_tokens)
    settings = {
        "keras_transformer": keras_transformer.__version__,
        "task": "translation",
        "tokenizer_sha256": translator.tokenizer.fingerprint,
        "beam_size": beam_size,
        "length_penalty": str(length_penalty),
        "n_best": n_best,
        "max_length": translator.max_length,
        "max_new_tokens": max_new_tokens,
        "config": translator.model.config.to_dict(),
    }

    import tensorflow as tf

    from keras_transformer.export.graph import GraphTranslator

    with replacing_folder(path) as folder:
        module = GraphTranslator(translator, best, several, limits)
        try:
            tf.saved_model.save(module, str(folder), signatures=module.signatures())
        except tf.errors.OpError as error:
            if "No space left" in str(error):
                raise OSError(errno.ENOSPC, str(error), str(folder)) from error
            raise
        (folder / MARK).parent.mkdir()
        (folder / MARK).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
