"""Encoder-decoders: files as they were written at other times, what is refused, and decoding."""

import json

import numpy as np
import peer
import pytest
from cases import all_cases, cases_of
from compare import open_ours, run_ours, write_folder
from keras import ops
from test_goldens import golden

from keras_transformer import models
from keras_transformer.checkpoints import load_weights, save_weights

TINY = dict(vocab_size=11, d_model=8)


def case_of(name):
    return next(case for case in cases_of(name.split("/")[0]) if case.name == name)


def without(tensors, *names):
    return {name: x for name, x in tensors.items() if name not in names}


def renamed(tensors, **names):
    """{old name: new name} with `__` for a dot."""
    names = {old.replace("__", "."): new.replace("__", ".") for old, new in names.items()}
    return {names.get(name, name): x for name, x in tensors.items()}


def with_copies(tensors):
    """As pickled files have it: shared embeddings under each of their names."""
    shared = tensors["model.shared.weight"]
    copies = ("model.encoder.embed_tokens", "model.decoder.embed_tokens", "lm_head")
    return {**tensors, **{f"{name}.weight": shared for name in copies}}


def bare(tensors):
    """As the file of a backbone has it: no prefix, no head."""
    tensors = without(tensors, "final_logits_bias")
    return {name.removeprefix("model."): x for name, x in tensors.items()}


def with_tables(tensors):
    """As older files have it: positions are a formula, and a table of it all the same."""
    table = np.ones((12, 16), "float32")
    names = ("model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight")
    return {**tensors, **dict.fromkeys(names, table)}


def with_unused_bias(tensors):
    """As the first files of T5 have it, of an attention that has no positions."""
    name = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    return {**tensors, name: np.ones((8, 3), "float32")}


def tied(tensors):
    """Embeddings that are equal are written once."""
    return {**tensors, "lm_head.weight": tensors["shared.weight"]}


OLDER = {
    "copies": ("bart/Seq2SeqLM", lambda x: x, with_copies),
    "bare": ("bart/Seq2SeqLM", lambda x: {**x, "final_logits_bias": np.zeros((1, 37), "f4")}, bare),
    "target's name": (
        "bart/Seq2SeqLM",
        lambda x: x,
        lambda x: renamed(x, model__shared__weight="model__decoder__embed_tokens__weight"),
    ),
    "output's name": (
        "marian/Seq2SeqLM",
        lambda x: x,
        lambda x: renamed(x, model__shared__weight="lm_head__weight"),
    ),
    "tables of sines": ("marian/Seq2SeqLM", lambda x: x, with_tables),
    "bias of no use": ("t5/Seq2SeqLM", lambda x: x, with_unused_bias),
    "equal output": ("mt5/Seq2SeqLM", tied, lambda x: without(x, "lm_head.weight")),
    "one input": (
        "mbart/untied",
        lambda x: {
            **x,
            "model.encoder.embed_tokens.weight": x["model.shared.weight"],
            "model.decoder.embed_tokens.weight": x["model.shared.weight"],
        },
        lambda x: without(
            x, "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"
        ),
    ),
}


@pytest.mark.parametrize("name, today, older", OLDER.values(), ids=list(OLDER))
def test_an_older_file_is_the_same_model(name, today, older, tmp_path):
    case = case_of(name)
    record, _ = golden(case)
    found = []
    for folder, change in (("today", today), ("older", lambda x: older(today(x)))):
        write_folder(tmp_path / folder, record, case)
        file = tmp_path / folder / "model.safetensors"
        save_weights(file, change(load_weights(file)), {"format": "pt"})
        found.append(run_ours(open_ours(tmp_path / folder, case), case))
    for output, array in found[0].items():
        np.testing.assert_array_equal(found[1][output], array, err_msg=output)


def test_a_new_output_embedding_has_initial_values(tmp_path):
    case = case_of("bart/untied")
    record, _ = golden(case)
    write_folder(tmp_path, record, case)
    file = tmp_path / "model.safetensors"
    save_weights(file, without(load_weights(file), "lm_head.weight"), {"format": "pt"})
    with pytest.warns(UserWarning, match="no weights for output_embedding/embeddings"):
        model = open_ours(tmp_path, case)
    deviation = ops.convert_to_numpy(model.output_embedding.embeddings).std()
    assert deviation == pytest.approx(0.02, rel=0.2)


