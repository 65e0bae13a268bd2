"""Budgets: their periods, and that whatever runs at once can't overdraw them by more than one answer."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core import budgets
from promptd.core.budgets import Balance
from promptd.core.policy import Period, Policy


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("period", "now", "begin", "end"),
    [
        ("day", "2026-11-21T05:31:00", "2026-11-21", "2026-11-22"),
        ("day", "2026-11-21T00:00:00", "2026-11-21", "2026-11-22"),
        ("month", "2026-11-21T05:31:00", "2026-11-01", "2026-12-01"),
        ("month", "2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29T12:00:00", "2028-02-01", "2028-03-01"),
        ("month", "2026-03-01T00:00:00", "2026-03-01", "2026-04-01"),
    ],
)
def test_periods_are_those_of_the_calendar(period: Period, now: str, begin: str, end: str) -> None:
    assert budgets.bounds(period, at(now)) == (at(begin), at(end))


def budget(limit: int, period: Period = "day") -> Policy:
    return Policy(name="b", metric="tokens", limit=limit, period=period)


def test_the_last_units_go_to_one_at_a_time() -> None:
    policy, balance = budget(100), Balance(at("2026-11-22"), period="day")
    assert budgets.fits(policy, balance, 60, 10) == 60
    balance.held = 60
    assert budgets.fits(policy, balance, 60, 10) == 40, "all that is left"
    balance.held, balance.last = 100, True
    assert budgets.fits(policy, balance, 1, 1) is None
    balance.held, balance.used = 40, 20
    assert budgets.fits(policy, balance, 60, 10) is None, "one that may need more than there is runs already"
    assert budgets.fits(policy, balance, 40, 10) == 40


def test_what_is_known_to_be_too_much_never_runs() -> None:
    policy, balance = budget(100), Balance(at("2026-11-22"), period="day")
    assert budgets.fits(policy, balance, 200, 101) is None
    assert budgets.is_spent(policy, balance, 101)
    assert not budgets.is_spent(policy, balance, 100)


def test_what_costs_nothing_runs_on_an_overdrawn_budget() -> None:
    assert budgets.fits(budget(100), Balance(at("2026-11-22"), used=130, period="day"), 0, 0) == 0


def test_a_new_period_begins_with_what_runs() -> None:
    policy, balance = budget(100), Balance(at("2026-11-22"), used=90, held=10, period="day")
    budgets.renew(balance, policy, at("2026-11-21T23:59:59"))
    assert (balance.used, balance.held) == (90, 10)
    budgets.renew(balance, policy, at("2026-11-22"))
    assert (balance.used, balance.held, balance.until) == (0, 10, at("2026-11-23"))
    level = budgets.level(policy, balance, at("2026-11-22T12:00:00"))
    assert (level.remaining, level.reset, level.window) == (90, 43_200, 86_400)


def test_another_period_counts_afresh() -> None:
    balance = Balance(at("2026-11-22"), used=90, period="day")
    budgets.renew(balance, budget(100, "month"), at("2026-11-21"))
    assert (balance.used, balance.until) == (0, at("2026-12-01"))


@given(
    st.integers(1, 2000),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300)), max_size=60),
    st.randoms(use_true_random=False),
)
def test_never_overdrawn_by_more_than_one_answer(
    limit: int, calls: list[tuple[int, int, int]], rng: random.Random
) -> None:
    """Calls of an input, the most that they may say, and what they say in the end; they begin and end in any order."""
    policy, balance = budget(limit), Balance(at("2026-11-22"), period="day")
    running: list[tuple[int, bool, int, int]] = []
    longest = 0
    for size, most, said in calls:
        while running and rng.random() < 0.4:
            end(balance, running.pop(rng.randrange(len(running))))
        held = budgets.fits(policy, balance, size + most, size)
        if held is None:
            continue
        answer = min(said, most)
        longest = max(longest, answer)
        last = held < size + most
        balance.held, balance.last = balance.held + held, balance.last or last
        running.append((held, last, size, answer))
    while running:
        end(balance, running.pop(rng.randrange(len(running))))
    assert (balance.held, balance.last) == (0, False)
    assert balance.used <= limit + longest


def end(balance: Balance, call: tuple[int, bool, int, int]) -> None:
    held, last, size, answer = call
    balance.held, balance.used = balance.held - held, balance.used + size + answer
    balance.last = balance.last and not last
