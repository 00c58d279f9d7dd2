"""Decoders after prompts: cache, batch, padding and buckets change nothing."""

import numpy as np
import pytest
from keras import ops
from tiny_lm import PROMPTS, Uncached, make_lm
from toy_model import beam_search, greedy_oracle

from keras_transformer import layers
from keras_transformer.generation import (
    BeamSearch,
    Greedy,
    LengthPenalty,
    NoRepeatNgram,
    RepetitionPenalty,
    Sampling,
    num_programs,
)

STEPS = 9
POSITIONS = {
    "learned": dict(positions="learned"),
    "sinusoidal": dict(positions="sinusoidal"),
    "rotary": dict(positions="rotary", num_kv_heads=1, norm="rms", gated=True),
    "alibi": dict(positions="none", position_bias="alibi"),
    "relative": dict(
        positions="none", position_bias="relative", position_bias_options={"bidirectional": False}
    ),
    "window": dict(positions="rotary", window=5),
}


@pytest.fixture(scope="module")
def model():
    return make_lm()


def assert_rows(result, row, expected):
    np.testing.assert_array_equal(result.sequences[row], expected.sequences)
    np.testing.assert_allclose(result.scores[row], expected.scores, rtol=1e-5)


@pytest.mark.parametrize("settings", POSITIONS.values(), ids=POSITIONS)
def test_cached_equals_uncached_in_a_batch_of_unequal_prompts(settings):
    model = make_lm(num_layers=2, **settings)
    oracle = Uncached(model)
    result = model.generate(PROMPTS, STEPS, jit_compile=False)
    for row, prompt in enumerate(PROMPTS):
        tokens, total = greedy_oracle(oracle, prompt, STEPS)
        assert result.sequences[row, 0].tolist() == tokens + [0] * (STEPS - len(tokens))
        assert result.lengths[row, 0] == len(tokens)
        np.testing.assert_allclose(result.scores[row, 0], total / len(tokens), rtol=1e-4)


def test_beams_go_on_after_prompts(model):
    oracle = Uncached(model)
    result = model.generate(PROMPTS, 5, BeamSearch(3, 0.6, 3))
    for row, prompt in enumerate(PROMPTS):
        expected = beam_search(oracle, prompt, 5, 3, LengthPenalty(0.6), 3)
        for place, (score, tokens) in enumerate(expected):
            assert result.sequences[row, place].tolist() == tokens + [0] * (5 - len(tokens))
            np.testing.assert_allclose(result.scores[row, place], score, rtol=1e-5)


@pytest.mark.parametrize("side", ["left", "right", "both", "list"])
def test_padding_changes_nothing(model, side):
    method = Greedy() if side in ("left", "list") else BeamSearch(2, n_best=2)
    width = 14
    tokens, mask = np.full((4, width), 99), np.zeros((4, width), bool)  # what is masked is not read
    for row, prompt in enumerate(PROMPTS):
        first = {"left": width - len(prompt), "right": 0, "both": 2, "list": 0}[side]
        tokens[row, first : first + len(prompt)] = prompt
        mask[row, first : first + len(prompt)] = True
    inputs = PROMPTS if side == "list" else {"token_ids": tokens, "padding_mask": mask}
    result = model.generate(inputs, STEPS, method, jit_compile=False)
    for row, prompt in enumerate(PROMPTS):
        alone = model.generate([prompt], STEPS, method, jit_compile=False)
        assert_rows(result, row, type(alone)(*(x[0] for x in alone)))


