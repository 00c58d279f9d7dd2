"""Byte-level BPE: GPT-2's tokenizer, and those of RoBERTa, BART, Llama 3 and Qwen."""

import json
from dataclasses import dataclass, field

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from keras_transformer.text import files
from keras_transformer.text.engine import EngineTokenizer, add_declared_tokens, check_class
from keras_transformer.text.settings import token_text
from keras_transformer.text.tokenizer import clean

VOCABULARY, MERGES = "vocab.json", "merges.txt"

# What cuts a text into words. GPT-2's is the one that a ByteLevel of the library has built in.
GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_PATTERN = LLAMA3_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")


@dataclass(frozen=True)
class Style:
    """How a published family cuts text, and which special tokens it has.

    Args:
        pattern: the regular expression of a word; None is GPT-2's.
        tokens: special tokens by role.
        extra: special tokens without a role.
        single, pair: the input of a model, as `TemplateProcessing` takes it; "" adds nothing.
        normalizer: what is done to text first, or None.
        trim_offsets: whether the offsets of a word leave out its space.
        ignore_merges: whether a word that is in the vocabulary is one token without merges.
    """

    pattern: str | None = None
    tokens: dict = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    single: str = ""
    pair: str = ""
    normalizer: type | None = None
    trim_offsets: bool = True
    ignore_merges: bool = False


_ROBERTA = Style(
    tokens={
        "bos": "<s>",
        "pad": "<pad>",
        "eos": "</s>",
        "unk": "<unk>",
        "cls": "<s>",
        "sep": "</s>",
        "mask": "<mask>",
    },
)
STYLES = {
    "gpt2": Style(tokens=dict.fromkeys(("bos", "eos", "unk"), "<|endoftext|>")),
    "roberta": _ROBERTA,
    "bart": _ROBERTA,
    "llama3": Style(
        LLAMA3_PATTERN,
        {"bos": "<|begin_of_text|>", "eos": "<|end_of_text|>"},
        single="<|begin_of_text|> $A",
        pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
        ignore_merges=True,
    ),
    "qwen2": Style(
        QWEN2_PATTERN,
        {"eos": "<|endoftext|>", "pad": "<|endoftext|>"},
        extra=("<|im_start|>", "<|im_end|>"),
        normalizer=normalizers.NFC,
        trim_offsets=False,
    ),
}
# The style of a folder without tokenizer.json, by the start of its tokenizer_class.
CLASSES = {
    "GPT2": "gpt2",
    "CodeGen": "gpt2",
    "Roberta": "roberta",
    "Longformer": "roberta",
    "Bart": "bart",
    "LED": "bart",
    "Qwen2": "qwen2",
}


