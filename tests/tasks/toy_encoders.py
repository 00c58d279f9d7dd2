"""Small encoders with random weights, and a tokenizer that can be followed by hand."""

import functools
import re

import keras
import numpy as np

from keras_transformer import models, tasks, text

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = "a the dog cat sat on mat in Rome Ber lin runs and eat s . , ? ' 1 19 é ü 日 本".split()
PIECE = re.compile(r"\[MASK\]|[一-鿿]|[^\W一-鿿]{1,3}|[^\w\s]")
BIO = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
LINES = [
    "the dog sat on the mat .",
    "",
    "a",
    "Berlin and Rome, 1919?",
    "  the cat\teats  ",
    "unheard of: xyzzyx's dog",
    "日本 é-ü dog",
]


class ToyTokenizer(text.Tokenizer):
    """Words in pieces of up to three characters; what is not in `WORDS` is `[UNK]`."""

    pad_id, unk_id, cls_id, sep_id, mask_id = range(5)
    template = text.Template.of([2, "A", 3], [2, "A", 3, "B:1", "3:1"])
    vocab = (*SPECIAL, *WORDS)

    @property
    def vocab_size(self):
        return len(self.vocab)

    def _encode(self, lines):
        return [ids for ids, _ in self._encode_with_offsets(lines)]

    def _encode_with_offsets(self, lines):
        found = []
        for line in lines:
            pieces = list(PIECE.finditer(line))
            found.append(([self.id_of(m[0]) for m in pieces], [m.span() for m in pieces]))
        return found

    def _decode(self, rows):
        return [" ".join(self.pieces(row)) for row in rows]

    def pieces(self, ids):
        return [self.vocab[i] for i in ids]

    def id_of(self, piece):
        return self.vocab.index(piece) if piece in self.vocab else self.unk_id

    def graph_twin(self):
        from toy_graph import GraphToyTokenizer

        return GraphToyTokenizer(self)

    def save(self, folder):
        raise NotImplementedError

    def get_config(self):
        return {}


class Bare(ToyTokenizer):
    """No special tokens around a text; one to start from."""

    template = text.Template()
    bos_id = 2


def config(max_length=61, **settings):
    sizes = dict(num_layers=1, hidden_dim=14, num_heads=2, ffn_dim=13, initializer_range=0.7)
    return models.EncoderConfig(
        vocab_size=ToyTokenizer().vocab_size + 2,
        num_segments=2,
        max_length=max_length,
        **{**sizes, **settings},
    )


@functools.cache
def classifier(problem="single_label", num_classes=3, labels=None, max_length=None):
    keras.utils.set_random_seed(5)
    model = models.SequenceClassifier(config(), num_classes, problem=problem, labels=labels)
    return tasks.TextClassifier(model, ToyTokenizer(), max_length)


@functools.cache
def tagger(max_length=None, labels=BIO):
    keras.utils.set_random_seed(6)
    model = models.TokenClassifier(config(), len(labels), labels=labels)
    return tasks.EntityTagger(model, ToyTokenizer(), max_length)


@functools.cache
def answerer(max_length=None):
    keras.utils.set_random_seed(7)
    return tasks.QuestionAnswerer(models.SpanExtractor(config()), ToyTokenizer(), max_length)


@functools.cache
def embedder(max_length=None, **settings):
    keras.utils.set_random_seed(8)
    return tasks.TextEmbedder(
        models.SentenceEmbedder(config(), **settings), ToyTokenizer(), max_length
    )


@functools.cache
def filler(max_length=None):
    keras.utils.set_random_seed(9)
    return tasks.MaskFiller(models.MaskedLM(config()), ToyTokenizer(), max_length)


@functools.cache
def generator(max_length=None, vocab_size=30, decoding=None):
    keras.utils.set_random_seed(4)
    config = models.DecoderConfig(
        vocab_size=vocab_size, num_layers=1, hidden_dim=14, num_heads=2, ffn_dim=13, max_length=31,
        initializer_range=0.7, eos_id=3,
    )  # fmt: skip
    return tasks.TextGenerator(models.CausalLM(config), Bare(), max_length, decoding)


def outputs(task, first, second=None):
    """The model's output for one input alone, unpadded: (T, ...) or (...)."""
    encoding = task.tokenizer.template.apply(
        (list(first), None), None if second is None else (list(second), None)
    )
    inputs = {
        "token_ids": np.array([encoding.ids], np.int32),
        "segment_ids": np.array([encoding.segments], np.int32),
    }
    return keras.ops.convert_to_numpy(task.model(inputs))[0].astype("float64")


def softmax(logits, axis=-1):
    exp = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return exp / exp.sum(axis=axis, keepdims=True)