def test_compiled_equals_eager(model):
    compiled = model.generate(PROMPTS, STEPS)
    for row, prompt in enumerate(PROMPTS):
        inputs = {"token_ids": ops.convert_to_tensor([prompt], "int32")}
        eager = [ops.convert_to_numpy(x) for x in Greedy().decode(model, inputs, STEPS)]
        assert (eager[0][0] == compiled.sequences[row]).all()
        np.testing.assert_allclose(eager[2][0], compiled.scores[row], rtol=1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "method",
    [
        pytest.param(
            Greedy(processors=(NoRepeatNgram(2), RepetitionPenalty(1.2))), marks=pytest.mark.slow
        ),
        pytest.param(BeamSearch(3, n_best=2), marks=pytest.mark.slow),
        Sampling(seed=7, top_k=9, num_sequences=2),
    ],
    ids=["greedy", "beam", "sampling"],
)
def test_a_saved_model_takes_any_batch_length_and_limit(method, tmp_path):
    import tensorflow as tf

    model = make_lm(positions="rotary")
    module = tf.Module()
    module.variables_ = [v.value for v in model.variables]

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec((None, None), tf.int32),
            tf.TensorSpec((None, None), tf.bool),
            tf.TensorSpec((), tf.int32),
        ],
    )
    def serve(tokens, mask, steps):
        inputs = {"token_ids": tokens, "padding_mask": mask}
        return method.decode(model, inputs, steps)._asdict()

    module.serve = serve
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    expected = model.generate(PROMPTS, STEPS, method, jit_compile=False)
    for rows in ([0, 1, 2, 3], [0], [0, 1]):  # the first rows: a draw goes by a row's number
        ragged = tf.ragged.constant([PROMPTS[row] for row in rows], tf.int32, ragged_rank=1)
        tokens = ragged.to_tensor()
        mask = tf.sequence_mask(ragged.row_lengths(), tf.shape(tokens)[1])
        result = loaded.serve(tokens, mask, STEPS)
        assert (result["sequences"].numpy() == expected.sequences[rows]).all()
        np.testing.assert_allclose(result["scores"], expected.scores[rows], rtol=1e-4)


def test_the_cache_holds_prompt_and_new_tokens_and_no_more(model):
    inputs = {"token_ids": ops.ones((2, 7), "int32")}
    state = model.start(inputs, 5)
    # The last token is never read.
    assert tuple(state.cache.keys[0].shape) == (2, 2, 7 + 5 - 1, 6)
    assert tuple(state.padding_mask.shape) == (2, 11)
    assert int(state.cache.index) == 6
    state = model.start(inputs, 5, beams=3)  # the prompt once, then three of each position
    assert tuple(state.cache.keys[0].shape) == (2, 2, 6 + 5 * 3, 6)
    assert tuple(state.padding_mask.shape) == (6, 11)
    assert state.cache.length == 11 and int(state.cache.index) == 6


class NearestFirst(layers.MultiHeadSelfAttention):
    """Its scores fall with the number of keys after a key: it matters where a key stands."""

    def attend(self, query, key, value, mask=None, bias=None, **options):
        fall = -0.1 * ops.cast(ops.arange(ops.shape(key)[2]), "float32")
        return super().attend(query, key, value, mask, fall, **options)


class NearestFirstBlock(layers.TransformerDecoderBlock):
    def make_self_attention(self, name, causal=False):
        return NearestFirst(causal=causal, name=name, **self.self_attention_arguments())


def test_hypotheses_share_keys_only_where_all_attention_is_known():
    inputs = {"token_ids": ops.ones((2, 7), "int32")}
    plain = make_lm()
    own = make_lm(block=NearestFirstBlock)
    for model, beams, is_shared in [(plain, 16, 1), (plain, 17, 0), (plain, 1, 0), (own, 3, 0)]:
        cache = model.start(inputs, 5, beams=beams).cache
        assert (cache.layer(0).ancestors is not None) == is_shared
    oracle = Uncached(own)
    result = own.generate(PROMPTS, 5, BeamSearch(3, 0.6, 3))
    for row, prompt in enumerate(PROMPTS):
        expected = beam_search(oracle, prompt, 5, 3, LengthPenalty(0.6), 3)
        for place, (_, tokens) in enumerate(expected):
            assert result.sequences[row, place].tolist() == tokens + [0] * (5 - len(tokens))


def test_the_cache_of_layers_with_a_window_holds_the_window():
    model = make_lm(num_layers=2, positions="rotary", window=5, window_layers=(1,))
    inputs = {"token_ids": ops.ones((2, 7), "int32")}
    cache = model.start(inputs, 13, beams=3).cache
    assert [tuple(key.shape) for key in cache.keys] == [(6, 2, 19, 6), (6, 2, 5, 6)]
    short = model.start(inputs, 13, lookahead=3).cache
    assert short.keys[1].shape[2] == 8


@pytest.mark.parametrize("prompt, window", [(1, 3), (2, 3), (11, 3), (5, 7), (11, 1)])
def test_a_window_in_the_cache_forgets_nothing_it_needs(prompt, window):
    """Prompts shorter and longer than the window, and texts that go round it several times."""
    model = make_lm(
        num_layers=2, positions="learned", window=window, window_layers=(0,), eos_id=None
    )
    prompts = [PROMPTS[1][:prompt], [4]]
    oracle = Uncached(model)
    result = model.generate(prompts, 17, jit_compile=False)
    for row in range(2):
        tokens = result.sequences[row, 0].tolist()
        for step in (0, 1, 2, 7, 16):
            expected = oracle.log_probs(prompts[row], tokens[:step])
            expected[0] = -np.inf
            assert tokens[step] == expected.argmax()


