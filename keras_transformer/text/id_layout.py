"""The ids that published families of models give to the pieces of a SentencePiece model.

A SentencePiece model numbers its pieces, and few families take these numbers as they are: fairseq's
have four special ids in front, Pegasus' more than a hundred, mBART's language codes behind, and
Marian's come from a file of their own. `FAMILIES` has one line for each; what a folder's
`tokenizer_config.json` says (names of special tokens, number of extra ids, language) fills it in.
"""

from dataclasses import dataclass

from keras_transformer.text.added_tokens import AddedToken
from keras_transformer.text.mbart_languages import MBART, MBART_50
from keras_transformer.text.settings import DECODER, token_text
from keras_transformer.text.template import FIRST, SECOND, Template

PLAIN_ROLES = ("pad", "unk", "bos", "eos")


@dataclass(frozen=True)
class IdLayout:
    """Which id each piece has in a model, and what else has one.

    Args:
        piece_ids: for each piece of the SentencePiece model its id.
        vocab_size: number of ids.
        roles: the special ids by their role, `"pad"`, `"unk"`, and so on.
        added: the `AddedToken`s, which are found in text.
        template: the `Template` of a model's input.
        language: the id of the template's language, -1 where it has none.
        prefix: when a text's first word gets the `▁` of a word: None as the SentencePiece model
            says, before and after added tokens alike; else as `prepend_scheme` of Hugging Face's
            `Metaspace`: `"always"`, `"first"` (not after an added token) or `"never"`, and not
            where it starts with a space already.
        words: the string of each id, where ids are those of strings and not of pieces.
        bare_offsets: whether a piece's place leaves out the white space that its `▁` stands for, as
            with Hugging Face's tokenizers that split text there; a `▁` alone then has the place of
            the character after it.
    """

    piece_ids: tuple[int, ...]
    vocab_size: int
    roles: dict[str, int]
    added: tuple[AddedToken, ...] = ()
    template: Template = Template()
    language: int = -1
    prefix: str | None = None
    words: tuple[str, ...] = ()
    bare_offsets: bool = False


@dataclass(frozen=True)
class Family:
    """How a family arranges its ids.

    Args:
        file_name: the SentencePiece model's file.
        place: a function of (pieces, settings, words) that returns the id of each piece, a
            dictionary of further tokens to ids, and the ids' number.
        tokens: the special tokens by role, where the settings do not name others.
        single, pair: the template, in roles; `bos?` stands there if `add_bos_token` says so.
        lstrip: the roles whose tokens take the white space before them.
        languages: its language codes.
        prefix: a function of the settings that returns `IdLayout.prefix`.
        bare_offsets: as of `IdLayout`.
    """

    file_name: str
    place: object
    tokens: dict[str, str]
    single: str
    pair: str
    lstrip: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    prefix: object = lambda settings: None
    bare_offsets: bool = False


def plain_layout(processor) -> IdLayout:
    """The pieces' own ids; special tokens are never found in text."""
    roles = {role: getattr(processor, f"{role}_id")() for role in PLAIN_ROLES}
    size = processor.get_piece_size()
    return IdLayout(tuple(range(size)), size, roles)


