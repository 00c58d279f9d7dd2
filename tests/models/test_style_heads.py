"""Heads of encoders and decoders: shapes, padding, learning, saving."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer import models

V, T, B, C = 11, 7, 8, 3
ENCODER = models.EncoderConfig(
    vocab_size=V, num_layers=1, hidden_dim=12, num_heads=4, ffn_dim=13, num_segments=2,
    initializer_range=0.2, dropout=0.1,
)  # fmt: skip
DECODER = models.DecoderConfig(
    vocab_size=V, num_layers=1, hidden_dim=12, num_heads=4, ffn_dim=13, initializer_range=0.2
)
STILL = {"dropout": 0.0, "attention_dropout": 0.0}
SEQ2SEQ = models.TransformerConfig(
    vocab_size=V, num_encoder_layers=1, num_decoder_layers=1, hidden_dim=12, num_heads=4,
    ffn_dim=13, initializer_range=0.2, max_length=16, bos_id=1, eos_id=2,
)  # fmt: skip
NARROW = models.EncoderConfig.from_dict({**ENCODER.to_dict(), "embedding_dim": 10})


def tokens(rows=B, length=T, seed=3):
    return np.random.default_rng(seed).integers(1, V, (rows, length)).astype("int32")


IDS = tokens()
HEADS = {
    "single": (lambda: models.SequenceClassifier(ENCODER, C), IDS[:, 0] % C, (B, C)),
    "multi": (
        lambda: models.SequenceClassifier(
            ENCODER, C, problem="multi_label", pooling="mean", head_activation=None
        ),
        (IDS[:, :C] % 2).astype("float32"),
        (B, C),
    ),
    "regression": (
        lambda: models.SequenceClassifier(ENCODER, 1, problem="regression", pooling="max"),
        (IDS[:, :1] / V).astype("float32"),
        (B, 1),
    ),
    "tokens": (lambda: models.TokenClassifier(ENCODER, C), IDS % C, (B, T, C)),
    "span": (lambda: models.SpanExtractor(ENCODER), IDS[:, :2] % T, (B, T, 2)),
    "masked": (lambda: models.MaskedLM(NARROW), IDS, (B, T, V)),
    "untied": (
        lambda: models.MaskedLM(
            models.EncoderConfig.from_dict({**NARROW.to_dict(), "tie_embeddings": False})
        ),
        IDS,
        (B, T, V),
    ),
    "decoder": (lambda: models.DecoderClassifier(DECODER, C), IDS[:, -1] % C, (B, C)),
    "seq2seq": (lambda: models.Seq2SeqClassifier(SEQ2SEQ, C), IDS[:, 0] % C, (B, C)),
    "seq2seq span": (lambda: models.Seq2SeqSpanExtractor(SEQ2SEQ), IDS[:, :2] % T, (B, T, 2)),
    "detector": (lambda: models.ReplacedTokenDetector(ENCODER), IDS % 2, (B, T)),
    "causal": (lambda: models.CausalLM(DECODER), np.roll(IDS, -1, axis=1), (B, T, V)),
}


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


def same(left, right, tolerance=1e-5):
    np.testing.assert_allclose(to_numpy(left), to_numpy(right), rtol=tolerance, atol=tolerance)


DAILY = ("single", "span", "causal")


@pytest.mark.parametrize(
    "name",
    [pytest.param(x, marks=() if x in DAILY else pytest.mark.broad) for x in HEADS],
)
def test_a_head_learns_with_its_own_loss_and_is_saved(name, tmp_path):
    make, labels, shape = HEADS[name]
    model = make()
    assert model(IDS).shape == shape
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    losses = model.fit(IDS, labels, epochs=12, batch_size=B, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0] and np.isfinite(losses).all()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    same(again(IDS), model(IDS), 1e-6)
    assert again.compiled and again.optimizer.iterations == model.optimizer.iterations


@pytest.mark.parametrize("pooling", models.pooling.POOLINGS)
def test_a_row_of_padding_alone_has_a_finite_vector(pooling):
    """Batches end in such rows, of weight 0: what is not finite would become NaN there."""
    hidden = keras.random.normal((2, 3, 4), seed=1)
    mask = ops.convert_to_tensor(np.array([[True, True, False], [False] * 3]))
    found = to_numpy(models.pooling.POOLINGS[pooling](hidden, mask))
    assert np.abs(found).max() < 10
    if pooling in ("mean", "max"):
        np.testing.assert_array_equal(found[1], np.zeros(4))


@pytest.mark.parametrize("pooling", ["first", "mean", "max", "last"])
def test_padding_changes_no_embedding(pooling):
    model, ids = models.SentenceEmbedder(ENCODER, pooling=pooling), tokens(2)
    alone, noise, real = model(ids), tokens(2, 3, seed=4), np.ones((2, T), bool)
    same((to_numpy(alone) ** 2).sum(axis=-1), np.ones(2))
    for order in (1, -1):
        both = np.concatenate([ids, noise][::order], axis=1)
        mask = np.concatenate([real, np.zeros((2, 3), bool)][::order], axis=1)
        same(model({"token_ids": both, "padding_mask": mask}), alone)


@pytest.mark.parametrize("decoder_start", ["bos", "last"])
def test_padding_changes_nothing_for_who_reads_twice(decoder_start):
    ids, noise, real = tokens(2), tokens(2, 3, seed=4), np.ones((2, T), bool)
    ids[0, 4], ids[1] = SEQ2SEQ.eos_id, np.where(ids[1] == SEQ2SEQ.eos_id, 3, ids[1])
    both = {
        "token_ids": np.concatenate([ids, noise], axis=1),
        "padding_mask": np.concatenate([real, np.zeros((2, 3), bool)], axis=1),
    }
    classifier = models.Seq2SeqClassifier(SEQ2SEQ, C, decoder_start=decoder_start)
    same(classifier(both), classifier(ids))
    extractor = models.Seq2SeqSpanExtractor(SEQ2SEQ, decoder_start=decoder_start)
    same(extractor(both)[:, :T], extractor(ids))


def test_the_end_token_speaks_for_the_text_and_else_the_last_one():
    model = models.Seq2SeqClassifier(SEQ2SEQ, C)
    ids = np.where(tokens(2) == SEQ2SEQ.eos_id, 3, tokens(2))
    ids[0, 3] = SEQ2SEQ.eos_id
    hidden = model.hidden_states(ids)["decoder"][-1]
    ends = keras.ops.stack([hidden[0, 3], hidden[1, -1]])
    same(model(ids), model.classes(model.pooler(ends)))


@pytest.mark.parametrize(
    "make", [lambda: models.SpanExtractor(ENCODER), lambda: models.Seq2SeqSpanExtractor(SEQ2SEQ)]
)
def test_an_answer_is_never_in_the_padding(make):
    model, mask = make(), np.arange(T) < np.array([[3]] * B)
    logits = model({"token_ids": IDS, "padding_mask": mask})
    shares = to_numpy(keras.ops.softmax(logits, axis=1))
    assert (shares[:, 3:] == 0).all() and (shares[:, :3] > 0).all()


def test_masked_positions_are_those_of_the_whole():
    model, positions = models.MaskedLM(ENCODER), np.array([[4, 0, 2]] * B)
    found = model({"token_ids": IDS, "mask_positions": positions})
    same(found, to_numpy(model(IDS))[:, [4, 0, 2]])


def test_tied_heads_have_one_embedding():
    tied, untied = (HEADS[name][0]() for name in ("masked", "untied"))
    assert untied.count_params() - tied.count_params() == V * 10
    assert tied.output_embedding is tied.backbone.token_embedding


def test_the_activation_of_masked_tokens_may_be_another_than_the_encoders():
    relu, gelu = models.MaskedLM(ENCODER, head_activation="relu"), models.MaskedLM(ENCODER)
    gelu.set_weights(relu.get_weights())
    same(gelu.backbone(IDS), relu.backbone(IDS))
    assert abs(to_numpy(gelu(IDS)) - to_numpy(relu(IDS))).max() > 1e-3
    again = models.MaskedLM.from_config(relu.get_config())
    again.set_weights(relu.get_weights())
    same(again(IDS), relu(IDS), 1e-6)


def test_dropout_of_heads_is_where_it_is_asked_for():
    still = models.EncoderConfig.from_dict({**ENCODER.to_dict(), **STILL})
    for make, drops in (
        (lambda: models.SpanExtractor(still), False),
        (lambda: models.SpanExtractor(still, head_dropout=0.5), True),
        (lambda: models.SequenceClassifier(still, C, head_dropout=0.0, pooled_dropout=True), False),
        (lambda: models.SequenceClassifier(still, C, head_dropout=0.5), True),
    ):
        model = make()
        changed = abs(to_numpy(model(IDS, training=True)) - to_numpy(model(IDS))).max() > 1e-4
        assert changed == drops


def test_pooled_dropout_stands_before_the_dense_layer():
    still = models.EncoderConfig.from_dict({**ENCODER.to_dict(), **STILL})
    for pooled in (False, True):
        model = models.SequenceClassifier(still, C, head_dropout=0.5, pooled_dropout=pooled)
        model.classes_dropout.rate = 0.0
        changed = abs(to_numpy(model(IDS, training=True)) - to_numpy(model(IDS))).max() > 1e-4
        assert changed == pooled


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="num_classes must be a positive integer; received 0"):
        models.SequenceClassifier(ENCODER, 0)
    with pytest.raises(ValueError, match="decoder_start must be one of 'bos', 'last'; "):
        models.Seq2SeqSpanExtractor(SEQ2SEQ, decoder_start="eos")
    with pytest.raises(ValueError, match=r"and optionally padding_mask; received \['ids'\]"):
        models.Seq2SeqSpanExtractor(SEQ2SEQ)({"ids": IDS})
    with pytest.raises(ValueError, match="problem must be one of 'single_label'"):
        models.SequenceClassifier(ENCODER, 2, problem="ranking")
    with pytest.raises(ValueError, match="pooling must be one of 'first', 'last', 'mean', 'max'"):
        models.SentenceEmbedder(ENCODER, pooling="sum")
    with pytest.raises(ValueError, match=r"head_dropout must be a number in \[0, 1\)"):
        models.TokenClassifier(ENCODER, 2, head_dropout=1.5)


def test_padding_is_no_part_of_a_detectors_loss():
    """A mask that `padding_mask` stands for reaches the loss and the metric."""
    model = models.ReplacedTokenDetector(ENCODER)
    model.compile(loss=model.default_loss(), metrics=model.default_metrics())
    ids, labels = IDS[:2], IDS[:2] % 2
    alone = model.evaluate({"token_ids": ids}, labels, verbose=0)
    padded = {
        "token_ids": np.pad(ids, ((0, 0), (0, 3))),
        "padding_mask": np.pad(np.ones_like(ids, bool), ((0, 0), (0, 3))),
    }
    same(model.evaluate(padded, np.pad(labels, ((0, 0), (0, 3))), verbose=0), alone)
