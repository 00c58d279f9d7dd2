"""The recipe of summaries, on runs of seconds."""

import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip("rouge_score")

from keras_transformer import models, tasks, text
from keras_transformer.checkpoints import load_weights
from recipes import rouge, seq2seq_layers, summarise, summary_texts

COLOURS, THINGS = ("red", "blue", "green"), ("dog", "cat", "hat", "cup")


def records_of(size, seed):
    """A sentence that says what there is, and the thing alone."""
    rng = np.random.default_rng(seed)
    colours, things = rng.choice(COLOURS, size), rng.choice(THINGS, size)
    return [
        {"text": f"see here , there is a {a} {b} in it .", "summary": f"{a} {b}"}
        for a, b in zip(colours, things, strict=True)
    ]


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for n, (split, size) in enumerate({"train": 96, "val": 12, "test": 16}.items()):
        write(folder / f"{split}.jsonl", records_of(size, n))
    return folder


def tiny(corpus, run_dir, **changes):
    settings = dict(
        run_dir=run_dir,
        data_dir=corpus,
        vocab_size=50,
        num_layers=1,
        hidden_dim=32,
        num_heads=2,
        dropout=0.0,
        max_length=24,
        tokens_per_batch=224,
        num_shapes=1,
        epochs=2,
        learning_rate=1e-2,
        max_new_tokens=12,
        beam_size=2,
        export=False,
    )
    files = summarise.PRESETS["files"][1]
    return dataclasses.replace(files, **settings | changes)


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    settings = tiny(corpus, tmp_path_factory.mktemp("runs") / "whole", epochs=12)
    summarise.main(settings)
    return settings


def scores_of(settings):
    return json.loads((settings.run_dir / "scores.json").read_text())


@pytest.mark.slow
def test_run_learns_and_beats_first_sentences(run):
    scores = scores_of(run)
    assert (scores["split"], scores["records"]) == ("test", 16)
    assert scores["rougeL"] > 90 > 50 > scores["lead_rougeL"]
    assert {"rouge1", "rouge2", "chrf", "lead_rouge1", "seconds"} <= set(scores)


