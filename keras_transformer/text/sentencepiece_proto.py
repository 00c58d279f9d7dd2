"""SentencePiece models as protocol buffers: with other numbers, or made from `tokenizer.json`.

transformers 5 saves many tokenizers as `tokenizer.json` alone. That has all of the model in other
words: the pieces with their scores, or merges by rank, and the table of normalisation.
"""

import base64
import struct

from keras_transformer.text.id_layout import family_of

# From SentencePiece's sentencepiece_model.proto: the types of pieces, and of models
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
MODELS = {"Unigram": 1, "BPE": 2}


def model_from_json(content: dict, settings: dict) -> bytes:
    """The serialized model that a family's `tokenizer.json` was made from.

    Args:
        content: that of `tokenizer.json`.
        settings: that of `tokenizer_config.json`.

    Raises:
        ValueError: its model is of another type, or its ids are not arranged as the family's.
    """
    model = content.get("model") or {}
    if model.get("type") not in MODELS:
        raise ValueError(
            f"tokenizer.json must have a model of type {' or '.join(MODELS)}; "
            f"got {model.get('type')!r}."
        )
    scores = _scores(model)
    names = list(scores)
    place = family_of(settings).place
    first = ["<unk>", "<s>", "</s>"]
    added = place(first, settings, ())[2] - len(first)  # ids that are no pieces
    pieces = [*first, *[""] * (len(names) - added - len(first))]
    piece_ids, further, size = place(pieces, settings, ())
    for name, id in further.items():
        if id >= len(names) or names[id] != name:
            raise ValueError(f"tokenizer.json must have {name!r} as id {id} of its vocabulary.")
    pieces = [names[id] for id in piece_ids]
    unknown = settings.get("unk_token") or "<unk>"
    unknown = unknown["content"] if isinstance(unknown, dict) else unknown
    special = {token["content"] for token in content.get("added_tokens", ()) if token["special"]}
    bytes_ = bool(model.get("byte_fallback"))
    proto = b""
    for piece in pieces:
        kind = NORMAL
        if piece == unknown:
            kind = UNKNOWN
        elif piece in special:
            kind = CONTROL
        elif bytes_ and len(piece) == 6 and piece.startswith("<0x"):
            kind = BYTE
        text = _field(1, piece.encode("utf-8")) + b"\x15" + struct.pack("<f", scores[piece])
        proto += _field(1, text + _number(3, kind))
    trainer = _number(3, MODELS[model["type"]]) + _number(35, bytes_)
    trainer += _number(40, pieces.index(unknown)) + _field(45, unknown.encode("utf-8"))
    keeps_spaces = model["type"] == "BPE"  # as Llama's
    normalizer = _field(2, _character_map(content.get("normalizer")))
    normalizer += _number(3, 1) + _number(4, not keeps_spaces) + _number(5, 1)
    return proto + _field(2, trainer) + _field(3, normalizer)


def renumbered(proto: bytes, piece_ids) -> bytes:
    """The serialized model whose pieces have other numbers, so that it cuts text into these.

    What is cut depends on the pieces' scores alone. Numbers between become control pieces, which
    no text has.

    Args:
        proto: the serialized model.
        piece_ids: for each of its pieces another number.
    """
    pieces, others = [], []
    for number, content in _fields(proto):
        (pieces if number == 1 else others).append(_field(number, content))
    found = dict(zip(piece_ids, pieces, strict=True))
    for id in range(max(found)):
        if id not in found:
            filler = _field(1, f"<no piece has number {id}>".encode()) + _number(3, CONTROL)
            found[id] = _field(1, filler)
    return b"".join([*(found[id] for id in sorted(found)), *others])


def rounded(proto: bytes) -> bytes:
    """The serialized model with scores that are multiples of 1 / 1024.

    Sums of them are exact in float32, so that whoever adds them in whatever order cuts alike:
    SentencePiece here, tensorflow-text in graphs.
    """
    found = []
    for number, content in _fields(proto):
        if number == 1:
            (size, start) = _read_varint(content, 1)  # the piece's text, then its score
            at = start + size
            if content[at : at + 1] == b"\x15":
                (score,) = struct.unpack("<f", content[at + 1 : at + 5])
                score = struct.pack("<f", round(score * 1024) / 1024)
                content = content[: at + 1] + score + content[at + 5 :]
        found.append(_field(number, content))
    return b"".join(found)


def _fields(content):
    """The fields of a protocol buffer that holds no plain numbers, as (number, bytes)."""
    at = 0
    while at < len(content):
        tag, at = _read_varint(content, at)
        size, at = _read_varint(content, at)
        yield tag >> 3, content[at : at + size]
        at += size


def _read_varint(content, at):
    value = shift = 0
    while True:
        byte, at = content[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _scores(model):
    """The pieces in the order of their ids, with their scores."""
    if model["type"] == "Unigram":
        return {piece: score for piece, score in model["vocab"]}
    # SentencePiece merges the pair whose piece has the best score.
    merges = (m.split(" ") if isinstance(m, str) else m for m in model["merges"])
    ranks = {}
    for rank, pair in enumerate(merges):
        ranks.setdefault("".join(pair), rank)
    pieces = sorted(model["vocab"], key=model["vocab"].get)
    return {piece: -float(ranks.get(piece, len(ranks))) for piece in pieces}


def _character_map(normalizer):
    """The table of a `Precompiled` normalizer, wherever it is; nothing where there is none."""
    if not isinstance(normalizer, dict):
        return b""
    if normalizer.get("type") == "Precompiled":
        return base64.b64decode(normalizer.get("precompiled_charsmap") or "")
    found = map(_character_map, normalizer.get("normalizers", ()))
    return next(filter(None, found), b"")


def _field(number, content):
    """A field of a protocol buffer that holds bytes."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number, value):
    return _varint(number << 3) + _varint(int(value))


def _varint(value):
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
