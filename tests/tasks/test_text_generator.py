"""Continuations are those of the model, put behind the prompt."""

import keras
import numpy as np
import pytest
from toy_encoders import Bare, generator

from keras_transformer import generation
from keras_transformer.tasks import TextGenerator

PROMPTS = ["the dog", "a", "", "the cat sat on the mat . the dog"]


def greedy(task, ids, steps):
    """New tokens by hand, and the mean of their log-probabilities."""
    new, total = [], 0.0
    while len(new) < steps and (not new or new[-1] != 3):
        logits = keras.ops.convert_to_numpy(task.model(np.array([[*ids, *new]], np.int32)))[0, -1]
        new.append(int(logits.argmax()))
        total += logits.max() - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
    return new, total / len(new)


def test_it_continues_as_the_model_does():
    task = generator()
    for prompt, answer in zip(PROMPTS, task(PROMPTS, max_new_tokens=5), strict=True):
        ids = task.tokenizer.encode(prompt) or [2]
        new, score = greedy(task, ids, 5)
        assert answer.score == pytest.approx(score, abs=1e-4)
        whole = task.tokenizer.decode([*ids, *new])
        assert task.tokenizer.decode(ids) + answer.text == whole
        assert not answer.alternatives


def test_several_are_alternatives():
    task = generator()
    method = generation.Sampling(num_sequences=3, seed=1)
    [answer] = task(PROMPTS[:1], max_new_tokens=4, method=method)
    assert len(answer.alternatives) == 2
    assert task(PROMPTS[0], max_new_tokens=4, method=method) == answer
    assert answer.to_dict()["alternatives"][0]["text"] == answer.alternatives[0].text


def test_a_prompt_too_long_is_named_or_loses_its_beginning():
    task = generator(max_length=13)
    long = "the cat " * 9
    with pytest.raises(ValueError, match=r"texts\[1\] has 18 tokens; beside .* room for 9"):
        task(["a", long], max_new_tokens=4)
    with pytest.warns(UserWarning, match="1 of 2 prompts were cut to their last 9 tokens"):
        found = task(["a", long], max_new_tokens=4, truncate=True)
    assert found[1] == task("cat " + "the cat " * 4, max_new_tokens=4)


def test_nothing_gives_nothing():
    assert generator()([]) == []

    class Startless(Bare):
        bos_id = -1

    with pytest.raises(ValueError, match=r"texts\[0\] has no token .* to start from"):
        TextGenerator(generator().model, Startless())("")


def test_a_bad_limit_is_named():
    with pytest.raises(ValueError, match="max_new_tokens must be at most 30"):
        generator()("a", max_new_tokens=31)
