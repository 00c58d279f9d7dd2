"""Sentences with dates, amounts of money and territories, in 37 languages: no download.

The Unicode CLDR knows how each language writes them and how it strings them together; babel
carries its tables. A sentence is such a row, in which names of languages and percentages
stand between, so that not everything is something:

    Papua-Neuguinea, 30 %, 21. November 2026 und 12,50 €

`tagged` gives such sentences with the places of what is to be found, and `asked` English ones with
questions:

    Peru: on 21 November 2026, €12.50. Ghana: on 3 May 2001, $7.      How much for Ghana?   $7
"""

import datetime
import random

from keras_transformer import data
from recipes import dates, names

CURRENCIES = ("EUR", "USD", "JPY", "GBP", "CHF", "INR", "BRL", "CNY")
UNSEEN = {0x200E: None, 0x200F: None, 0x61C: None}  # they say which way a script runs
QUESTIONS = {
    "date": ("When was it for {territory}?", "On which day was it for {territory}?"),
    "amount": ("How much was it for {territory}?", "What did {territory} pay?"),
    "territory": ("Which of them was on {date}?", "Who paid {amount}?"),
}


def tagged(size, seed=0, languages=tuple(dates.LANGUAGES)):
    """Sentences in turns of languages, with spans of date, currency and territory.

    Args:
        size: number of sentences.
        seed: of the draw.
        languages: CLDR locales.

    Returns:
        `data.SpanText`.

    Example:

    >>> text = tagged(3, languages=["de", "fr"])
    >>> {span.label for spans in text.spans for span in spans} <= {"date", "currency", "territory"}
    True
    """
    rng = random.Random(seed)
    texts, all_spans = [], []
    for n in range(size):
        text, spans = _sentence(rng, languages[n % len(languages)])
        texts.append(text)
        all_spans.append(spans)
    return data.SpanText("sentences", texts, all_spans, list(range(1, size + 1)))


def asked(size, seed=0, unanswerable=0.2):
    """Questions on English sentences: of one to three territories a date and an amount.

    Args:
        size: number of questions.
        seed: of the draw.
        unanswerable: share of questions on what the context does not say.

    Returns:
        list of `data.Question`.

    Example:

    >>> question = asked(1, unanswerable=0.0)[0]
    >>> answer = question.answers[0]
    >>> question.context[answer.start : answer.end] == answer.text
    True
    """
    rng = random.Random(seed)
    territories = [name.text for name in names.named("en") if name.kind == "territory"]
    return [_question(rng, f"{seed}-{n}", territories, unanswerable) for n in range(size)]


def _sentence(rng, language):
    from babel.lists import format_list
    from babel.numbers import format_percent

    places = [name.text for name in names.named(language) if name.kind == "territory"]
    tongues = [name.text for name in names.named(language) if name.kind == "language"]
    make = {
        "date": lambda: dates.write(_day(rng), rng.choice(dates.FORMS), language),
        "currency": lambda: _amount(rng, language),
        "territory": lambda: rng.choice(places),
        "": lambda: rng.choice(tongues),
        "share": lambda: format_percent(rng.randint(1, 99) / 100, locale=language),
    }
    labels = [rng.choice(list(make)) for _ in range(rng.randint(1, 4))]
    parts = [make[label]().translate(UNSEEN) for label in labels]
    # Marks in their place, which no text has, so that what the pattern adds cannot be mistaken.
    marks = [chr(0xE000 + i) for i in range(len(parts))]
    pattern = format_list(marks, locale=language)
    text, spans = "", []
    for character in pattern:
        if character not in marks:
            text += character
            continue
        number = marks.index(character)
        if labels[number] in ("date", "currency", "territory"):
            spans.append(data.Span(labels[number], len(text), len(text) + len(parts[number])))
        text += parts[number]
    return text, spans


def _question(rng, id, territories, unanswerable):
    chosen = rng.sample(territories, 4)
    facts = [
        {"territory": place, "date": dates.english(_day(rng), "long"), "amount": _amount(rng, "en")}
        for place in chosen
    ]
    told, hidden = facts[: rng.randint(1, 3)], facts[3]
    context, starts = "", []
    for fact in told:
        starts.append({})
        for key, before in (("territory", ""), ("date", ": on "), ("amount", ", ")):
            context += before
            starts[-1][key] = len(context)
            context += fact[key]
        context += ". "
    wanted = rng.choice(list(QUESTIONS))
    number = rng.randrange(len(told))
    is_impossible = rng.random() < unanswerable
    fact = hidden if is_impossible else told[number]
    question = rng.choice(QUESTIONS[wanted]).format(**fact)
    answers = () if is_impossible else (data.Answer(fact[wanted], starts[number][wanted]),)
    return data.Question(id, question, context.strip(), answers, is_impossible)


def _day(rng):
    first, last = datetime.date(1900, 1, 1).toordinal(), datetime.date(2099, 12, 31).toordinal()
    return datetime.date.fromordinal(rng.randint(first, last))


def _amount(rng, language):
    from babel.numbers import format_currency

    return format_currency(rng.randint(1, 99_999) / 100, rng.choice(CURRENCIES), locale=language)
