"""GCRA as properties: at today's clock, for limits from one a day to millions a second."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from promptd.core.errors import SettingsError
from promptd.core.policy import SLACK, Level, Policy, Rate

NOW = 1_900_000_000.0

amounts = st.integers(0, 50)
times = st.floats(0, 86_400)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    limit = draw(st.integers(1, 10_000_000))
    return Policy(
        name="p",
        metric="output_tokens",
        limit=limit,
        window=draw(st.sampled_from([0.5, 1.0, 60.0, 86_400.0])),
        burst=draw(st.none() | st.integers(1, 2 * limit)),
    )


def take(policy: Policy, tat: float | None, amount: int, now: float) -> tuple[float, float]:
    """The TAT after it, and the seconds to wait."""
    rate = at(policy, tat)
    if rate.take(amount, 0, now) is not None:
        return rate.tat, 0.0
    return rate.tat, rate.shortfall(amount, 0, now).wait


def charge(policy: Policy, tat: float | None, amount: int, now: float) -> float:
    rate = at(policy, tat)
    rate.charge(amount, now)
    return rate.tat


def give_back(policy: Policy, tat: float, amount: int, until: float, now: float) -> float:
    rate = at(policy, tat)
    rate.end(amount, until, None, now)
    return rate.tat


def level(policy: Policy, tat: float | None, now: float) -> Level:
    return at(policy, tat).level(now)


def at(policy: Policy, tat: float | None) -> Rate:
    return Rate(policy) if tat is None else Rate(policy, tat)


def most(policy: Policy) -> int:
    return policy.limit if policy.burst is None else policy.burst


@given(
    policies(),
    st.lists(st.tuples(st.floats(0, 2), st.integers(1, 1_000_000)), min_size=1, max_size=60),
)
def test_no_window_holds_more_than_the_rate_and_the_burst(policy: Policy, calls: list[tuple[float, int]]) -> None:
    """`burst + elapsed × rate` in every window, but for single charges that are larger than the burst."""
    now, tat = NOW, None
    passed: list[tuple[float, int]] = []
    for pause, part in calls:
        now += pause * policy.window / 10
        amount = max(1, most(policy) * part // 1_000_000)
        tat, wait = take(policy, tat, amount, now)
        if not wait:
            passed.append((now, amount))
    rate = policy.limit / policy.window
    for index, (start, _) in enumerate(passed):
        total = 0
        for at, amount in passed[index:]:
            total += amount
            # what the clock can't tell apart may come early, once per charge
            early = (SLACK + len(passed) * math.ulp(NOW)) * rate
            assert total <= most(policy) + (at - start) * rate + early


@given(policies(), times, amounts)
def test_waiting_exactly_so_long_helps(policy: Policy, ahead: float, amount: int) -> None:
    tat = NOW + ahead
    old, wait = take(policy, tat, amount, NOW)
    assume(wait > 0)
    assert old == tat, "a refused charge moves nothing"
    assert take(policy, tat, amount, NOW + wait)[1] == 0
    if wait > 1e-5:
        assert take(policy, tat, amount, NOW + wait - 1e-5)[1] > 0


@given(policies(), st.floats(-86_400, 86_400), st.integers(0, 10_000_000))
def test_remaining_is_what_can_be_taken(policy: Policy, ahead: float, more: int) -> None:
    tat = NOW + ahead
    stands = level(policy, tat, NOW)
    assert 0 <= stands.remaining <= most(policy)
    assert stands.reset == max(0.0, tat - NOW)
    if stands.remaining:
        assert take(policy, tat, stands.remaining, NOW)[1] < 2 * SLACK, "but for what today's clock can't tell apart"
    # an idle subject may take more than the burst; one that owes may not take one unit more than remains
    if ahead > 1e-5 and policy.interval > 10 * SLACK:
        assert take(policy, tat, stands.remaining + 1 + more, NOW)[1] > 0


@given(policies(), amounts, st.none() | times)
def test_what_is_given_back_at_once_never_happened(policy: Policy, amount: int, ahead: float | None) -> None:
    tat = None if ahead is None else NOW + ahead
    moved = charge(policy, tat, amount, NOW)
    back = give_back(policy, moved, amount, until=moved, now=NOW)
    assert back == pytest.approx(max(NOW, tat or NOW), abs=SLACK, rel=0)


@given(policies(), st.integers(1, 50), times)
def test_giving_back_late_never_reaches_behind_now(policy: Policy, amount: int, later: float) -> None:
    moved = charge(policy, None, amount, NOW)
    others = charge(policy, moved, 7, NOW + later)
    back = give_back(policy, others, amount, until=moved, now=NOW + later)
    assert back >= NOW + later + 7 * policy.interval - SLACK, "the 7 of the others stay"


def test_too_large_a_charge_needs_an_idle_subject() -> None:
    policy = Policy(name="p", metric="cost", limit=60, burst=10)
    tat, wait = take(policy, None, 100, NOW)
    assert (tat, wait) == (NOW + 100, 0)
    assert take(policy, tat, 100, NOW)[1] == 100
    assert take(policy, tat, 1, NOW)[1] == 91
    assert level(policy, tat, NOW).remaining == 0


def test_a_clock_that_steps_back_gives_nothing_away() -> None:
    policy = Policy(name="p", metric="requests", limit=1, window=10.0)
    tat, _ = take(policy, None, 1, NOW)
    assert take(policy, tat, 1, NOW - 3600)[1] == pytest.approx(3610)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("limit", {"limit": 0}),
        ("limit", {"limit": -1}),
        ("window", {"limit": 1, "window": 0.0}),
        ("window", {"limit": 1, "window": math.inf}),
        ("window", {"limit": 1, "window": math.nan}),
        ("burst", {"limit": 1, "burst": 0}),
    ],
)
def test_numbers_that_cannot_be_enforced(key: str, values: dict[str, float]) -> None:
    with pytest.raises(SettingsError) as refused:
        Policy(name="p", metric="requests", **values)  # type: ignore[arg-type]
    assert refused.value.key == key


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"scope": "planet"}, "scope"),
        ({"scope": "header:X-Tenant"}, "scope"),
        ({"scope": "header:"}, "scope"),
        ({"period": "day", "metric": "concurrency"}, "period"),
        ({"period": "day", "burst": 2}, "burst"),
        ({"scope": "all", "only": "x"}, "only"),
        ({"limit": 2**63}, "limit"),
    ],
)
def test_what_no_policy_can_be(fields: dict[str, Any], key: str) -> None:
    whole: dict[str, Any] = {"name": "p", "metric": "requests", "limit": 5}
    with pytest.raises(SettingsError) as refused:
        Policy(**(whole | fields))
    assert refused.value.key == key


def test_what_a_policy_counts() -> None:
    policy = Policy(name="p", metric="requests", limit=5, scope="header:x-tenant", models=("gpt-*", "demo"))
    assert policy.header == "x-tenant"
    assert [policy.counts(model) for model in ("gpt-4o", "demo", "GPT-4o", "claude")] == [True, True, False, False]
    assert Policy(name="p", metric="requests", limit=5).header is None
