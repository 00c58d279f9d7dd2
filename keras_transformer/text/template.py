"""How one text or two become the input of a model: special tokens around, and cut to a length."""

from dataclasses import dataclass

from keras_transformer.text.encoding import SPECIAL, Encoding

FIRST, SECOND = "A", "B"
TRUNCATIONS = ("longest_first", "only_first", "only_second")


@dataclass(frozen=True)
class Template:
    """The special tokens of a model's input, and the segment of each part.

    Args:
        single: what one text becomes: a tuple of `(part, segment)`, each part the id of a special
            token or `"A"`, where the text's own tokens go.
        pair: the same for two texts, `"A"` and `"B"`.

    Raises:
        ValueError: a text is missing, or there twice.

    Example:

    >>> from keras_transformer import text
    >>> bert = text.Template.of([101, "A", 102], [101, "A", 102, "B:1", "102:1"])
    >>> bert.single
    ((101, 0), ('A', 0), (102, 0))
    >>> bert.num_added(pair=True)
    3
    """

    single: tuple[tuple[int | str, int], ...] = ((FIRST, 0),)
    pair: tuple[tuple[int | str, int], ...] = ((FIRST, 0), (SECOND, 1))

    def __post_init__(self):
        for name, wanted in (("single", [FIRST]), ("pair", [FIRST, SECOND])):
            found = [part for part, _ in getattr(self, name) if isinstance(part, str)]
            if sorted(found) != wanted:
                raise ValueError(f"{name} must hold {wanted} once each; got {getattr(self, name)}.")

    @classmethod
    def of(cls, single, pair) -> "Template":
        """A template from shorter notation: `101`, `"A"`, or `"B:1"` with a segment."""
        return cls(tuple(map(_part, single)), tuple(map(_part, pair)))

    def num_added(self, pair: bool = False) -> int:
        """How many special tokens one text, or a pair, gets."""
        return sum(not isinstance(part, str) for part, _ in (self.pair if pair else self.single))

    def apply(self, first, second=None, index=0) -> Encoding:
        """The `Encoding` of one text, or of two.

        Args:
            first, second: each `(ids, offsets)`; `offsets` may be None.
            index: passed on.
        """
        ids, segments, sources, offsets = [], [], [], []
        with_offsets = first[1] is not None
        for part, segment in self.single if second is None else self.pair:
            if isinstance(part, str):
                source = 0 if part == FIRST else 1
                own, where = (first, second)[source]
            else:
                source, own, where = SPECIAL, [part], [(0, 0)]
            ids += own
            segments += [segment] * len(own)
            sources += [source] * len(own)
            if with_offsets:
                offsets += where
        return Encoding(ids, segments, sources, offsets, index)


def truncated_lengths(first: int, second: int | None, room: int, truncation: str):
    """How many tokens of each text stay, as Hugging Face's tokenizers decide it.

    Args:
        first, second: tokens of the texts; `second` is None where there is one text.
        room: tokens that both may have together.
        truncation: `"longest_first"` shortens the longer text, then both alike; `"only_first"`
            and `"only_second"` that text alone.

    Returns:
        The two lengths, the second None where there is one text.

    Raises:
        ValueError: the text to be shortened is too short for it.
    """
    if first + (second or 0) <= room:
        return first, second
    if second is None:
        if truncation == "only_second":
            raise ValueError("truncation='only_second' needs a second text.")
        return max(room, 0), None
    if truncation == "longest_first":
        short, long = sorted((first, second))
        long = short if short > room else max(short, room - short)
        if short + long > room:
            short = room // 2
            long = short + room % 2
        return (short, long) if first <= second else (long, short)
    kept = (room - second) if truncation == "only_first" else (room - first)
    if kept <= 0:
        raise ValueError(
            f"truncation={truncation!r} cannot help: the other text alone fills max_length."
        )
    return (kept, second) if truncation == "only_first" else (first, kept)


def windows(length: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """The (start, end) of overlapping windows that cover `length` tokens.

    >>> windows(10, size=5, overlap=2)
    [(0, 5), (3, 8), (6, 10)]
    """
    if length <= size:
        return [(0, length)]
    if not 0 <= overlap < size:
        raise ValueError(
            f"overlap must be from 0 to {size - 1}, below the window's; got {overlap}."
        )
    starts = range(0, length - overlap, size - overlap)
    return [(start, min(start + size, length)) for start in starts]


def _part(text):
    if not isinstance(text, str):
        return (int(text), 0)
    part, _, segment = text.partition(":")
    return (part if part in (FIRST, SECOND) else int(part), int(segment or 0))
