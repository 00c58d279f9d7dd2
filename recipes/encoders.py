"""The encoder of a checkpoint under any head, whatever head it was trained with."""

from keras_transformer import models
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


def load_model(name, head, arguments):
    """A head over the encoder of a checkpoint, whatever head that had."""
    root = find_folder(name)
    folder = read_modules(root)[0]  # in sentence-transformers' layout that of the encoder
    fields = read_fields(folder / CONFIG)
    is_embedder = head is models.SentenceEmbedder and (root / MODULES).is_file()
    if is_embedder or fields.get("model_type") != MODEL_TYPE:
        return head.from_pretrained(root if is_embedder else folder, **arguments)
    kind = fields.get("architectures", ["nothing"])[0]
    if kind not in ENCODERS:
        raise ValueError(f"{folder} holds a {kind}; expected one of {', '.join(ENCODERS)}")
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
