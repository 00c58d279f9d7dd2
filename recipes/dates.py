"""A parallel corpus that needs no download: dates in 37 languages and 17 scripts, and in English.

The Unicode CLDR knows how each language writes a date in full, at length and in medium length;
babel carries its tables. A source is such a date in the Gregorian calendar, in the words, order
and digits of its language; its target says the same in one English form:

    শনিবার, ২১ নভেম্বর, ২০২৬             ->  Saturday, 21 November 2026
    2026. november 21., szombat      ->  Saturday, 21 November 2026
    21 de novembro de 2026           ->  21 November 2026
    2026年11月21日                    ->  21 November 2026

What the target says, the source says too: a source without a weekday has a target without one,
so that the job is to translate and never to compute a calendar.

Nothing tells the model which language it reads, so a source must have one meaning in all of them
together. Two kinds of sources have more, and are left out:

- A date in figures with the year last, such as 03.04.2026, where day and month could trade
  places: it is April in Germany and March in the United States. 21.11.2026 stays, and so do
  2026/03/04 and 2026年3月4日: no language puts the day between year and month.
- A month's name that is another month in another of the languages, in the same form of date:
  "25 Mar 2026" is March in Turkish and May in Teso. The 37 languages have none. (Polish
  "listopada" is November and Croatian "listopada." October: the full stop tells them apart.)

    >>> pairs = corpus(train_size=1000, languages=["de", "he", "ja"]).train
    >>> len(pairs.source), pairs.target[0][-4:].isdigit()
    (1000, True)
"""

import datetime
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