REFUSED = {
    "decoder_attention_heads=4": dict(
        model_type="bart", encoder_attention_heads=2, decoder_attention_heads=4, **TINY
    ),
    "decoder_ffn_dim=24": dict(
        model_type="pegasus", encoder_ffn_dim=16, decoder_ffn_dim=24, **TINY
    ),
    "decoder_vocab_size=12": dict(model_type="marian", decoder_vocab_size=12, **TINY),
    "feed_forward_proj='gated-glu'": dict(model_type="t5", feed_forward_proj="gated-glu", **TINY),
    "is_encoder_decoder=False": dict(model_type="mt5", is_encoder_decoder=False, **TINY),
    "is_decoder=True": dict(model_type="mbart", is_decoder=True, **TINY),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_expressed_is_not_read(message, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(REFUSED[message]))
    with pytest.raises(ValueError, match=f"{message} is not supported"):
        models.Seq2SeqLM.from_pretrained(tmp_path)


CHANGED = {
    "share_embeddings='input'": "bart/Seq2SeqLM",
    "share_embeddings='target'": "t5/Seq2SeqLM",
    "share_embeddings='all'": "mt5/Seq2SeqLM",
    "logit_scale=2.0": "t5/Seq2SeqLM",
    "dropout=0.5": "t5/Seq2SeqLM",
    "norm_epsilon=0.5": "marian/Seq2SeqLM",
    "output_dropout=0.5": "pegasus/Seq2SeqLM",
}


@pytest.mark.parametrize("change", CHANGED)
def test_what_cannot_be_expressed_is_not_written(change, tmp_path):
    case = case_of(CHANGED[change])
    write_folder(tmp_path / "theirs", golden(case)[0], case)
    model = open_ours(tmp_path / "theirs", case)
    field, value = change.split("=")
    fields = {**model.config.to_dict(), field: eval(value)}
    other = models.Seq2SeqLM(type(model.config).from_dict(fields))
    with pytest.raises(ValueError, match=f"cannot express .*{field}="):
        other.save_pretrained(tmp_path / "ours", family=case.fields["model_type"])


def test_t5_drops_units_of_its_output(tmp_path):
    case = case_of("t5/Transformer")
    write_folder(tmp_path, golden(case)[0], case)
    rates = dict(dropout=0.0, attention_dropout=0.0, activation_dropout=0.0)
    model = open_ours(tmp_path, case, output_dropout=0.5, **rates)
    dropped = ops.convert_to_numpy(model(case.our_inputs(), training=True)) == 0
    assert 0.3 < dropped.mean() < 0.7


@pytest.mark.parametrize(
    "case", [case for case in all_cases() if case.head == "Seq2SeqLM"], ids=str
)
def test_greedy_search_finds_the_same_tokens(case, tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    theirs = peer.make(case)
    theirs.save_pretrained(tmp_path)
    model = open_ours(tmp_path, case)
    inputs, config = case.peer_inputs(), model.config
    theirs.generation_config.forced_eos_token_id = None
    expected = theirs.generate(
        input_ids=torch.from_numpy(inputs["input_ids"]),
        attention_mask=torch.from_numpy(inputs["attention_mask"]),
        decoder_start_token_id=config.bos_id,
        eos_token_id=config.eos_id,
        pad_token_id=config.pad_id,
        suppress_tokens=[config.pad_id],
        num_beams=1,
        do_sample=False,
        max_new_tokens=10,
        use_cache=False,
    ).numpy()[:, 1:]  # without the first token, which both are given
    inputs = case.our_inputs()
    found = model.generate(
        {name: x for name, x in inputs.items() if name.startswith("encoder_")}, max_new_tokens=10
    )
    sequences = ops.convert_to_numpy(found.sequences)[:, 0, : expected.shape[1]]
    np.testing.assert_array_equal(sequences, expected)
