"""Encoders of published families: checkpoints of other times, and what is refused."""

import numpy as np
import pytest
from cases import cases_of
from compare import check, open_ours, run_ours, write_folder
from keras import ops
from test_goldens import golden

from keras_transformer import models
from keras_transformer.checkpoints import load_weights, save_weights
from keras_transformer.families import get_family

FAMILIES = ("bert", "camembert", "distilbert", "electra", "mpnet", "roberta", "xlm_roberta")


def case_of(family, head):
    return next(case for case in cases_of(family) if case.name == f"{family}/{head}")


def prefix_of(case):
    return get_family(case.fields["model_type"]).prefix


def change(folder, function):
    """Rewrites a checkpoint's tensors."""
    path = folder / "model.safetensors"
    save_weights(path, function(load_weights(path)), {"format": "pt"})


def of_an_earlier_release(tensors, prefix):
    """Norms with gamma and beta, positions, a pooler, and a copy of what is tied."""
    found = {}
    for name, array in tensors.items():
        if "norm" in name.lower():
            name = name.replace(".weight", ".gamma").replace(".bias", ".beta")
        found[name] = array
    matrix = tensors[f"{prefix}embeddings.word_embeddings.weight"]
    found[f"{prefix}embeddings.position_ids"] = np.arange(14)[None]
    if prefix not in ("distilbert.", "electra."):
        found[f"{prefix}pooler.dense.weight"] = np.zeros((16, 16), "float32")
    copies = {"distilbert.": "vocab_projector", "electra.": "generator_lm_head"}
    copies["bert."] = "cls.predictions.decoder"
    found[copies.get(prefix, "lm_head.decoder") + ".weight"] = matrix
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_files_of_an_earlier_release_are_read(family, tmp_path):
    case = case_of(family, "MaskedLM")
    record, expected = golden(case)
    write_folder(tmp_path, record, case)
    change(tmp_path, lambda tensors: of_an_earlier_release(tensors, prefix_of(case)))
    check(run_ours(open_ours(tmp_path, case), case), expected, case)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_is_read_from_a_checkpoint_with_a_head_and_without(family, tmp_path):
    case, whole = case_of(family, "TransformerEncoder"), case_of(family, "MaskedLM")
    write_folder(tmp_path, golden(whole)[0], whole)
    with_head = run_ours(open_ours(tmp_path, case), case)["last_hidden_state"]
    change(
        tmp_path,
        lambda tensors: {
            name.removeprefix(prefix_of(case)): array
            for name, array in tensors.items()
            if name.startswith(prefix_of(case))
        },
    )
    without = run_ours(open_ours(tmp_path, case), case)["last_hidden_state"]
    np.testing.assert_array_equal(without, with_head)
    with pytest.warns(UserWarning, match="no weights for pooler/kernel.*they are new"):
        model = models.SequenceClassifier.from_pretrained(tmp_path, num_classes=3)
    np.testing.assert_array_equal(
        np.asarray(model.backbone.token_embedding.embeddings.numpy()),
        load_weights(tmp_path / "model.safetensors")["embeddings.word_embeddings.weight"],
    )


@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet"])
def test_an_untied_matrix_has_its_bias_under_either_name(family, tmp_path):
    case = case_of(family, "untied")
    record, expected = golden(case)
    write_folder(tmp_path, record, case)

    def shared(tensors):
        (name,) = [each for each in tensors if each.endswith("decoder.bias")]
        return {each: x for each, x in tensors.items() if each != name} | {
            name.replace("decoder.", ""): tensors[name]
        }

    change(tmp_path, shared)
    check(run_ours(open_ours(tmp_path, case), case), expected, case)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_embedding_is_the_mean_of_the_encoders_states(family, tmp_path):
    case = case_of(family, "TransformerEncoder")
    record, expected = golden(case)
    write_folder(tmp_path, record, case)
    model = models.SentenceEmbedder.from_pretrained(tmp_path, normalize=False)
    mask, hidden = case.real()[:, :, None], expected["last_hidden_state"]
    wanted = (hidden * mask).sum(axis=1) / mask.sum(axis=1)
    found = ops.convert_to_numpy(model(case.our_inputs()))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "model_type, fields, message",
    [
        ("bert", {"position_embedding_type": "relative_key"}, "relative_key.*not supported"),
        ("electra", {"position_embedding_type": "relative_key"}, "relative_key.*not supported"),
        ("roberta", {"is_decoder": True}, "roberta with is_decoder=True is not supported"),
        ("xlm-roberta", {"pad_token_id": None}, "xlm-roberta needs pad_token_id"),
        ("camembert", {"hidden_act": "gelu_10"}, "camembert with hidden_act='gelu_10'"),
        ("distilbert", {"activation": "mish"}, "distilbert with activation='mish'"),
        ("mpnet", {"pad_token_id": 0}, "mpnet with pad_token_id=0 is not supported, only 1"),
        ("mpnet", {"relative_attention_num_buckets": 64}, "only 32"),
    ],
)
def test_what_cannot_be_expressed_is_refused(model_type, fields, message):
    with pytest.raises(ValueError, match=message):
        get_family(model_type).to_config({"model_type": model_type, **fields})


@pytest.mark.parametrize(
    "family, head, arguments, message",
    [
        ("bert", "SequenceClassifier", {"pooling": "mean"}, "bert cannot express pooling='mean'"),
        ("roberta", "SequenceClassifier", {"head_activation": "relu"}, "head_activation='relu'"),
        ("roberta", "MaskedLM", {"head_activation": "relu"}, "head_activation='relu'"),
        ("distilbert", "MaskedLM", {"norm_epsilon": 1e-5}, "cannot express norm_epsilon=1e-05"),
        ("electra", "MaskedLM", {"score": "dot_product"}, "cannot express score='dot_product'"),
    ],
)
def test_what_has_no_field_is_not_written(family, head, arguments, message, tmp_path):
    case = case_of(family, head)
    write_folder(tmp_path / "theirs", golden(case)[0], case)
    model = open_ours(tmp_path / "theirs", case, **arguments)
    with pytest.raises(ValueError, match=message):
        model.save_pretrained(tmp_path / "ours")


def test_rates_of_dropout_are_read_and_written(tmp_path):
    case = case_of("distilbert", "span_dropout")
    write_folder(tmp_path, golden(case)[0], case)
    assert open_ours(tmp_path, case).head_dropout == 0.3
    case = case_of("roberta", "dropout")
    write_folder(tmp_path, golden(case)[0], case)
    model = open_ours(tmp_path, case)
    assert model.head_dropout == 0.25 and model.pooled_dropout
    model = open_ours(tmp_path, case, head_dropout=0.5)
    model.save_pretrained(tmp_path / "ours")
    assert open_ours(tmp_path / "ours", case).head_dropout == 0.5


def test_distances_fall_into_the_buckets_of_mpnet():
    torch = pytest.importorskip("torch")
    mpnet = pytest.importorskip("transformers.models.mpnet.modeling_mpnet")
    config = get_family("mpnet").to_config(cases_of("mpnet")[0].fields)
    encoder = models.TransformerEncoder(config)
    distance = np.arange(-600, 601)
    theirs = mpnet.MPNetEncoder.relative_position_bucket(torch.from_numpy(distance))
    ours = encoder.position_bias.buckets(ops.convert_to_tensor(distance))
    np.testing.assert_array_equal(ops.convert_to_numpy(ours), theirs.numpy())
