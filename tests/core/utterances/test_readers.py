"""The readers one by one: numbers, quantities, dates, times, addresses, options."""

from __future__ import annotations

from datetime import date, time

import pytest

from promptd.core.utterances.dates import find_dates, find_times, written
from promptd.core.utterances.numbers import find_numbers
from promptd.core.utterances.options import find_options, option_for, options_in
from promptd.core.utterances.quantities import find_quantities
from promptd.core.utterances.shapes import currency, find_currencies, find_emails, find_ips, find_quoted, find_urls
from promptd.core.utterances.text import is_close, name_words, one_edit, recent, stem, tidy, words

TODAY = date(2026, 11, 18)  # a Wednesday


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("two", [2]),
        ("a dozen eggs", [12]),
        ("half a dozen", [6]),
        ("3 dozen", [36]),
        ("a couple of days", [2]),
        ("the next couple of days", [2]),
        ("a young couple", []),
        ("1,234.5", [1234.5]),
        ("-5 degrees", [-5]),
        ("minus five", [-5]),
        ("twenty-one", [21]),
        ("one hundred and five", [105]),
        ("three thousand two hundred", [3200]),
        ("two million", [2_000_000]),
        ("2 million", [2_000_000]),
        ("5k", [5000]),
        ("2.5k", [2500]),
        ("15%", [15]),
        ("$500", [500]),
        ("30min", [30]),
        ("7-day", [7]),
        ("three-day", [3]),
        ("two and a half", [2.5]),
        ("this one, not the other one", []),
        ("a big one", []),
        ("one day", [1]),
        ("A12 and 3rd and 2-3 and 1.2.3.4 and #5", []),
        ("10 twenty", [10, 20]),
        ("one two three", [1, 2, 3]),
    ],
)
def test_numbers(text: str, numbers: list[int | float]) -> None:
    assert [one.value for one in find_numbers(text)] == numbers


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("2 weeks", "day", 14),
        ("a fortnight", "day", 14),
        ("half an hour", "minute", 30),
        ("1 hour and 30 minutes", "minute", 90),
        ("48h", "day", 2),
        ("36 hours", "day", 1.5),
        ("the past month", "day", 30),
        ("for the next week", "day", 7),
        ("100 minutes", "day", None),
    ],
)
def test_quantities(text: str, unit: str, value: float | None) -> None:
    (found,) = find_quantities(text, words(text))
    assert found.within(unit) == value


@pytest.mark.parametrize("text", ["next week", "the days", "minutes", "week"])
def test_a_time_is_no_quantity(text: str) -> None:
    assert find_quantities(text, words(text)) == []


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-12-24", "2026-12-24"),
        ("tomorrow", "2026-11-19"),
        ("the day after tomorrow", "2026-11-20"),
        ("yesterday", "2026-11-17"),
        ("on Friday", "2026-11-20"),
        ("next Friday", "2026-11-27"),
        ("last Friday", "2026-11-13"),
        ("next Monday", "2026-11-23"),
        ("wednesday", "2026-11-25"),
        ("March 3rd", "2027-03-03"),
        ("3rd of March 2028", "2028-03-03"),
        ("Dec. 1", "2026-12-01"),
        ("february 29", "2028-02-29"),
        ("12/24/2026", "2026-12-24"),
        ("24/12/2026", "2026-12-24"),
        ("24.12.26", "2026-12-24"),
        ("in 3 days", "2026-11-21"),
        ("two weeks ago", "2026-11-04"),
        ("a meeting 5 days from now", "2026-11-23"),
    ],
)
def test_dates(text: str, day: str) -> None:
    (found,) = find_dates(text, words(text), TODAY)
    assert found.value == date.fromisoformat(day)


@pytest.mark.parametrize(
    "text", ["2026-13-01", "31/31/2026", "february 30 2026", "I sat in the sun", "1.2.3.4", "may I", "in 3 hours"]
)
def test_no_date(text: str) -> None:
    assert find_dates(text, words(text), TODAY) == []


