"""An encoder's start: a checkpoint's under any head, or the vocabulary of a new one."""

import functools

from keras_transformer import models, text
from keras_transformer.checkpoints import assign_weights, load_weights, model_weights
from keras_transformer.checkpoints.hub import find_folder
from keras_transformer.checkpoints.pretrained import MODEL_TYPE, read_fields
from keras_transformer.checkpoints.published import CONFIG, read_published
from keras_transformer.checkpoints.sentence_transformers import MODULES, read_modules
from keras_transformer.checkpoints.tensor_files import WEIGHTS
from recipes.vocabularies import train_vocabulary

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
    return train_vocabulary(train, vocab_size)


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
    """As `head.from_pretrained`, with a new head where the checkpoint's is of other classes.

    Raises:
        ValueError: another pooling is wanted, which the family's layout cannot say.
    """
    if head is models.SentenceEmbedder:
        return head.from_pretrained(folder, **arguments)
    read = functools.partial(read_published, head, folder, read_fields(folder / CONFIG))
    if head is not models.SequenceClassifier or arguments.get("pooling") is None:
        return read(new_head=True, **arguments)
    others = {name: value for name, value in arguments.items() if name != "pooling"}
    model = read(new_head=True, **others)
    if model.pooling != arguments["pooling"]:
        raise ValueError(
            f"pooling must be None or that of {folder}, {model.pooling!r}; "
            f"got {arguments['pooling']!r}"
        )
    return model
