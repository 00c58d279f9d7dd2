"""Scores of entities and of retrieval, and the loss that embeddings learn from."""

import keras
import numpy as np
import pytest

from keras_transformer import models, training


def test_entities_of_wrong_type_or_place_are_wrong():
    expected = [[("LOC", 0, 2), ("PER", 3, 4)], [("LOC", 5, 7)]]
    predicted = [[("LOC", 0, 2), ("LOC", 3, 4)], [("LOC", 5, 6), ("PER", 8, 9)]]
    scores = training.entity_scores(predicted, expected)
    assert scores["precision"] == 25.0
    assert scores["recall"] == pytest.approx(100 / 3)
    assert scores["f1"] == pytest.approx(200 / 7)
    assert scores["types"]["PER"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}


def test_the_same_place_in_another_text_is_wrong():
    assert training.entity_scores([[("A", 0, 1)], []], [[], [("A", 0, 1)]])["f1"] == 0


def test_nothing_to_find_and_nothing_found_is_zero():
    assert training.entity_scores([[]], [[]])["f1"] == 0.0


def test_texts_must_be_as_many():
    with pytest.raises(ValueError, match="as many as expected, 2; got 1"):
        training.entity_scores([[]], [[], []])


def test_retrieval_is_that_of_a_plain_loop():
    rng = np.random.default_rng(0)
    queries, candidates = rng.normal(size=(13, 5)), rng.normal(size=(17, 5))
    expected = rng.integers(0, 17, 13)
    ranks = []
    for query, right in zip(queries, expected, strict=True):
        cosines = [c @ query / np.linalg.norm(c) / np.linalg.norm(query) for c in candidates]
        ranks.append(sorted(cosines, reverse=True).index(cosines[right]) + 1)
    scores = training.retrieval_scores(queries, candidates, expected)
    assert scores["mrr"] == pytest.approx(100 * np.mean([1 / r for r in ranks]), abs=1e-3)
    assert scores["accuracy_at_1"] == pytest.approx(
        100 * np.mean([r == 1 for r in ranks]), abs=1e-3
    )


def test_constant_vectors_find_nothing():
    assert training.retrieval_scores(np.ones((5, 3)), np.ones((5, 3)))["accuracy_at_1"] == 0


def naive(y, vectors, sides, scale):
    """Anchors look for positives, pair by pair."""
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    n = len(y) // sides
    losses = []
    for i in range(n):
        if y[i] < 0:
            continue
        logits = [scale * vectors[i] @ vectors[n + i]]
        for j in range(n, sides * n):
            if j != n + i and y[j] >= 0 and y[j] not in (y[i], y[n + i]):
                logits.append(scale * vectors[i] @ vectors[j])
        losses.append(np.log(np.sum(np.exp(logits))) - logits[0])
    return np.mean(losses)


@pytest.mark.parametrize("sides", [2, 3])
def test_contrastive_loss_is_that_of_a_plain_loop(sides):
    rng = np.random.default_rng(sides)
    vectors = rng.normal(size=(sides * 5, 7)).astype("float32")
    y = np.arange(sides * 5)
    y[[4, 9]] = -1  # an empty row
    y[6] = y[5]  # two anchors with one positive
    if sides == 3:
        y[14] = -1
    loss = training.ContrastiveLoss(sides, scale=3.0, symmetric=False)
    assert float(loss(y, vectors)) == pytest.approx(naive(y, vectors, sides, 3.0), rel=1e-5)


def test_empty_rows_alone_cost_nothing():
    loss = training.ContrastiveLoss()
    assert float(loss(np.full(4, -1), np.zeros((4, 3), "float32"))) == 0.0


def test_empty_rows_teach_nothing():
    """Neither NaN nor any change of what the real rows teach."""
    x = np.random.default_rng(2).integers(1, 11, (4, 3))
    results = []
    for rows in ([0, 1, 2, 3], [0, 1, None, 2, 3, None]):  # pairs, and a batch filled up
        keras.utils.set_random_seed(5)
        config = models.EncoderConfig(
            vocab_size=11,
            num_layers=1,
            hidden_dim=8,
            num_heads=2,
            ffn_dim=16,
            dropout=0.0,
            attention_dropout=0.0,
        )
        model = models.SentenceEmbedder(config)
        model.compile(keras.optimizers.SGD(0.1), loss=training.ContrastiveLoss(scale=5.0))
        ids = np.array([[0] * 3 if row is None else x[row] for row in rows], "int32")
        inputs = {"token_ids": ids, "padding_mask": ids > 0}
        y = np.array([-1 if row is None else row for row in rows], "int32")
        model.train_on_batch(inputs, y)
        results.append([variable.numpy() for variable in model.weights])
    for one, other in zip(*results, strict=True):
        assert np.isfinite(other).all()
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([[np.nan, 0], [0, 1]], [[1, 0], [0, 1]]), "queries must be finite"),
        (([[1, 0]], [[1, 0], [0, np.inf]]), "candidates must be finite"),
        (([[1, 0], [0, 1]], [[1, 0], [0, 1]], [-2, -1]), "expected must be 0 to 1"),
        (([[1, 0], [0, 1]], [[1, 0]]), "expected must be 0 to 0"),
        ((np.zeros((0, 2)), [[1, 0]]), "queries must be at least one"),
    ],
    ids=str,
)
def test_what_has_no_rank_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        training.retrieval_scores(*arguments)


@pytest.mark.parametrize("span", [{"label": "A", "start": 0, "end": 1}, "ABC", ("A", 0)], ids=str)
def test_what_is_no_span_is_refused(span):
    with pytest.raises(ValueError, match=r"spans must be \(label, start, end\)"):
        training.entity_scores([[span]], [[("A", 0, 1)]])


def test_a_loss_of_pairs_takes_no_weights():
    with pytest.raises(ValueError, match="sample_weight must be None"):
        training.ContrastiveLoss()(np.arange(4), np.eye(4, dtype="float32"), np.ones(4))
