"""Continuations are those of the model, put behind the prompt."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from toy_encoders import Bare, generator

from keras_transformer import generation, models, text
from keras_transformer.tasks import TextGenerator
from keras_transformer.tasks.decoding_defaults import DecodingDefaults

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


METHODS = [
    None,
    generation.Sampling(temperature=3.0, num_sequences=2, seed=1),
    generation.BeamSearch(3, n_best=3),
    generation.DiverseBeamSearch(4, num_groups=2, n_best=2),
]


@pytest.mark.parametrize("method", METHODS)
def test_ids_beyond_the_tokenizers_are_never_generated(method):
    task = generator(vocab_size=97)
    assert task.tokenizer.vocab_size == 30
    logits = keras.ops.convert_to_numpy(task.model(np.array([[5, 6]], np.int32)))[0, -1]
    assert logits[30:].max() > logits[:30].max()  # it would be
    prompts = task._prompts(PROMPTS, 20, False)
    found = task.model.generate(prompts, 7, task.method(method), jit_compile=False)
    assert found.sequences.max() < 30 and np.isfinite(found.scores).all()
    answers = task(PROMPTS, max_new_tokens=7, method=method)
    assert {len(answer.alternatives) + 1 for answer in answers} == {found.scores.shape[1]}


def test_an_end_of_the_models_own_ends_and_is_no_text():
    model = generator(vocab_size=97).model
    ends = dataclasses.replace(model.config, eos_id=tuple(range(30, 97)))
    wide = models.CausalLM(ends)
    wide.set_weights(model.get_weights())
    answer = TextGenerator(wide, Bare())("the dog", max_new_tokens=7)
    assert answer.text == ""


def test_batches_show_progress_and_change_nothing(capsys):
    task = generator()
    method = generation.Sampling(seed=3)
    expected = task(PROMPTS, max_new_tokens=4, method=method)
    assert capsys.readouterr().out == ""
    found = task(PROMPTS, max_new_tokens=4, method=method, batch_size=2, progress=True)
    assert "4/4" in capsys.readouterr().out
    assert [answer.text for answer in found] == [answer.text for answer in expected]
    assert task([], progress=True) == []


def published(folder, **settings):
    """A folder in GPT-2's layout."""
    tokenizer = text.BytePairTokenizer.train([["a dog runs", "a dog eats"]], vocab_size=260)
    config = models.DecoderConfig(
        vocab_size=269, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16, max_length=40,
        use_bias=True, eos_id=3, initializer_range=0.5,
    )  # fmt: skip
    keras.utils.set_random_seed(3)
    models.CausalLM(config).save_pretrained(folder, family="gpt2")
    tokenizer.save(folder)
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return folder


def test_a_folder_says_how_to_go_on(tmp_path):
    settings = dict(
        eos_token_id=[5, 6], repetition_penalty=1.5, no_repeat_ngram_size=2, max_length=40
    )
    task = TextGenerator.from_pretrained(published(tmp_path, **settings))
    penalties = generation.RepetitionPenalty(1.5), generation.NoRepeatNgram(2)
    assert task.model.config.eos_id == (5, 6)
    assert task.decoding.method() == generation.Greedy(1.0, penalties)
    plain = task("a dog", max_new_tokens=9, method=generation.Greedy())
    assert task("a dog", max_new_tokens=9) == task(
        "a dog", max_new_tokens=9, method=generation.Greedy(processors=penalties)
    )
    assert task("a dog", max_new_tokens=9) != plain

    task.save_pretrained(tmp_path / "again")
    again = TextGenerator.from_pretrained(tmp_path / "again")
    assert (again.decoding, again.model.config) == (task.decoding, task.model.config)
    assert again("a dog", max_new_tokens=9) == task("a dog", max_new_tokens=9)


def test_a_folder_that_searches_is_searched(tmp_path):
    folder = published(tmp_path, num_beams=3, min_new_tokens=4, suppress_tokens=[8])
    task = TextGenerator.from_pretrained(folder)
    processors = generation.BadWords(((8,),)), generation.MinNewTokens(4)
    assert task.decoding.method() == generation.BeamSearch(3, 1.0, 1, False, processors)


def test_what_a_generator_does_not_do_is_said(tmp_path):
    folder = published(tmp_path, do_sample=True, min_length=7)
    with pytest.warns(UserWarning, match="asks for do_sample, min_length, which a TextGenerator"):
        TextGenerator.from_pretrained(folder)
    (folder / "generation_config.json").write_text('{"repetition_penalty": -1}')
    with pytest.raises(ValueError, match=r"generation_config\.json: .*penalty.* received -1"):
        TextGenerator.from_pretrained(folder)


def test_defaults_are_checked_and_kept_by_folders_of_this_package(tmp_path):
    model = generator().model
    with pytest.raises(TypeError, match="decoding must be a DecodingDefaults, got dict"):
        TextGenerator(model, Bare(), decoding={})
    tokenizer = text.WordPieceTokenizer.train([["a dog runs", "a dog eats"]], vocab_size=30)
    decoding = DecodingDefaults(beam_size=1, min_new_tokens=5, repetition_penalty=1.25)
    TextGenerator(model, tokenizer, 13, decoding).save_pretrained(tmp_path)
    again = TextGenerator.from_pretrained(tmp_path)
    assert again.decoding == decoding and again.max_length == 13
    TextGenerator(model, tokenizer).save_pretrained(tmp_path)
    again = TextGenerator.from_pretrained(tmp_path)
    assert again.decoding == DecodingDefaults(beam_size=1) and again.max_length == 31
    assert not (tmp_path / "generation_config.json").exists()


@pytest.mark.parametrize("length", [13, 22, 31])
def test_a_default_call_leaves_half_of_a_short_model_to_the_prompt(length):
    task = generator(max_length=length)
    new = task.check_max_new_tokens()
    assert abs(2 * new - length) <= 2
    task("the cat " * (new // 4))
    long = generator(max_length=length, decoding=DecodingDefaults(beam_size=1, min_new_tokens=9))
    assert long.check_max_new_tokens() == max(new, 10)


@pytest.mark.parametrize("name", ["max_new_tokens", "forced_first_id"])
def test_what_is_not_a_generators_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be None in a TextGenerator's decoding"):
        generator(decoding=DecodingDefaults(beam_size=1, **{name: 7}))


def test_numbers_of_numpy_are_saved(tmp_path):
    decoding = DecodingDefaults(
        beam_size=np.int64(1),
        no_repeat_ngram_size=np.int64(2),
        repetition_penalty=np.float32(1.5),
    )
    tokenizer = text.SentencePieceTokenizer.train([["a dog runs", "a dog eats"]], 22)
    config = models.DecoderConfig(
        vocab_size=22, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16, max_length=32
    )
    task = TextGenerator(models.CausalLM(config), tokenizer, decoding=decoding)
    task.save_pretrained(tmp_path)
    assert TextGenerator.from_pretrained(tmp_path).decoding == decoding
    assert decoding.repetition_penalty == 1.5 and type(decoding.no_repeat_ngram_size) is int
