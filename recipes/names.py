"""Names of territories, languages and currencies in 40 languages: a corpus without download.

The Unicode CLDR knows what each language calls the others, the world's territories and its
currencies; babel carries its tables. A name that several languages share, such as "Angola", does
not tell its language, and is left out where names are classified.

    >>> name = named("de")[0]
    >>> name.text, name.kind, name.language
    ('Andorranische Pesete', 'currency', 'de')
"""

import collections
import random
from functools import cache
from typing import NamedTuple

from recipes import dates

LANGUAGES = {**dates.LANGUAGES, "da": "Danish", "sr": "Serbian", "ur": "Urdu"}
KINDS = ("territory", "language", "currency")


class Name(NamedTuple):
    """What a language calls something.

    Attributes:
        text: the name.
        language: CLDR locale.
        kind: one of `KINDS`.
        code: of ISO, the same in all languages.
    """

    text: str
    language: str
    kind: str
    code: str


class Split(NamedTuple):
    """Three lists of `Name`."""

    train: list
    validation: list
    test: list


@cache
def named(language):
    """All names that a language has, in the order of kind and code.

    Raises:
        ImportError: babel is not installed (extra `recipes`).
    """
    locale = dates._babel().Locale.parse(language)
    tables = {
        "language": locale.languages,
        "territory": {k: v for k, v in locale.territories.items() if not k.isdigit()},
        "currency": locale.currencies,
    }
    return tuple(
        Name(text, language, kind, code)
        for kind in sorted(tables)
        for code, text in sorted(tables[kind].items())
        if text and text != code
    )


def corpus(seed=0, held_out=0.1, languages=tuple(LANGUAGES)):
    """Names that tell their language, in three parts which have no territory and so on in common.

    Args:
        seed: of the draw.
        held_out: share of the codes for validation, and as many for the test.
        languages: CLDR locales.

    Returns:
        `Split`, each part in random order.

    Example:

    >>> train, validation, test = corpus(languages=["de", "fr"])
    >>> {name.code for name in train if name.kind == "territory"} & {
    ...     name.code for name in test if name.kind == "territory"}
    set()
    """
    found = [name for language in languages for name in named(language)]
    owners = collections.defaultdict(set)
    for name in found:
        owners[name.text].add(name.language)
    found = [name for name in found if len(owners[name.text]) == 1]
    things = sorted({(name.kind, name.code) for name in found})
    rng = random.Random(seed)
    rng.shuffle(things)
    size = int(held_out * len(things))
    part_of = {thing: 2 for thing in things[:size]}
    part_of |= {thing: 1 for thing in things[size : 2 * size]}
    parts, seen = Split([], [], []), set()
    for name in found:
        if name.text not in seen:  # a language may use one name twice
            seen.add(name.text)
            parts[part_of.get((name.kind, name.code), 0)].append(name)
    for part in parts:
        rng.shuffle(part)
    return parts