class BytePairTokenizer(EngineTokenizer):
    """Cuts text into words, and spells each with pairs of bytes that were merged by frequency.

    Every byte is a token, so that nothing is unknown, and decoding gives the text back: exactly
    for all but `"qwen2"`, whose text comes back in Unicode's normal form C, and with
    `add_prefix_space`, which leaves its space in front.

    Args:
        definition: the content of a `tokenizer.json`, as a string.
        settings: the content of a `tokenizer_config.json` as a dictionary. Its
            `add_prefix_space`, where there is one, wins over the definition's.

    Raises:
        ValueError: `definition` is no `tokenizer.json`, or not of a byte-level BPE.

    Example:

    >>> from keras_transformer import text
    >>> tokenizer = text.BytePairTokenizer.train([["a dog runs", "a dog eats"]], vocab_size=260)
    >>> tokenizer.pieces(tokenizer.encode("a dog é"))
    ['a', 'Ġdog', 'Ġ', 'Ã', '©']
    >>> tokenizer.decode(tokenizer.encode("a dog é"))
    'a dog é'

    Reference:
        Radford et al., Language Models are Unsupervised Multitask Learners (2019), section 2.2
    """

    MODEL = "BPE"

    @classmethod
    def train(
        cls,
        sources,
        vocab_size: int,
        style: str = "gpt2",
        *,
        add_prefix_space: bool = False,
        special_tokens=(),
        min_frequency: int = 2,
    ) -> "BytePairTokenizer":
        """Learns a vocabulary. The same text and settings give the same one.

        Args:
            sources: a path, or a list whose items are each the path of a UTF-8 file (`.gz` is
                unpacked) or a list of lines.
            vocab_size: number of ids: special tokens, 256 bytes and merges.
            style: `"gpt2"`, `"roberta"`, `"bart"`, `"llama3"` or `"qwen2"`: the pattern of a word,
                special tokens and template of that family.
            add_prefix_space: whether a text's first word is spelled as if a space were before it.
            special_tokens: more of them, which the text's own tokens never equal.
            min_frequency: how often a pair must be there to be merged.

        Raises:
            FileNotFoundError: a source is not there.
            ValueError: invalid UTF-8 (with file and line), no text at all, a `vocab_size` that the
                text cannot fill (with the limit), a bad setting.
        """
        if style not in STYLES:
            raise ValueError(f"style must be one of {sorted(STYLES)}; got {style!r}.")
        chosen = STYLES[style]
        if add_prefix_space and chosen.pattern is not None:
            raise ValueError(f"add_prefix_space=True is not possible with style={style!r}.")
        if isinstance(special_tokens, str):
            raise TypeError(f"special_tokens must be a list; got {special_tokens!r}")
        special = list(dict.fromkeys([*chosen.tokens.values(), *chosen.extra, *special_tokens]))
        least = len(special) + 256
        if isinstance(vocab_size, bool) or not isinstance(vocab_size, int) or vocab_size < least:
            raise ValueError(
                f"vocab_size must be an integer of at least {least}, the special tokens and "
                f"256 bytes; got {vocab_size!r}."
            )
        lines = [clean(line) for line in files.read_lines(sources)]
        if not any(map(str.strip, lines)):
            raise ValueError("sources has no text to train on: every line is blank.")
        engine = tokenizers.Tokenizer(models.BPE(ignore_merges=chosen.ignore_merges))
        _set_words(engine, chosen, add_prefix_space)
        engine.train_from_iterator(
            lines,
            trainers.BpeTrainer(
                vocab_size=vocab_size,
                min_frequency=min_frequency,
                special_tokens=[_special(token) for token in special],
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                show_progress=False,
            ),
        )
        if engine.get_vocab_size() < vocab_size:
            raise ValueError(
                f"vocab_size={vocab_size} is more than this text can fill; the largest possible "
                f"is {engine.get_vocab_size()}."
            )
        _set_template(engine, chosen, add_prefix_space)
        settings = {f"{role}_token": token for role, token in chosen.tokens.items()}
        settings |= {"tokenizer_class": "PreTrainedTokenizerFast"}
        return cls(engine.to_str(), settings | {"add_prefix_space": add_prefix_space})

    @classmethod
    def _engine_of_vocabulary(cls, folder, settings):
        missing = [name for name in (VOCABULARY, MERGES) if not (folder / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{folder} has no {files.TOKENIZER}, and not both of {VOCABULARY} and {MERGES}: "
                f"{' and '.join(missing)} is not there."
            )
        check_class(settings, folder, lambda kind: any(map(kind.startswith, CLASSES)))
        vocabulary = files.read_json_object(folder / VOCABULARY)
        merges = _read_merges(folder / MERGES)
        style = STYLES[_style_name(settings, vocabulary)]
        try:
            model = models.BPE(vocabulary, merges, ignore_merges=style.ignore_merges)
        except Exception as error:  # the library raises nothing more exact
            raise ValueError(f"{folder / MERGES} does not fit {VOCABULARY}: {error}.") from None
        engine = tokenizers.Tokenizer(model)
        prefix = bool(settings.get("add_prefix_space", False))
        _set_words(engine, style, prefix)
        for role, token in style.tokens.items():
            if token in vocabulary:
                settings[f"{role}_token"] = settings.get(f"{role}_token") or token
        add_declared_tokens(engine, settings, folder)
        special = [token for token in style.tokens.values() if token in vocabulary]
        engine.add_special_tokens([_special(token) for token in special])
        _set_template(engine, style, prefix)
        if style is STYLES["gpt2"] and settings.get("add_bos_token"):  # as OPT has it
            _put_first(engine, token_text(settings["bos_token"]))
        return engine

    def _vocabulary_files(self):
        model = json.loads(self.get_config()["definition"])["model"]
        pairs = (m if isinstance(m, str) else " ".join(m) for m in model["merges"])
        return {
            VOCABULARY: json.dumps(model["vocab"], ensure_ascii=False).encode(),
            MERGES: "".join(f"{line}\n" for line in ("#version: 0.2", *pairs)).encode(),
        }

    def _read(self, engine, settings, name):
        if not isinstance(engine.decoder, decoders.ByteLevel):
            raise ValueError(f"{name} is not of a byte-level BPE: its decoder is no ByteLevel.")
        if isinstance(settings.get("add_prefix_space"), bool):
            _set_prefix(engine, settings["add_prefix_space"])
        super()._read(engine, settings, name)

    def graph_twin(self):
        """This tokenizer as a `tf.Module` for TensorFlow graphs: same ids, offsets, text.

        Raises:
            ImportError: where tensorflow-text is not installed.
            ValueError: for a pattern of words other than GPT-2's, Llama 3's and Qwen 2's, or
                another part that TensorFlow's operations are not written for.
        """
        from keras_transformer.text.graph_byte_pair import GraphBytePairTokenizer

        return GraphBytePairTokenizer(self)


def _set_words(engine, style, add_prefix_space):
    """What comes before and after the merges."""
    if style.normalizer is not None:
        engine.normalizer = style.normalizer()
    cut = pre_tokenizers.ByteLevel(
        add_prefix_space=add_prefix_space,
        trim_offsets=style.trim_offsets,
        use_regex=style.pattern is None,
    )
    if style.pattern is not None:
        words = pre_tokenizers.Split(tokenizers.Regex(style.pattern), "isolated")
        cut = pre_tokenizers.Sequence([words, cut])
    engine.pre_tokenizer = cut
    engine.decoder = decoders.ByteLevel()


def _set_template(engine, style, add_prefix_space):
    """The special tokens around a text, as far as the vocabulary has them."""
    trim = processors.ByteLevel(
        add_prefix_space=add_prefix_space, trim_offsets=style.trim_offsets, use_regex=False
    )
    engine.post_processor = trim
    if "cls" in style.tokens:
        sep, cls = style.tokens["sep"], style.tokens["cls"]
        ids = engine.token_to_id(sep), engine.token_to_id(cls)
        if None not in ids:
            engine.post_processor = processors.RobertaProcessing(
                (sep, ids[0]), (cls, ids[1]), style.trim_offsets, add_prefix_space
            )
    elif style.single:
        bos = style.tokens["bos"]
        template = processors.TemplateProcessing(
            single=style.single, pair=style.pair, special_tokens=[(bos, engine.token_to_id(bos))]
        )
        engine.post_processor = processors.Sequence([trim, template])


def _put_first(engine, token):
    """Puts a special token before each text."""
    template = processors.TemplateProcessing(
        single=f"{token} $A",
        pair=f"{token} $A {token} $B",
        special_tokens=[(token, engine.token_to_id(token))],
    )
    engine.post_processor = processors.Sequence([engine.post_processor, template])


def _set_prefix(engine, wanted):
    """Sets `add_prefix_space` as `transformers` does: where text is cut, and in RoBERTa's end."""
    for name, kinds in (
        ("pre_tokenizer", ("ByteLevel",)),
        ("post_processor", ("RobertaProcessing",)),
    ):
        part = getattr(engine, name)
        content = json.loads(part.__getstate__()) if part is not None else {}
        steps = content.get("pretokenizers") or content.get("processors") or [content]
        changed = [s for s in steps if s.get("type") in kinds and s["add_prefix_space"] != wanted]
        for step in changed:
            step["add_prefix_space"] = wanted
        if changed:
            part.__setstate__(json.dumps(content).encode())
            setattr(engine, name, part)


def _special(token):
    """A special token; the mask takes the spaces before it, as RoBERTa's does."""
    return tokenizers.AddedToken(token, lstrip=token == "<mask>", special=True)


def _read_merges(path):
    lines = files.read_text(path).split("\n")
    lines = [line.removesuffix("\r") for line in lines[lines[0].startswith("#version") :]]
    merges = [tuple(line.split(" ")) for line in lines if line]
    for number, merge in enumerate(merges, start=1):
        if len(merge) != 2:
            raise ValueError(f"{path} must have two symbols a line; merge {number} is {merge}.")
    return merges


def _style_name(settings, vocabulary):
    kind = settings.get("tokenizer_class") or ""
    for start, name in CLASSES.items():
        if kind.startswith(start):
            return name
    return "roberta" if {"<s>", "</s>"} <= vocabulary.keys() else "gpt2"
