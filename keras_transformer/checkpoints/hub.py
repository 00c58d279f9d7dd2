"""Models by name: from a local folder, or downloaded once from the Hugging Face hub."""

import pathlib
import re

from keras_transformer.checkpoints.files import sha256_of

# What is downloaded: configuration, tokenizer and safetensors. Neither pickles nor code.
PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.model", "*.spm", "*.jinja", "*/config.json")
# The weights once more, in another form or half-way through a training
IGNORED = (
    *("consolidated*.safetensors", "*.fp16.safetensors", "checkpoint-*/*"),
    *("fp16/*", "original/*", "onnx/*", "openvino/*"),
)
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
SHA256 = re.compile(r"[0-9a-f]{64}")


def find_folder(name, revision=None):
    """The local folder of a model.

    A hub name is downloaded into the cache of `huggingface_hub`, or taken from there; its
    environment variables hold, such as `HF_HUB_OFFLINE=1` for no network and `HF_ENDPOINT`.
    Downloaded weights are compared with the sha256 that the hub states.

    Args:
        name: a folder, or a name on the hub such as "google-bert/bert-base-uncased".
        revision: commit, tag or branch on the hub; by default its main branch. A commit's hash is
            the only one that stays what it is.

    Returns:
        A `pathlib.Path`.

    Raises:
        FileNotFoundError: there is no such folder, and no such model on the hub or in its cache.
        ImportError: it is a hub's name and `huggingface_hub` is not installed.
        ValueError: `name` is neither, a revision for a local folder, or a damaged download.

    Example:

    >>> import tempfile
    >>> find_folder(tempfile.gettempdir()).is_dir()
    True
    """
    folder = pathlib.Path(name).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"revision={revision!r} is for names on the hub; {folder} is a folder")
        return folder
    if folder.exists():
        raise NotADirectoryError(f"{folder} is a file; the folder that holds the model is needed")
    if not HUB_NAME.fullmatch(str(name)):
        raise FileNotFoundError(f"there is no folder {folder}")
    return download(str(name), revision)


def download(name, revision):
    """The folder of a hub's model in the cache, filled if need be."""
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError:
        raise ImportError(
            f"there is no folder {name!r}; to look for it on the hub, huggingface_hub is needed: "
            "pip install 'keras-transformer-zoo[hub]'"
        ) from None
    where = f"{name!r}" if revision is None else f"{name!r} at revision {revision!r}"
    try:
        folder = huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=PATTERNS, ignore_patterns=IGNORED
        )
    except errors.LocalEntryNotFoundError as error:
        reason = f" ({error.__cause__})" if error.__cause__ else ""
        raise FileNotFoundError(
            f"there is no folder {where}, the hub cannot be reached (or HF_HUB_OFFLINE is set), "
            f"and its cache does not hold the model{reason}"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise FileNotFoundError(
            f"there is no folder {where}, and no such model on the hub (or it needs a login)"
        ) from error
    folder = pathlib.Path(folder)
    check_downloads(folder)
    return folder


def check_downloads(folder):
    """Compares weights with their sha256, by which the hub's cache names them."""
    for path in sorted(folder.rglob("*.safetensors")):
        stored = path.resolve()
        if SHA256.fullmatch(stored.name) and sha256_of(stored) != stored.name:
            raise ValueError(
                f"{path} is damaged: its sha256 is not {stored.name}; delete {stored} and try again"
            )