def layout_of(processor, settings: dict, words=()) -> IdLayout:
    """The layout of a family.

    Args:
        processor: the `sentencepiece.SentencePieceProcessor`.
        settings: the content of `tokenizer_config.json`; `tokenizer_class` names the family.
        words: the string of each id, for families with such a file.

    Raises:
        ValueError: the class is not known, or the model does not fit it, or an added token has
            another id than in the model.
    """
    family = family_of(settings)
    pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    piece_ids, further, size = family.place(pieces, settings, words)
    declared = {int(i): token for i, token in (settings.get(DECODER) or {}).items()}
    ids = {**dict(zip(pieces, piece_ids, strict=True)), **further}
    ids = {**{token_text(token): i for i, token in declared.items()}, **ids}
    names = {
        role: token_text(settings.get(f"{role}_token", t)) for role, t in family.tokens.items()
    }
    roles = {role: ids[name] for role, name in names.items() if name in ids}
    found = {}
    if not words:
        further |= {piece: ids[piece] for i, piece in enumerate(pieces) if processor.is_control(i)}
        found = {name: AddedToken(name, id) for name, id in further.items()}
    for role, name in names.items():
        if name in ids:
            found[name] = _added(name, ids[name], settings.get(f"{role}_token"), role, family)
    for id, token in declared.items():
        name = token_text(token)
        if ids[name] != id:
            raise ValueError(
                f"The added token {name!r} must have the model's own id {ids[name]}; "
                f"{DECODER}, or another file of the folder, has it as {id}."
            )
        if token.get("special") or not _is_own(processor, pieces, name):
            found[name] = _added(name, id, token)
    language = settings.get("src_lang") or ("en_XX" if family.languages else None)
    if language is not None and language in family.languages:
        roles["lang"] = ids[language]
    return IdLayout(
        tuple(piece_ids),
        max([size, *(token.id + 1 for token in found.values())]),
        roles,
        tuple(found.values()),
        Template(*(_parts(notation, roles, settings) for notation in (family.single, family.pair))),
        roles.pop("lang", -1),
        family.prefix(settings),
        tuple(words),
        family.bare_offsets,
    )


def family_of(settings: dict) -> Family:
    """The `Family` that `tokenizer_class` names."""
    name = str(settings.get("tokenizer_class")).removesuffix("Fast")
    if name not in FAMILIES:
        raise ValueError(
            f"tokenizer_class must be one of {sorted(FAMILIES)} for a SentencePiece model; "
            f"got {settings.get('tokenizer_class')!r}."
        )
    return FAMILIES[name]


def _identity(pieces, settings, words):
    return range(len(pieces)), {}, len(pieces)


def _with_extra_ids(pieces, settings, words):
    """T5: `<extra_id_0>` is the last id, `<extra_id_1>` the one before."""
    number = settings.get("extra_ids", 100)
    size = len(pieces) + number
    extra = {f"<extra_id_{i}>": size - 1 - i for i in range(number)}
    return range(len(pieces)), extra, size


def _fairseq(pieces, settings, words, codes=()):
    """fairseq: its own four first, then the pieces but for the model's own three."""
    if pieces[:3] != ["<unk>", "<s>", "</s>"]:
        raise ValueError(f"The model must begin with <unk>, <s>, </s>; it does with {pieces[:3]}.")
    piece_ids = [3, 0, 2, *range(4, len(pieces) + 1)]
    size = len(pieces) + 1
    further = {"<pad>": 1, **{code: size + i for i, code in enumerate(codes)}}
    size += len(codes)
    return piece_ids, {**further, token_text(settings.get("mask_token", "<mask>")): size}, size + 1


def _mbart(pieces, settings, words):
    return _fairseq(pieces, settings, words, MBART)


def _mbart_50(pieces, settings, words):
    return _fairseq(pieces, settings, words, MBART_50)


def _camembert(pieces, settings, words):
    """CamemBERT: fairseq's four first, and all pieces but `<unk>` after them."""
    unused = {"<s>NOTUSED": 0, "<pad>": 1, "</s>NOTUSED": 2, "<unk>NOTUSED": 4}
    size = len(pieces) + 4
    mask = token_text(settings.get("mask_token", "<mask>"))
    return [3, *range(5, size)], {**unused, mask: size}, size + 1


def _pegasus(pieces, settings, words):
    """Pegasus: pad and eos, masks, and unused ids up to its offset, then the other pieces."""
    offset = settings.get("offset", 103)
    sentence = token_text(settings.get("mask_token_sent", "<mask_1>"))
    masks = [sentence, token_text(settings.get("mask_token", "<mask_2>"))]
    further = {mask: 2 + i for i, mask in enumerate(masks)}
    further |= {f"<unk_{i}>": i + 2 for i in range(2, offset)}
    ids = [0, 1, *(i + offset for i in range(2, len(pieces)))]
    return ids, further, len(pieces) + offset


def _marian(pieces, settings, words):
    """Marian: a file has the id of every string; a piece that is not in it is unknown."""
    ids = {word: i for i, word in enumerate(words)}
    unknown = token_text(settings.get("unk_token", "<unk>"))
    if unknown not in ids:
        raise ValueError(f"vocab.json must have the unknown token {unknown!r}; it has not.")
    return [ids.get(piece, ids[unknown]) for piece in pieces], ids, len(words)


