"""The recipe for language models, on runs of seconds."""

import dataclasses
import json
import math

import pytest

from keras_transformer import models, tasks, text
from recipes import pretrain_decoder

WORDS = "one two three four five six seven eight nine ten eleven twelve".split()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text(" ".join(WORDS * 60) + "\n", "utf-8")
    return path


def tiny(corpus, run_dir, **changes):
    settings = dict(
        run_dir=run_dir,
        data_dir=corpus,
        tokens="characters",
        num_layers=1,
        num_heads=2,
        hidden_dim=32,
        block_length=24,
        batch_size=16,
        steps=200,
        steps_per_epoch=100,
        learning_rate=1e-2,
        warmup_steps=20,
    )
    return dataclasses.replace(pretrain_decoder.PRESETS["files"][1], **settings | changes)


def scores_of(settings):
    return json.loads((settings.run_dir / "scores.json").read_text())


@pytest.mark.slow
def test_run_learns_and_its_folder_opens_as_generator(corpus, tmp_path):
    settings = tiny(corpus, tmp_path / "run")
    pretrain_decoder.main(settings)
    scores = scores_of(settings)
    assert scores["loss"] < 1.0 < math.log(scores["vocab_size"])  # that of a guess
    assert scores["perplexity"] == pytest.approx(math.exp(scores["loss"]), rel=1e-3)
    generator = tasks.TextGenerator.from_pretrained(settings.run_dir)
    assert generator("one two thr", max_new_tokens=2).text.endswith("ee")
    report = (settings.run_dir / "report.html").read_text("utf-8")
    assert "Samples" in report and "step 200" in report


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped(corpus, tmp_path):
    whole, parts = tiny(corpus, tmp_path / "whole"), tiny(corpus, tmp_path / "parts")
    pretrain_decoder.main(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain_decoder.Samples, "on_epoch_begin", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            pretrain_decoder.main(parts)
    pretrain_decoder.main(parts)
    assert scores_of(parts)["loss"] == scores_of(whole)["loss"]


def stop_at_the_second(self, epoch, logs=None):
    if epoch == 1:
        raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("tokens, kind", [("bytes", "Byte"), ("subwords", "SentencePiece")])
def test_bytes_and_subwords(corpus, tmp_path, tokens, kind):
    changes = dict(tokens=tokens, vocab_size=300, steps=20, steps_per_epoch=20, warmup_steps=5)
    settings = tiny(corpus, tmp_path / "run", **changes)
    pretrain_decoder.main(settings)
    assert type(text.Tokenizer.load(settings.run_dir)).__name__ == f"{kind}Tokenizer"
    model = models.CausalLM.from_pretrained(settings.run_dir)
    assert model.config.vocab_size == scores_of(settings)["vocab_size"]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"warmup_steps": 200}, "warmup_steps must be below steps, 200; got 200"),
        ({"validation": 0.0}, "validation must be between 0 and 1; got 0.0"),
    ],
)
def test_wrong_settings_are_refused_before_training(corpus, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        pretrain_decoder.main(tiny(corpus, tmp_path / "run", **changes))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder: .*nothing"):
        pretrain_decoder.main(tiny(tmp_path / "nothing", tmp_path / "run"))
