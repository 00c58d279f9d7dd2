"""The recipe for encoders, on runs of seconds."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_transformer import data, models, tasks, text
from keras_transformer.checkpoints.weights import named_weights
from recipes import encoder_texts, finetuning, paired_masks, pretrain_encoder, replaced_tokens

WORDS = "one two three four five six seven eight nine ten eleven twelve".split()


def counting(start, length):
    return " ".join(WORDS[(start + i) % len(WORDS)] for i in range(length))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    lines = [counting(start, length) for start in range(12) for length in range(8, 22)]
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    order = np.random.default_rng(1).permutation(len(lines))
    path.write_text("\n\n".join(lines[i] for i in order), "utf-8")
    return path


def tiny(corpus, run_dir, **changes):
    settings = dict(
        run_dir=run_dir,
        data_dir=corpus,
        vocab_size=50,
        num_layers=1,
        hidden_dim=32,
        num_heads=4,
        dropout=0.0,
        max_length=24,
        batch_size=16,
        num_shapes=1,
        epochs=60,
        learning_rate=5e-3,
        validation=0.1,
        whole_words=False,
        export=False,
    )
    return dataclasses.replace(pretrain_encoder.PRESETS["files"][1], **settings | changes)


def scores_of(settings):
    return json.loads((settings.run_dir / "scores.json").read_text())


@pytest.mark.slow
def test_masks_are_filled_and_the_encoder_goes_on_elsewhere(corpus, tmp_path):
    settings = tiny(corpus, tmp_path / "run")
    pretrain_encoder.main(settings)
    scores = scores_of(settings)
    assert scores["accuracy"] > 80 and scores["perplexity"] < 2  # of 50 pieces
    filler = tasks.MaskFiller.from_pretrained(settings.run_dir)
    (candidates,) = filler("seven eight nine [MASK] eleven").masks  # "ten" is one piece
    assert "ten" in [candidate.token for candidate in candidates]
    assert "Candidates" in (settings.run_dir / "report.html").read_text("utf-8")
    loaded = finetuning.load_model(
        str(settings.run_dir), models.SequenceClassifier, {"num_classes": 2}
    )
    same_weights(loaded.backbone, filler.model.backbone)


@pytest.mark.slow
def test_a_detector_is_trained_and_goes_on_elsewhere(corpus, tmp_path):
    settings = tiny(corpus, tmp_path / "run", objective="replaced", epochs=2)
    pretrain_encoder.main(settings)
    assert set(scores_of(settings)) >= {"accuracy", "precision", "recall", "f1"}
    assert "Suspected" in (settings.run_dir / "report.html").read_text("utf-8")
    detector = models.ReplacedTokenDetector.from_pretrained(settings.run_dir)
    folder = str(settings.run_dir)
    loaded = finetuning.load_model(folder, models.TokenClassifier, {"num_classes": 2})
    same_weights(loaded.backbone, detector.backbone)
    pretrain_encoder.main(settings)  # there is nothing left to do, and it says so again


def same_weights(first, second):
    for ours, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def electra():
    config = models.EncoderConfig(
        vocab_size=20, num_layers=1, hidden_dim=16, num_heads=4, ffn_dim=32, dropout=0.0
    )
    return replaced_tokens.ReplacedTokens(models.ReplacedTokenDetector(config))


@pytest.mark.slow
def test_replaced_tokens_are_found():
    ids = [list(range(4, 16))] * 48  # what is not in its place was replaced
    masking = data.Masking(20, mask_id=3, special_ids=(0, 1, 2, 3), rate=0.2)
    batches = replaced_tokens.OriginalBatches(ids, masking, batch_size=48, seed=1)
    keras.utils.set_random_seed(1)
    model = electra()
    model.generator.trainable, model.detector.trainable = False, True  # it goes on replacing
    model.compile(keras.optimizers.Adam(3e-3), loss=None, jit_compile=False)
    before = replaced_tokens.detection_scores(model, batches)["f1"]
    model.fit(batches, epochs=150, shuffle=False, verbose=0)
    after = replaced_tokens.detection_scores(model, batches)
    assert after["f1"] > 90 > before + 20 and after["accuracy"] > 95


def test_drawn_tokens_stand_where_masks_were_and_nowhere_else():
    model = electra()
    ids = np.array([[1, 3, 7, 3, 2, 0], [1, 5, 6, 3, 8, 2]], "int32")  # 3 is the mask
    positions = np.array([[1, 3], [3, 0]], "int32")
    originals = np.array([[11, 12], [13, -100]], "int32")
    inputs = {"token_ids": ids, "padding_mask": ids > 0}
    certain = np.full((2, 2, 20), -1e4, "float32")
    for row, place, token in ((0, 0, 11), (0, 1, 9), (1, 0, 4), (1, 1, 19)):
        certain[row, place, token] = 1e4
    tokens, labels = model.replace(inputs, originals, positions, certain)
    tokens, labels = (keras.ops.convert_to_numpy(x) for x in (tokens, labels))
    assert tokens.tolist() == [[1, 11, 7, 9, 2, 0], [1, 5, 6, 4, 8, 2]]
    assert labels.tolist() == [[0, 0, 0, 1, 0, -100], [0, 0, 0, 1, 0, 0]]


def test_the_generator_fills_masks_alone(corpus, tmp_path):
    settings = tiny(corpus, tmp_path / "run", objective="replaced")
    objective, batches = objective_and_batches(settings)
    for step in range(len(batches)):
        x, y = batches.batch(0, step)
        shown = np.take_along_axis(x["token_ids"], x["mask_positions"], 1)
        assert (shown[y >= 0] == objective.tokenizer.mask_id).all()


def objective_and_batches(settings):
    train, _ = encoder_texts.split(settings, encoder_texts.read_corpus(settings))
    tokenizer = finetuning.make_tokenizer(settings, train)
    objective = pretrain_encoder.make_objective(settings, tokenizer)
    return objective, objective.plan(train, shuffle=True)


def test_the_generator_is_narrow_and_shares_the_token_embeddings():
    model = electra()
    assert model.generator.backbone.token_embedding is model.detector.backbone.token_embedding
    assert model.generator.config.hidden_dim == 4
    assert len(named_weights(model)) == len(model.weights)  # each has a name of its own


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"validation": 1.0}, "validation must be between 0 and 1; got 1.0"),
        ({"data_dir": None}, "--data-dir is missing: the file or folder with your text"),
        ({"objective": "replaced", "layer_decay": 0.9}, "layer_decay is for objective 'masked'"),
        ({"objective": "replaced", "generator_share": 0.0}, "generator_share must be above 0"),
        ({"objective": "replaced", "pairs": "next"}, "pairs is for objective 'masked' alone"),
        (
            {"max_length": 2},
            "--max-length must be at least 3, 2 special tokens and 1 of text; got 2",
        ),
        ({"max_length": 4, "pairs": "order"}, "--max-length must be at least 5, 3 special tokens"),
        ({"pairs": "order"}, r"text\.txt: a paragraph of at least two sentences is needed"),
        ({"mask_rate": 1.5}, "rate must be more than 0 and less than 1; got 1.5"),
    ],
)
def test_wrong_settings_are_refused_before_training(corpus, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        pretrain_encoder.main(tiny(corpus, tmp_path / "run", **changes))


def test_a_text_too_short_is_refused(tmp_path):
    (tmp_path / "text.txt").write_text("One paragraph alone.")
    with pytest.raises(ValueError, match=r"1 documents \(paragraphs\) are too few"):
        pretrain_encoder.main(tiny(tmp_path / "text.txt", tmp_path / "run"))


def test_a_validation_part_too_short_is_refused(tmp_path):
    paragraphs = [counting(start, 12) for start in range(9)]
    (tmp_path / "text.txt").write_text("\n\n".join([*paragraphs, "one two"]))
    with pytest.raises(ValueError, match=r"text\.txt: a text of at least 8 tokens .*--validation"):
        pretrain_encoder.main(tiny(tmp_path / "text.txt", tmp_path / "run"))


def test_words_too_long_to_be_masked_are_refused(corpus):
    objective, _ = objective_and_batches(tiny(corpus, None))
    masking = dataclasses.replace(objective.masking(), continues_word=np.ones(50, bool))
    whole = data.MaskedBatches([[2, *range(5, 20), 3]] * 3, masking, batch_size=2)
    with pytest.raises(ValueError, match="in 3 of 3 rows .*--no-whole-words"):
        encoder_texts.check_hidden(whole)


# Pairs


@pytest.fixture(scope="module")
def stories(tmp_path_factory):
    """Paragraphs that count from "one" on, a sentence a number."""
    rng = np.random.default_rng(1)
    lines = [[f"here is {word} ." for word in WORDS[: rng.integers(4, 13)]] for _ in range(96)]
    path = tmp_path_factory.mktemp("stories") / "text.txt"
    path.write_text("\n\n".join(f"tale {n} . {' '.join(x)}" for n, x in enumerate(lines)), "utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes, least",
    [
        ({"pairs": "order", "epochs": 40}, 80),
        ({"pairs": "next", "epochs": 1, "gradient_accumulation_steps": 2, "layer_decay": 0.9}, 0),
    ],
    ids=["order", "next"],
)
def test_pairs_are_told_beside_masks(stories, tmp_path, changes, least):
    settings = tiny(stories, tmp_path / "run", vocab_size=70, max_length=40, **changes)
    pretrain_encoder.main(settings)
    scores = scores_of(settings)
    assert 100 >= scores["pair_accuracy"] >= least and scores["perplexity"] < 70
    assert "Pair accuracy" in (settings.run_dir / "report.html").read_text("utf-8")
    (last, *_) = reversed((settings.run_dir / "metrics.jsonl").read_text().splitlines())
    assert json.loads(last)["val_pair_accuracy"] == pytest.approx(scores["pair_accuracy"])
    encoder = models.MaskedLM.from_pretrained(settings.run_dir)  # the pair's head stays behind
    assert encoder.count_params() == scores["parameters"]


def test_the_encoder_of_pairs_fills_masks_as_alone(stories, tmp_path):
    settings = tiny(stories, tmp_path / "run", vocab_size=70, max_length=40, pairs="order")
    objective, batches = objective_and_batches(settings)
    x, y = batches.batch(0, 0)
    found = objective.model(x)
    assert found["pair"].shape == (16, 1, 2) and y["pair"].shape == (16, 1)
    alone, both = (keras.ops.convert_to_numpy(z) for z in (objective.encoder(x), found["tokens"]))
    np.testing.assert_allclose(both, alone, rtol=1e-6, atol=1e-6)
    assert len(named_weights(objective.model)) == len(objective.model.weights)


def test_sentences_are_cut_from_running_text():
    tokenizer = text.BytePairTokenizer.train([["a b. c"]], 261, style="roberta")
    (found,) = paired_masks.sentences(tokenizer, ['He said "a b." Then c!\n\nNo end'])
    texts = [tokenizer.decode(ids) for ids in found]
    assert "".join(texts) == 'He said "a b." Then c!\n\nNo end'  # nothing is lost
    assert [each.strip() for each in texts] == ['He said "a b."', "Then c!", "No end"]


def test_an_encoder_without_segments_is_refused():
    template = text.Template.of([1, "A", 2], [1, "A", 2, "B:1", "2:1"])
    config = models.EncoderConfig(vocab_size=9, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=8)
    with pytest.raises(ValueError, match="roberta: --pairs needs .* the encoder has 0 of them"):
        paired_masks.check_segments("roberta", config, template)
    two = dataclasses.replace(config, num_segments=2)
    paired_masks.check_segments("bert", two, template)
    with pytest.raises(ValueError, match=r"the tokenizer uses \[0\]"):
        paired_masks.check_segments("x", two, text.Template.of([1, "A"], [1, "A", 2, "B"]))
