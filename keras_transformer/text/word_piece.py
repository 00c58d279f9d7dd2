"""WordPiece: BERT's way to cut text into subwords."""

import json
from collections import Counter
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from keras_transformer.text import files
from keras_transformer.text.engine import EngineTokenizer, add_declared_tokens, check_class
from keras_transformer.text.settings import token_text
from keras_transformer.text.tokenizer import clean

VOCABULARY = "vocab.txt"
CONTINUING = "##"
SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
MPNET_TOKENS = {
    "pad_token": "<pad>",
    "unk_token": "[UNK]",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "mask_token": "<mask>",
}
# How BERT's normaliser is set where the settings do not say another: the settings' names for it
NORMALIZATION = {
    "lowercase": ("do_lower_case", True),
    "strip_accents": ("strip_accents", None),
    "handle_chinese_chars": ("tokenize_chinese_chars", True),
}
# The classes that make transformers set it so, whatever `tokenizer.json` says; with "Fast" too
BERT_CLASSES = tuple(
    f"{name}Tokenizer"
    for name in (
        "Bert", "ConvBert", "DistilBert", "DPRContextEncoder", "DPRQuestionEncoder", "Electra",
        "LayoutLM", "Lxmert", "MobileBert", "MPNet", "SqueezeBert",
    )
)  # fmt: skip


class WordPieceTokenizer(EngineTokenizer):
    """Cuts words into the longest pieces that a vocabulary has, from the left.

    Text is normalised as BERT does it (control characters go, and, where the vocabulary is
    lower-cased, accents), cut at white space and around punctuation and Chinese characters, and
    each word into pieces; those that continue a word begin with `##`. A word that the pieces
    cannot spell, or of more than 100 characters, is `[UNK]`.

    Tokenizers made by `train` have the special ids pad 0, unk 1, cls 2, sep 3 and mask 4. Special
    tokens are found in text: the string `"[MASK]"` is the mask.

    Args:
        definition: the content of a `tokenizer.json`, as a string. Use `train` or `load`.
        settings: the content of a `tokenizer_config.json`. As in transformers, `do_lower_case`,
            `strip_accents` and `tokenize_chinese_chars` win over the definition's where
            `tokenizer_class` is BERT's or alike, also by their defaults, true, null and true.
            Without a class those win that are there; with another one the definition stands.

    Raises:
        ValueError: `definition` is no `tokenizer.json` of a WordPiece model.

    Example:

    >>> from keras_transformer import text
    >>> lines = ["a dog runs", "a dog eats"]
    >>> tokenizer = text.WordPieceTokenizer.train([lines], vocab_size=30)
    >>> tokenizer.decode(tokenizer.encode("A dog runs"))
    'a dog runs'
    >>> [encoding] = tokenizer(["a dog"], ["[MASK]"])
    >>> tokenizer.pieces(encoding.ids)[-3:]
    ['[SEP]', '[MASK]', '[SEP]']

    Reference:
        Devlin et al., BERT (2018), https://arxiv.org/abs/1810.04805
    """

    MODEL = "WordPiece"

    @classmethod
    def train(
        cls,
        sources,
        vocab_size: int,
        lowercase: bool = True,
        *,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        limit_alphabet: int | None = None,
    ) -> "WordPieceTokenizer":
        """Learns a vocabulary. The same text and settings give the same one.

        Args:
            sources: a list whose items are each the path of a UTF-8 file (`.gz` is unpacked) or a
                list of lines. A bare path is one source.
            vocab_size: number of ids, special ids included.
            lowercase: whether case is dropped.
            strip_accents: whether accents are; by default with the case.
            tokenize_chinese_chars: whether each Chinese character is a word.
            limit_alphabet: how many characters, the most frequent, become pieces; by default all.

        Raises:
            FileNotFoundError: a source is not there.
            ValueError: invalid UTF-8 (with file and line), no text at all, a `vocab_size` that the
                text cannot fill or that cannot hold its characters (with the limit).
        """
        if isinstance(vocab_size, bool) or not isinstance(vocab_size, int) or vocab_size < 1:
            raise ValueError(f"vocab_size must be a positive integer, got {vocab_size!r}.")
        if limit_alphabet is not None and limit_alphabet < 1:
            raise ValueError(f"limit_alphabet must be positive or None, got {limit_alphabet}.")
        settings = {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": lowercase,
            "strip_accents": strip_accents,
            "tokenize_chinese_chars": tokenize_chinese_chars,
            **SPECIAL_TOKENS,
        }
        unknown = SPECIAL_TOKENS["unk_token"]
        lines = [clean(line) for line in files.read_lines(sources) if line.strip()]
        learner = _bert_engine(models.WordPiece(unk_token=unknown), settings)
        vocabulary = _learn(learner, lines, vocab_size, limit_alphabet)
        engine = _bert_engine(models.WordPiece(vocabulary, unk_token=unknown), settings)
        _finish(engine, SPECIAL_TOKENS, settings)
        return cls(engine.to_str(), settings)

    def graph_twin(self):
        """This tokenizer as a `tf.Module` for TensorFlow graphs: same ids, same text.

        It has `tokenize(strings (B,)) -> RaggedTensor (B, None) int32`, `tokenize_with_offsets`,
        which adds starts and ends in characters, and `detokenize(ids) -> strings (B,)`.

        Raises:
            ImportError: where tensorflow-text is not installed.
            ValueError: for a `tokenizer.json` with other parts than BERT's.
        """
        from keras_transformer.text.graph_word_piece import GraphWordPieceTokenizer

        return GraphWordPieceTokenizer(self)

    @classmethod
    def _engine_of_vocabulary(cls, folder: Path, settings: dict):
        path = folder / VOCABULARY
        if not path.is_file():
            raise FileNotFoundError(f"{folder} has neither {files.TOKENIZER} nor {VOCABULARY}.")
        check_class(settings, folder, lambda kind: kind.removesuffix("Fast") in BERT_CLASSES)
        files.read_text(path)  # for its errors
        vocabulary = models.WordPiece.read_file(str(path))
        # MPNet's vocabulary is BERT's, [CLS] included, and its own tokens
        usual = MPNET_TOKENS if {"<s>", "<mask>"} <= vocabulary.keys() else SPECIAL_TOKENS
        named = {key: token_text(settings.get(key) or token) for key, token in usual.items()}
        model = models.WordPiece(vocabulary, unk_token=named["unk_token"])
        engine = _bert_engine(model, settings)
        # before the special tokens, which may be among them
        add_declared_tokens(engine, settings | named, folder)
        _finish(engine, named, settings)
        settings |= {key: settings.get(key) or token for key, token in named.items()}
        return engine

    def _read(self, engine, settings, name):
        _set_normalization(engine, settings)
        super()._read(engine, settings, name)
        unknown = engine.model.unk_token
        if engine.token_to_id(unknown) is None:
            raise ValueError(f"{name} has no {unknown!r} in its vocabulary, for unknown words.")

    def _vocabulary_files(self):
        # Only the model's own tokens; those that were added stand in the JSON files.
        pieces = self.engine.get_vocab(with_added_tokens=False)
        in_order = sorted(pieces, key=pieces.get)
        if list(map(pieces.get, in_order)) != list(range(len(pieces))):
            return {}  # a list of lines cannot say this
        return {VOCABULARY: "".join(f"{piece}\n" for piece in in_order).encode()}


