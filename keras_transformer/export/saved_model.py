"""Tasks as TensorFlow SavedModels. TensorFlow is imported when something is exported."""

import copy
import errno
import importlib
import inspect
import json

import keras

import keras_transformer
from keras_transformer.export.backend import check_backend
from keras_transformer.export.folder import MARK, replacing_folder
from keras_transformer.export.tokens import export_tokens
from keras_transformer.generation.generate import check_method
from keras_transformer.generation.inputs import check_ends


def export_translator(
    translator,
    path,
    *,
    max_length=None,
    beam_size=None,
    length_penalty=None,
    n_best=None,
    max_new_tokens=None,
):
    """Writes a SavedModel that takes strings and returns translations, tokenizer and search inside.

    Whoever serves it needs tensorflow and tensorflow-text, not Keras. It answers as the translator
    does in Python, for batches of any size, none included, with these signatures:

    - `serving_default`: `texts` (B,) string to `translations` (B,) string and `scores` (B,)
      float32.
    - `translate_n_best`: the same, with outputs (B, n_best), best first. Where a text has fewer
      hypotheses, an empty string with score -inf fills up.
    - `translate_with`: `texts` and `max_new_tokens` (B,) int32, the tokens that each translation
      may have at most, to the same outputs as `translate_n_best`.
    - `translate_tokens`: `encoder_token_ids` (B, S) int32, each row with its special tokens, such
      as the end, and filled up with `pad_id`, to `sequences` (B, n_best, L) int32, `lengths`
      (B, n_best) int32 and `scores` (B, n_best) float32. Ids outside of the vocabulary are an
      InvalidArgumentError.

    There is nobody to tell inside a graph: a text longer than `translator.max_length` tokens is
    cut to them, as `truncate=True` does, and so are token ids. An empty text gives an empty
    translation with score 0.

    Args:
        translator: a `tasks.Translator`.
        path: the folder to write. It appears whole or not at all. An earlier export is replaced;
            any other folder with something in it is refused.
        max_length: tokens of a source at most, its end included; by default the translator's.
        beam_size: hypotheses kept for each text; 1 is greedy search. By default as in `Translator`.
        length_penalty: as in `Translator`.
        n_best: translations of each text in all signatures but the first; by default
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
    ['serving_default', 'translate_n_best', 'translate_tokens', 'translate_with']
    """
    check_backend(translator)
    if max_length is not None:
        checked = type(translator)(translator.model, translator.tokenizer, max_length)
        translator = copy.copy(translator)
        translator.max_length = checked.max_length
    beam_size = translator.decoding.beam_size if beam_size is None else beam_size
    if length_penalty is None:
        length_penalty = translator.decoding.length_penalty
    n_best = beam_size if n_best is None else n_best
    best = translator.decoding.method(beam_size, length_penalty, 1)
    several = translator.decoding.method(beam_size, length_penalty, n_best)
    limits = translator.target_limits(max_new_tokens)
    check_ends(translator.model.config)
    check_method(best, translator.model.config, limits)
    max_new_tokens = None if max_new_tokens is None else int(max_new_tokens)
    settings = {
        "keras_transformer": keras_transformer.__version__,
        "task": "translation",
        "tokenizer_sha256": translator.tokenizer.fingerprint,
        "beam_size": int(beam_size),
        "length_penalty": str(length_penalty),
        "n_best": int(n_best),
        "max_length": translator.max_length,
        "max_new_tokens": max_new_tokens,
        "config": translator.model.config.to_dict(),
    }

    def make_module():
        from keras_transformer.export.graph_translation import GraphTranslator

        return GraphTranslator(translator, best, several, limits), settings

    write_saved_model(make_module, path)


FORMATS = ("savedmodel", "onnx", "litert")
# The graph of each task
GRAPHS = {
    "TextClassifier": ("text-classification", "graph_classification", "GraphClassifier"),
    "EntityTagger": ("entity-tagging", "graph_tagging", "GraphTagger"),
    "QuestionAnswerer": ("question-answering", "graph_answering", "GraphAnswerer"),
    "TextEmbedder": ("text-embedding", "graph_classification", "GraphEmbedder"),
    "MaskFiller": ("mask-filling", "graph_filling", "GraphFiller"),
    "TextGenerator": ("text-generation", "graph_generation", "GraphGenerator"),
}


