"""What the recipes over encoders share."""

import dataclasses
import doctest
import functools

import keras
import numpy as np
import pytest

from keras_transformer import data, models
from keras_transformer.checkpoints import model_weights
from recipes import (
    answer,
    classify,
    command_line,
    embed,
    final_weights,
    finetuning,
    names,
    runs,
    sentences,
    splits,
    tag,
)

RECIPES = {"classify": classify, "tag": tag, "answer": answer, "embed": embed}


@pytest.mark.parametrize("module", [names, sentences, answer, tag])
def test_examples_run(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", RECIPES)
def test_settings_come_from_the_command_line(name, tmp_path):
    arguments = ["files", "--run-dir", str(tmp_path), "--layer-decay", "0.8", "--ema", "0.99"]
    settings = runs.command_line(name, RECIPES[name].PRESETS, arguments)
    assert (settings.layer_decay, settings.ema, settings.run_dir) == (0.8, 0.99, tmp_path)


@pytest.mark.parametrize("name", RECIPES)
def test_wrong_command_line_is_answered_in_words(name, capsys):
    with pytest.raises(SystemExit) as stop:
        runs.command_line(name, RECIPES[name].PRESETS, ["quickstart", "--epoch", "3"])
    assert stop.value.code == 2 and "--epoch" in capsys.readouterr().err


def test_two_files_of_one_split_are_refused(tmp_path):
    for name in ("train.csv", "train.jsonl.gz"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"there are train\.csv, train\.jsonl\.gz"):
        splits.find_split(tmp_path, "train", (".csv", ".jsonl"))


def test_missing_training_file_is_named_with_what_was_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no training file; expected one of train\.csv"):
        splits.read_splits(tmp_path, (".csv", ".tsv"), None)


@pytest.mark.parametrize("kind", ["linear", "cosine", "inverse_sqrt"])
def test_schedule_counts_the_optimizers_steps(kind, tmp_path):
    settings = finetuning.FineTuning(
        tmp_path, schedule=kind, warmup=0.2, learning_rate=1e-3, gradient_accumulation_steps=3
    )
    rate = finetuning.make_schedule(settings, updates=20)
    assert [float(rate(n)) for n in (9, 10, 11)] == pytest.approx([1e-3] * 3)  # the fourth
    assert float(rate(0)) == pytest.approx(2.5e-4) and float(rate(59)) < 5e-4


def test_fingerprint_tells_what_the_model_is_to_learn():
    def of(ids=((5, 6), (7,)), targets=(0, 1), labels=("a", "b")):
        batches = data.RecordBatches(ids, labels=targets, batch_size=1)
        return finetuning.fingerprint(data.AccumulatedBatches(batches), labels)

    others = [of(ids=((5, 6), (8,))), of(targets=(1, 0)), of(labels=("a", "c")), of(labels=None)]
    assert of() == of() and len({of(), *others}) == 5


def test_vocabulary_is_as_large_as_a_small_text_can_fill(tmp_path, capsys):
    settings = finetuning.FineTuning(tmp_path)
    tokenizer = finetuning.make_tokenizer(settings, ["a plum and a fig", "a saw and an axe"])
    assert 20 < tokenizer.vocab_size < settings.vocab_size
    said = f"fills a vocabulary of {tokenizer.vocab_size}, not of 4000 (--vocab-size)"
    assert said in capsys.readouterr().out
    with pytest.raises(ValueError, match="vocab_size=9 cannot hold the characters"):
        finetuning.train_word_pieces(["a plum and a fig"], 9)


def test_errors_say_the_flag_of_the_command_line():
    with pytest.raises(ValueError, match="the limit is 3. --truncate cuts"):
        with command_line.saying_flags():
            raise ValueError("the limit is 3. truncate=True cuts what is too long.")


def small(kind=models.EncoderConfig):
    return kind(vocab_size=30, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16)


def test_encoder_of_another_head_is_taken_over(tmp_path):
    pretrained = models.MaskedLM(small())
    pretrained.save_pretrained(tmp_path)
    model = finetuning.load_model(str(tmp_path), models.TokenClassifier, {"num_classes": 5})
    ours, theirs = model_weights(model), model_weights(pretrained)
    assert set(ours) - set(theirs) == {"classes/kernel", "classes/bias"}
    for name in set(ours) & set(theirs):
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_classifier_of_other_classes_gets_a_new_head(tmp_path):
    models.SequenceClassifier(small(), num_classes=3).save_pretrained(tmp_path)
    model = finetuning.load_model(str(tmp_path), models.SequenceClassifier, {"num_classes": 2})
    assert model(np.array([[5, 6]])).shape == (1, 2)


@pytest.mark.filterwarnings("ignore:.* has no weights for")
@pytest.mark.parametrize("head", [models.SequenceClassifier, models.TokenClassifier])
def test_published_classifier_of_other_classes_gets_a_new_head(head, tmp_path):
    config = models.EncoderConfig.from_preset(
        "bert-tiny", vocab_size=30, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16
    )
    theirs = head(config, num_classes=3, labels=["a", "b", "c"])
    theirs.save_pretrained(tmp_path, family="bert")
    arguments = {"num_classes": 2, "labels": ["x", "y"]}
    with pytest.warns(UserWarning, match="has no weights for classes/bias, classes/kernel|classes"):
        ours = finetuning.load_model(str(tmp_path), head, arguments)
    assert ours.labels == ("x", "y") or ours.labels == ["x", "y"]
    assert ours(np.array([[5, 6]])).shape[-1] == 2
    found, expected = model_weights(ours), model_weights(theirs)
    for name in found.keys() - {"classes/kernel", "classes/bias"}:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    same = finetuning.load_model(str(tmp_path), head, {"num_classes": 3})
    np.testing.assert_array_equal(model_weights(same)["classes/kernel"], expected["classes/kernel"])
    with pytest.raises(ValueError, match="of another shape: classifier"):
        head.from_pretrained(tmp_path, **arguments)


@pytest.mark.parametrize("asked, expected", [(None, "max"), ("mean", "mean")])
@pytest.mark.parametrize(
    "head, arguments",
    [(models.SequenceClassifier, {"num_classes": 3}), (models.SentenceEmbedder, {})],
)
def test_pooling_is_the_checkpoints_or_what_is_asked_for(
    head, arguments, asked, expected, tmp_path
):
    head(small(), pooling="max", **arguments).save_pretrained(tmp_path)
    if asked is not None:
        arguments = {**arguments, "pooling": asked}
    assert finetuning.load_model(str(tmp_path), head, arguments).pooling == expected


@pytest.mark.filterwarnings("ignore:.* has no weights for")
def test_pooling_that_a_published_layout_cannot_express_is_refused(tmp_path):
    config = models.EncoderConfig.from_preset(
        "bert-tiny", vocab_size=30, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16
    )
    models.TransformerEncoder(config).save_pretrained(tmp_path, family="bert")
    load = functools.partial(finetuning.load_model, str(tmp_path), models.SequenceClassifier)
    assert load({"num_classes": 2, "pooling": "first"}).pooling == "first"
    with pytest.raises(ValueError, match="pooling must be None or that of .*, 'first'; got 'mean'"):
        load({"num_classes": 2, "pooling": "mean"})


@pytest.mark.parametrize("name", RECIPES)
def test_files_beside_a_corpus_that_is_made_on_the_spot_are_refused(name, tmp_path):
    recipe = RECIPES[name]
    settings = dataclasses.replace(
        recipe.PRESETS["quickstart"][1], run_dir=tmp_path / "run", data_dir=tmp_path
    )
    with pytest.raises(ValueError, match="--data-dir must be left out, as corpus .* is made on"):
        recipe.main(settings)
    assert not settings.run_dir.exists()


@pytest.mark.parametrize("family", [None, "gpt2"])
def test_checkpoint_of_another_style_is_refused(family, tmp_path):
    config = small(models.DecoderConfig)
    if family:
        config = models.DecoderConfig.from_preset("gpt2", **{
            "vocab_size": 30, "num_layers": 1, "hidden_dim": 8, "num_heads": 2, "ffn_dim": 16,
        })  # fmt: skip
    models.CausalLM(config).save_pretrained(tmp_path, family=family)
    with pytest.raises(ValueError, match="CausalLM|gpt2"):
        finetuning.load_model(str(tmp_path), models.SequenceClassifier, {"num_classes": 2})


def test_moving_average_is_there_inside_and_gone_after(tmp_path):
    model = models.SequenceClassifier(small(), num_classes=2)
    settings = finetuning.FineTuning(tmp_path, ema=0.5, epochs=4, warmup=0.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    finetuning.compile_model(settings, model, [None] * 4, loss)
    before = model_weights(model)["classes/kernel"]
    for _ in range(2):
        model.train_on_batch(np.array([[5, 6]]), np.array([1]), np.ones(1, "float32"))
    own = model_weights(model)["classes/kernel"]
    with final_weights.moving_average(model):
        average = model_weights(model)["classes/kernel"]
    np.testing.assert_array_equal(model_weights(model)["classes/kernel"], own)
    assert not np.array_equal(average, own) and not np.array_equal(average, before)


def test_a_moving_average_outlives_its_evaluation():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="top")])
    model.compile(keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.5), "mse")
    batch = np.ones((4, 3)), np.ones((4, 2))
    for _ in range(2):
        model.train_on_batch(*batch)
    seen = []
    for _ in range(2):
        with final_weights.moving_average(model):
            seen.append(model.evaluate(*batch, verbose=0))
            seen.append(model_weights(model)["top/kernel"].sum())
    assert seen[:2] == seen[2:]


def test_a_run_may_go_on_for_more_epochs_where_its_start_is_the_same(tmp_path):
    """The inverse square root knows no end; a warm-up that is a share of all steps does."""
    seen = []
    for epochs, warmup in ((4, 0.1), (8, 0.1), (8, 0.05), (4, 0.0), (8, 0.0)):
        settings = dataclasses.replace(
            classify.PRESETS["files"][1],
            run_dir=tmp_path,
            epochs=epochs,
            warmup=warmup,
            schedule="inverse_sqrt",
        )
        rate = finetuning.make_schedule(settings, epochs * 100)
        seen.append([float(rate(step)) for step in (5, 39, 100, 399)])
    assert seen[0] == seen[2] != seen[1]
    assert seen[3] == seen[4]
