"""All seven tasks with tokenizers trained on real text, and strings to ask them."""

import io
import json
import random

import fuzz
import keras
import numpy as np
import sentencepiece

from keras_transformer import models, tasks, text

MAX_LENGTH = 64
SIZES = dict(num_layers=1, hidden_dim=16, num_heads=2, ffn_dim=24, max_length=MAX_LENGTH)
VOCAB_SIZE = 900
LABELS = ("bad", "fair", "good")
BIO = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
ODD = [
    b"", b" ", b"\t\n", b"a", b"\x00", b"\xff", b"a \xff dog", b"\xe2\x82", b"\xed\xa0\x80",
    b"\xc0\xaf", b"'", b'""', b"\\n", b"##ing ##", b"a" * 150, b"the " * 200, b"1,234.56 $ 50%",
    b"[SEP] [CLS] [PAD]", b"<s> </s> <mask> <pad>", b"<|endoftext|>", "▁▁ ▁a".encode(),
    "\ufeffa dog".encode(), "日本 é ü".encode(), "e\u0301 \u200d \u202eabc".encode(),
    "\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd \u2764\ufe0f".encode(),
]  # fmt: skip


def corpora(data_dir):
    """Real lines by where they are from: sentences, tweets, contexts, questions, German."""
    lines = (data_dir / "sst2/dev.tsv").read_text("utf-8").splitlines()[1:]
    tagged = (data_dir / "wnut17/emerging.dev.conll").read_text("utf-8").split("\n\n")
    tweets = [" ".join(row.split("\t")[0] for row in own.split("\n") if row) for own in tagged]
    articles = json.loads((data_dir / "xquad/xquad.en.json").read_text("utf-8"))["data"]
    asked = [
        (question["question"], paragraph["context"])
        for article in articles
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    german = sorted((data_dir / "multi30k/raw").rglob("*val*.de"))[0]
    return {
        "sentences": [line.rpartition("\t")[0] or line for line in lines],
        "tweets": [line for line in tweets if line],
        "asked": asked,
        "german": german.read_text("utf-8").splitlines(),
    }


def real_strings(data_dir, count=1000):
    """Real strings, and odd ones among them, as bytes, of which some are malformed UTF-8."""
    found = corpora(data_dir)
    contexts = sorted({context for _, context in found["asked"]})
    odd = [*ODD, *fuzz.byte_strings(60, seed=3)]
    rng = random.Random(5)
    kinds = (found["sentences"], found["tweets"], contexts, found["german"])
    shares = (0.35, 0.25, 0.1, 0.3)
    real = count - len(odd)
    chosen = [
        line.encode()
        for lines, share in zip(kinds, shares, strict=True)
        for line in rng.sample(lines, round(real * share))
    ]
    chosen = [*chosen[:real], *odd]
    rng.shuffle(chosen)
    return chosen


def real_questions(data_dir, count=1000):
    """Questions and contexts, as many lists of bytes, odd ones among them."""
    rng = random.Random(7)
    asked = [(q.encode(), c.encode()) for q, c in corpora(data_dir)["asked"]]
    odd = [(rng.choice(ODD), rng.choice(ODD)) for _ in range(40)]
    chosen = [*rng.sample(asked, count - 2 * len(odd)), *odd]
    chosen += [(rng.choice(asked)[0], line) for line, _ in odd]
    rng.shuffle(chosen)
    return tuple(map(list, zip(*chosen, strict=True)))


def xlm_roberta(lines):
    """A SentencePiece tokenizer with XLM-R's ids, special tokens and template."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, minloglevel=2, num_threads=2,
        vocab_size=VOCAB_SIZE, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
    )  # fmt: skip
    return text.SentencePieceTokenizer(
        model.getvalue(), {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 512}
    )


def sharpened(model, seed):
    """The model with weights so far from 0 that no two answers are nearly as good."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(weight + rng.normal(0, 0.35, weight.shape))
    return model


def encoder(tokenizer, **settings):
    """An encoder's configuration that fits a tokenizer."""
    sizes = {**SIZES, "vocab_size": tokenizer.vocab_size + 3, "initializer_range": 0.6}
    return models.EncoderConfig(**{**sizes, **settings})


def make_tasks(data_dir):
    """{name: task}, of every kind of task, and of tokenizers of every kind."""
    found = corpora(data_dir)
    lines = [*found["sentences"], *found["tweets"], *(c for _, c in found["asked"][::5])]
    keras.utils.set_random_seed(11)
    uncased = text.WordPieceTokenizer.train([lines], VOCAB_SIZE, limit_alphabet=200)
    cased = text.WordPieceTokenizer.train([lines], VOCAB_SIZE, False, limit_alphabet=200)
    xlmr = xlm_roberta(lines)
    roberta = text.BytePairTokenizer.train([lines], VOCAB_SIZE, "roberta")
    gpt2 = text.BytePairTokenizer.train([lines], VOCAB_SIZE, "gpt2")
    unigram = text.SentencePieceTokenizer.train(
        [lines], VOCAB_SIZE, "unigram", character_coverage=0.999
    )
    pieces = text.SentencePieceTokenizer.train([found["german"], lines], VOCAB_SIZE,
                                               character_coverage=0.999)  # fmt: skip
    decoder = models.DecoderConfig(
        **SIZES, vocab_size=gpt2.vocab_size, eos_id=gpt2.eos_id, initializer_range=0.6,
    )  # fmt: skip
    transformer = models.TransformerConfig(
        vocab_size=VOCAB_SIZE, num_encoder_layers=1, num_decoder_layers=1, hidden_dim=16,
        num_heads=2, ffn_dim=24, max_length=MAX_LENGTH,
    )  # fmt: skip
    return {
        "classifier": tasks.TextClassifier(
            sharpened(
                models.SequenceClassifier(encoder(uncased, num_segments=2), 3, labels=LABELS), 1
            ),
            uncased,
        ),
        "tagger": tasks.EntityTagger(
            sharpened(models.TokenClassifier(encoder(xlmr), len(BIO), labels=BIO), 2), xlmr
        ),
        "answerer": tasks.QuestionAnswerer(
            sharpened(models.SpanExtractor(encoder(roberta)), 3), roberta
        ),
        "embedder": tasks.TextEmbedder(
            sharpened(models.SentenceEmbedder(encoder(unigram)), 4), unigram
        ),
        "filler": tasks.MaskFiller(
            sharpened(models.MaskedLM(encoder(cased, num_segments=2)), 5), cased
        ),
        "generator": tasks.TextGenerator(sharpened(models.CausalLM(decoder), 6), gpt2),
        "translator": tasks.Translator(sharpened(models.Seq2SeqLM(transformer), 7), pieces),
    }


def masked(strings, mask):
    """The strings with a mask in the place of a word of each, or none where there is no space."""
    rng = random.Random(9)
    found = []
    for string in strings:
        words = string.split(b" ")
        for _ in range(rng.choice((0, 1, 1, 2)) if len(words) > 1 else 0):
            words[rng.randrange(len(words))] = mask.encode()
        found.append(b" ".join(words))
    return found