LANGUAGES = {  # CLDR locale: the language's English name
    "am": "Amharic",
    "ar_EG": "Arabic (Egypt)",
    "bn": "Bangla",
    "cs": "Czech",
    "cy": "Welsh",
    "de": "German",
    "el": "Greek",
    "es": "Spanish",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hu": "Hungarian",
    "hy": "Armenian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ka": "Georgian",
    "ko": "Korean",
    "lt": "Lithuanian",
    "mr": "Marathi",
    "my": "Burmese",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
FORMS = ("full", "long", "medium")

# babel writes every number with ASCII digits; CLDR says which digits a language uses.
ZERO = {"latn": "0", "arab": "٠", "arabext": "۰", "beng": "০", "deva": "०", "mymr": "၀"}


class Pairs(NamedTuple):
    """Sentence pairs: line i of `source` is `language[i]` for the English line i of `target`."""

    source: list[str]
    target: list[str]
    language: list[str]


class Corpus(NamedTuple):
    """Three parts that share no calendar date."""

    train: Pairs
    validation: Pairs
    test: Pairs


def corpus(
    train_size: int = 80_000,
    validation_size: int = 1_000,
    test_size: int = 2_000,
    seed: int = 0,
    languages: Sequence[str] = tuple(LANGUAGES),
    years: tuple[int, int] = (1900, 2099),
) -> Corpus:
    """Dates in many languages with their English, divided by calendar date into three parts.

    Languages and forms take turns, so that each has its share in each part. The result is a
    function of the arguments (and of the CLDR version that babel carries).

    Args:
        train_size, validation_size, test_size: pairs in each part. All sources are distinct.
        seed: of the choice of dates.
        languages: CLDR locales, `LANGUAGES` by default.
        years: the first and the last one.

    Returns:
        A `Corpus` of three `Pairs`.

    Raises:
        ValueError: a language that CLDR does not have or whose digits are not in `ZERO`, years
            out of 1..9999, a negative size, or more pairs than the dates give.
        ImportError: babel is not installed (extra `recipes`).

    Example:
        >>> train, validation, test = corpus(train_size=100, test_size=3, languages=["sw", "ta"])
        >>> len(train.source), len(validation.source), test.language
        (100, 1000, ['sw', 'ta', 'sw'])

    Reference: Unicode Technical Standard 35, Unicode Locale Data Markup Language, part 4: Dates.
    """
    first, last = years
    if not 1 <= first <= last <= 9999:
        raise ValueError(f"years: got {years}, allowed are 1 <= first <= last <= 9999")
    if not languages:
        raise ValueError("languages: got none, at least one is needed")
    sizes = dict(train_size=train_size, validation_size=validation_size, test_size=test_size)
    for name, size in sizes.items():
        if size < 0:
            raise ValueError(f"{name}: got {size}, allowed is 0 or more")
    for language in languages:
        _check(language)

    start = datetime.date(first, 1, 1).toordinal()
    stop = datetime.date(last, 12, 31).toordinal() + 1
    days = [datetime.date.fromordinal(day) for day in range(start, stop)]
    random.Random(seed).shuffle(days)
    held_out = test_size + validation_size
    if held_out >= len(days):
        raise ValueError(
            f"test_size + validation_size: got {held_out} dates, but years {first} to {last} "
            f"have {len(days)}, and at least one must be left to train on"
        )

    turns = [(language, form) for form in FORMS for language in languages]
    homographs = ambiguous_months(tuple(languages))

    def draw(name: str, days: list[datetime.date], size: int) -> Pairs:
        pairs, seen = Pairs([], [], []), set()
        for date, (language, form) in _take_turns(days, turns):
            if len(seen) == size:
                break
            source = write(date, form, language)
            if (
                source in seen
                or (language, form, date.month) in homographs
                or has_two_readings(date, form, language)
            ):
                continue
            seen.add(source)
            pairs.source.append(source)
            pairs.target.append(english(date, form))
            pairs.language.append(language)
        if len(seen) < size:
            raise ValueError(
                f"{name}: asked for {size:,} distinct pairs, but {len(days):,} dates in "
                f"{len(languages)} languages give {len(seen):,}"
            )
        return pairs

    return Corpus(
        train=draw("train_size", days[held_out:], train_size),
        validation=draw("validation_size", days[test_size:held_out], validation_size),
        test=draw("test_size", days[:test_size], test_size),
    )


def write(date: datetime.date, form: str, language: str) -> str:
    """A date in the words, order and digits of a language.

    >>> [write(datetime.date(2026, 11, 21), "long", language) for language in ("fr", "bn", "ko")]
    ['21 novembre 2026', '২১ নভেম্বর, ২০২৬', '2026년 11월 21일']
    """
    return _babel().format_date(date, form, language).translate(_digits(language))


def english(date: datetime.date, form: str) -> str:
    """The one English form; only `full` has a weekday.

    >>> english(datetime.date(2026, 11, 21), "full"), english(datetime.date(2026, 11, 21), "medium")
    ('Saturday, 21 November 2026', '21 November 2026')
    """
    pattern = "EEEE, d MMMM y" if form == "full" else "d MMMM y"
    return _babel().format_date(date, pattern, "en")


def has_two_readings(date: datetime.date, form: str, language: str) -> bool:
    """Whether a reader who does not know the language could take the day for the month.

    >>> has_two_readings(datetime.date(2026, 4, 3), "medium", "de")      # 03.04.2026
    True
    >>> has_two_readings(datetime.date(2026, 4, 3), "medium", "ja")      # 2026/04/03
    False
    """
    return date.day <= 12 and date.day != date.month and _is_figures_year_last(form, language)


@cache
def ambiguous_months(languages: tuple[str, ...]) -> frozenset[tuple[str, str, int]]:
    """The (language, form, month) whose sources mean something else as well.

    That is another month in another of the languages, or another weekday, where CLDR's full form
    leaves it out. With its day and year blanked out, a source is a skeleton such as
    "D listopada Y". One date for every month and weekday covers them all, so the answer holds for
    every date.

    >>> ambiguous_months(tuple(LANGUAGES))
    frozenset()
    >>> sorted(ambiguous_months(("teo", "tr")))
    [('teo', 'medium', 5), ('tr', 'medium', 3)]
    """
    meanings, owners = defaultdict(set), defaultdict(set)
    for date in _every_month_and_weekday():
        for language in languages:
            for form in FORMS:
                skeleton = (
                    _babel()
                    .format_date(date, form, language)
                    .replace(str(date.year), "Y")
                    .replace(str(date.day), "D")
                )
                meanings[skeleton].add((date.month, date.weekday() if form == "full" else None))
                owners[skeleton].add((language, form, date.month))
    clashes = [owners[skeleton] for skeleton, months in meanings.items() if len(months) > 1]
    return frozenset().union(*clashes)


def _every_month_and_weekday() -> Iterator[datetime.date]:
    """84 dates: the 25th (no month's number) of each month, once on each day of the week."""
    found = set()
    for year in range(2000, 2028):
        for month in range(1, 13):
            date = datetime.date(year, month, 25)
            if (month, date.weekday()) not in found:
                found.add((month, date.weekday()))
                yield date


def _take_turns(days: list, turns: list) -> Iterator[tuple]:
    """Every day with every turn exactly once; neighbours differ in both."""
    for shift in range(len(turns)):
        for i, day in enumerate(days):
            yield day, turns[(i + shift) % len(turns)]


@cache
def _is_figures_year_last(form: str, language: str) -> bool:
    pattern = _babel().get_date_format(form, language).pattern
    month = re.search(r"(?<!M)MM?(?!M)\W", pattern)  # 月 is a letter: M月 is no bare figure
    return bool(month) and pattern.index("y") > month.start()


def _check(language: str) -> None:
    dates = _babel()
    from babel import UnknownLocaleError

    try:
        locale = dates.Locale.parse(language)
    except (ValueError, UnknownLocaleError) as error:
        raise ValueError(f"languages: got {language!r}, which is no CLDR locale") from error
    if locale.default_numbering_system not in ZERO:
        raise ValueError(
            f"languages: {language!r} writes {locale.default_numbering_system!r} digits, allowed "
            f"are {sorted(ZERO)}"
        )


@cache
def _digits(language: str) -> dict[int, str]:
    zero = ZERO[_babel().Locale.parse(language).default_numbering_system]
    return {ord("0") + digit: chr(ord(zero) + digit) for digit in range(10)}


@cache
def _babel():
    try:
        import babel.dates
    except ImportError as error:
        raise ImportError(
            "the dates corpus needs babel: pip install 'keras-transformer-zoo[recipes]'"
        ) from error
    return babel.dates
