"""How limits stand, as headers."""

from __future__ import annotations

from typing import get_args

import pytest

from promptd.core.errors import BudgetSpent, Overloaded, TooManyRequests
from promptd.core.policy import Level, Metric
from promptd.faces.asgi import Headers
from promptd.faces.limit_headers import limit_headers, refusal_headers

NOW = 1_900_000_000.0
REQUESTS = Level("calls", 60, 59, 1.0, "requests", 60.0)
INPUT = Level("in", 1000, 250, 45.0, "input_tokens", 60.0)
OUTPUT = Level("out", 1000, 700, 18.0, "output_tokens", 60.0)
SEATS = Level("seats", 4, 1, 0.0, "concurrency", 0.0)
MONEY = Level("key daily", 5_000_000_000, 10, 22_400.0, "cost", 86_400.0)


def shown(headers: Headers) -> dict[str, str]:
    found = {name.decode(): value.decode() for name, value in headers}
    assert len(found) == len(headers)
    assert all(name == name.lower() for name in found)
    return found


def test_no_limits_no_headers() -> None:
    assert limit_headers((), "openai", NOW) == []
    assert refusal_headers(Overloaded(), "openai", NOW) == []


def test_the_fields_of_the_draft() -> None:
    found = shown(limit_headers((REQUESTS, INPUT, SEATS, MONEY), "openai", NOW))
    assert found["ratelimit-policy"] == (
        '"calls";q=60;w=60, "in";q=1000;w=60;qu="input-tokens", "seats";q=4;qu="concurrent-requests", '
        '"key daily";q=5000000000;w=86400;qu="nano-cost"'
    )
    assert found["ratelimit"] == '"calls";r=59;t=1, "in";r=250;t=45, "seats";r=1, "key daily";r=10;t=22400'


def test_openai_s_names_show_what_is_nearest_to_its_end() -> None:
    found = shown(limit_headers((REQUESTS, OUTPUT, INPUT, SEATS), "openai", NOW))
    assert {name: value for name, value in found.items() if name.startswith("x-")} == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "250",
        "x-ratelimit-reset-tokens": "45s",
    }


def test_anthropic_s_names_tell_input_and_output_apart() -> None:
    found = shown(limit_headers((REQUESTS, OUTPUT, INPUT), "anthropic", NOW))
    assert {name: value for name, value in found.items() if name.startswith("anthropic-")} == {
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "59",
        "anthropic-ratelimit-requests-reset": "2030-03-17T17:46:41Z",
        "anthropic-ratelimit-input-tokens-limit": "1000",
        "anthropic-ratelimit-input-tokens-remaining": "250",
        "anthropic-ratelimit-input-tokens-reset": "2030-03-17T17:47:25Z",
        "anthropic-ratelimit-output-tokens-limit": "1000",
        "anthropic-ratelimit-output-tokens-remaining": "700",
        "anthropic-ratelimit-output-tokens-reset": "2030-03-17T17:46:58Z",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0ms"), (0.0121, "13ms"), (1.5, "1.5s"), (59.9999, "60s"), (360, "6m0s"), (7384, "2h3m4s")],
)
def test_durations(seconds: float, text: str) -> None:
    found = shown(limit_headers((Level("x", 1, 0, seconds),), "openai", NOW))
    assert found["x-ratelimit-reset-requests"] == text


def test_limits_that_are_whole_are_told_anew_each_time() -> None:
    """Their lines are remembered: nothing of other levels, of another vendor or of another time may be in them."""
    calls, seats = Level("calls", 60, 60, 0.0), Level("seats", 4, 3, 0.0, "concurrency", 0.0)
    told = [
        shown(limit_headers(levels, vendor, NOW + later))
        for levels in ((calls, seats), (calls, SEATS), (REQUESTS, seats))
        for vendor in ("openai", "anthropic")
        for later in (0, 0, 90)
    ]
    assert told[0] == told[1] == told[2]
    assert [one["ratelimit"] for one in told[::6]] == [
        '"calls";r=60;t=0, "seats";r=3',
        '"calls";r=60;t=0, "seats";r=1',
        '"calls";r=59;t=1, "seats";r=3',
    ]
    assert told[0]["x-ratelimit-reset-requests"] == "0ms"
    assert [one["anthropic-ratelimit-requests-reset"] for one in told[3:6]] == [
        "2030-03-17T17:46:40Z",
        "2030-03-17T17:46:40Z",
        "2030-03-17T17:48:10Z",
    ]


def test_a_refusal_says_when_to_come_back_and_how_the_limits_stand() -> None:
    error = TooManyRequests(retry_after=0.2)
    error.levels = (REQUESTS,)
    found = shown(refusal_headers(error, "openai", NOW))
    assert found["retry-after"] == "1"
    assert found["x-ratelimit-remaining-requests"] == "59"
    assert "x-should-retry" not in found


def test_sdks_do_not_try_again_on_a_spent_budget() -> None:
    found = shown(refusal_headers(BudgetSpent(retry_after=3600.2), "anthropic", NOW))
    assert found == {"retry-after": "3601", "x-should-retry": "false"}


@pytest.mark.parametrize("metric", get_args(Metric))
def test_odd_names_and_large_numbers_keep_to_the_form(metric: Metric) -> None:
    level = Level('a "b"\\\u00fc\r\n', 2**62, 2**62, 1e-9, metric, 60.0)
    found = shown(limit_headers((level,), "openai", NOW))
    assert found["ratelimit"] == '"a \\"b\\"\\\\???";r=999999999999999;t=1'
    assert ";q=999999999999999;w=60" in found["ratelimit-policy"]
