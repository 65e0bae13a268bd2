"""What counts as said."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.targets import Parameter, ParameterType
from promptd.core.utterances.grounded import Evidence
from tests.core.utterances.corpus import TODAY


def _holds(value: Any, *said: str, kind: ParameterType = "str", **more: Any) -> bool:
    parameter = Parameter(name=more.pop("name", "value"), type=kind, required=True, **more)
    return Evidence(said, TODAY).holds(parameter, value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("Seattle", "weather in seattle"),
        ("New York", "how is new york?"),
        ("new york city", "in NYC, I mean New York City"),
        ("2", "for two days"),
        (2, "for two days"),
        (14, "for two weeks"),
        (1234.5, "1,234.5 please"),
        (0.15, "15% of it"),
        ("2026-11-19", "tomorrow"),
        ("2026-11-19T15:00", "tomorrow at 3pm"),
        ("15:00", "at 3 pm"),
        ("USD", "in dollars"),
        ("euros", "EUR please"),
        ("2 weeks", "for 14 days"),
        ("Smith, John", "John Smith"),
        ("Seattle", "weather in Seatle"),
        (["A", "B"], "devices A and B"),
        ({"a": 1, "b": "x"}, "x and 1"),
        ("the front glass was replaced quickly", "we say that the front glass was replaced"),
        ("CLM-99", "claim clm-99"),
        (True, "whatever"),
    ],
)
@pytest.mark.arch("5.4.grounded")
def test_said(value: Any, said: str) -> None:
    assert _holds(value, said)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("Portland", "weather in Seattle"),
        ("Seattle, WA", "weather in Seattle"),
        ("cat", "concatenate"),
        ("7", "for two days"),
        (7, "for two days"),
        ("2026-11-20", "tomorrow"),
        ("2026-11-19T16:00", "tomorrow at 3pm"),
        ("16:00", "at 3 pm"),
        ("USD", "in euros"),
        ("3 weeks", "for 14 days"),
        (["A", "C"], "devices A and B"),
        ([], "devices"),
        ({}, "devices"),
        ("", "anything"),
        ("…", "anything"),
        ("the", "the weather"),
        (10**400, "1"),
        (float("nan"), "1"),
        ("nan", "1"),
        ("the police came and arrested everybody", "the glass was replaced"),
    ],
)
@pytest.mark.arch("5.4.grounded")
def test_made_up(value: Any, said: str) -> None:
    assert _holds(value, said) is (value == "the")


def test_ids_are_exact() -> None:
    assert not _holds("CLM-98", "claim CLM-99", name="claim_id")
    assert not _holds("ab@example.org", "aa@example.org", name="email")
    assert _holds("ab@example.org", "mail AB@example.org!", name="email")


@pytest.mark.arch("5.4.exempt")
def test_options_and_defaults_need_no_proof() -> None:
    assert _holds("celsius", "weather", enum=("celsius", "kelvin"))
    assert not _holds("rankine", "weather in rankine", enum=("celsius", "kelvin"))
    assert _holds(7, "weather", kind="int", default=7)
    assert not _holds(8, "weather", kind="int", default=7)
    assert _holds("auto", "insure my car", description="Type of policy: auto, boat")
    assert not _holds("boat", "insure my car", description="Type of policy: auto, boat")


def test_a_place_is_trimmed_to_what_was_said() -> None:
    place = Parameter(name="location", format="City, State")
    evidence = Evidence(["weather in Seattle"], TODAY)
    assert evidence.trimmed(place, "Seattle, WA") == "Seattle"
    assert evidence.trimmed(place, "Portland, OR") is None
    assert evidence.trimmed(Parameter(name="title"), "Seattle, WA") is None
    assert Evidence(["weather in Seattle, WA"], TODAY).trimmed(place, "Seattle, WA") == "Seattle, WA"


def test_a_deep_value_is_not_said() -> None:
    value: Any = "a"
    for _ in range(50):
        value = [value]
    assert not _holds(value, "a", kind="list")