@pytest.mark.slow
def test_run_folder_is_complete_and_opens_as_translator(run):
    names = {path.name for path in run.run_dir.iterdir()}
    assert {
        "config.json",
        "generation_config.json",
        "metrics.jsonl",
        "model.safetensors",
        "report.html",
        "settings.json",
        "tokenizer.model",
    } <= names
    records = [json.loads(x) for x in (run.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "val_loss", "val_rougeL", "val_chrf", "target_tokens_per_s"} <= set(records[-1])
    report = (run.run_dir / "report.html").read_text("utf-8")
    for heading in ("Summaries beside references", "Worst summaries", "decoder attended to"):
        assert heading in report
    translator = tasks.Translator.from_pretrained(run.run_dir)
    assert translator.decoding.no_repeat_ngram_size == 3
    assert translator("see here , there is a blue hat in it .").text == "blue hat"


@pytest.mark.slow
def test_finished_run_is_not_trained_again(run):
    before = (run.run_dir / "metrics.jsonl").read_bytes()
    scores = scores_of(run)
    summarise.main(run)
    assert (run.run_dir / "metrics.jsonl").read_bytes() == before
    assert scores_of(run)["rougeL"] == scores["rougeL"]


@pytest.mark.exhaustive
def test_resumed_run_equals_an_uninterrupted_one(corpus, tmp_path):
    # the inverse square root knows no end, so that a run may go on
    settings = tiny(corpus, tmp_path / "whole", epochs=4, schedule="inverse_sqrt", warmup=0.0)
    summarise.main(settings)
    half = dataclasses.replace(settings, run_dir=tmp_path / "half", epochs=2)
    summarise.main(half)
    summarise.main(dataclasses.replace(half, epochs=4))
    expected, found = (load_weights(s.run_dir / "model.safetensors") for s in (settings, half))
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.exhaustive
def test_own_run_is_trained_on_with_all_options(run, corpus, tmp_path):
    settings = tiny(
        corpus,
        tmp_path / "run",
        from_checkpoint=str(run.run_dir),
        epochs=1,
        schedule="cosine",
        learning_rate=1e-4,
        ema=0.5,
        gradient_accumulation_steps=2,
        patience=1,
        words="any",
    )
    summarise.main(settings)
    assert scores_of(settings)["rougeL"] > 90


@pytest.mark.slow
@pytest.mark.parametrize(
    "family, changes",
    [
        ("bart", dict(epochs=40, learning_rate=1e-2, tokens_per_batch=1536)),
        pytest.param(
            "t5",
            dict(epochs=160, learning_rate=3e-3, tokens_per_batch=448),
            marks=pytest.mark.exhaustive,
        ),
    ],
    ids=["bart", "t5"],
)
def test_published_checkpoint_is_trained_on(family, changes, corpus, tmp_path):
    """Byte-level BPE with its template, or ids beyond the tokenizer's: what a run must respect."""
    checkpoint = published(tmp_path / family, family)
    settings = tiny(
        corpus,
        tmp_path / "run",
        from_checkpoint=str(checkpoint),
        max_length=48,
        prefix="summarize: ",
        label_smoothing=0.0,
        max_new_tokens=24,
        **changes,
    )
    summarise.main(settings)
    assert scores_of(settings)["rougeL"] > 60 > scores_of(settings)["lead_rougeL"]
    translator = tasks.Translator.from_pretrained(settings.run_dir)
    assert translator.model.published["model_type"] == family
    answer = translator("summarize: see here , there is a red cup in it .")
    assert set(answer.text.split()) <= {*COLOURS, *THINGS}
    with pytest.raises(ValueError, match="max_length must be at most that of .*, 64; got 65"):
        summarise.main(tiny(corpus, tmp_path / "x", from_checkpoint=str(checkpoint), max_length=65))


def published(folder, family):
    """A tiny random checkpoint in a family's layout."""
    lines = [list(record.values()) for record in records_of(64, 0)]
    if family == "bart":
        tokenizer = text.BytePairTokenizer.train([sum(lines, [])], 280, style="bart")
        fields = dict(
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_position_embeddings=64,
        )
    else:
        tokenizer = t5_tokenizer(sum(lines, []))
        fields = dict(d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, n_positions=64)
    from keras_transformer.families import get_family

    size = dict(vocab_size=tokenizer.vocab_size + 3)
    config = get_family(family).to_config({"is_encoder_decoder": True, **fields, **size})
    models.Seq2SeqLM(config).save_pretrained(folder, family=family)
    tokenizer.save(folder)
    return folder


def t5_tokenizer(lines):
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="unigram",
        vocab_size=40,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return text.SentencePieceTokenizer(model.getvalue(), {"tokenizer_class": "T5Tokenizer"})


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("val.jsonl", b'{"text": "a red dog"}\n', r"val\.jsonl:1: no key 'summary'; its keys"),
        (
            "val.jsonl",
            b'{"text": "a", "summary": 7}\n',
            r"val\.jsonl:1: .*must be a text",
        ),
        ("val.jsonl", b"", r"val\.jsonl: no records"),
        ("val.jsonl", b'{"text": "\xff", "summary": "x"}\n', r"val\.jsonl:1: .*UTF-8"),
        ("val.jsonl", b'{"text": "a"\n', r"val\.jsonl:1: expected one JSON object a line"),
        (
            "val.jsonl",
            b'{"text":"a","summary":""}\n{"text":"","summary":"a"}\n',
            "no record has both",
        ),
        ("val.csv", b"text,summary\na,b\n", "one val file is expected"),
        (
            "test.jsonl",
            json.dumps({"text": "a red dog " * 30, "summary": "dog"}).encode(),
            r"test\.jsonl:1: \d+ tokens with the end, max_length is 24",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_before_training(
    corpus, tmp_path, name, content, message
):
    for path in corpus.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_bytes(content)
    settings = tiny(tmp_path, tmp_path / "run")
    with pytest.raises(ValueError, match=message):
        summarise.main(settings)
    assert not (settings.run_dir / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"data_dir": None}, "--data-dir is missing"),
        ({"text_column": "article"}, r"train\.jsonl:1: no key 'article'"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"beam_size": 0}, "beam_size must be at least 1; got 0"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1; got 0"),
        ({"layer_decay": 1.5}, "layer_decay must be above 0 and at most 1; got 1.5"),
        ({"freeze_blocks": -1}, "freeze_blocks must be at least 0; got -1"),
        ({"freeze_blocks": 2}, "num_blocks must be 0 to 1, got 2"),
        ({"validation_texts": 0}, "validation_texts must be at least 1"),
        ({"ema": 0.9, "average": 2}, "choose one"),
        ({"max_length": 8}, r"train\.jsonl:1: 16 tokens .*, max_length is 8; pass --truncate"),
        ({"vocab_size": 5}, "vocab_size"),
    ],
)
def test_wrong_settings_are_refused(corpus, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        summarise.main(tiny(corpus, tmp_path / "run", **changes))


def test_a_small_text_fills_a_smaller_vocabulary(corpus, tmp_path, capsys):
    settings = tiny(corpus, tmp_path / "run", vocab_size=5000)
    train, *_ = summary_texts.read_corpus(settings)
    size = summarise.make_translator(settings, train).tokenizer.vocab_size
    assert 20 < size < 5000
    assert f"fills a vocabulary of {size}, not of 5000 (--vocab-size)" in capsys.readouterr().out


def test_the_beam_that_is_asked_for_is_kept_with_a_checkpoint(corpus, tmp_path):
    settings = tiny(corpus, tmp_path / "run", beam_size=3)
    train, *_ = summary_texts.read_corpus(settings)
    summarise.make_translator(settings, train).save_pretrained(tmp_path / "base")
    again = dataclasses.replace(settings, from_checkpoint=str(tmp_path / "base"))
    for asked, expected in ((7, 7), (None, 3)):
        changed = dataclasses.replace(again, beam_size=asked)
        assert summarise.make_translator(changed, train).decoding.beam_size == expected


def test_a_checkpoint_of_another_style_is_named(corpus, tmp_path):
    config = models.DecoderConfig(
        vocab_size=50, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16, max_length=32
    )
    models.CausalLM(config).save_pretrained(tmp_path / "base")
    settings = tiny(corpus, tmp_path / "run", from_checkpoint=str(tmp_path / "base"))
    with pytest.raises(ValueError, match="base holds a CausalLM, not a Seq2SeqLM"):
        summarise.main(settings)


def test_a_folder_beside_docstrings_is_refused(corpus, tmp_path):
    settings = dataclasses.replace(tiny(corpus, tmp_path / "run"), corpus="docstrings")
    with pytest.raises(ValueError, match="--data-dir .*: docstrings are learned from"):
        summarise.main(settings)


def test_a_batch_has_no_more_slots_of_texts_and_summaries_than_its_budget(corpus, tmp_path):
    settings = tiny(corpus, tmp_path / "run", num_shapes=3)
    train, *_ = summary_texts.read_corpus(settings)
    batches = summarise.plan_batches(settings, summarise.make_translator(settings, train), train)
    for shape in batches.shapes:
        assert shape.rows == 224 // (shape.source + shape.target)


# Layer by layer


@pytest.fixture
def model():
    config = models.TransformerConfig(
        vocab_size=11,
        num_encoder_layers=3,
        num_decoder_layers=2,
        num_heads=2,
        hidden_dim=8,
        ffn_dim=16,
        max_length=16,
        norm_first=True,
    )
    return models.Seq2SeqLM(config)


def test_rates_fall_towards_the_input_of_both_stacks(model):
    rates = seq2seq_layers.layer_multipliers(model, 0.5)
    assert len(rates) == len(model.weights)
    for part, expected in {
        "token_embedding": 0.5**4,  # shared: that of the deeper stack
        "encoder/block_0/": 0.5**3,
        "encoder/block_2/": 0.5,
        "encoder/norm/": 1.0,
        "decoder/block_0/": 0.5**2,
        "decoder/block_1/": 0.5,
        "decoder/norm/": 1.0,
    }.items():
        found = {rate for name, rate in rates.items() if part in name}
        assert found == {expected}, part
    assert seq2seq_layers.layer_multipliers(model, 1.0) is None


def test_frozen_blocks_stay_and_the_others_learn(model, tmp_path):
    settings = tiny(tmp_path, tmp_path, freeze_blocks=1, layer_decay=0.5)
    ids = np.arange(3, 9, dtype="int32")[None]
    x = {"encoder_token_ids": ids, "decoder_token_ids": ids}
    summarise.compile_model(settings, model, [(x, ids)] * 9)
    before = {weight.path: np.array(weight) for weight in model.weights}
    model.train_on_batch(x, ids, np.ones_like(ids, "float32"))
    model.train_on_batch(x, ids, np.ones_like(ids, "float32"))
    same = {w.path for w in model.weights if np.array_equal(np.array(w), before[w.path])}
    stay = {p for p in before if "/block_0/" in p or "embedding" in p}
    assert stay and same == stay


def test_columns_of_tables_are_found(tmp_path):
    (tmp_path / "train.tsv").write_text("long story\tshort\n \tnothing\nother\tword\n", "utf-8")
    columns = dict(text_column="0", summary_column="1", header=False)
    settings = tiny(tmp_path, tmp_path / "run", **columns)
    found = summary_texts.read_examples(settings, tmp_path / "train.tsv")
    assert (found.texts, found.summaries) == (["long story", "other"], ["short", "word"])
    assert found.lines == [1, 3]


# Scores


def test_rouge_of_any_language_counts_its_words():
    scores = rouge.mean_scores(["Über den Hügel"], ["über die Hügel"], words="any")
    assert scores["rouge1"] == scores["rougeL"] == pytest.approx(66.67)
    assert rouge.mean_scores(["犬 が"], ["犬が"], words="any")["rougeL"] == 100
    assert rouge.mean_scores(["собака"], ["собака"])["rougeL"] == 0  # of English words alone


@pytest.mark.exhaustive
def test_quickstart_beats_first_sentences(tmp_path):
    settings = summarise.PRESETS["quickstart"][1]
    summarise.main(dataclasses.replace(settings, run_dir=tmp_path / "run", export=False))
    scores = scores_of(dataclasses.replace(settings, run_dir=tmp_path / "run"))
    assert scores["rougeL"] > scores["lead_rougeL"] + 5
