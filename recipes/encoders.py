"""An encoder's start: a checkpoint's under any head, or the vocabulary of a new one."""

import functools
import re

from keras_transformer import models, text
from keras_transformer.checkpoints import assign_weights, load_weights, model_weights
from keras_transformer.checkpoints.hub import find_folder
from keras_transformer.checkpoints.pretrained import MODEL_TYPE, read_fields
from keras_transformer.checkpoints.published import CONFIG
from keras_transformer.checkpoints.sentence_transformers import MODULES, read_modules
from keras_transformer.checkpoints.tensor_files import WEIGHTS

ENCODERS = (
    "TransformerEncoder",
    "MaskedLM",
    "ReplacedTokenDetector",
    "SequenceClassifier",
    "TokenClassifier",
    "SpanExtractor",
    "SentenceEmbedder",
)


def train_word_pieces(lines, vocab_size):
    """A vocabulary of `vocab_size`, or the largest that the text can fill."""
    train = functools.partial(text.WordPieceTokenizer.train, [lines], lowercase=False)
    try:
        return train(vocab_size)
    except ValueError as error:
        largest = re.search(r"can fill; the largest possible is (\d+)", str(error))
        if largest is None:
            raise
    print(f"the text fills a vocabulary of {largest[1]}, not of {vocab_size} (--vocab-size)")
    return train(int(largest[1]))


def load_model(name, head, arguments):
    """A head over the encoder of a checkpoint, whatever head that had.

    Args:
        name: folder, or name on the Hugging Face hub.
        head: class of the model.
        arguments: of the head. Without `pooling` it is that of a checkpoint with the same head.

    Raises:
        ValueError: it is no encoder's, lacks weights of the encoder, or is a published family's,
            whose classifiers have another pooling.
    """
    root = find_folder(name)
    folder = read_modules(root)[0]  # in sentence-transformers' layout that of the encoder
    fields = read_fields(folder / CONFIG)
    is_embedder = head is models.SentenceEmbedder and (root / MODULES).is_file()
    if is_embedder or fields.get("model_type") != MODEL_TYPE:
        return load_published(root if is_embedder else folder, head, arguments)
    kind = fields.get("architectures", ["nothing"])[0]
    if kind not in ENCODERS:
        raise ValueError(f"{folder} holds a {kind}; expected one of {', '.join(ENCODERS)}")
    theirs = fields.get("arguments", {})
    if kind == head.__name__ and "pooling" in theirs:
        arguments = {"pooling": theirs["pooling"], **arguments}
    ours = {k: v for k, v in fields.items() if k in models.EncoderConfig.__dataclass_fields__}
    model = head(models.EncoderConfig.from_dict(ours), **arguments)
    prefix = "backbone/" if kind == "TransformerEncoder" else ""
    found = {f"{prefix}{k}": v for k, v in load_weights(folder / WEIGHTS).items()}
    weights = model_weights(model)
    kept = {k: v for k, v in found.items() if k in weights and v.shape == weights[k].shape}
    new = sorted(weights.keys() - kept.keys())
    if any(k.startswith("backbone/") for k in new):
        raise ValueError(f"{folder / WEIGHTS} lacks weights of the encoder: {new}")
    if new:
        print(f"new weights, not from {folder}: {', '.join(new)}")
    assign_weights(model, weights | kept)
    return model


def load_published(folder, head, arguments):
    """As `head.from_pretrained`, but no other pooling where the family's layout cannot say it."""
    if head is not models.SequenceClassifier or arguments.get("pooling") is None:
        return head.from_pretrained(folder, **arguments)
    others = {name: value for name, value in arguments.items() if name != "pooling"}
    model = head.from_pretrained(folder, **others)
    if model.pooling != arguments["pooling"]:
        raise ValueError(
            f"pooling must be None or that of {folder}, {model.pooling!r}; "
            f"got {arguments['pooling']!r}"
        )
    return model
