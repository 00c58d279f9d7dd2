"""The recipe for encoders, on runs of seconds."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_transformer import data, models, tasks
from keras_transformer.checkpoints.weights import named_weights
from recipes import finetuning, pretrain_encoder, replaced_tokens

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
    train, _ = pretrain_encoder.split(settings, pretrain_encoder.read_corpus(settings))
    tokenizer = finetuning.make_tokenizer(settings, train)
    objective = pretrain_encoder.OBJECTIVES[settings.objective](settings, tokenizer)
    ids = pretrain_encoder.chunks(tokenizer, train, settings.max_length)
    return objective, objective.plan(ids, shuffle=True)


def test_the_generator_is_narrow_and_shares_the_token_embeddings():
    model = electra()
    assert model.generator.backbone.token_embedding is model.detector.backbone.token_embedding
    assert model.generator.config.hidden_dim == 4
    assert len(named_weights(model)) == len(model.weights)  # each has a name of its own


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"validation": 1.0}, "validation must be between 0 and 1; got 1.0"),
        ({"objective": "replaced", "layer_decay": 0.9}, "layer_decay is for objective 'masked'"),
        ({"objective": "replaced", "generator_share": 0.0}, "generator_share must be above 0"),
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
