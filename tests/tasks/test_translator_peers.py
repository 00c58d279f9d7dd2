"""Tiny checkpoints of each family in `transformers` on torch: the same text from the same text."""

import pathlib
import sys
import warnings

import numpy as np
import pytest

sys.path.append(str(pathlib.Path(__file__).parent.parent / "families"))
sys.path.append(str(pathlib.Path(__file__).parent.parent / "text"))

import families

from keras_transformer import generation, tasks, text

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
import peer  # noqa: E402

TEXTS = ["a dog runs across the meadow .", "ein Hund", "two dogs , and a man is watching .", "a"]
STEPS = 11
WIDTH = dict(
    d_model=16,
    encoder_layers=2,
    decoder_layers=2,
    encoder_attention_heads=4,
    decoder_attention_heads=4,
    encoder_ffn_dim=24,
    decoder_ffn_dim=24,
    max_position_embeddings=64,
)
T5 = dict(d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=4, n_positions=64)
# For each family its tokenizer, the published class, fields, and what decoding is told.
FAMILIES = {
    "t5": (
        "T5Tokenizer",
        "T5ForConditionalGeneration",
        # as in all published ones, ids beyond the tokenizer's
        dict(T5, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, more=4),
        dict(decoder_start_token_id=0, eos_token_id=1, pad_token_id=0, bad_words_ids=[[0]]),
    ),
    "bart": (
        "BytePairTokenizer",
        "BartForConditionalGeneration",
        dict(WIDTH, pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2),
        dict(
            decoder_start_token_id=2,
            bos_token_id=0,
            eos_token_id=2,
            pad_token_id=1,
            forced_bos_token_id=0,
            forced_eos_token_id=2,
            no_repeat_ngram_size=2,
            min_length=5,
            max_length=STEPS + 1,
            num_beams=3,
            length_penalty=2.0,
            early_stopping=True,
            suppress_tokens=[1],
        ),
    ),
    "marian": (
        "MarianTokenizer",
        "MarianMTModel",
        dict(WIDTH, eos_token_id=0, pad_last=True),
        dict(eos_token_id=0, forced_eos_token_id=0, pad_last=True, renormalize_logits=True),
    ),
    "mbart": (
        "MBartTokenizer",
        "MBartForConditionalGeneration",
        dict(WIDTH, pad_token_id=1, bos_token_id=0, eos_token_id=2),
        # several ends, one of them an ordinary token
        dict(eos_token_id=[2, 40], pad_token_id=1, forced_eos_token_id=2, bad_words_ids=[[1]]),
    ),
    "mbart-50": (
        "MBart50Tokenizer",
        "MBartForConditionalGeneration",
        dict(WIDTH, pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2),
        dict(
            decoder_start_token_id=2,
            eos_token_id=2,
            pad_token_id=1,
            bad_words_ids=[[1], [44, 45]],
            repetition_penalty=1.3,
        ),
    ),
    "pegasus": (
        "PegasusTokenizer",
        "PegasusForConditionalGeneration",
        dict(WIDTH, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0),
        dict(
            decoder_start_token_id=0,
            eos_token_id=1,
            pad_token_id=0,
            bad_words_ids=[[0]],
            num_beams=4,
            length_penalty=0.6,
            renormalize_logits=True,
        ),
    ),
}
LANGUAGES = {"mbart": ("en_XX", "de_DE"), "mbart-50": ("en_XX", "fr_XX")}


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, tmp_path_factory):
    """Our translator of a folder, and their tokenizer and model of it."""
    kind, architecture, fields, decoding = FAMILIES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    if kind == "BytePairTokenizer":
        text.BytePairTokenizer.train([families.LINES], 290, style="bart").save(folder)
    else:
        folder = families.write(folder, kind)
    size = text.Tokenizer.load(folder).vocab_size
    pad = dict(pad_token_id=size - 1, decoder_start_token_id=size - 1)
    fields, decoding = dict(fields), dict(decoding)
    if fields.pop("pad_last", False):
        fields |= pad
        decoding |= {**pad, "bad_words_ids": [[size - 1]]}
    decoding.pop("pad_last", None)
    size += fields.pop("more", 0)
    model_type = request.param.partition("-")[0]
    config = transformers.AutoConfig.for_model(model_type, vocab_size=size, **fields)
    theirs = getattr(transformers, architecture)(config).eval()
    with torch.no_grad():
        for name, tensor in peer.learned(theirs).items():
            tensor.copy_(torch.from_numpy(peer.weight(name, tuple(tensor.shape))))
    theirs.generation_config = transformers.GenerationConfig(**decoding)
    theirs.save_pretrained(folder)
    theirs = getattr(transformers, architecture).from_pretrained(folder)
    if kind == "BytePairTokenizer":
        their_tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    else:
        their_tokenizer = getattr(transformers, kind).from_pretrained(folder)
    languages = LANGUAGES.get(request.param, (None, None))
    ours = tasks.Translator.from_pretrained(folder, source=languages[0], target=languages[1])
    return request.param, folder, ours, their_tokenizer, theirs


