"""The package's models train and are scored on the package's batches."""

import keras
import numpy as np
import pytest

from keras_transformer import data, models, training

VOCAB = 61
SIZE = {"vocab_size": VOCAB, "num_layers": 1, "hidden_dim": 8, "num_heads": 2, "ffn_dim": 16}
IDS = [[2, *np.random.default_rng(n).integers(5, VOCAB, 2 + n % 37), 3] for n in range(60)]


def compiled(model):
    model.compile(
        keras.optimizers.Adam(1e-2),
        weighted_metrics=[training.TokenCrossEntropyMetric()],
        jit_compile=False,
    )
    return model


def loss_of(model, batches):
    return model.evaluate(batches, verbose=0, return_dict=True)["nll"]


@pytest.mark.tensorflow  # which takes the signature of the data from two batches
def test_a_masked_language_model_trains_on_all_shapes():
    masking = data.Masking(VOCAB, mask_id=4, special_ids=(0, 2, 3, 4))
    batches = data.MaskedBatches(IDS, masking, tokens_per_batch=160, num_shapes=2)
    shapes = {batches.batch(0, step)[1].shape[1] for step in range(len(batches))}
    assert len(shapes) == 2  # masked positions of a row
    model = compiled(models.MaskedLM(models.EncoderConfig(**SIZE)))
    history = model.fit(batches, epochs=3, verbose=0, shuffle=False).history
    assert history["nll"][-1] < history["nll"][0] < np.log(VOCAB) + 0.5


def test_a_score_does_not_depend_on_the_shapes():
    labels = [[-100, *(int(i) % 3 for i in ids[1:-1]), -100] for ids in IDS]
    few = data.RecordBatches(IDS, token_labels=labels, tokens_per_batch=160, num_shapes=2)
    one = data.RecordBatches(IDS, token_labels=labels, batch_size=11, num_shapes=1)
    assert len(few.shapes) == 2
    model = compiled(models.TokenClassifier(models.EncoderConfig(**SIZE), num_classes=3))
    assert loss_of(model, few) == pytest.approx(loss_of(model, one), rel=1e-5)


def test_a_causal_model_is_scored_on_every_token_of_a_text():
    corpus = np.random.default_rng(0).integers(0, VOCAB, 97)
    valid = data.PackedBlocks(corpus, block_length=13, batch_size=3, order="sequential")
    model = compiled(models.CausalLM(models.DecoderConfig(**SIZE)))
    found = loss_of(model, valid)
    padded = np.append(corpus, np.zeros(8, int))[:104].reshape(8, 13)  # what follows is not seen
    logits = model.predict(padded, verbose=0).reshape(104, VOCAB)[:96].astype("float64")
    losses = np.log(np.exp(logits).sum(-1)) - logits[np.arange(96), corpus[1:]]
    assert found == pytest.approx(losses.mean(), rel=1e-5)


@pytest.mark.slow
def test_answers_are_found_in_texts():
    spans = np.array([[1, min(2, len(ids) - 2)] for ids in IDS])
    batches = data.RecordBatches(IDS, labels=spans, tokens_per_batch=160, num_shapes=2)
    model = models.SpanExtractor(models.EncoderConfig(**SIZE))
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    history = model.fit(batches, epochs=3, verbose=0, shuffle=False).history
    assert history["loss"][-1] < history["loss"][0]
    assert np.isfinite(history["loss"]).all()
