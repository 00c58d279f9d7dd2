"""What a tokenizer makes of a text, or of two, for a model.

B encodings, T tokens
"""

from dataclasses import dataclass, field

import numpy as np

SPECIAL = -1  # the source of a token that stands for no text


@dataclass(frozen=True, slots=True)
class Encoding:
    """One input of a model: its ids, and what each of them stands for.

    Args:
        ids: the token ids, special ones included.
        segments: the segment (type) id of each token.
        sources: for each token 0 or 1, the text it comes from, or -1 for a special token.
        offsets: for each token the (start, end) characters of its text, (0, 0) for a special
            token; empty where offsets were not asked for.
        index: which of the texts that were passed this one is. Windows of one text share it.

    Example:

    >>> from keras_transformer import text
    >>> text.Encoding([7, 8], [0, 0], [0, 0], [(0, 1), (1, 3)]).ids
    [7, 8]
    """

    ids: list[int]
    segments: list[int]
    sources: list[int]
    offsets: list[tuple[int, int]] = field(default_factory=list)
    index: int = 0

    def __len__(self):
        return len(self.ids)


def pad_encodings(encodings, pad_id: int, length: int | None = None) -> dict[str, np.ndarray]:
    """Encodings side by side, padded on the right to the longest: what a model takes.

    Args:
        encodings: B `Encoding`s.
        pad_id: the id that fills up.
        length: T; by default that of the longest, at least 1.

    Returns:
        `token_ids` (B, T) int32, `padding_mask` (B, T) bool, `segment_ids` (B, T) int32.

    Raises:
        ValueError: an encoding is longer than `length`.

    Example:

    >>> from keras_transformer import text
    >>> rows = [text.Encoding([7, 8], [0, 0], [0, 0]), text.Encoding([9], [0], [0])]
    >>> text.pad_encodings(rows, pad_id=0)["token_ids"].tolist()
    [[7, 8], [9, 0]]
    """
    encodings = list(encodings)
    longest = max(map(len, encodings), default=0)
    length = max(longest, 1) if length is None else length
    if longest > length:
        raise ValueError(
            f"length must be at least the longest encoding's, {longest}; got {length}."
        )
    shape = (len(encodings), length)
    sizes = np.array([len(encoding) for encoding in encodings], np.int64)
    mask = np.arange(length) < sizes[:, None]  # (B, T)
    tokens = np.full(shape, max(pad_id, 0), np.int32)
    segments = np.zeros(shape, np.int32)
    if mask.any():
        tokens[mask] = np.concatenate([encoding.ids for encoding in encodings])
        segments[mask] = np.concatenate([encoding.segments for encoding in encodings])
    return {"token_ids": tokens, "padding_mask": mask.reshape(shape), "segment_ids": segments}
