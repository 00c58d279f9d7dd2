"""The package's models train and are scored on the package's batches."""

import keras
import numpy as np
import pytest

from keras_transformer import data, models, training

VOCAB = 61
SIZE = {"vocab_size": VOCAB, "num_layers": 1, "hidden_dim": 8, "num_heads": 2, "ffn_dim": 16}
IDS = [[2, *np.random.default_rng(n).integers(5, VOCAB, 2 + n % 37), 3] for n in range(60)]


def compiled(model, rate=1e-2):
    model.compile(keras.optimizers.Adam(rate), jit_compile=False)
    return model


def losses_by_hand(model, batches):
    """Mean loss of all labels of an epoch."""
    metric = training.TokenCrossEntropyMetric()
    for step in range(len(batches)):
        x, y = batches.batch(0, step)
        metric.update_state(y, model(x))
    return float(metric.result())


def test_a_masked_language_model_trains_on_all_shapes():
    masking = data.Masking(VOCAB, mask_id=4, special_ids=(0, 2, 3, 4))
    batches = data.MaskedBatches(IDS, masking, tokens_per_batch=160, num_shapes=3)
    shapes = {batches.batch(0, step)[1].shape[1] for step in range(len(batches))}
    assert len(shapes) == 3  # masked positions of a row
    model = compiled(models.MaskedLM(models.EncoderConfig(**SIZE)))
    before = losses_by_hand(model, batches)
    model.fit(batches, epochs=1, verbose=0, shuffle=False)
    assert losses_by_hand(model, batches) < before
    model.fit(batches.stream(3), steps_per_epoch=2, epochs=1, verbose=0, shuffle=False)


def test_tokens_are_tagged_whatever_the_padding():
    labels = [[-100, *(int(i) % 3 for i in ids[1:-1]), -100] for ids in IDS]
    few = data.RecordBatches(IDS, token_labels=labels, tokens_per_batch=160, num_shapes=3)
    one = data.RecordBatches(IDS, token_labels=labels, batch_size=11, num_shapes=1)
    model = compiled(models.TokenClassifier(models.EncoderConfig(**SIZE), num_classes=3))
    assert losses_by_hand(model, few) == pytest.approx(losses_by_hand(model, one), rel=1e-5)
    history = model.fit(few, epochs=1, verbose=0, shuffle=False, validation_data=one).history
    assert history["val_accuracy"][-1] > 0


def test_a_causal_model_is_scored_on_every_token_of_a_text():
    corpus = np.random.default_rng(0).integers(0, VOCAB, 97)
    train = data.PackedBlocks(corpus, block_length=13, batch_size=2)
    valid = data.PackedBlocks(corpus, block_length=13, batch_size=3, order="sequential")
    model = models.CausalLM(models.DecoderConfig(**SIZE))
    model.compile(
        keras.optimizers.Adam(1e-2),
        weighted_metrics=[training.TokenCrossEntropyMetric()],
        jit_compile=False,
    )
    model.fit(train, epochs=1, verbose=0, shuffle=False)
    found = model.evaluate(valid, verbose=0, return_dict=True)["nll"]
    total = 0.0
    for start in range(0, 96, 13):  # block by block, the last one short
        block = corpus[start : start + 14]
        logits = keras.ops.convert_to_numpy(model(block[None, :-1]))[0]
        logits = logits - logits.max(-1, keepdims=True)
        logits = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        total -= logits[np.arange(len(block) - 1), block[1:]].sum()
    assert found == pytest.approx(total / 96, rel=1e-5)


@pytest.mark.slow
def test_answers_are_found_in_texts():
    spans = np.array([[1, min(2, len(ids) - 2)] for ids in IDS])
    batches = data.RecordBatches(IDS, labels=spans, tokens_per_batch=160, num_shapes=2)
    model = compiled(models.SpanExtractor(models.EncoderConfig(**SIZE)))
    history = model.fit(batches, epochs=3, verbose=0, shuffle=False).history
    assert history["loss"][-1] < history["loss"][0]
    assert np.isfinite(history["loss"]).all()
