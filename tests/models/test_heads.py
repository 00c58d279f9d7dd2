import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tiny
from backend_tools import randomise, same, to_numpy
from tiny import B, T, V

from keras_transformer import models, training
from keras_transformer.layers import TransformerEncoderBlock
from keras_transformer.models import Seq2SeqLM, Transformer

# saving


def test_a_quantised_model_survives_saving(tmp_path):
    small = dict(num_encoder_layers=1, num_decoder_layers=1)
    model, inputs = tiny.model(Seq2SeqLM, **small), tiny.inputs()
    model.quantize("int8")
    expected = to_numpy(model(inputs))
    model.save(tmp_path / "model.keras")
    same(keras.saving.load_model(tmp_path / "model.keras")(inputs), expected, 1e-6)
    model.save_pretrained(tmp_path / "folder")
    same(Seq2SeqLM.from_pretrained(tmp_path / "folder")(inputs), expected, 1e-6)


@pytest.mark.parametrize("cls", [Seq2SeqLM, Transformer])
@pytest.mark.parametrize("share", ["all", "none"])
def test_a_model_survives_saving(cls, share, tmp_path):
    model, inputs = tiny.model(cls, share_embeddings=share, norm_first=True), tiny.inputs()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is cls and again.config == model.config
    np.testing.assert_array_equal(to_numpy(again(inputs)), to_numpy(model(inputs)))


def test_weights_survive_saving(tmp_path):
    model, inputs = tiny.model(), tiny.inputs()
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = tiny.model(seed=6)
    assert not np.allclose(to_numpy(fresh(inputs)), to_numpy(model(inputs)))
    fresh.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(to_numpy(fresh(inputs)), to_numpy(model(inputs)))


def test_a_compiled_model_goes_on_training_after_loading(tmp_path):
    model, inputs = tiny.model(num_encoder_layers=1, num_decoder_layers=1), tiny.inputs()
    model.compile(keras.optimizers.Adam(1e-2), training.TokenCrossEntropy(0.1), jit_compile=False)
    model.train_on_batch(inputs, tiny.labels())
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for _ in range(2):
        expected = model.train_on_batch(inputs, tiny.labels())
        same(again.train_on_batch(inputs, tiny.labels()), expected, 1e-6)


def test_a_model_is_a_layer_of_a_functional_model(tmp_path):
    inner = tiny.model()
    inputs = {
        name: keras.Input((None,), dtype=value.dtype.name, name=name)
        for name, value in tiny.inputs().items()
    }
    logits = inner(inputs)
    assert tuple(logits.shape) == (None, None, V)
    outer = keras.Model(inputs, keras.layers.Activation("softmax")(logits))
    outer.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    expected = keras.ops.softmax(inner(tiny.inputs()))
    same(again(tiny.inputs()), expected, 1e-6)


def test_the_summary_tells_the_number_of_parameters():
    model, lines = tiny.model(), []
    model.summary(print_fn=lambda line, line_break=None: lines.append(line))
    text = "\n".join(lines)
    assert "backbone" in text and f"Total params: {model.count_params():,}" in text


# training


@pytest.mark.parametrize(
    "policy", ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.exhaustive)]
)
def test_a_compiled_model_learns(policy):
    keras.config.set_dtype_policy(policy)
    model = Seq2SeqLM(tiny.config(num_encoder_layers=1, num_decoder_layers=1, dropout=0.1))
    xla = keras.backend.backend() != "torch"  # whose compiler is no XLA, and takes minutes
    model.compile(keras.optimizers.Adam(2e-2), training.TokenCrossEntropy(0.1), jit_compile=xla)
    history = model.fit(
        tiny.inputs(), tiny.labels(), epochs=25, batch_size=B, shuffle=False, verbose=0
    ).history["loss"]
    assert np.isfinite(history).all() and history[-1] < 0.7 * history[0]
    assert all(variable.dtype == "float32" for variable in model.trainable_variables)


