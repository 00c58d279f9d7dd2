"""Which task the model of a folder is for."""

from keras_transformer import families
from keras_transformer.checkpoints.hub import find_folder
from keras_transformer.checkpoints.pretrained import MODEL_TYPE, read_fields
from keras_transformer.checkpoints.published import CONFIG
from keras_transformer.checkpoints.sentence_transformers import MODULES
from keras_transformer.tasks.entity_tagger import EntityTagger
from keras_transformer.tasks.mask_filler import MaskFiller
from keras_transformer.tasks.question_answerer import QuestionAnswerer
from keras_transformer.tasks.text_classifier import TextClassifier
from keras_transformer.tasks.text_embedder import TextEmbedder
from keras_transformer.tasks.text_generator import TextGenerator
from keras_transformer.tasks.translator import Translator

TASKS = {
    "text-classification": TextClassifier,
    "entity-tagging": EntityTagger,
    "question-answering": QuestionAnswerer,
    "text-embedding": TextEmbedder,
    "mask-filling": MaskFiller,
    "text-generation": TextGenerator,
    "translation": Translator,
}
HEADS = {
    "SequenceClassifier": "text-classification",
    "DecoderClassifier": "text-classification",
    "Seq2SeqClassifier": "text-classification",
    "TokenClassifier": "entity-tagging",
    "SpanExtractor": "question-answering",
    "Seq2SeqSpanExtractor": "question-answering",
    "SentenceEmbedder": "text-embedding",
    "MaskedLM": "mask-filling",
    "CausalLM": "text-generation",
    "Seq2SeqLM": "translation",
}


def load_task(name, task=None, revision=None, **arguments):
    """The task of a folder, or of a name on the Hugging Face hub, whichever its model is for.

    Args:
        name: a folder with a model and its tokenizer, or a name on the hub.
        task: the task's name, such as "text-embedding", where the folder does not say it or says
            another; see `task_of`.
        revision: commit, tag or branch on the hub.
        **arguments: of the task's `from_pretrained`, such as `max_length`.

    Raises:
        FileNotFoundError: there is no such folder or model, or a file of it is missing.
        ValueError: `task` is not known, or the folder does not say which task it is for.

    Example:

    >>> import tempfile
    >>> from keras_transformer import models, tasks, text
    >>> tokenizer = text.WordPieceTokenizer.train([["a dog runs", "a dog eats"]], vocab_size=30)
    >>> config = models.EncoderConfig(
    ...     vocab_size=30, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> folder = tempfile.mkdtemp()
    >>> tasks.MaskFiller(models.MaskedLM(config), tokenizer).save_pretrained(folder)
    >>> type(load_task(folder)).__name__
    'MaskFiller'
    """
    folder = find_folder(name, revision)
    if task is None:
        task = task_of(folder)
    elif task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}; got {task!r}.")
    return TASKS[task].from_pretrained(folder, **arguments)


def task_of(folder):
    """The name of the task that a folder's model is for, by its `config.json`.

    Raises:
        ValueError: the model has no head that says it.
    """
    if (folder / MODULES).is_file():
        return "text-embedding"
    fields = read_fields(folder / CONFIG)
    architectures = fields.get("architectures") or []
    if fields.get("model_type") == MODEL_TYPE:
        heads = architectures
    else:
        published = families.get_family(fields.get("model_type")).all_heads
        heads = [
            ours.__name__ for ours, head in published.items() if head.architecture in architectures
        ]
    found = {HEADS[head] for head in heads if head in HEADS}
    # A bare encoder is published under the same name as the one of a SentenceEmbedder.
    bare = any(head not in HEADS for head in heads)
    if len(found) != 1 or bare:
        raise ValueError(
            f"{folder / CONFIG} does not say which task the model is for (architectures: "
            f"{', '.join(map(str, architectures)) or 'none'}); name one of {', '.join(TASKS)}."
        )
    return found.pop()