def test_days_at_the_end_of_time() -> None:
    text = "tomorrow, next friday, in 9 weeks, march 3"
    assert find_dates(text, words(text), date.max) == []


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("YYYY-MM-DD", "2026-03-04"),
        ("DD/MM/YYYY", "04/03/2026"),
        ("%m/%d/%Y", "03/04/2026"),
        ("", "2026-03-04"),
        ("any", "2026-03-04"),
    ],
)
def test_written(form: str, said: str) -> None:
    assert written(date(2026, 3, 4), form) == said


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("at 3pm", [time(15)]),
        ("12 am", [time(0)]),
        ("3:30 p.m.", [time(15, 30)]),
        ("15:30", [time(15, 30)]),
        ("noon", [time(12)]),
        ("5 o'clock", [time(5)]),
        ("25:00, 13 pm, 10:75, 1.5", []),
    ],
)
def test_times(text: str, times: list[time]) -> None:
    assert [one.value for one in find_times(text)] == times


def test_shapes() -> None:
    text = "mail a.b+c@mail.example.org, see https://example.org/x?y=1). 10.0.0.1/24 and ::1, not 300.1.1.1 or a@b"
    assert [one.value for one in find_emails(text)] == ["a.b+c@mail.example.org"]
    assert [one.value for one in find_urls(text)] == ["https://example.org/x?y=1"]
    assert [one.value for one in find_ips(text)] == ["10.0.0.1/24", "::1"]


def test_quoted() -> None:
    text = "say \"one\", 'two three' and “four”, but don't and can't"
    assert [one.value for one in find_quoted(text)] == ["one", "two three", "four"]


def test_currencies() -> None:
    text = "EUR/USD, eur to gbp, swiss francs, $5, three canadian dollars; I try all of the pen"
    found = [one.value for one in find_currencies(text, words(text))]
    assert found == ["EUR", "USD", "EUR", "GBP", "CHF", "USD", "CAD"]
    assert [currency(one) for one in ("Euros", "jpy", "€", "moon")] == ["EUR", "JPY", "EUR", ""]


@pytest.mark.parametrize(
    ("options", "text", "value"),
    [
        (("celsius", "fahrenheit"), "in Fahrenheit", "fahrenheit"),
        (("celsius", "fahrenheit"), "not celsius but fahrenheit", "fahrenheit"),
        (("celsius", "fahrenheit"), "in farenheit", "fahrenheit"),
        (("celsius", "fahrenheit"), "in metric units", "celsius"),
        (("first_class", "second_class"), "first class please", "first_class"),
        (("firstClass", "other"), "first-class", "firstClass"),
        (("auto", "home"), "my autos", "auto"),
        ((1, 2, 3), "two of them", 2),
        (("cat", "dog"), "concatenate dogma", None),
        (("low", "high"), "slow highway", None),
        ((), "anything", None),
    ],
)
def test_options(options: tuple[object, ...], text: str, value: object) -> None:
    found = sorted(find_options(options, text, words(text)), key=lambda one: -one.strength)
    assert (found[0].value if found else None) == value


def test_option_for() -> None:
    assert option_for(("First Class", "other"), "first_class") == "First Class"
    assert option_for((1, 2), 3) is None
    assert option_for(("a",), None) is None


@pytest.mark.parametrize(
    ("description", "options"),
    [
        ("Type of policy: auto, home or boat", ("auto", "home", "boat")),
        ("e.g. red, green", ("red", "green")),
        ("One of small, very large", ("small", "very large")),
        ("The place", ()),
        ("like this", ()),
    ],
)
def test_options_in(description: str, options: tuple[str, ...]) -> None:
    assert options_in(description) == options


def test_words_and_letters() -> None:
    assert [stem(one) for one in ("Cities", "boxes", "classes", "bus", "days", "people", "this")] == [
        *("city", "box", "class", "bus", "day", "person", "this"),
    ]
    assert name_words("fromCity_ID2") == ("from", "city", "id", "2")
    assert one_edit("abc", "abc")
    assert one_edit("abc", "acb")
    assert one_edit("abc", "abcd")
    assert not one_edit("abc", "cba")
    assert not one_edit("abc", "abcde")
    assert is_close("berlni", "berlin")
    assert not is_close("merlin", "berlin")
    assert not is_close("bat", "bar")


def test_what_is_looked_at_is_bounded() -> None:
    assert tidy("x" * 10_000 + "end").endswith("end")
    assert len(tidy("\ufdfa" * 4096)) == 4096  # one sign that is 18 in normal form
    assert recent(["a"] * 40) == 16
    assert recent(["x" * 4096] * 40) == 4
    assert recent([]) == 0