def _metaspace(settings):
    if settings.get("add_prefix_space") is False:
        return "never"
    return "always" if settings.get("legacy", False) else "first"


_ENDS = {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"}
_BERT = {**_ENDS, "bos": "<s>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}
_LLAMA = {"unk": "<unk>", "bos": "<s>", "eos": "</s>", "pad": None}
_T5 = Family("spiece.model", _with_extra_ids, _ENDS, "A eos", "A eos B eos", bare_offsets=True)
_XLM = ("sentencepiece.bpe.model", _fairseq, _BERT, "cls A sep", "cls A sep sep B sep")
FAMILIES = {
    "T5Tokenizer": _T5,
    "MT5Tokenizer": _T5,
    "XLMRobertaTokenizer": Family(*_XLM, bare_offsets=True),
    "CamembertTokenizer": Family(
        _XLM[0], _camembert, *_XLM[2:], lstrip=("mask",), bare_offsets=True
    ),
    "MBartTokenizer": Family(
        _XLM[0],
        _mbart,
        _BERT,
        "A eos lang",
        "A B eos lang",
        ("mask",),
        MBART,
        bare_offsets=True,
    ),
    "MBart50Tokenizer": Family(
        _XLM[0], _mbart_50, _BERT, "lang A eos", "lang A B eos", ("mask",), MBART_50
    ),
    "PegasusTokenizer": Family(
        "spiece.model", _pegasus, {**_ENDS, "mask": "<mask_2>"}, "A eos", "A B eos"
    ),
    "MarianTokenizer": Family("source.spm", _marian, _ENDS, "A eos", "A B eos"),
    "LlamaTokenizer": Family(
        "tokenizer.model",
        _identity,
        _LLAMA,
        "bos? A eos?",
        "bos? A eos? bos?:1 B:1 eos?:1",
        prefix=_metaspace,
    ),
}
# What config.json's `model_type` says of folders that name no tokenizer.
MODEL_TYPES = {
    "t5": {"tokenizer_class": "T5Tokenizer"},
    "mt5": {"tokenizer_class": "T5Tokenizer", "extra_ids": 0},
    "xlm-roberta": {"tokenizer_class": "XLMRobertaTokenizer"},
    "camembert": {"tokenizer_class": "CamembertTokenizer"},
    "mbart": {"tokenizer_class": "MBartTokenizer"},
    "pegasus": {"tokenizer_class": "PegasusTokenizer"},
    "marian": {"tokenizer_class": "MarianTokenizer"},
    "llama": {"tokenizer_class": "LlamaTokenizer"},
    "mistral": {"tokenizer_class": "LlamaTokenizer"},
}


def _parts(notation, roles, settings):
    """`"cls A sep"` as the parts of a `Template`."""
    defaults = {"bos?": True, "eos?": False}
    parts = []
    for name, segment in ((part + ":0").split(":")[:2] for part in notation.split()):
        role = name.rstrip("?")
        if name in defaults and not settings.get(f"add_{role}_token", defaults[name]):
            continue
        if role not in (FIRST, SECOND) and role not in roles:
            raise ValueError(f"The tokenizer has no {role} token, which its template needs.")
        parts.append((roles.get(role, role), int(segment)))
    return tuple(parts)


def _added(name, id, flags, role=None, family=None):
    if not isinstance(flags, dict):
        return AddedToken(name, id, lstrip=family is not None and role in family.lstrip)
    if flags.get("single_word"):
        raise ValueError(f"The added token {name!r} is for whole words only: not supported.")
    strips = {key: bool(flags.get(key)) for key in ("lstrip", "rstrip")}
    return AddedToken(name, id, role is not None or bool(flags.get("special")), **strips)


def _is_own(processor, pieces, name):
    """Whether SentencePiece itself finds the token, as one of its user-defined symbols."""
    id = processor.piece_to_id(name)
    special = processor.is_control(id) or processor.is_unknown(id)
    return pieces[id] == name and not special
