"""The family of a `tokenizer.json` that comes without `tokenizer_class`, where it is sure.

A family is told by its first pieces, and confirmed by all else that it decides: the template, the
language codes, and how text is normalised and split. What is only alike is nobody's.
"""

import re

from keras_transformer.text.id_layout import FAMILIES
from keras_transformer.text.mbart_languages import MBART, MBART_50
from keras_transformer.text.template import FIRST, SECOND

# The first pieces of each family's vocabulary
BEGINNINGS = {
    "LlamaTokenizer": ("<unk>", "<s>", "</s>"),
    "CamembertTokenizer": ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>"),
    "XLMRobertaTokenizer": ("<s>", "<pad>", "</s>", "<unk>"),
    "MBartTokenizer": ("<s>", "<pad>", "</s>", "<unk>"),
    "MBart50Tokenizer": ("<s>", "<pad>", "</s>", "<unk>"),
    "PegasusTokenizer": ("<pad>", "</s>", "<mask_1>", "<mask_2>"),
    "T5Tokenizer": ("<pad>", "</s>", "<unk>"),
}
LANGUAGES = {"MBartTokenizer": MBART, "MBart50Tokenizer": MBART_50}
# What SentencePiece's own normalisation becomes, and its cutting at spaces
NORMALIZERS = {"Precompiled", "Replace", "Strip"}
SPLITTERS = {"WhitespaceSplit", "Metaspace"}


def infer_settings(content: dict) -> dict:
    """The settings of the one family that a `tokenizer.json` can be of; empty where none is sure.

    Args:
        content: that of the file.
    """
    try:
        return _infer(content, content["model"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return {}  # its parts are not of the form that any family's have


def _infer(content, model):
    single, pair = _templates(content.get("post_processor"))
    if model.get("type") == "BPE":
        found = [_llama(content, model, single)]
    else:
        found = [_unigram(name, content, model, single) for name in BEGINNINGS]
    fitting = [s for s in found if s and _fits(s, single, pair)]
    return fitting[0] if len(fitting) == 1 else {}


def _llama(content, model, single):
    """Llama's settings, or None: bytes for what is unknown, and text put together from spaces."""
    pieces = model.get("vocab") or {}
    names = tuple(sorted(pieces, key=pieces.get)[:3])
    cut, join = _steps(content.get("pre_tokenizer")), _types(content.get("decoder"))
    if names != BEGINNINGS["LlamaTokenizer"] or not model.get("byte_fallback"):
        return None
    if content.get("normalizer") is not None or [step.get("type") for step in cut] != ["Metaspace"]:
        return None  # as in the first files of Llama, which put a space before every part
    scheme = cut[0].get("prepend_scheme")
    if "ByteFallback" not in join or ("Strip" in join) != (scheme != "never"):
        return None
    settings = {"add_bos_token": "<s>" in single, "add_eos_token": "</s>" in single}
    schemes = {"first": {}, "always": {"legacy": True}, "never": {"add_prefix_space": False}}
    if scheme not in schemes:
        return None
    return {"tokenizer_class": "LlamaTokenizer", **settings, **schemes[scheme]}


def _unigram(name, content, model, single):
    """The settings of the family of this name, or None where the model is none of its."""
    names = [piece for piece, _ in model.get("vocab") or ()]
    first, unknown = BEGINNINGS[name], model.get("unk_id")
    if model.get("type") != "Unigram" or tuple(names[: len(first)]) != first:
        return None
    if unknown is None or names[unknown] != "<unk>" or model.get("byte_fallback"):
        return None
    cut = _steps(content.get("pre_tokenizer"))
    spaces = [step for step in cut if step.get("type") == "Metaspace"]
    if len(spaces) != 1 or not set(_types(content.get("pre_tokenizer"))) <= SPLITTERS:
        return None
    # older files say the same as add_prefix_space
    always = spaces[0].get("prepend_scheme", "always") == "always"
    if not always or spaces[0].get("add_prefix_space") is False:
        return None
    if not set(_types(content.get("normalizer"))) <= NORMALIZERS:
        return None
    settings = {"tokenizer_class": name}
    if name == "T5Tokenizer":
        return {**settings, "extra_ids": _number_of_extra_ids(names)}
    if name == "PegasusTokenizer":
        return {**settings, "offset": unknown - 2}
    codes = LANGUAGES.get(name, ())
    if names[len(names) - len(codes) - 1 :] != [*codes, "<mask>"]:
        return None
    spoken = [part for part in single if part in codes]
    if codes:
        return {**settings, "src_lang": spoken[0]} if len(spoken) == 1 else None
    return settings


def _number_of_extra_ids(names):
    """How many `<extra_id_...>` there are at the end."""
    number = 0
    while re.fullmatch(f"<extra_id_{number}>", names[-1 - number]):
        number += 1
    return number


def _fits(settings, single, pair):
    """Whether the template is the family's."""
    family = FAMILIES[settings["tokenizer_class"]]
    names = {**family.tokens, "lang": settings.get("src_lang"), FIRST: FIRST, SECOND: SECOND}
    for notation, found in ((family.single, single), (family.pair, pair)):
        roles = [part.partition(":")[0] for part in notation.split()]
        kept = [r for r in roles if r[-1] != "?" or settings[f"add_{r[:-1]}_token"]]
        if [names[role.rstrip("?")] for role in kept] != found:
            return False
    return True


def _templates(processor):
    """The template of one text and of two: the names of special tokens, `"A"` and `"B"`."""
    if processor is None:
        return [FIRST], [FIRST, SECOND]
    if _types(processor) != ["TemplateProcessing"]:
        return [], []
    [template] = _steps(processor)
    return [[_part(part) for part in template.get(kind) or ()] for kind in ("single", "pair")]


def _part(part):
    [content] = part.values()
    return content["id"]


def _steps(part):
    """The parts of a sequence, or the one part."""
    if not isinstance(part, dict):
        return []
    for key in ("normalizers", "pretokenizers", "processors", "decoders"):
        if key in part:
            return [step for inner in part[key] for step in _steps(inner)]
    return [part]


def _types(part):
    return [step.get("type") for step in _steps(part)]
