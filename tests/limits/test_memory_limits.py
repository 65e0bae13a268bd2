"""The memory limits: the exam, what is their own (bounded memory), and a model that never forgets as judge."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.errors import Overloaded, TooManyRequests
from promptd.core.limits import Limits, Reservation
from promptd.core.policy import Charge, Policy
from promptd.limits.memory import MemoryLimits
from promptd.testing.limits import NOW, Hasty, LimitsContract, policy


class TestMemoryLimits(LimitsContract):
    @pytest.fixture
    def limits(self) -> Limits:
        return MemoryLimits()


class TestMemoryLimitsAtOnce(LimitsContract):
    @pytest.fixture
    def limits(self) -> Limits:
        return Hasty(MemoryLimits())


steps = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=3)),
        st.tuples(st.just("settle"), st.integers(0, 9)),
        st.tuples(st.just("release"), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.integers(1, 8)),
    ),
    max_size=40,
)
POLICIES = (
    Policy(name="seats", metric="concurrency", limit=3),
    Policy(name="calls", metric="requests", limit=6, window=6.0),
    Policy(name="tokens", metric="output_tokens", limit=12, window=6.0, burst=8),
)


@given(steps)
def test_no_interleaving_overshoots(script: list[tuple[str, object]]) -> None:
    """Against the plain history of what was taken: seats, and every window of calls and of tokens really used."""

    async def play() -> None:
        limits = MemoryLimits()
        now = NOW
        open_: list[tuple[Reservation, list[list[float]]]] = []
        seats = 0
        history: list[list[float]] = []  # [policy, time, amount]
        for verb, argument in script:
            if verb == "wait":
                assert isinstance(argument, int)
                now += argument / 4
            elif verb == "reserve":
                assert isinstance(argument, list)
                charges = [Charge(POLICIES[which], "ada", amount) for which, amount in argument]
                try:
                    reservation = await limits.reserve(charges, now=now)
                except TooManyRequests:
                    continue
                rows: list[list[float]] = [[which, now, amount] for which, amount in argument]
                seats += sum(amount for which, amount in argument if which == 0)
                history += rows
                open_.append((reservation, rows))
                assert seats <= 3
            elif open_:
                assert isinstance(argument, int)
                reservation, rows = open_.pop(argument % len(open_))
                seats -= int(sum(row[2] for row in rows if row[0] == 0))
                if verb == "release":
                    await limits.release(reservation, now=now)
                else:
                    await limits.settle(reservation, {"output_tokens": 1}, now=now)
                for row in rows:
                    row[2] = 0 if verb == "release" else 1 if row[0] == 2 else row[2]
        for which in (1, 2):
            rule = POLICIES[which]
            rows = [row for row in history if row[0] == which]
            for index, (_, start, _) in enumerate(rows):
                inside = sum(amount for _, at, amount in rows[index:] if at <= start + rule.window)
                assert inside <= rule.limit + (rule.burst or rule.limit)
        for reservation, _ in open_:
            await limits.release(reservation, now=now)
        (level,) = await limits.peek([Charge(POLICIES[0], "ada", 1)], now=now)
        assert level.remaining == 3, "every seat is free in the end"

    asyncio.run(play())


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=6),
    st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=3), max_size=5),
    st.randoms(use_true_random=False),
)
def test_reserve_and_release_is_identity(
    before: list[tuple[int, int]], nested: list[list[tuple[int, int]]], rng: object
) -> None:
    """At one moment, any number of reservations, released in any order."""
    import random

    assert isinstance(rng, random.Random)

    async def play() -> None:
        limits = MemoryLimits()
        everything = [Charge(one, "ada", 1) for one in POLICIES]
        for which, amount in before:
            try:
                await limits.reserve([Charge(POLICIES[which], "ada", amount)], now=NOW)
            except TooManyRequests:
                continue
        levels = await limits.peek(everything, now=NOW)
        taken = []
        for charges in nested:
            try:
                taken.append(await limits.reserve([Charge(POLICIES[w], "ada", n) for w, n in charges], now=NOW))
            except TooManyRequests:
                continue
        rng.shuffle(taken)
        for reservation in taken:
            await limits.release(reservation, now=NOW)
        after = await limits.peek(everything, now=NOW)
        assert [(one.policy, one.remaining) for one in after] == [(one.policy, one.remaining) for one in levels]
        assert [one.reset for one in after] == pytest.approx([one.reset for one in levels], abs=1e-6)

    asyncio.run(play())


async def test_single_tokens_of_a_huge_limit_are_counted() -> None:
    """A token of a limit of a thousand million a minute is 0.06 µs: less than UTC seconds can tell."""
    limits = MemoryLimits()
    cost = Charge(policy("cost", 1_000_000_000), "ada", 1)
    for _ in range(10_000):
        await limits.reserve([cost], now=NOW + 1)
    (level,) = await limits.peek([cost], now=NOW + 1)
    assert level.reset == pytest.approx(10_000 * 6e-8, rel=1e-3)


async def test_idle_subjects_make_room() -> None:
    limits = MemoryLimits(max_subjects=100)
    rule = policy(limit=1, window=10.0)
    for number in range(1000):
        await limits.reserve([Charge(rule, f"user-{number}", 1)], now=NOW + number)
        assert len(limits) <= 100
    with pytest.raises(TooManyRequests):
        await limits.reserve([Charge(rule, "user-999", 1)], now=NOW + 1000)


async def test_nobody_who_still_counts_is_forgotten() -> None:
    limits = MemoryLimits(max_subjects=50)
    rule = policy(limit=1, window=100.0)
    busy = [Charge(rule, f"user-{number}", 1) for number in range(50)]
    for one in busy:
        await limits.reserve([one], now=NOW)
    before = await limits.peek(busy, now=NOW)
    for number in range(200):
        with pytest.raises(Overloaded) as refused:
            await limits.reserve([Charge(rule, f"stranger-{number}", 1)], now=NOW)
        assert refused.value.retry_after is not None
    assert await limits.peek(busy, now=NOW) == before
    assert len(limits) == 50
    await limits.reserve([Charge(rule, "late", 1)], now=NOW + 100)
    await limits.reserve([Charge(rule, "later", 1), Charge(policy("concurrency", 1), "later", 1)], now=NOW + 100)
    assert len(limits) <= 50


async def test_nobody_makes_room_for_a_companion() -> None:
    limits = MemoryLimits(max_subjects=2)
    slow, quick = policy(limit=1, window=100.0), policy(limit=9, window=9.0)
    await limits.reserve([Charge(slow, "busy", 1)], now=NOW)
    await limits.reserve([Charge(quick, "idle", 1)], now=NOW)
    with pytest.raises(Overloaded):
        await limits.reserve([Charge(quick, "idle", 1), Charge(quick, "new", 1)], now=NOW + 50)
    await limits.reserve([Charge(quick, "new", 1)], now=NOW + 50)
    assert len(limits) == 2


async def test_one_idle_among_many_busy_is_found() -> None:
    limits = MemoryLimits(max_subjects=500)
    day, second = policy(limit=1, window=86_400.0), policy(limit=2, window=1.0)
    for number in range(499):
        await limits.reserve([Charge(day, f"user-{number}", 1)], now=NOW)
    await limits.reserve([Charge(second, "quick", 1)], now=NOW)
    newcomer = Charge(day, "newcomer", 1)
    for _ in range(500 // 16 + 1):
        try:
            await limits.reserve([newcomer], now=NOW + 5)
            break
        except Overloaded:
            continue
    with pytest.raises(TooManyRequests):
        await limits.reserve([newcomer], now=NOW + 5)
    assert len(limits) == 500


async def test_seats_that_are_taken_count_as_subjects_and_leave_no_trace() -> None:
    limits = MemoryLimits(max_subjects=2)
    rule = policy("concurrency", 1)
    taken = [await limits.reserve([Charge(rule, name, 1)], now=NOW) for name in ("ada", "bob")]
    with pytest.raises(Overloaded):
        await limits.reserve([Charge(rule, "eve", 1)], now=NOW)
    for reservation in taken:
        await limits.release(reservation, now=NOW)
    assert len(limits) == 0
