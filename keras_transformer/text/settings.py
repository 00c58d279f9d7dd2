"""What the small files of a folder say of its tokenizer, checked where it is read.

transformers has kept added tokens in three places: `added_tokens_decoder` in
`tokenizer_config.json`, `added_tokens.json`, and `added_tokens` in `tokenizer.json`. Here they come
together, as `added_tokens_decoder`.
"""

from pathlib import Path

from keras_transformer.text import files

ROLES = ("pad", "unk", "bos", "eos", "cls", "sep", "mask")
DECODER = "added_tokens_decoder"
EXTRA = ("additional_special_tokens", "extra_special_tokens")
FLAGS = ("lstrip", "normalized", "rstrip", "single_word", "special")


def read_settings(folder) -> dict:
    """What `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` say together.

    Raises:
        ValueError: a file is broken, a field is of a wrong type, or two files contradict each
            other about an added token.
    """
    folder, found = Path(folder), {}
    for name in (files.SPECIAL_TOKENS, files.SETTINGS):
        if (folder / name).is_file():
            read = files.read_json_object(folder / name)
            check_settings(read, folder / name)
            # a role that is null in one file may be told in the other
            found |= {key: value for key, value in read.items() if found.get(key) is None or value}
    path = folder / files.ADDED_TOKENS
    if path.is_file():
        found = with_added_tokens(found, _tokens_by_text(path, found), path)
    return found


def with_added_tokens(settings: dict, tokens: dict, path) -> dict:
    """The settings with more tokens in their `added_tokens_decoder`; those there keep their flags.

    Args:
        settings: the content of a `tokenizer_config.json`.
        tokens: dictionaries of a token's `content` and flags, by id.
        path: the file that they come from, for the error.

    Raises:
        ValueError: a token has another id there, or its id another token.
    """
    decoder = dict(settings.get(DECODER) or {})
    names = {int(id): token["content"] for id, token in decoder.items()}
    ids = {name: id for id, name in names.items()}
    for id, token in tokens.items():
        name = token["content"]
        if names.get(id, name) != name or ids.get(name, id) != id:
            other = f"{names[id]!r} as {id}" if id in names else f"it as {ids[name]}"
            raise ValueError(
                f"{path} has the added token {name!r} as id {id}; another file beside it, such as "
                f"{files.SETTINGS}, has {other}."
            )
        if id not in names:
            names[id], ids[name], decoder[str(id)] = name, id, token
    return {**settings, DECODER: decoder} if decoder else settings


def definition_tokens(content: dict, path) -> dict:
    """The added tokens of a `tokenizer.json` by id.

    Args:
        content: that of the file.
        path: the file, for the error.

    Raises:
        ValueError: they are not as they should be.
    """
    tokens = content.get("added_tokens") or []
    if not isinstance(tokens, list):
        raise _error(path, "added_tokens", "a list", tokens)
    for token in tokens:
        if not _is_flagged(token) or not _is_id(token.get("id")):
            raise _error(path, "added_tokens", 'objects with "id" and "content"', token)
    return {token["id"]: {k: v for k, v in token.items() if k != "id"} for token in tokens}


def check_known(settings: dict, ids: dict, folder):
    """Refuses added tokens that a tokenizer of fixed tokens has not, or has with another id.

    Args:
        settings: with their `added_tokens_decoder`.
        ids: those of the tokenizer, by the token's text.
        folder: what the error calls the folder.

    Raises:
        ValueError: there is such a token.
    """
    for id, token in (settings.get(DECODER) or {}).items():
        if ids.get(token["content"]) != int(id):
            raise ValueError(
                f"{folder} has the added token {token['content']!r} with id {id}; this kind of "
                f"tokenizer has its own tokens alone, with the ids from {min(ids.values())} to "
                f"{max(ids.values())}."
            )


def check_settings(settings: dict, name):
    """Refuses a field whose type is not the one that it has in a `tokenizer_config.json`.

    Args:
        settings: the fields; those that are not known are let through.
        name: the file or the argument, for the error.

    Raises:
        ValueError: a field is of another type.
    """
    for field, (is_right, allowed) in FIELDS.items():
        if field in settings and not is_right(settings[field]):
            raise _error(name, field, allowed, settings[field])
    for id, token in (settings.get(DECODER) or {}).items():
        if not (str(id).isascii() and str(id).isdigit()) or not _is_flagged(token):
            allowed = 'ids with objects that have "content" and flags'
            raise _error(name, DECODER, allowed, {id: token})


def token_text(token):
    """The text of a token, which the files write alone or with its flags."""
    return token["content"] if isinstance(token, dict) else token


def _tokens_by_text(path, settings):
    """The tokens of `added_tokens.json`; they are special where the settings name them."""
    special = {token_text(settings.get(f"{role}_token")) for role in ROLES}
    for field in EXTRA:
        more = settings.get(field) or []
        special |= {
            token_text(token) for token in (more.values() if isinstance(more, dict) else more)
        }
    found = {}
    for name, id in files.read_json_object(path).items():
        if not _is_id(id) or not name:
            raise ValueError(f"{path} must have ids, integers from 0 on; got {name!r}: {id!r:.80}.")
        if id in found:
            raise ValueError(f"{path} has id {id} twice: {found[id]['content']!r} and {name!r}.")
        flags = {"normalized": name not in special, "special": name in special}
        found[id] = {"content": name, **flags}
    return found


def _error(name, field, allowed, value):
    return ValueError(f"{name} must have {allowed} as {field!r}; got {value!r:.80}.")


def _is_id(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_flagged(token):
    """Whether it is a dictionary of a token's text and flags."""
    return (
        isinstance(token, dict)
        and isinstance(token.get("content"), str)
        and all(isinstance(token.get(flag, False), bool) for flag in FLAGS)
    )


def _is_token(value):
    return value is None or isinstance(value, str) or _is_flagged(value)


def _are_tokens(value):
    items = value.values() if isinstance(value, dict) else value
    return value is None or (isinstance(value, list | dict) and all(map(_is_token, items)))


def _is_text(value):
    return value is None or isinstance(value, str)


def _is_switch(value):
    return isinstance(value, bool)


def _is_switch_or_null(value):
    return value is None or isinstance(value, bool)


def _is_number(value):
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


_TOKEN = (_is_token, 'a string or an object with "content"')
_TOKENS = (_are_tokens, "a list or an object of tokens")
_TEXT = (_is_text, "a string")
_SWITCH = (_is_switch, "true or false")
_SWITCH_OR_NULL = (_is_switch_or_null, "true, false or null")
_COUNT = (_is_id, "an integer from 0 on")
FIELDS = {
    **{f"{role}_token": _TOKEN for role in ROLES},
    **dict.fromkeys(EXTRA, _TOKENS),
    "mask_token_sent": _TOKEN,
    "tokenizer_class": _TEXT,
    "src_lang": _TEXT,
    "model_max_length": (_is_number, "a number"),
    "extra_ids": _COUNT,
    "offset": _COUNT,
    "do_lower_case": _SWITCH,
    "tokenize_chinese_chars": _SWITCH,
    "strip_accents": _SWITCH_OR_NULL,
    "add_prefix_space": _SWITCH_OR_NULL,
    "add_bos_token": _SWITCH_OR_NULL,
    "add_eos_token": _SWITCH_OR_NULL,
    "legacy": _SWITCH_OR_NULL,
    DECODER: (lambda value: value is None or isinstance(value, dict), "an object"),
}
"""For each field that is read: whether a value is right, and what is, in words."""