def export_task(task, path, *, format="savedmodel", **options):
    """Writes a SavedModel that takes strings and returns a task's answers.

    Whoever serves it needs tensorflow and tensorflow-text, not Keras. It answers as the task does
    in Python, for batches of any size, none included. There is nobody to tell inside a graph: what
    the task refuses as too long is cut. Signatures, all strings (B,):

    - `TextClassifier`: `serving_default` takes `texts`, `classify_pairs` also `pairs`. Both return
      `labels` (B, C) string and `scores` (B, C) in the model's order, and `label`, `score` (B,) of
      the most probable one; of a multi-label model `chosen` (B, C) bool in their place.
    - `EntityTagger`: `texts` to `types`, `texts` string, `scores`, `starts`, `ends` (B, E), filled
      up behind the `counts` (B,) of each text.
    - `QuestionAnswerer`: `questions`, `contexts` to `answers` string, `scores`, `starts`, `ends`,
      `no_answer_scores` (B,); `answer_n_best` gives the best spans (B, n), "" with score 0 where
      there are fewer.
    - `TextEmbedder`: `texts` to `embeddings` (B, D).
    - `MaskFiller`: `texts` to `filled` (B,) string, `tokens` string, `token_ids`, `scores`
      (B, M, k), filled up behind the `counts` (B,) of each text.
    - `TextGenerator`: `texts` to `generated` string and `scores` (B, n), n as the method says.
      `generate_with` also takes `max_new_tokens` (B,) int32, within the export's, and, where the
      method is `Sampling`, `temperatures` (B,) float32 and `seeds` (B,) int32: with a seed a prompt
      is continued as `Sampling(seed=seed)` continues it alone.
    - `Translator`: see `export_translator`.

    Each has a token-level signature too, of `token_ids` (B, T) int32, `padding_mask` (B, T) bool
    and, where the model has them, `segment_ids` (B, T) int32, to `logits` (`embeddings`):
    `classify_tokens`, `tag_tokens`, `answer_tokens`, `embed_tokens`, `fill_tokens`;
    `generate_tokens` returns `sequences` (B, n, L), `lengths` and `scores` (B, n).

    Args:
        task: one of `tasks`.
        path: the folder to write. It appears whole or not at all. An earlier export is replaced;
            any other folder with something in it is refused.
        format: "onnx" and "litert" write a file of the model's forward pass alone, see
            `export_tokens`, whose options are those then.
        **options: `max_length` of an input; `threshold` (multi-label); `overlap` (tagger,
            answerer); `n_best`, `no_answer_threshold`, `max_answer_length` (answerer); `top_k`
            (filler); `max_new_tokens`, `method` (generator): as in the task's call. Weights are
            written in the dtype that the model has: `from_pretrained(folder, dtype="float16")`
            halves the file.

    Raises:
        TypeError: `task` is none, or an option is not known to it.
        ValueError: an option is out of its range.
        RuntimeError: Keras runs on another backend than TensorFlow.
        FileExistsError: `path` is there and is no earlier export.
        ImportError: tensorflow-text is not installed.
        OSError: the disk is full; what was at `path` is untouched.

    Example:

    >>> import tempfile
    >>> from keras_transformer import export, models, tasks, text
    >>> tokenizer = text.WordPieceTokenizer.train([["a dog runs", "a dog eats"]], vocab_size=30)
    >>> config = models.EncoderConfig(
    ...     vocab_size=30, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> embedder = tasks.TextEmbedder(models.SentenceEmbedder(config), tokenizer)
    >>> folder = tempfile.mkdtemp()
    >>> export.export_task(embedder, folder)
    >>> import tensorflow as tf
    >>> sorted(tf.saved_model.load(folder).signatures)
    ['embed_tokens', 'serving_default']
    """
    check_options(task, format, options)
    if format != "savedmodel":
        return export_tokens(task, path, format, **options)
    if hasattr(task, "target_limits"):
        return export_translator(task, path, **options)
    check_backend(task)
    kind, graph = _graph_of(task)

    def make_module():
        made = graph(task, **options)
        return made, {
            "keras_transformer": keras_transformer.__version__,
            "task": kind,
            "tokenizer_sha256": task.tokenizer.fingerprint,
            **made.settings(),
            "config": task.model.config.to_dict(),
        }

    write_saved_model(make_module, path)


def check_options(task, format, options):
    """Refuses a format that is none, and an option that the export of a task does not have.

    Raises:
        TypeError: `task` is none, or an option is not known; the message lists those that are.
        ValueError: the format is not known.
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}; got {format!r}.")
    if format != "savedmodel":
        function, first = export_tokens, 3
    elif hasattr(task, "target_limits"):
        function, first = export_translator, 2
    else:
        _check_task(task)
        if keras.backend.backend() != "tensorflow":
            return  # which is an error anyway, and its graphs cannot be imported
        function, first = _graph_of(task)[1], 1
    known = list(inspect.signature(function).parameters)[first:]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise TypeError(
            f"{unknown[0]} is no option of {type(task).__name__} as {format}; "
            f"it has {', '.join(known)}."
        )


def _check_task(task):
    if not any(c.__name__ in GRAPHS for c in type(task).__mro__):
        raise TypeError(f"task must be one of {', '.join(GRAPHS)}, got {type(task).__name__}.")


def _graph_of(task):
    """The kind of a task by its name, and the class of its graph."""
    name = next(c.__name__ for c in type(task).__mro__ if c.__name__ in GRAPHS)
    kind, module, graph = GRAPHS[name]
    return kind, getattr(importlib.import_module(f"keras_transformer.export.{module}"), graph)


def write_saved_model(make_module, path):
    """Writes what `make_module()` returns, a `tf.Module` with signatures and its settings."""
    import tensorflow as tf

    with replacing_folder(path) as folder:
        module, settings = make_module()
        try:
            tf.saved_model.save(module, str(folder), signatures=module.signatures())
        except tf.errors.OpError as error:
            if "No space left" in str(error):
                raise OSError(errno.ENOSPC, str(error), str(folder)) from error
            raise
        (folder / MARK).parent.mkdir()
        (folder / MARK).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
