"""What an encoder is pre-trained on: documents, in two parts, as ids of pieces or of sentences."""

import ast
import pathlib
import sysconfig

from keras_transformer import data
from recipes import paired_masks


def read_corpus(settings):
    """The documents, in their order."""
    if settings.data_dir is not None:
        return [each.text for each in data.read_documents(settings.data_dir, split="paragraph")]
    folder = pathlib.Path(sysconfig.get_path("stdlib"))
    paths = sorted(path for path in folder.rglob("*.py") if "site-packages" not in path.parts)
    return [text for path in paths for text in documentation(path)]


def documentation(path):
    """The documentation strings of a Python file, each as one line."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):  # some of its tests' files
        return []
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds))
    return [" ".join(text.split()) for text in found if text and len(text) > 40]


def split(settings, documents):
    """Training and validation documents; a text that occurs in both is kept for training alone."""
    documents = list(dict.fromkeys(documents))
    size = max(1, round(len(documents) * settings.validation))
    if size >= len(documents):
        raise ValueError(
            f"{settings.data_dir}: {len(documents)} documents (paragraphs) are too few to keep "
            "some for validation"
        )
    return documents[:-size], documents[-size:]


def chunks(settings, tokenizer, documents):
    """The ids of documents in pieces of `max_length` with special tokens, short ends left out."""
    around = tokenizer([""])[0].ids
    room = room_for_text(settings, len(around), least=1)
    least = min(8, room)
    pieces = [
        ids[start : start + room]
        for ids in tokenizer.encode(documents)
        for start in range(0, len(ids), room)
    ]
    found = [[around[0], *piece, *around[1:]] for piece in pieces if len(piece) >= least]
    return require(found, settings, documents, f"a text of at least {least} tokens")


def sentences(settings, tokenizer, documents):
    """The documents of several sentences, each as the ids of these."""
    room_for_text(settings, tokenizer.template.num_added(pair=True), least=2)
    found = [each for each in paired_masks.sentences(tokenizer, documents) if len(each) > 1]
    require(found, settings, documents, "a paragraph of at least two sentences")
    if settings.pairs == "next":
        require(found[1:], settings, documents, "a second paragraph of at least two sentences")
    return found


def room_for_text(settings, num_special, least):
    """How many tokens of text `max_length` leaves; it is refused where these are too few."""
    if settings.max_length < num_special + least:
        raise ValueError(
            f"--max-length must be at least {num_special + least}, {num_special} special tokens "
            f"and {least} of text; got {settings.max_length}"
        )
    return settings.max_length - num_special


def require(found, settings, documents, what):
    """What was found; none is refused before training."""
    if not found:
        source, share = settings.data_dir or "the documentation strings", settings.validation
        raise ValueError(
            f"{source}: {what} is needed for training, and one for validation, which has the last "
            f"{share:.0%} of the documents (--validation); found none in {len(documents)} documents"
        )
    return found


def check_hidden(batches):
    """Refuses masks of whole words where most rows have no word that is short enough."""
    rows = hidden = 0
    for step in range(len(batches)):
        x, y = batches.batch(0, step)
        tokens = y["tokens"] if isinstance(y, dict) else y
        rows += int(x["padding_mask"].any(1).sum())
        hidden += int((tokens >= 0).any(1).sum())
    if 2 * hidden < rows:
        raise ValueError(
            f"whole_words: in {rows - hidden:,} of {rows:,} rows for validation no word is short "
            "enough to be masked, as in languages without spaces; --no-whole-words masks pieces"
        )
