"""Words are told apart whatever the tokenizer."""

import numpy as np
import pytest

from keras_transformer import data, text
from recipes import whole_words

LINES = ["walking, talking walker", "talk walk walks\ntalks walked"]


def t5(lines):
    return text.SentencePieceTokenizer.train([lines], 40, user_defined_symbols=("[MASK]",))


KINDS = {
    "wordpiece": lambda lines: text.WordPieceTokenizer.train([lines], 34, lowercase=False),
    "byte-level": lambda lines: text.BytePairTokenizer.train([lines], 268, style="roberta"),
    "sentencepiece": t5,
}


@pytest.fixture(params=KINDS, scope="module")
def tokenizer(request):
    return KINDS[request.param](LINES * 3)


def words_of(tokenizer, line):
    """The pieces of a text, joined to the words that masks hide whole."""
    ids = tokenizer([line])[0].ids
    continues, ends = whole_words.continues_word(tokenizer), whole_words.ends_word(tokenizer)
    words, goes_on = [], False
    for id, piece in zip(ids, tokenizer.pieces(ids), strict=True):
        is_special = id in tokenizer.special_ids
        if goes_on and continues[id]:
            words[-1] += piece.strip("#▁Ġ")
        elif not is_special:
            words.append(piece.strip("#▁Ġ"))
        goes_on = not is_special and (ends is None or not ends[id])
    return words


def test_words_of_several_pieces_are_found(tokenizer):
    line = "walking talked walks"
    assert len(tokenizer.encode(line)) > 3
    assert words_of(tokenizer, line) == line.split()


def test_special_tokens_and_unknown_ones_continue_nothing(tokenizer):
    continues = whole_words.continues_word(tokenizer)
    assert continues.any() and not continues.all()
    assert not continues[[*tokenizer.special_ids, max(tokenizer.unk_id, 0)]].any()


def test_a_line_begins_a_word():
    tokenizer = KINDS["byte-level"](LINES * 3)
    assert words_of(tokenizer, "talk\nwalked walks") == ["talk", "Ċ", "walked", "walks"]


def test_masks_hide_whole_words(tokenizer):
    line = "walking talked walks talker walked"
    ids = np.array([tokenizer([line])[0].ids], "int32")
    special = tokenizer.special_ids
    masking = data.Masking(
        tokenizer.vocab_size,
        tokenizer.vocab_size - 1 if tokenizer.mask_id < 0 else tokenizer.mask_id,
        special,
        rate=0.5,
        continues_word=whole_words.continues_word(tokenizer),
        ends_word=whole_words.ends_word(tokenizer),
    )
    for seed in range(5):
        rng = np.random.default_rng(seed)
        _, positions, labels = masking(ids, np.ones_like(ids, bool), rng)
        hidden = set(positions[labels >= 0].tolist())
        place = sum(id in special for id in ids[0, :1])
        for word in line.split():
            size = next(
                n for n in range(1, 20) if joined(tokenizer, ids[0, place : place + n]) == word
            )
            assert len(hidden & set(range(place, place + size))) in (0, size)
            place += size


def joined(tokenizer, ids):
    return "".join(piece.strip("#▁Ġ") for piece in tokenizer.pieces(ids))


def test_a_tokenizer_without_words_is_refused():
    with pytest.raises(ValueError, match="--whole-words needs a tokenizer that marks words"):
        whole_words.continues_word(text.ByteTokenizer())
