"""Which pieces of a vocabulary go on with a word, so that masks hide words whole.

Each kind of tokenizer marks words in its own way: WordPiece what continues one ("##ing"),
SentencePiece ("▁dog") and byte-level BPE ("Ġdog") what begins one.
"""

import numpy as np

from keras_transformer import text

# Space, line break, tab and return as byte-level BPE spells them
BYTE_SPACES = ("Ġ", "Ċ", "ĉ", "č")


def continues_word(tokenizer):
    """Which pieces continue the word before them, as `data.Masking` takes it.

    What follows a special token, or a piece of `ends_word`, begins a word in any case.

    Returns:
        (V,) bool, False for special tokens.

    Raises:
        ValueError: a tokenizer that does not mark words.
    """
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    if isinstance(tokenizer, text.WordPieceTokenizer):
        inside = [piece.startswith("##") for piece in pieces]
    elif isinstance(tokenizer, text.BytePairTokenizer):
        inside = [not piece.startswith(BYTE_SPACES) for piece in pieces]
    elif isinstance(tokenizer, text.SentencePieceTokenizer):
        inside = [not piece.startswith("▁") for piece in pieces]
    else:
        raise ValueError(
            f"--whole-words needs a tokenizer that marks words, WordPiece, byte-level BPE or "
            f"SentencePiece; got a {type(tokenizer).__name__}. --no-whole-words hides single pieces"
        )
    inside = np.array(inside, bool)
    inside[[id for id in (*tokenizer.special_ids, tokenizer.unk_id) if id >= 0]] = False
    return inside


def ends_word(tokenizer):
    """Which pieces end a word although the next one has no mark: line breaks of byte-level BPE.

    Returns:
        (V,) bool, or None where the tokenizer has no such pieces.
    """
    if not isinstance(tokenizer, text.BytePairTokenizer):
        return None
    return np.array(
        [piece.endswith(BYTE_SPACES[1:]) for piece in tokenizer.pieces(range(tokenizer.vocab_size))]
    )
