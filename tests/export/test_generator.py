"""Exported generators: seeds, limits and prompts of token ids, as in Python."""

import numpy as np
import pytest
from toy_encoders import generator

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

PROMPTS = ["the dog", "", "cat sat"]


def close(found, expected):
    np.testing.assert_allclose(found.astype("float64"), expected, rtol=1e-5, atol=1e-5)


def test_settings_of_a_request_are_those_of_the_call():
    import tensorflow as tf

    from keras_transformer.export.graph_generation import GraphGenerator
    from keras_transformer.generation import Sampling

    task, prompts = generator(), PROMPTS * 2
    limits, temperatures = [1, 3, 5, 7, 99, 0], [1.0, 0.3, 2.0, 1.0, 0.7, 1.0]
    seeds = [0, 1, 2, -3, 2**31 - 1, -(2**31)]
    graph = GraphGenerator(task, max_new_tokens=7, method=Sampling(num_sequences=2))
    found = tf.function(graph.generate_with, autograph=False)(
        tf.constant(prompts), limits, temperatures, tf.constant([*seeds])
    )
    for i, (prompt, limit, temperature, seed) in enumerate(
        zip(prompts, limits, temperatures, seeds, strict=True)
    ):
        method = Sampling(temperature=temperature, num_sequences=2, seed=seed)
        answer = task(prompt, max_new_tokens=min(max(limit, 1), 7), method=method)
        own = [answer, *answer.alternatives]
        assert found["generated"][i].numpy().tolist() == [a.text.encode() for a in own]
        close(found["scores"][i].numpy(), [a.score for a in own])


@pytest.mark.parametrize("seed", [3, -5, 2**40 + 7])
def test_an_exported_seed_is_that_of_the_call(seed):
    import tensorflow as tf

    from keras_transformer.export.graph_generation import GraphGenerator
    from keras_transformer.generation import Sampling

    task, prompts, method = generator(), PROMPTS, Sampling(seed=seed, num_sequences=2)
    graph = GraphGenerator(task, max_new_tokens=7, method=method)
    found = graph.generate(tf.constant(prompts))["generated"].numpy().tolist()
    expected = task(prompts, max_new_tokens=7, method=method)
    expected = [[a.text, *(b.text for b in a.alternatives)] for a in expected]
    assert found == [[text.encode() for text in row] for row in expected]


def test_without_a_seed_each_request_is_drawn_anew():
    import tensorflow as tf

    from keras_transformer.export.graph_generation import GraphGenerator
    from keras_transformer.generation import Sampling

    graph = GraphGenerator(generator(), max_new_tokens=7, method=Sampling(temperature=3.0))
    generate = tf.function(graph.generate, autograph=False)
    found = {tuple(generate(tf.constant(PROMPTS))["generated"].numpy().ravel()) for _ in "abc"}
    assert len(found) == 3


def test_prompts_of_tokens_stand_where_they_like_and_leave_room():
    import tensorflow as tf

    from keras_transformer.export.graph_generation import GraphGenerator

    task = generator()
    graph = GraphGenerator(task, max_new_tokens=6)
    room = task.max_length - 6

    def sequences(ids, mask):
        found = graph.generate_tokens(tf.constant(ids, tf.int32), tf.constant(mask))
        return found["sequences"].numpy().tolist()

    rng = np.random.default_rng(0)
    ids = rng.integers(3, task.tokenizer.vocab_size, (2, 5))
    mask = np.array([[True] * 5, [True, True, True, False, False]])
    expected = sequences(ids, mask)
    wide = np.zeros((2, 5 + task.max_length), "int32"), np.zeros((2, 5 + task.max_length), bool)
    for array, part in zip(wide, (ids, mask), strict=True):
        array[:, -5:] = part  # more padding on the left than the model can read
    assert sequences(*wide) == expected
    long = rng.integers(3, task.tokenizer.vocab_size, (1, task.max_length))
    whole = sequences(long, np.ones_like(long, bool))
    assert whole == sequences(long[:, -room:], np.ones((1, room), bool))
    with pytest.raises(tf.errors.InvalidArgumentError, match="a token in each row"):
        sequences(ids, np.array([[True] * 5, [False] * 5]))


def test_a_method_that_does_not_fit_is_refused_before_anything_is_written(tmp_path):
    from keras_transformer.generation import Greedy, MinNewTokens, PrefixForcing

    task = generator()
    for processor, message in ((PrefixForcing((999,)), "999"), (MinNewTokens(9), "at most")):
        with pytest.raises(ValueError, match=message):
            task.export(
                tmp_path / "saved", max_new_tokens=5, method=Greedy(processors=(processor,))
            )
    with pytest.raises(TypeError, match="method must be"):
        task.export(tmp_path / "saved", method=Greedy)
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize("method", [None, "sampling"])
def test_a_generator_of_more_ids_than_its_tokenizer(method):
    import tensorflow as tf

    from keras_transformer.export.graph_generation import GraphGenerator
    from keras_transformer.generation import Sampling
    from keras_transformer.tasks.decoding_defaults import DecodingDefaults

    task, prompts = generator(vocab_size=97), PROMPTS
    if method is None:  # a folder's penalties are the export's
        decoding = DecodingDefaults(beam_size=1, repetition_penalty=3.0)
        task = type(task)(task.model, task.tokenizer, decoding=decoding)
        assert "RepetitionPenalty" in GraphGenerator(task).settings()["method"]
    else:
        method = Sampling(temperature=2.0, seed=5)
    graph = GraphGenerator(task, max_new_tokens=7, method=method)
    found = tf.function(graph.generate, autograph=False)(tf.constant(prompts))
    expected = task(prompts, max_new_tokens=7, method=method)
    assert [[x.decode() for x in row] for row in found["generated"].numpy()] == [
        [answer.text] for answer in expected
    ]
    close(found["scores"].numpy(), [[answer.score] for answer in expected])
