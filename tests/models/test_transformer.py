import keras
import numpy as np
import pytest
import tiny
from backend_tools import same, to_numpy
from keras import ops
from tiny import B, D, H, S, T, V
from torch_weights import assign_block, golden, part

from keras_transformer import models, training
from keras_transformer.layers import masks


def torch_model(order):
    """Our model with the golden file's weights, and the file's inputs and outputs."""
    case = golden(f"model/{order}")
    model = tiny.model(norm_first=order == "pre")
    backbone = model.backbone
    backbone.encoder.token_embedding.embeddings.assign(case["embedding.weight"])
    for side, blocks in (
        ("encoder", backbone.encoder.blocks),
        ("decoder", backbone.decoder.blocks),
    ):
        for i, block in enumerate(blocks):
            assign_block(block, part(case, f"{side}.layers.{i}."))
        if order == "pre":
            norm = getattr(backbone, side).norm
            norm.gamma.assign(case[f"{side}.norm.weight"])
            norm.beta.assign(case[f"{side}.norm.bias"])
    return model, {name: case[name] for name in tiny.inputs()}, case


# equality with torch


@pytest.mark.parametrize("order", ["post", "pre"])
def test_logits_loss_and_gradient_equal_those_of_torch(order):
    model, inputs, case = torch_model(order)
    real = inputs["decoder_padding_mask"]
    same(to_numpy(model(inputs))[real], case["logits"][real])
    # the weights after one step of plain gradient descent tell the gradient
    model.compile(keras.optimizers.SGD(1.0), training.TokenCrossEntropy(0.1), jit_compile=False)
    before = to_numpy(model.backbone.encoder.token_embedding.embeddings)
    loss = model.train_on_batch(inputs, case["labels"])
    same(loss, case["loss"])
    after = to_numpy(model.backbone.encoder.token_embedding.embeddings)
    same(before - after, case["embedding_gradient"])


# embeddings


def test_shared_embeddings_are_one_matrix():
    everything = tiny.model(share_embeddings="all")
    shared = everything.backbone.encoder.token_embedding
    assert shared is everything.backbone.decoder.token_embedding
    assert shared is everything.output_embedding
    target = tiny.model(share_embeddings="target")
    assert target.backbone.encoder.token_embedding is not target.backbone.decoder.token_embedding
    assert target.output_embedding is target.backbone.decoder.token_embedding
    none = tiny.model(share_embeddings="none")
    assert none.output_embedding is not none.backbone.decoder.token_embedding
    assert none.backbone.encoder.token_embedding is not none.backbone.decoder.token_embedding


@pytest.mark.parametrize("share", ["all", "target", "none"])
def test_each_embedding_has_its_part(share):
    model, inputs = tiny.model(share_embeddings=share), tiny.inputs()
    backbone, logits = model.backbone, to_numpy(model(tiny.inputs()))
    hidden = to_numpy(backbone(inputs))
    same(logits, hidden @ to_numpy(model.output_embedding.embeddings).T)
    # the row of a token that only the source has moves the logits through the encoder
    first = int(inputs["encoder_token_ids"][0, 0])
    table = to_numpy(backbone.encoder.token_embedding.embeddings)
    table[first] += 1.0
    backbone.encoder.token_embedding.embeddings.assign(table)
    moved = to_numpy(model(inputs))
    assert not np.allclose(moved[0, :3], logits[0, :3])


def test_the_embeddings_are_scaled_and_have_positions():
    backbone = tiny.model().backbone
    inputs = tiny.inputs(masks=False)
    states = backbone.trace(inputs)["encoder_hidden_states"][0]
    table = to_numpy(backbone.encoder.token_embedding.embeddings)
    positions = to_numpy(backbone.encoder.positions.encodings(S, D))
    same(states, table[inputs["encoder_token_ids"]] * D**0.5 + positions)


# time and padding


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_future_does_not_leak(norm_first):
    model, inputs = tiny.model(norm_first=norm_first), tiny.inputs(masks=False)
    expected = to_numpy(model(inputs))
    for t in range(1, T):
        target = inputs["decoder_token_ids"].copy()
        target[:, t:] = (target[:, t:] + 5) % V
        found = to_numpy(model({**inputs, "decoder_token_ids": target}))
        np.testing.assert_array_equal(found[:, :t], expected[:, :t])
        assert not np.allclose(found[:, t], expected[:, t])


