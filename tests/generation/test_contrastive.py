import numpy as np
import pytest
import test_seq2seq
from keras import ops
from tiny_lm import PROMPTS, make_lm

from keras_transformer.generation import BadWords, ContrastiveSearch, Greedy

STEPS = 5


def oracle(model, source, steps, width, alpha, is_lm):
    """Contrastive search with lists, the whole model run on the whole text for each candidate."""
    config = model.config

    def read(text):
        """Hidden states of a text, and the probabilities after it."""
        padded = np.zeros((1, 17), "int32")  # what follows the text, it cannot see
        padded[0, : len(text)] = text
        inputs = padded
        if not is_lm:
            source_ids = np.zeros((1, 17), "int32")
            source_ids[0, : len(source)] = source
            inputs = {
                "encoder_token_ids": source_ids,
                "encoder_padding_mask": np.arange(17)[None] < len(source),
                "decoder_token_ids": padded,
            }
        hidden = model.backbone(inputs)
        logits = ops.convert_to_numpy(model.logits(hidden))[0, len(text) - 1].astype("float64")
        hidden = ops.convert_to_numpy(hidden)[0, : len(text)].astype("float64")
        logits = np.exp(logits - logits.max())
        logits[config.pad_id] = 0.0
        return hidden / np.linalg.norm(hidden, axis=1, keepdims=True), logits / logits.sum()

    text, found = (list(source), []) if is_lm else ([config.bos_id], [])
    while len(found) < steps and (not found or found[-1] != config.eos_id):
        past, probabilities = read(text)
        worth = {}
        for token in np.argsort(-probabilities)[:width].tolist():
            new = read([*text, token])[0][-1]
            worth[token] = (1 - alpha) * probabilities[token] - alpha * (past @ new).max()
        found.append(max(worth, key=worth.get))
        text.append(found[-1])
    return found


@pytest.mark.parametrize(
    "kind", ["learned", pytest.param("rotary", marks=pytest.mark.broad), "seq2seq"]
)
def test_tokens_are_those_of_the_equation(kind):
    is_lm, alpha = kind != "seq2seq", 0.9 if kind == "seq2seq" else 0.5
    model = make_lm(positions=kind, num_layers=1) if is_lm else test_seq2seq.make_model()
    method = ContrastiveSearch(3, alpha)
    result = model.generate(PROMPTS[:2], STEPS, method, jit_compile=False)
    plain = model.generate(PROMPTS[:2], STEPS, Greedy(), jit_compile=False)
    for row, source in enumerate(PROMPTS[:2]):
        expected = oracle(model, source, STEPS, 3, alpha, is_lm)
        assert result.sequences[row, 0].tolist() == expected + [0] * (STEPS - len(expected))
    assert not is_lm or (result.sequences != plain.sequences).any()


def test_without_a_penalty_it_is_greedy_search():
    model = make_lm()
    words = BadWords(((16,), (9,)))
    result = model.generate(PROMPTS, STEPS, ContrastiveSearch(4, 0.0, words))
    plain = model.generate(PROMPTS, STEPS, Greedy(processors=words), jit_compile=False)
    np.testing.assert_array_equal(result.sequences, plain.sequences)
    np.testing.assert_allclose(result.scores, plain.scores, rtol=1e-4)


@pytest.mark.parametrize("name, value", [("top_k", 0), ("alpha", 1.5), ("alpha", -0.1)])
def test_settings_are_checked(name, value):
    with pytest.raises(ValueError, match=name):
        ContrastiveSearch(**{name: value})
