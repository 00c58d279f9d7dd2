"""Maps of an encoder's self-attention, for the reports of the recipes over encoders."""

import keras

from keras_transformer.text import pad_encodings

HEADING = "Self-attention"
LONGEST = 32  # tokens that a map has room for


def add_attention(report, model, tokenizer, texts, pairs=None, shown=3):
    """Adds the last block's attention, the mean of its heads, within some of the texts.

    Args:
        report: `explain.Report`.
        model: an encoder's head.
        tokenizer: its tokenizer.
        texts, pairs: as a task takes them; what is longer than `LONGEST` tokens is cut.
        shown: how many of them, evenly spread.
    """
    some = range(0, len(texts), max(1, len(texts) // shown))[:shown]
    length = min(LONGEST, model.config.max_length or LONGEST)
    for n in some:
        pair = None if pairs is None else [pairs[n]]
        encoding = tokenizer([texts[n]], pair, max_length=length)[0]
        inputs = pad_encodings([encoding], tokenizer.pad_id)
        if not getattr(model.config, "num_segments", 0):
            del inputs["segment_ids"]
        scores = model.attention_scores(inputs)
        if isinstance(scores, dict):  # of an encoder with a decoder
            scores = scores["encoder"]
        rows = keras.ops.convert_to_numpy(scores[-1])[0]
        pieces = tokenizer.pieces(encoding.ids)
        report.add_alignment(rows, pieces, pieces, title=excerpt(texts[n]), heading=HEADING)


def excerpt(text, length=60):
    """The beginning of a text.

    >>> excerpt("a b  c", 4)
    'a b …'
    """
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[:length]}…"