def test_every_source_token_reaches_every_target_token():
    model, inputs = tiny.model(), tiny.inputs(masks=False)
    expected = to_numpy(model(inputs))
    for s in range(S):
        source = inputs["encoder_token_ids"].copy()
        source[:, s] = (source[:, s] + 5) % V
        found = to_numpy(model({**inputs, "encoder_token_ids": source}))
        assert (np.abs(found - expected).max(axis=-1) > 1e-6).all()


@pytest.mark.parametrize("norm_first", [True, False])
def test_padding_changes_nothing(norm_first):
    model, inputs = tiny.model(norm_first=norm_first), tiny.inputs()
    together = to_numpy(model(inputs))
    for row, (source, target) in enumerate(
        zip(tiny.SOURCE_LENGTHS, tiny.TARGET_LENGTHS, strict=True)
    ):
        alone = model(
            {
                "encoder_token_ids": inputs["encoder_token_ids"][row : row + 1, :source],
                "decoder_token_ids": inputs["decoder_token_ids"][row : row + 1, :target],
            }
        )
        same(together[row, :target], to_numpy(alone)[0])


def test_padding_on_the_left_changes_nothing():
    model, inputs = tiny.model(), tiny.inputs(masks=False)
    padded = {}
    for side, number in (("encoder", 3), ("decoder", 2)):
        tokens = inputs[f"{side}_token_ids"]
        filler = np.full((B, number), 5, "int32")
        padded[f"{side}_token_ids"] = np.concatenate([filler, tokens], axis=1)
        mask = np.arange(tokens.shape[1] + number) >= number
        padded[f"{side}_padding_mask"] = np.broadcast_to(mask, (B, len(mask)))
    expected = to_numpy(model(inputs))
    same(model(padded)[:, 2:], expected)
    del padded["decoder_padding_mask"], padded["decoder_token_ids"]
    state = model.start(padded, max_length=T)
    same(model.step(inputs["decoder_token_ids"], state)[0], expected)
    found = model.hidden_states({**inputs, **padded})
    same(found["decoder"][-1], model.backbone(inputs))


def test_a_missing_mask_means_that_nothing_is_padding():
    model, inputs = tiny.model(), tiny.inputs(masks=False)
    full = {
        "encoder_padding_mask": np.ones((B, S), bool),
        "decoder_padding_mask": np.ones((B, T), bool),
    }
    same(model(inputs), model({**inputs, **full}), 1e-6)


def test_the_padding_mask_goes_on_to_the_loss():
    found = masks.implicit_mask(tiny.model()(tiny.inputs()))
    np.testing.assert_array_equal(to_numpy(found), tiny.inputs()["decoder_padding_mask"])


# all layers' states and scores


@pytest.mark.parametrize("norm_first", [True, False])
def test_states_and_scores_of_all_layers(norm_first):
    model, inputs = tiny.model(norm_first=norm_first, num_decoder_layers=3), tiny.inputs()
    states, scores = model.hidden_states(inputs), model.attention_scores(inputs)
    assert states.keys() == {"encoder", "decoder"}
    assert [tuple(x.shape) for x in states["encoder"]] == [(B, S, D)] * 3
    assert [tuple(x.shape) for x in states["decoder"]] == [(B, T, D)] * 4
    assert {name: [tuple(x.shape) for x in found] for name, found in scores.items()} == {
        "encoder": [(B, H, S, S)] * 2,
        "decoder": [(B, H, T, T)] * 3,
        "cross": [(B, H, T, S)] * 3,
    }
    backbone = model.backbone
    same(states["decoder"][-1], backbone(inputs), 1e-6)
    allowed = {
        "encoder": inputs["encoder_padding_mask"][:, None, None],
        "decoder": inputs["decoder_padding_mask"][:, None, None] & np.tri(T, dtype=bool),
        "cross": inputs["encoder_padding_mask"][:, None, None],
    }
    for name, found in scores.items():
        for each in map(to_numpy, found):
            np.testing.assert_allclose(each.sum(axis=-1), 1.0, atol=1e-6)
            assert (each[~np.broadcast_to(allowed[name], each.shape)] == 0).all()


def test_states_of_all_layers_are_free_of_dropout():
    model, inputs = tiny.model(dropout=0.5), tiny.inputs()
    for _ in range(2):
        states = model.hidden_states(inputs)
        same(states["decoder"][-1], model.backbone(inputs), 1e-6)


