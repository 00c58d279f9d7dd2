"""The recipe for tuning decoders, on runs of seconds."""

import dataclasses
import json
import random

import keras
import numpy as np
import pytest

from keras_transformer import checkpoints, models, tasks, text
from keras_transformer.checkpoints import load_weights, model_weights
from keras_transformer.data import Message
from keras_transformer.text.chat import JINJA
from recipes import answering, decoders, finetune_decoder, finetuning, library_questions, runs

WORDS = "one two three four five six seven eight nine ten eleven twelve".split()


def talk(rng):
    """What comes after a number, and, asked again, what comes before it."""
    n = rng.randrange(1, 11)
    return [
        {"role": "user", "content": f"I have {WORDS[n]}. What comes next?"},
        {"role": "assistant", "content": WORDS[n + 1]},
        {"role": "user", "content": "What came before?"},
        {"role": "assistant", "content": WORDS[n - 1]},
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rng, folder = random.Random(1), tmp_path_factory.mktemp("talks")
    for name, size in (("train", 160), ("val", 32)):
        lines = [json.dumps({"messages": talk(rng)}) for _ in range(size)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), "utf-8")
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A decoder that has learned nothing, in Llama's layout, with a tokenizer that knows ChatML."""
    folder = tmp_path_factory.mktemp("base")
    lines = ["I have a What comes next? What came before? " + " ".join(WORDS)] * 2
    marks = ("<|im_start|>", "<|im_end|>")
    tokenizer = text.BytePairTokenizer.train([lines], 300, special_tokens=marks)
    config = models.DecoderConfig.from_preset(
        "smollm-135m", vocab_size=tokenizer.vocab_size, num_layers=2, hidden_dim=32, num_heads=4,
        num_kv_heads=2, ffn_dim=64, max_length=96, bos_id=0, eos_id=0, initializer_range=0.1,
    )  # fmt: skip
    models.CausalLM(config).save_pretrained(folder, family="llama")
    tokenizer.save(folder)
    return folder


def tiny(folder, run_dir, preset="files", **changes):
    settings = dict(
        run_dir=run_dir,
        data_dir=folder,
        vocab_size=290,
        num_layers=1,
        hidden_dim=32,
        num_heads=4,
        dropout=0.0,
        max_length=96,
        batch_size=16,
        num_shapes=1,
        epochs=12,
        learning_rate=1e-2,
        answer_length=8,
        num_answers=16,
        export=False,
        xla=False,
    )
    return dataclasses.replace(finetune_decoder.PRESETS[preset][1], **settings | changes)


def scores_of(settings):
    return json.loads((settings.run_dir / "scores.json").read_text())


@pytest.mark.slow
def test_run_learns_to_answer_and_its_folder_opens_as_generator(folder, tmp_path):
    settings = tiny(folder, tmp_path / "run", export=True, epochs=24)
    finetune_decoder.main(settings)
    scores = scores_of(settings)
    assert scores["exact_match"] > 90 > 40 > scores["exact_match_guess"]
    assert scores["perplexity"] < 1.5 < scores["perplexity_guess"]
    assert scores["token_accuracy"] > 95 and scores["answers"] == 16
    generator = tasks.TextGenerator.from_pretrained(settings.run_dir)
    question = Message("user", "I have seven. What comes next?")
    prompt = text.CHATML.render([question], prompt=True)
    assert generator(prompt, max_new_tokens=8).text == "eight"
    report = (settings.run_dir / "report.html").read_text("utf-8")
    assert "By question" in report and "What came before?" in report
    assert "<|im_start|>assistant" in (settings.run_dir / JINJA).read_text("utf-8")
    if keras.backend.backend() != "tensorflow":
        return  # which writes the SavedModel
    import tensorflow as tf
    import tensorflow_text  # noqa: F401

    serve = tf.saved_model.load(str(settings.run_dir / "saved_model")).signatures["serving_default"]
    assert serve(texts=tf.constant([prompt]))["generated"].numpy().ravel()[0] == b"eight"


