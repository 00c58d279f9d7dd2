"""Sampled cuts: other ids, the same text, and always the same for the same seed."""

import pickle

import pytest

from keras_transformer import data, text

VOCAB_SIZES = {"bpe": 40, "unigram": 28}
LINES = ["the cat sat on the mat", "a lower house is lower than a higher house", "newer and wider"]


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def tokenizer(request):
    return text.SentencePieceTokenizer.train([LINES], VOCAB_SIZES[request.param], request.param)


def test_cuts_differ_and_spell_the_same_text(tokenizer):
    sampler = text.SubwordSampler(tokenizer, alpha=0.3, seed=5)
    lines = LINES * 40
    cuts = sampler.encode(lines)
    assert sampler.decode(cuts) == tokenizer.decode(cuts) == lines
    for i in range(len(LINES)):
        assert len({tuple(cut) for cut in cuts[i :: len(LINES)]}) > 5


def test_the_same_seed_cuts_alike_and_another_does_not(tokenizer):
    lines = LINES * 7
    first = text.SubwordSampler(tokenizer, alpha=0.3, seed=5)
    again = text.SubwordSampler(tokenizer, alpha=0.3, seed=5)
    other = text.SubwordSampler(tokenizer, alpha=0.3, seed=6)
    for few in (lines, LINES[:1]):
        assert first.encode(few) == again.encode(few) == first.encode(few)
    assert first.encode(lines) != other.encode(lines)
    assert first.fingerprint == again.fingerprint
    samplers = [first, other, text.SubwordSampler(tokenizer, alpha=0.2, seed=5)]
    assert len({sampler.fingerprint for sampler in [*samplers, tokenizer]}) == 4


def test_places_are_those_of_the_drawn_pieces(tokenizer):
    sampler = text.SubwordSampler(tokenizer, alpha=0.3, seed=5)
    line = LINES[1]
    for ids, offsets in sampler.encode_with_offsets([line] * 9):
        pieces = [piece.replace("▁", " ").strip() for piece in sampler.pieces(ids)]
        assert [line[start:end].strip() for start, end in offsets] == pieces


@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_a_bpe_leaves_out_that_share_of_merges(alpha):
    tokenizer = text.SentencePieceTokenizer.train([["ab"]], vocab_size=8)  # it has one merge
    whole = tokenizer.encode("ab")
    cuts = text.SubwordSampler(tokenizer, alpha=alpha, seed=3).encode(["ab"] * 5000)
    assert abs(sum(cut != whole for cut in cuts) / 5000 - alpha) < 0.03


def test_ids_and_template_are_those_of_the_tokenizer(tokenizer):
    sampler = text.SubwordSampler(tokenizer)
    for name in ("pad_id", "unk_id", "bos_id", "eos_id", "vocab_size", "template"):
        assert getattr(sampler, name) == getattr(tokenizer, name)
    with pytest.raises(AttributeError):
        sampler.no_such_thing  # noqa: B018
    assert pickle.loads(pickle.dumps(sampler)).encode(LINES) == sampler.encode(LINES)


def test_published_families_are_sampled_too():
    pieces = text.SentencePieceTokenizer.train([LINES], vocab_size=40).model_proto
    t5 = text.SentencePieceTokenizer(pieces, {"tokenizer_class": "T5Tokenizer", "extra_ids": 3})
    lines = ["<extra_id_0> lower <extra_id_1>"] * 30
    cuts = text.SubwordSampler(t5, alpha=0.3).encode(lines)
    for token in ("<extra_id_0>", "<extra_id_1>"):
        assert all(cut.count(t5.id_of(token)) == 1 for cut in cuts)
    assert len(set(map(tuple, cuts))) > 3


def test_batches_of_a_repeated_corpus(tokenizer):
    pairs = data.ParallelText.from_lines(LINES, LINES[::-1])
    sampler = text.SubwordSampler(tokenizer, alpha=0.3, seed=5)
    batches = data.ParallelBatches(pairs.repeated(20), tokenizer=sampler, tokens_per_batch=300)
    assert batches.num_pairs == 20 * len(LINES)
    spelled = {}
    for step in range(len(batches)):
        x, _ = batches.batch(0, step)
        for ids, mask in zip(x["encoder_token_ids"], x["encoder_padding_mask"], strict=True):
            spelled.setdefault(tokenizer.decode(ids[mask]), set()).add(tuple(ids[mask]))
    spelled.pop("", None)  # empty rows
    assert sorted(spelled) == sorted(LINES)
    assert all(len(cuts) > 5 for cuts in spelled.values())


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 1.5, True, "0.1", None, float("nan")])
def test_a_wrong_alpha_is_refused(tokenizer, alpha):
    with pytest.raises(ValueError, match="alpha"):
        text.SubwordSampler(tokenizer, alpha=alpha)


@pytest.mark.parametrize("seed", [-1, 1.5, True, 2**32])
def test_a_wrong_seed_is_refused(tokenizer, seed):
    with pytest.raises(ValueError, match="seed"):
        text.SubwordSampler(tokenizer, seed=seed)


def test_other_tokenizers_are_refused():
    with pytest.raises(TypeError, match="SentencePieceTokenizer"):
        text.SubwordSampler(text.ByteTokenizer())
    with pytest.raises(ValueError, match="times"):
        data.ParallelText.from_lines(LINES, LINES).repeated(0)
