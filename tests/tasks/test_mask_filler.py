"""Masks are filled with the model's most probable tokens."""

import functools
import json

import numpy as np
import pytest
from toy_encoders import ToyTokenizer, config, filler, outputs, softmax

from keras_transformer import models, text
from keras_transformer.tasks import MaskFiller

LINES = ["the [MASK] sat on the [MASK].", "[MASK]", "no mask here", "a dog[MASK]", "[MASK] " * 5]


def test_candidates_are_the_most_probable_tokens():
    task = filler()
    for line, answer in zip(LINES, task(LINES, top_k=4, batch_size=2), strict=True):
        ids = task.tokenizer.encode(line)
        places = [i + 1 for i, token in enumerate(ids) if token == task.tokenizer.mask_id]
        assert len(answer.masks) == len(places)
        if not places:
            assert answer.text == line
            continue
        probabilities = softmax(outputs(task, ids))[places]
        for row, mask in zip(probabilities, answer.masks, strict=True):
            # two ids of the model stand for no token
            best = np.argsort(-row[: task.tokenizer.vocab_size])[:4]
            assert [candidate.token_id for candidate in mask] == best.tolist()
            np.testing.assert_allclose([c.score for c in mask], row[best], rtol=1e-4)
            assert [c.token for c in mask] == [task.tokenizer.vocab[i] for i in best]
        words = iter(mask[0].token for mask in answer.masks)
        expected = "".join(next(words) if p == "[MASK]" else p for p in split(line))
        assert answer.text == expected


def split(line):
    first, *parts = line.split("[MASK]")
    return [first, *(x for part in parts for x in ("[MASK]", part))]


def test_masks_that_are_cut_off_stay():
    with pytest.warns(UserWarning, match="were cut"):
        found = filler(5)("a [MASK] dog sat [MASK]", truncate=True)
    assert len(found.masks) == 1 and found.text.endswith("[MASK]")


def test_answers_turn_into_json():
    answer = filler()("a [MASK]", top_k=2)
    found = json.loads(json.dumps(answer.to_dict()))
    assert found["masks"][0][1]["token"] == answer.masks[0][1].token
    assert str(answer) == found["text"]


@functools.cache
def joining_filler():
    """Its best candidate is always the same piece, which continues a word."""
    tokenizer = text.WordPieceTokenizer.train([["the dog sat", "a dab"]], vocab_size=27)
    model = models.MaskedLM(
        models.EncoderConfig.from_dict({**config().to_dict(), "vocab_size": 27})
    )
    [bias] = [weight for weight in model.weights if weight.shape == (27,)]
    bias.assign(50.0 * (np.arange(27) == tokenizer.id_of("##a")))
    return MaskFiller(model, tokenizer)


JOINED = {
    "the d[MASK] sat": "the da sat",
    "the d [MASK] sat": "the da sat",
    "the d \t\n[MASK]": "the da",
    "[MASK] [MASK]": "aa",
    "[MASK] sat": "a sat",
    "no mask ": "no mask ",
    "a [MASK].": "aa.",
}


def test_a_piece_that_continues_a_word_is_written_behind_it():
    for line, expected in JOINED.items():
        answer = joining_filler()(line)
        assert answer.text == expected
        assert all(mask[0].token == "##a" for mask in answer.masks)


@pytest.mark.tensorflow
def test_the_graph_joins_pieces_too():
    import tensorflow as tf

    from keras_transformer.export.graph_filling import GraphFiller

    found = GraphFiller(joining_filler()).fill(tf.constant([*JOINED]))
    assert [x.decode() for x in found["filled"].numpy()] == list(JOINED.values())
    assert found["tokens"][0, 0, 0].numpy() == b"##a"


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="top_k must be at most the vocabulary's size, 30; got 31"):
        filler()("[MASK]", top_k=31)

    class Maskless(ToyTokenizer):
        mask_id = -1

    with pytest.raises(ValueError, match="tokenizer must have a mask token"):
        MaskFiller(models.MaskedLM(config()), Maskless())
