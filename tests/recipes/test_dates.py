"""The dates corpus: one meaning per source, no date in two parts, and targets that follow."""

import datetime
import doctest
import re
import unicodedata
from collections import Counter

import pytest

pytest.importorskip("babel")

from babel import Locale, localedata  # noqa: E402
from babel.dates import get_date_format  # noqa: E402

from recipes import dates  # noqa: E402

SMALL = dict(train_size=3000, validation_size=300, test_size=600)
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September",
          "October", "November", "December"]  # fmt: skip


@pytest.fixture(scope="module")
def corpus():
    return dates.corpus(**SMALL)


def parse(target):
    """The date that an English target states, read without babel."""
    match = re.fullmatch(r"(?:(\w+day), )?(\d{1,2}) (\w+) (\d{4})", target)
    weekday, day, month, year = match.groups()
    date = datetime.date(int(year), MONTHS.index(month) + 1, int(day))
    assert weekday in (None, date.strftime("%A"))
    return date


def test_docstrings():
    assert doctest.testmod(dates).failed == 0


def test_sizes_and_alignment(corpus):
    for part, size in zip(corpus, (3000, 300, 600), strict=True):
        assert len(part.source) == len(part.target) == len(part.language) == size
        assert len(set(part.source)) == size


def test_no_calendar_date_in_two_parts(corpus):
    train, validation, test = ({parse(target) for target in part.target} for part in corpus)
    assert not train & validation and not train & test and not validation & test


def test_a_source_has_one_target(corpus):
    """Also after the compatibility normalisation that tokenizers apply."""
    targets = {}
    for part in corpus:
        for source, target in zip(part.source, part.target, strict=True):
            key = unicodedata.normalize("NFKC", source).casefold()
            assert targets.setdefault(key, target) == target


def test_every_figure_of_the_target_stands_in_the_source(corpus):
    """Read through unicodedata, so that the native digits are checked by another table."""
    for source, target in zip(corpus.test.source, corpus.test.target, strict=True):
        date = parse(target)
        plain = re.sub(r"\d", lambda digit: str(unicodedata.decimal(digit.group())), source)
        numbers = [int(number) for number in re.findall(r"\d+", plain)]
        assert date.year in numbers and date.day in numbers


def test_the_weekday_is_translated_and_not_computed(corpus):
    """A target has a weekday exactly where the source has the name of one."""
    for source, target, language in zip(*corpus.test, strict=True):
        names = Locale.parse(language).days
        names = {name for context in names.values() for name in context["wide"].values()}
        assert (", " in target) == any(name in source for name in names), (language, source)


def test_languages_are_many_real_and_balanced(corpus):
    assert len(dates.LANGUAGES) >= 30
    for locale, name in dates.LANGUAGES.items():
        assert Locale.parse(locale).get_display_name("en") == name
    letters = "".join(corpus.train.source)
    scripts = {unicodedata.name(letter).split()[0] for letter in letters if letter.isalpha()}
    assert len(scripts) >= 16
    for part in corpus:
        counts = Counter(part.language)
        assert set(counts) == set(dates.LANGUAGES)
        assert min(counts.values()) > 0.6 * max(counts.values())


def test_months_and_weekdays_and_centuries_are_all_seen(corpus):
    seen = [parse(target) for target in corpus.train.target]
    assert {date.month for date in seen} == set(range(1, 13))
    assert {date.day for date in seen} == set(range(1, 32))
    assert min(seen).year < 1905 and max(seen).year > 2094


def test_the_seed_decides():
    small = dict(train_size=50, validation_size=10, test_size=20, languages=["de", "th"])
    assert dates.corpus(**small, seed=3) == dates.corpus(**small, seed=3)
    assert dates.corpus(**small, seed=3).test != dates.corpus(**small, seed=4).test


def test_held_out_parts_do_not_depend_on_the_training_size():
    one, other = dates.corpus(train_size=10), dates.corpus(train_size=500)
    assert one.test == other.test and one.validation == other.validation
    assert one.train.source == other.train.source[:10]


@pytest.mark.parametrize(
    "source, language, kept",
    [
        ("03.04.2026", "de", False),
        ("04.04.2026", "de", True),
        ("13.04.2026", "de", True),
        ("3. 4. 2026", "cs", False),
        ("3.4.2026", "fi", False),
        ("٠٣\u200f/٠٤\u200f/٢٠٢٦", "ar_EG", False),
        ("2026/04/03", "ja", True),
        ("2026. 4. 3.", "ko", True),
        ("2026-04-03", "lt", True),
        ("2026年4月3日", "zh", True),
        ("3 thg 4, 2026", "vi", True),
        ("3 avr. 2026", "fr", True),
    ],
)
def test_dates_in_figures_that_read_two_ways_are_left_out(source, language, kept):
    day = int(re.findall(r"\d+", source)[0])
    date = datetime.date(2026, 4, 3 if day == 2026 else day)
    assert dates.write(date, "medium", language) == source
    assert dates.has_two_readings(date, "medium", language) is not kept


def test_no_language_puts_the_day_between_year_and_a_month_in_figures():
    """What the rule for dates in figures rests on, over all locales of CLDR."""
    for locale in localedata.locale_identifiers():
        for form in dates.FORMS:
            pattern = re.sub(r"'[^']*'", "", get_date_format(form, locale).pattern)
            if re.search(r"(?<!M)MM?(?!M)", pattern):
                assert not pattern.index("y") < pattern.index("d") < pattern.index("M"), locale


def test_months_that_mean_another_month_elsewhere_are_found_and_left_out():
    assert dates.ambiguous_months(("tr", "dav")) == {("tr", "medium", 11), ("dav", "medium", 5)}
    part = dates.corpus(2000, 0, 0, languages=["tr", "dav"]).train  # "25 Kas 2026"
    assert not [source for source in part.source if " Kas " in source]
    assert [source for source in part.source if " Kasım " in source]
    assert dates.ambiguous_months(("pl", "hr", "cs")) == frozenset()  # lis-topad: two months


def test_a_full_form_without_its_weekday_is_left_out():
    part = dates.corpus(500, 0, 0, languages=["vo"]).train
    assert not [target for target in part.target if "day" in target]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(languages=["xx"]), "languages: got 'xx'"),
        (dict(languages=[]), "languages: got none"),
        (dict(languages=["ff_Adlm"]), "writes 'adlm' digits, allowed are"),
        (dict(years=(2000, 1999)), "years: got"),
        (dict(years=(2000, 2000)), "test_size . validation_size: got 3000 dates"),
        (dict(train_size=-1), "train_size: got -1"),
        (dict(train_size=5000, validation_size=1, test_size=1, years=(2026, 2026),
              languages=["nl"]), "train_size: asked for 5,000 distinct pairs"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        dates.corpus(**arguments)