def test_what_the_padded_slots_hold_is_not_learned_from():
    losses = []
    for filler in (0, 5):
        model, inputs = tiny.model(), tiny.inputs()
        for side in ("encoder", "decoder"):
            tokens, mask = inputs[f"{side}_token_ids"], inputs[f"{side}_padding_mask"]
            inputs[f"{side}_token_ids"] = np.where(mask, tokens, filler)
        model.compile(keras.optimizers.SGD(0.1), training.TokenCrossEntropy(), jit_compile=False)
        losses.append([model.train_on_batch(inputs, tiny.labels()) for _ in range(2)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def steps(dropout):
    """Losses of three steps from weights and seeds that no backend chooses."""
    keras.utils.set_random_seed(13)
    rates = dict(dropout=dropout, attention_dropout=dropout, activation_dropout=dropout)
    model = tiny.model(**rates)
    model.compile(keras.optimizers.SGD(0.1), training.TokenCrossEntropy(0.1), jit_compile=False)
    losses = [model.train_on_batch(tiny.inputs(), tiny.labels()) for _ in range(3)]
    return [float(loss) for loss in losses]


OTHER = """
import json, sys
sys.path[:0] = sys.argv[1:]
from test_heads import steps
print(json.dumps([steps(0.0), steps(0.3)]))
"""


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_same_training_step_gives_the_same_loss_on_jax():
    folder = pathlib.Path(__file__).parent
    folders = [str(path) for path in (folder, folder.parent / "layers", folder.parent.parent)]
    run = subprocess.run(
        [sys.executable, "-c", OTHER, *folders],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    assert run.returncode == 0, run.stderr[-2000:]
    theirs = json.loads(run.stdout.splitlines()[-1])
    np.testing.assert_allclose([steps(0.0), steps(0.3)], theirs, rtol=1e-5)
    assert abs(theirs[0][0] - theirs[1][0]) > 1e-3  # dropout was on


# subclasses


@keras.saving.register_keras_serializable("tests")
class RmsBlock(TransformerEncoderBlock):
    def make_norm(self, name):
        return keras.layers.RMSNormalization(name=name, dtype=self.dtype_policy)


@keras.saving.register_keras_serializable("tests")
class RmsTransformer(Transformer):
    def __init__(self, config, **kwargs):
        super().__init__(config, encoder_block=RmsBlock, **kwargs)


@keras.saving.register_keras_serializable("tests")
class RmsSeq2SeqLM(Seq2SeqLM):
    def __init__(self, config, tag="none", **kwargs):
        super().__init__(config, **kwargs)
        self.tag = tag

    def make_backbone(self, name):
        return RmsTransformer(self.config, dtype=self.dtype_policy, name=name)

    def get_config(self):
        return {**super().get_config(), "tag": self.tag}


def test_a_model_of_ones_own_blocks(tmp_path):
    model, inputs = randomise(RmsSeq2SeqLM(tiny.config(), tag="mine")), tiny.inputs()
    assert [type(block) for block in model.backbone.encoder.blocks] == [RmsBlock] * 2
    # RMSNormalization has no shift: two norms of D weights fewer in each encoder block
    assert tiny.model().count_params() - model.count_params() == 2 * 2 * tiny.D
    expected = to_numpy(model(inputs))
    assert expected.shape == (B, T, V)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is RmsSeq2SeqLM and again.tag == "mine"
    np.testing.assert_array_equal(to_numpy(again(inputs)), expected)
    model.save_pretrained(tmp_path / "folder")
    again = RmsSeq2SeqLM.from_pretrained(tmp_path / "folder")
    np.testing.assert_array_equal(to_numpy(again(inputs)), expected)


def test_a_backbone_may_need_more_than_the_configuration():
    class Alternating(models.TransformerEncoder):
        def __init__(self, config, every, **kwargs):
            self.every = every  # before the weights are made
            super().__init__(config, **kwargs)

        def make_block(self, number):
            self.block = RmsBlock if number % self.every == 0 else TransformerEncoderBlock
            return super().make_block(number)

    class Unusual(models.Transformer):
        def make_encoder(self, name):
            config = self.config.encoder_config()
            return Alternating(config, every=2, token_embedding=self.token_embedding, name=name)

    backbone = Unusual(tiny.config(num_encoder_layers=3))
    kinds = [type(block) for block in backbone.encoder.blocks]
    assert kinds == [RmsBlock, TransformerEncoderBlock, RmsBlock]
    assert backbone(tiny.inputs()).shape == (B, T, tiny.D)


def test_generate_takes_ids():
    model, inputs = tiny.model(), tiny.inputs()
    found = model.generate(
        {n: inputs[n] for n in ("encoder_token_ids", "encoder_padding_mask")}, max_new_tokens=3
    )
    assert found.sequences.shape == (B, 1, 3)