# decoding


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("chunks", [[1] * T, [2, 3], [T]])
def test_steps_equal_the_call(norm_first, chunks):
    model, inputs = tiny.model(norm_first=norm_first), tiny.inputs()
    del inputs["decoder_padding_mask"]
    expected = to_numpy(model(inputs))
    state, start = model.start(inputs, max_length=T + 2), 0
    for length in chunks:
        tokens = inputs["decoder_token_ids"][:, start : start + length]
        logits, state = model.step(tokens, state)
        same(logits, expected[:, start : start + length])
        start += length
    assert int(state.cache.index) == T


def test_hypotheses_share_their_source():
    beams, inputs = 3, tiny.inputs()
    model, rng = tiny.model(), np.random.default_rng(5)
    targets = rng.integers(4, V, (B * beams, T)).astype("int32")
    expected = to_numpy(
        model(
            {
                "encoder_token_ids": inputs["encoder_token_ids"].repeat(beams, axis=0),
                "encoder_padding_mask": inputs["encoder_padding_mask"].repeat(beams, axis=0),
                "decoder_token_ids": targets,
            }
        )
    )
    state = model.start(inputs, max_length=T, beams=beams)
    assert state.context[0][0].shape[0] == B
    for t in range(T):
        logits, state = model.step(targets[:, t : t + 1], state)
        same(logits[:, 0], expected[:, t])
    state = model.start(inputs, max_length=T, beams=beams, lookahead=T - 1)
    logits, _ = model.step(targets, state)
    same(logits, expected)


def test_reordered_rows_continue_the_rows_they_came_from():
    model, inputs = tiny.model(), tiny.inputs(masks=False)
    inputs["encoder_token_ids"][:] = inputs["encoder_token_ids"][0]  # one source for all
    target, rows = inputs["decoder_token_ids"], np.array([2, 0, 0], "int32")
    state = model.start(inputs, max_length=T)
    _, state = model.step(target[:, :2], state)
    state = model.reorder(state, ops.convert_to_tensor(rows))
    logits, _ = model.step(target[:, 2:], state)
    mixed = np.concatenate([target[rows, :2], target[:, 2:]], axis=1)
    expected = to_numpy(model({**inputs, "decoder_token_ids": mixed}))
    same(logits, expected[:, 2:])


def test_half_precision_decodes_as_it_is_called():
    model, inputs = tiny.model(dtype="mixed_bfloat16"), tiny.inputs()
    del inputs["decoder_padding_mask"]
    state = model.start(inputs, max_length=T)
    for tensor in keras.tree.flatten((state.cache.keys, state.context)):
        assert keras.backend.standardize_dtype(tensor.dtype) == "bfloat16"
    logits, _ = model.step(inputs["decoder_token_ids"], state)
    expected = model(inputs)
    assert keras.backend.standardize_dtype(expected.dtype) == "bfloat16"
    same(logits, expected, 2**-6)


@pytest.mark.tensorflow
def test_batch_lengths_and_number_of_tokens_may_be_unknown_when_traced():
    import tensorflow as tf

    model, inputs = tiny.model(), tiny.inputs()
    del inputs["decoder_padding_mask"]
    signature = [tf.TensorSpec((None, None), dtype) for dtype in (tf.int32, tf.bool, tf.int32)]

    @tf.function(input_signature=signature, autograph=False)
    def decode(source, mask, target):
        source = {"encoder_token_ids": source, "encoder_padding_mask": mask}
        state = model.start(source, max_length=11)
        first, state = model.step(target[:, :2], state)
        second, state = model.step(target[:, 2:], state)
        return tf.concat([first, second], axis=1), state.cache.index

    for rows in (B, 1):
        part = {name: value[:rows] for name, value in inputs.items()}
        logits, index = decode(
            *(
                part[name]
                for name in ("encoder_token_ids", "encoder_padding_mask", "decoder_token_ids")
            )
        )
        same(logits, model(part))
        assert int(index) == T


# errors


def test_wrong_inputs_are_refused_with_what_came():
    model, inputs = tiny.model(), tiny.inputs()
    wanted = "encoder_token_ids and decoder_token_ids"
    with pytest.raises(ValueError, match=rf"{wanted}.*received \['decoder_token_ids'\]"):
        model({"decoder_token_ids": inputs["decoder_token_ids"]})
    with pytest.raises(ValueError, match=rf"{wanted}.*'token_ids'"):
        model({**inputs, "token_ids": inputs["decoder_token_ids"]})
    with pytest.raises(ValueError, match=wanted):
        model(inputs["decoder_token_ids"])


def test_a_configuration_is_needed():
    for cls in (models.Transformer, models.Seq2SeqLM):
        with pytest.raises(TypeError, match="config must be of type TransformerConfig; .* 'base'"):
            cls("base")