def their_answers(pair, **settings):
    """What they make of the texts, one by one: text and tokens without the start."""
    name, _, _, tokenizer, model = pair
    if name in LANGUAGES:
        source, target = LANGUAGES[name]
        tokenizer.src_lang = source
        start = name == "mbart"
        key = "decoder_start_token_id" if start else "forced_bos_token_id"
        settings[key] = tokenizer.convert_tokens_to_ids(target)
    answers = []
    for line in TEXTS:
        inputs = tokenizer([line], return_tensors="pt")
        inputs.pop("token_type_ids", None)
        found = model.generate(**inputs, max_new_tokens=STEPS, **settings)[:, 1:]
        answers.append((tokenizer.decode(found[0], skip_special_tokens=True), found[0].tolist()))
    return answers


def our_tokens(translator, **settings):
    """The tokens of our answers, from the alignment's model: by the pieces' ids."""
    method = translator.decoding.method(settings.get("beam_size"))
    sources = [encoding.ids for encoding in translator.tokenizer(TEXTS)]
    found = generation.generate(translator.model, sources, STEPS, method, jit_compile=False)
    return [
        sequences[0, : lengths[0]].tolist()
        for sequences, lengths in zip(found.sequences, found.lengths, strict=True)
    ]


@pytest.mark.parametrize(
    "beams", [*(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4)), None]
)
def test_text_is_that_of_transformers(pair, beams):
    translator = pair[2]
    if beams is None:  # what the checkpoint says
        theirs = their_answers(pair, **({} if pair[0] == "bart" else {"num_beams": 5}))
    else:
        theirs = their_answers(pair, num_beams=beams)
    ours = translator(TEXTS, beam_size=beams, max_new_tokens=STEPS)
    ends = generation.decoding.end_tokens(translator.model.config)
    own_tokens = our_tokens(translator, beam_size=beams)
    for (_, tokens), own in zip(theirs, own_tokens, strict=True):
        end = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
        assert own == tokens[: end + 1]
    assert [answer.text for answer in ours] == [expected for expected, _ in theirs]
    assert translator("") == tasks.Translation("", 0.0)


def test_what_is_saved_answers_the_same(pair, tmp_path):
    translator = pair[2]
    translator.save_pretrained(tmp_path)
    again = tasks.Translator.from_pretrained(tmp_path)
    assert again.decoding == translator.decoding
    assert again.model.config == translator.model.config
    answers = [t(TEXTS[:2], max_new_tokens=STEPS) for t in (translator, again)]
    assert [a.text for a in answers[0]] == [a.text for a in answers[1]]


@pytest.mark.tensorflow
@pytest.mark.slow
def test_the_saved_model_answers_the_same(pair, tmp_path):
    import tensorflow as tf

    translator = pair[2]
    translator.export(tmp_path / "saved_model", beam_size=3, max_new_tokens=STEPS)
    signatures = tf.saved_model.load(str(tmp_path / "saved_model")).signatures
    texts = [*TEXTS, ""]
    found = signatures["serving_default"](tf.constant(texts))
    expected = translator(texts, beam_size=3, max_new_tokens=STEPS)
    assert [x.decode() for x in found["translations"].numpy()] == [a.text for a in expected]
    scores = [answer.score for answer in expected]
    np.testing.assert_allclose(found["scores"], scores, rtol=1e-4, atol=1e-4)


def test_what_a_translator_does_not_do_is_said(pair, tmp_path):
    _, folder, *_ = pair
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / "generation_config.json"
    path.write_text('{"do_sample": true, "guidance_scale": 1.5}', "utf-8")
    with pytest.warns(UserWarning, match="asks for do_sample, guidance_scale, which a Translator"):
        tasks.Translator.from_pretrained(tmp_path)
    path.write_text('{"num_beams": 0}', "utf-8")
    with pytest.raises(ValueError, match=r"generation_config\.json: .*beam_size.* received 0"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tasks.Translator.from_pretrained(tmp_path)


def test_unknown_languages_are_refused(pair):
    name, folder, *_ = pair
    with pytest.raises(ValueError, match="target"):
        tasks.Translator.from_pretrained(folder, target="tlh_XX")
    with pytest.raises(ValueError, match="source"):
        tasks.Translator.from_pretrained(folder, source="tlh_XX")