@pytest.mark.exhaustive
def test_a_run_goes_on_where_it_stopped(folder, tmp_path, monkeypatch):
    whole, parts = (
        tiny(folder, tmp_path / name, epochs=2, packing=True) for name in ("whole", "parts")
    )
    finetune_decoder.main(whole)
    with monkeypatch.context() as patch:
        patch.setattr(finetuning.training.Scores, "on_epoch_begin", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            finetune_decoder.main(parts)
    finetune_decoder.main(parts)
    for name in ("perplexity", "token_accuracy", "exact_match"):
        assert scores_of(parts)[name] == scores_of(whole)[name]


def stop_at_the_second(self, epoch, logs=None):
    if epoch == 1:
        raise KeyboardInterrupt


@pytest.mark.slow
def test_low_rank_parts_are_trained_saved_and_merged(folder, base, tmp_path):
    settings = tiny(
        folder, tmp_path / "run", "lora", from_checkpoint=str(base), epochs=4, lora_rank=4,
        lora_targets=("query", "key", "value", "output", "gate", "inner", "outer"),
    )  # fmt: skip
    finetune_decoder.main(settings)
    scores = scores_of(settings)
    assert scores["perplexity"] < 0.5 * scores["perplexity_before"]
    assert scores["trained_parameters"] < 0.4 * scores["parameters"]
    parts = load_weights(settings.run_dir / "adapter" / "adapter_model.safetensors")
    assert "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight" in parts
    merged = models.CausalLM.from_pretrained(settings.run_dir)
    start = models.CausalLM.from_pretrained(base)
    same = [
        name
        for name, weight in model_weights(start).items()
        if np.array_equal(weight, model_weights(merged)[name])
    ]
    assert same and not any("kernel" in name for name in same)
    checkpoints.load_adapter(start, settings.run_dir / "adapter")
    ids = np.array([[5, 6, 7, 8]])
    np.testing.assert_allclose(start(ids), merged(ids), atol=1e-4)
    fields = json.loads((settings.run_dir / "config.json").read_text())
    assert fields["model_type"] == "llama" and fields["eos_token_id"] == merged.config.eos_id != 0
    finetune_decoder.main(settings)  # there is nothing left to do, and it says so again
    assert scores_of(settings)["perplexity"] == pytest.approx(scores["perplexity"])


@pytest.mark.slow
def test_plain_text_goes_on(base, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(" ".join(WORDS * 60), "utf-8")
    settings = tiny(
        path, tmp_path / "run", "text", from_checkpoint=str(base), epochs=20, batch_size=4,
        gradient_accumulation_steps=2,
    )  # fmt: skip
    finetune_decoder.main(settings)
    scores = scores_of(settings)
    assert scores["perplexity"] < 2 < 50 < scores["perplexity_before"]
    generator = tasks.TextGenerator.from_pretrained(settings.run_dir)
    assert generator("one two three", max_new_tokens=8).text.startswith(" four")


# Data


def write(path, *records):
    path.mkdir(exist_ok=True)
    lines = [each if isinstance(each, str) else json.dumps(each) for each in records]
    (path / "train.jsonl").write_text("\n".join(lines), "utf-8")
    return path


PAIR = {"prompt": "one", "completion": "two"}


@pytest.mark.parametrize(
    "wrong, message",
    [
        ("{", r"train\.jsonl:3: expected one JSON object a line"),
        ({"prompt": "one"}, r"train\.jsonl:3: no key 'completion'"),
        ({"prompt": "one", "completion": " "}, r"train\.jsonl:3: message 1: the answer is blank"),
        ({"messages": [{"role": "tool", "content": "7"}]}, r"train\.jsonl:3: message 0: role must"),
        ({"prompt": "one " * 200, "completion": "two"}, r"train\.jsonl:3: \d+ tokens, max_length"),
    ],
)
def test_wrong_rows_are_refused_with_their_line_before_training(wrong, message, tmp_path):
    folder = write(tmp_path / "data", PAIR, PAIR | {"prompt": "of all of them"}, wrong)
    (folder / "val.jsonl").write_text(json.dumps(PAIR))
    with pytest.raises(ValueError, match=message):
        finetune_decoder.main(tiny(folder, tmp_path / "run", vocab_size=260))
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_what_is_too_long_is_cut_where_that_is_asked_for(tmp_path, capsys):
    messages = [
        (Message("user", "one"), Message("assistant", "two " * 9)),
        (Message("user", "one " * 9), Message("assistant", "two")),
    ]
    part = finetune_decoder.data.Conversations("train.jsonl", messages, [1, 2])
    tokenizer, template = (
        text.ByteTokenizer(extra_ids=0),
        text.ChatTemplate(("", ""), *[("", "")] * 2),
    )
    settings = tiny(tmp_path, tmp_path / "run", max_length=20, truncate=True)
    records = finetune_decoder.encode(settings, tokenizer, template, part)
    assert [len(ids) for ids in records.ids] == [20] and records.talks == messages[:1]
    assert (records.labels[0] >= 0).sum() == 18  # "one" asks; the first letter is learned from it
    assert "2 of 2 records were cut to 20 tokens" in capsys.readouterr().out


def test_packed_records_lose_nothing_and_need_fewer_slots(folder, tmp_path):
    parts = {}
    for packing in (False, True):
        settings = tiny(folder, tmp_path / "run", packing=packing)
        train, *_ = finetune_decoder.read_corpus(settings)
        tokenizer = finetune_decoder.make_tokenizer(settings, train)
        records = finetune_decoder.encode(settings, tokenizer, text.CHATML, train)
        batches = finetune_decoder.plan(settings, tokenizer, records)
        labels = np.concatenate([batches.batch(0, i)[1].ravel() for i in range(len(batches))])
        parts[packing] = sorted(labels[labels >= 0].tolist())
        assert ("segment_ids" in batches.batch(0, 0)[0]) == packing
    assert parts[True] == parts[False]


def test_texts_are_cut_at_a_share_of_their_letters():
    assert finetune_decoder.cut(["aaaa", "bbbb", "cc"], 0.6) == (["aaaa", "bb"], ["bb", "cc"])
    assert finetune_decoder.cut(["aaaaaaaaab"], 0.9) == (["aaaaaaaaa"], ["b"])


def test_the_librarys_questions_are_answered_by_the_call():
    train, valid = library_questions.conversations()
    assert len(train) > 3000 and len(train) == pytest.approx(9 * len(valid), rel=0.01)
    found = [
        {messages[0].content.split("`")[1]: messages for messages in part.messages}
        for part in (train, valid)
    ]
    assert set(found[0]).isdisjoint(found[1])
    messages = (found[0] | found[1])["textwrap.fill(text, width=70, **kwargs)"]
    said = {
        answering.ask(question.content): answer.content
        for question, answer in zip(messages[::2], messages[1::2], strict=True)
    }
    assert said == {
        library_questions.ARGUMENTS: "text, width, **kwargs",
        library_questions.OPTIONAL: "width",
        library_questions.MODULE: "textwrap",
        library_questions.WHAT: "Fill a single paragraph of text, returning a new string.",
    }


# Scores


def test_scores_are_those_of_the_logits():
    config = models.DecoderConfig(
        vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16, initializer_range=0.5
    )
    model = models.CausalLM(config)
    ids = [[5, 6, 7, 8], [9, 5]]
    labels = [[-100, 7, 8, 3], [5, 3]]
    batches = finetune_decoder.data.RecordBatches(
        ids, token_labels=labels, batch_size=2, shuffle=False
    )
    scores = answering.Scorer(model).scores(batches)
    losses, right = [], []
    for own, wanted in zip(ids, labels, strict=True):
        logits = np.array(model(np.array([own])), "float64")[0]
        logs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        losses += [-logs[i, y] for i, y in enumerate(wanted) if y >= 0]
        right += [logits[i].argmax() == y for i, y in enumerate(wanted) if y >= 0]
    assert scores["perplexity"] == pytest.approx(np.exp(np.mean(losses)), rel=1e-5)
    assert scores["token_accuracy"] == pytest.approx(100 * np.mean(right))


def test_a_guess_knows_how_often_tokens_are_there():
    train = finetune_decoder.Records([], [np.array([-100, 1, 1]), np.array([2])], [])
    tested = finetune_decoder.Records([], [np.array([1, -100, 3])], [])
    found = answering.guess(train, tested, vocab_size=5)
    assert found["perplexity_guess"] == pytest.approx(np.sqrt(8 / 3 * 8))  # 3/8 and 1/8
    assert found["token_accuracy_guess"] == 50.0


# Settings


@pytest.mark.parametrize(
    "preset, changes, message",
    [
        ("lora", {}, "lora_rank needs --from-checkpoint"),
        ("lora", {"from_checkpoint": "x", "freeze_blocks": 1}, "freeze_blocks are for lora_rank 0"),
        ("text", {}, "--from-checkpoint is missing; recipes.pretrain_decoder starts anew"),
        ("files", {"data_dir": None}, "--data-dir is missing"),
        ("quickstart", {}, "--data-dir must be left out, as corpus 'library' is made on the spot"),
        ("files", {"epochs": 0}, "epochs must be at least 1; got 0"),
        ("files", {"answer_length": 0}, "answer_length must be at least 1; got 0"),
        ("files", {"answer_length": 96}, "answer_length 96: .* at most 95"),
        ("files", {"num_answers": -1}, "num_answers must be at least 0; got -1"),
        ("files", {"tokens_per_batch": 7}, r"tokens_per_batch must be at least \d+, .*; got 7"),
        ("files", {"chat_template": "checkpoint"}, "chat_template checkpoint needs --from-check"),
        ("files", {"from_checkpoint": "x"}, "x"),
    ],
)
def test_wrong_settings_are_refused_before_training(preset, changes, message, folder, tmp_path):
    with pytest.raises((ValueError, OSError), match=message):
        finetune_decoder.main(tiny(folder, tmp_path / "run", preset, **changes))


def test_a_checkpoint_is_looked_at_before_its_tokenizer(folder, tmp_path):
    """Which may have no end of answers at all, as that of an encoder."""
    config = models.EncoderConfig(
        vocab_size=40, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16, max_length=96
    )
    text.WordPieceTokenizer.train([["one two ! ?"]], 18).save(tmp_path / "base")
    for family, message in ((None, "holds a MaskedLM"), ("bert", "bert has no CausalLM")):
        models.MaskedLM(config).save_pretrained(tmp_path / "base", family=family)
        settings = tiny(folder, tmp_path / "run", from_checkpoint=str(tmp_path / "base"))
        with pytest.raises(ValueError, match=f"--from-checkpoint .*{message}"):
            finetune_decoder.main(settings)


def test_a_small_text_fills_a_smaller_vocabulary(folder, tmp_path, capsys):
    settings = tiny(folder, tmp_path / "run", vocab_size=4000)
    train, *_ = finetune_decoder.read_corpus(settings)
    size = finetune_decoder.make_tokenizer(settings, train).vocab_size
    assert 256 < size < 4000
    assert f"fills a vocabulary of {size}, not of 4000" in capsys.readouterr().out


def test_all_validation_batches_have_as_many_rows(tmp_path):
    """Else the mean over rows, which Keras takes, is not that over targets."""
    settings = tiny(tmp_path, tmp_path / "run", num_shapes=4, tokens_per_batch=96)
    lengths = [8] * 40 + [30] * 10
    ids = [np.full(length, 5, np.int32) for length in lengths]
    records = finetune_decoder.Records(ids, ids, [])
    tokenizer = text.ByteTokenizer(extra_ids=0)
    batches = finetune_decoder.plan(settings, tokenizer, records, shuffle=False)
    rows = {batches.batch(0, step)[0]["token_ids"].shape[0] for step in range(len(batches))}
    assert len(rows) == 1


def test_answers_may_be_longer_than_a_generators_default(tmp_path):
    asked = []

    class Generator:
        max_length, tokenizer = 400, text.ByteTokenizer(extra_ids=0)

        def __call__(self, prompts, max_new_tokens):
            asked.append(max_new_tokens)
            return [tasks.text_generator.Continuation("two", 0.0) for _ in prompts]

    talk = [Message("user", "one"), Message("assistant", "two")]
    settings = tiny(tmp_path, tmp_path / "run", answer_length=200)
    answers = answering.Answers(settings, text.CHATML, [talk], [talk])
    answers.generate(Generator())
    assert asked == [200] and answers.scores()["exact_match"] == 100


def test_a_checkpoint_of_another_style_is_named(folder, base, tmp_path):
    config = models.EncoderConfig(
        vocab_size=400, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=16, max_length=96
    )
    for family, message in (
        (None, "holds a MaskedLM; a decoder"),
        ("bert", "bert has no CausalLM"),
    ):
        path = tmp_path / str(family)
        models.MaskedLM(config).save_pretrained(path, family=family)
        text.Tokenizer.load(base).save(path)
        with pytest.raises(ValueError, match=f"--from-checkpoint .*{family}.*{message}"):
            finetune_decoder.main(tiny(folder, tmp_path / "run", from_checkpoint=str(path)))


def test_a_checkpoint_of_shorter_texts_is_named(folder, base, tmp_path):
    settings = tiny(folder, tmp_path / "run", from_checkpoint=str(base), max_length=97)
    with pytest.raises(ValueError, match="max_length must be at most that of .*, 96; got 97"):
        finetune_decoder.main(settings)


def test_too_little_text_is_said_with_its_file(base, tmp_path):
    path = tmp_path / "tiny.txt"
    path.write_text("a", "utf-8")
    settings = tiny(path, tmp_path / "run", "text", from_checkpoint=str(base))
    with pytest.raises(ValueError, match=r"tiny\.txt: too little text"):
        finetune_decoder.main(settings)
    one = write(tmp_path / "one", PAIR)
    with pytest.raises(ValueError, match=r"train\.jsonl: 1 record"):
        finetune_decoder.main(tiny(one, tmp_path / "run"))


def test_templates_are_chosen_by_what_the_checkpoint_has(base, tmp_path):
    settings = tiny(tmp_path, tmp_path / "run", from_checkpoint=str(base))
    tokenizer = text.Tokenizer.load(base)
    assert decoders.choose_template(settings, tokenizer) == text.CHATML
    plain = dataclasses.replace(settings, chat_template="plain")
    assert decoders.choose_template(plain, tokenizer) == text.ChatTemplate()
    without = text.ByteTokenizer()
    assert decoders.choose_template(settings, without) == text.ChatTemplate()
    for choice, message in (("chatml", "needs a tokenizer"), ("checkpoint", "no chat template")):
        with pytest.raises(ValueError, match=message):
            other = dataclasses.replace(settings, chat_template=choice)
            decoders.choose_template(other, without)


def test_settings_come_from_the_command_line(tmp_path):
    arguments = ["lora", "--run-dir", str(tmp_path), "--lora-targets", "query", "output"]
    settings = runs.command_line("finetune_decoder", finetune_decoder.PRESETS, arguments)
    assert settings.lora_targets == ("query", "output") and settings.lora_rank == 8