def _bert_engine(model, settings):
    """BERT's steps around a WordPiece model, but for the special tokens."""
    engine = tokenizers.Tokenizer(model)
    engine.normalizer = normalizers.BertNormalizer(clean_text=True, **_normalization(settings))
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.decoder = decoders.WordPiece(prefix=CONTINUING)
    return engine


def _normalization(settings):
    """The arguments of a `BertNormalizer`, and their defaults where the settings lack one."""
    return {name: settings.get(key, usual) for name, (key, usual) in NORMALIZATION.items()}


def _set_normalization(engine, settings):
    """Sets BERT's normaliser as `transformers` does; one of another kind stays."""
    normalizer = engine.normalizer
    if not isinstance(normalizer, normalizers.BertNormalizer):
        return
    wanted, kind = {"clean_text": True} | _normalization(settings), settings.get("tokenizer_class")
    if kind is None:
        said = {name for name, (key, _) in NORMALIZATION.items() if key in settings}
        wanted = {name: wanted[name] for name in said}
    elif kind.removesuffix("Fast") not in BERT_CLASSES:
        return
    content = json.loads(normalizer.__getstate__())
    if content | wanted != content:
        names = [*NORMALIZATION, "clean_text"]
        engine.normalizer = normalizers.BertNormalizer(**{n: (content | wanted)[n] for n in names})


def _finish(engine, named, settings):
    """Makes the special tokens found in text, and puts them around it."""
    mpnet = named["cls_token"] == MPNET_TOKENS["cls_token"]
    for key, token in named.items():
        # MPNet's mask takes the space before it along
        added = tokenizers.AddedToken(token, lstrip=mpnet and key == "mask_token", special=True)
        engine.add_special_tokens([added])
    ends = [
        (token, engine.token_to_id(token)) for token in (named["sep_token"], named["cls_token"])
    ]
    engine.post_processor = (
        processors.RobertaProcessing(*ends, trim_offsets=True, add_prefix_space=False)
        if mpnet
        else processors.BertProcessing(*ends)
    )


def _learn(engine, lines, vocab_size, limit_alphabet):
    """The vocabulary that `tokenizers` learns, made to depend on the text alone."""
    words = Counter()
    for line in lines:
        normal = engine.normalizer.normalize_str(line)
        words.update(word for word, _ in engine.pre_tokenizer.pre_tokenize_str(normal))
    if not words:
        raise ValueError("sources has no text to train on: every line is blank.")
    characters = Counter()
    for word, count in words.items():
        for character in word:
            characters[character] += count
    ranked = sorted(characters, key=lambda c: (-characters[c], c))
    alphabet = set(ranked[:limit_alphabet])
    continuing = {c for word in words for c in word[1:]} & alphabet
    # The trainer numbers continuing characters in the order of a hash table that each process
    # seeds anew, and breaks ties by number: as special tokens they have theirs beforehand.
    first = [*SPECIAL_TOKENS.values(), *(CONTINUING + c for c in sorted(continuing))]
    least = len(first) + len(alphabet)
    if vocab_size < least:
        raise ValueError(
            f"vocab_size={vocab_size} cannot hold the characters of this text; the smallest "
            f"possible is {least} (or set limit_alphabet)."
        )
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=first,
        initial_alphabet=sorted(alphabet),
        limit_alphabet=len(alphabet),
        continuing_subword_prefix=CONTINUING,
        show_progress=False,
    )
    engine.train_from_iterator(lines, trainer)
    vocabulary = engine.get_vocab(with_added_tokens=False)
    if len(vocabulary) < vocab_size:
        raise ValueError(
            f"vocab_size={vocab_size} is more than this text can fill; "
            f"the largest possible is {len(vocabulary)}."
        )
    return vocabulary