def test_the_dtype_of_the_cache_can_be_chosen(model):
    inputs = {"token_ids": ops.ones((2, 7), "int32")}
    state = model.start(inputs, 5, cache_dtype="float16")
    assert "float16" in str(state.cache.keys[0].dtype)
    exact = model.generate(PROMPTS, STEPS)
    half = model.generate(PROMPTS, STEPS, cache_dtype="float16")
    np.testing.assert_array_equal(exact.sequences, half.sequences)
    assert (exact.scores != half.scores).any()
    np.testing.assert_allclose(exact.scores, half.scores, rtol=1e-2)


@pytest.mark.tensorflow
def test_new_lengths_rarely_need_a_new_program():
    model = make_lm()
    for length in range(1, 17):
        model.generate([[5] * length] * (3 + length % 2), 9 + length % 8)
    assert num_programs(model) == 2  # prompts of up to 8 and up to 16; batch 4, 16 steps


def test_the_last_room_is_used_and_no_more(model):
    """Rows that are done run on beside one that is not, beyond the table of positions."""
    prompts = [[5] * 31, [7] * 23, [9] * 30]
    result = model.generate(prompts)
    assert result.sequences.shape == (3, 1, 9)
    for row, prompt in enumerate(prompts):
        assert result.lengths[row, 0] <= 32 - len(prompt)
        tokens, _ = greedy_oracle(Uncached(model), prompt, 32 - len(prompt))
        assert result.sequences[row, 0, : len(tokens)].tolist() == tokens


@pytest.mark.parametrize(
    "inputs, limit, message",
    [
        ([[5], []], 4, "Every prompt needs at least one token; row 1 has none"),
        ([[5], [23]], 4, "received 23 at row 1, column 0 of token_ids"),
        ([[5], [5] * 29], 4, "row 1 has 29 tokens and max_new_tokens is 4"),
        ([[5], [5] * 32], None, "row 1 has 32 tokens"),
        ([[5], [5] * 33], None, "row 1 of token_ids has 33"),
        ([[5]], 0, "max_new_tokens"),
        ({"encoder_token_ids": [[5]]}, 4, "inputs must have 'token_ids'"),
        ({"token_ids": [[5, 6]], "padding_mask": [[1]]}, 4, "padding_mask must have the shape"),
    ],
)
def test_bad_prompts_are_refused(model, inputs, limit, message):
    with pytest.raises(ValueError, match=message):
        model.generate(inputs, limit)


@pytest.mark.parametrize("eos_id", [23, (2, 23), -1])
def test_an_end_outside_the_vocabulary_is_refused(eos_id):
    with pytest.raises(ValueError, match="eos_id"):
        make_lm(eos_id=eos_id).generate([[5]], 4)


@pytest.mark.parametrize("method", [Greedy(), BeamSearch(3, n_best=3)], ids=["greedy", "beam"])
def test_each_of_several_end_tokens_ends(method):
    several = make_lm(eos_id=(2, 15, 20))
    result = several.generate(PROMPTS, STEPS, method)
    ends = set()
    for tokens, length in zip(
        result.sequences.reshape(-1, STEPS), result.lengths.ravel(), strict=True
    ):
        inner = tokens[: length - 1].tolist()
        assert not {2, 15, 20} & set(inner)
        ends.add(int(tokens[length - 1]))
    assert len(ends & {2, 15, 20}) > 1


def test_without_an_end_token_all_tokens_come(model):
    endless = make_lm(eos_id=None)
    assert endless.generate(PROMPTS, STEPS).lengths.tolist() == [[STEPS]] * 4


def test_a_class_is_no_method_and_no_prompts_need_no_limits():
    model = make_lm()
    with pytest.raises(TypeError, match="method must be Greedy"):
        model.generate([[5]], 2, Greedy)
    assert model.generate([], np.zeros(0, "int32")).sequences.shape[0] == 0


def test_logits_that_are_not_finite_are_an_error():
    model = make_lm()
    table = model.backbone.token_embedding.embeddings
    table.assign(np.where(np.arange(23)[:, None] == 7, np.nan, ops.convert_to_numpy(table)))
    with pytest.raises(FloatingPointError, match="3 of 3 prompts"):
        model.generate([[5], [7], [7, 5]], 1)
