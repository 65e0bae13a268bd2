"""The exam of the port `Limits`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence

import pytest

from promptd.core.errors import BudgetSpent, InvalidRequest, TooManyRequests
from promptd.core.limits import Limits, Reservation
from promptd.core.policy import Account, Bill, Charge, Level, Metric, Policy, bill_of

#: Some day in 2030: limits must be exact with today's numbers, not only near zero
NOW = 1_900_000_000.0
MIDNIGHT = 1_900_022_400.0  #: the next one, in UTC


def policy(metric: Metric = "requests", limit: int = 10, window: float = 60.0, burst: int | None = None) -> Policy:
    return Policy(name=f"{metric}-{limit}", metric=metric, limit=limit, window=window, burst=burst)


def budget(metric: Metric, limit: int) -> Policy:
    return Policy(name=f"{metric}-{limit}-a-day", metric=metric, limit=limit, period="day")


class Hasty:
    """Limits whose counters are in this process, asked as prompts ask them: without waiting where that is possible, and with
    accounts that stay. Adapters that can be asked so sit the exam both ways."""

    def __init__(self, limits: Limits) -> None:
        assert limits.at_once is not None
        self._limits, self.at_once = limits, limits.at_once
        self._accounts: dict[tuple[tuple[str, str], ...], Account] = {}

    async def reserve(self, charges: Iterable[Charge], *, now: float) -> Reservation:
        bill = self._bill(charges)
        reservation = self.at_once.reserve(bill, now)
        return await self._limits.reserve(bill, now=now) if reservation is None else reservation

    async def settle(self, reservation: Reservation, actual: Mapping[str, int], *, now: float) -> None:
        self.at_once.settle(reservation, actual, now)

    async def release(self, reservation: Reservation, *, now: float) -> None:
        await self._limits.release(reservation, now=now)

    async def peek(self, charges: Iterable[Charge], *, now: float) -> Sequence[Level]:
        return self.at_once.levels(self._bill(charges), now)

    def _bill(self, charges: Iterable[Charge]) -> Bill:
        charges = list(charges)
        account = bill_of(charges).account
        known = self._accounts.setdefault(tuple([(one.policy.name, one.subject) for one in charges]), account)
        return bill_of(charges, known if known.counted == account.counted else account)


async def remaining(limits: Limits, charge: Charge, now: float) -> int:
    (level,) = await limits.peek([charge], now=now)
    return level.remaining


class LimitsContract:
    """Inherit it and give the fixture `limits`: limits that nobody has used yet."""

    @pytest.fixture
    def limits(self) -> Limits:
        raise AssertionError("give the fixture `limits`")

    async def test_takes_up_to_the_burst_then_refuses(self, limits: Limits) -> None:
        one = Charge(policy(limit=10, burst=3), "ada", 1)
        for _ in range(3):
            await limits.reserve([one], now=NOW)
        with pytest.raises(TooManyRequests) as refused:
            await limits.reserve([one], now=NOW)
        assert refused.value.retry_after == pytest.approx(6.0, abs=1e-5)
        assert one.policy.name in refused.value.message

    @pytest.mark.parametrize(("limit", "window"), [(10, 60.0), (7, 1.0), (1, 86400.0), (3_000_000, 60.0)])
    async def test_retry_after_is_exact(self, limits: Limits, limit: int, window: float) -> None:
        charge = Charge(policy("output_tokens", limit, window), "ada", max(1, limit // 3))
        now = NOW
        for _ in range(20):
            try:
                await limits.reserve([charge], now=now)
            except TooManyRequests as refused:
                wait = refused.retry_after
                assert wait is not None
                assert wait > 0
                with pytest.raises(TooManyRequests):
                    await limits.reserve([charge], now=now + wait - 1e-5)
                now += wait
                await limits.reserve([charge], now=now)

    async def test_the_longest_wait_counts(self, limits: Limits) -> None:
        quick, slow = (Charge(policy(limit=limit, burst=1), "ada", 1) for limit in (60, 6))
        await limits.reserve([quick, slow], now=NOW)
        for charges in ([quick, slow], [slow, quick]):
            with pytest.raises(TooManyRequests, match=slow.policy.name) as refused:
                await limits.reserve(charges, now=NOW)
            assert refused.value.retry_after == pytest.approx(10.0, abs=1e-5)

    async def test_all_or_nothing(self, limits: Limits) -> None:
        free, tight = Charge(policy(limit=100), "ada", 1), Charge(policy(limit=1), "ada", 1)
        seat = Charge(policy("concurrency", 5), "ada", 1)
        await limits.reserve([tight], now=NOW)
        before = await limits.peek([free, tight, seat], now=NOW)
        with pytest.raises(TooManyRequests):
            await limits.reserve([free, seat, tight], now=NOW)
        assert await limits.peek([free, tight, seat], now=NOW) == before

    async def test_two_charges_on_one_subject_add_up(self, limits: Limits) -> None:
        one = Charge(policy(limit=3), "ada", 2)
        with pytest.raises(TooManyRequests):
            await limits.reserve([one, one], now=NOW)
        seats = Charge(policy("concurrency", 3), "ada", 2)
        with pytest.raises(TooManyRequests):
            await limits.reserve([seats, seats], now=NOW)

    async def test_subjects_and_policies_are_apart(self, limits: Limits) -> None:
        one = policy(limit=1)
        await limits.reserve([Charge(one, "ada", 1)], now=NOW)
        await limits.reserve([Charge(one, "bob", 1)], now=NOW)
        await limits.reserve([Charge(policy(limit=2), "ada", 1)], now=NOW)

    async def test_too_large_a_charge_passes_when_idle_and_is_paid_off(self, limits: Limits) -> None:
        huge = Charge(policy("input_tokens", 100), "ada", 250)
        await limits.reserve([huge], now=NOW)
        with pytest.raises(TooManyRequests) as refused:
            await limits.reserve([huge], now=NOW)
        assert refused.value.retry_after == pytest.approx(150.0, abs=1e-5)

    async def test_concurrency_counts_what_is_open(self, limits: Limits) -> None:
        seat = Charge(policy("concurrency", 2), "ada", 1)
        first, second = [await limits.reserve([seat], now=NOW) for _ in range(2)]
        with pytest.raises(TooManyRequests) as refused:
            await limits.reserve([seat], now=NOW + 9999)
        assert refused.value.retry_after is not None
        await limits.settle(first, {}, now=NOW)
        assert await remaining(limits, seat, NOW) == 1
        await limits.release(second, now=NOW)
        assert await remaining(limits, seat, NOW) == 2

    async def test_settle_gives_back_what_was_not_used(self, limits: Limits) -> None:
        tokens, call = Charge(policy("output_tokens", 1000), "ada", 400), Charge(policy(limit=10), "ada", 1)
        reservation = await limits.reserve([tokens, call], now=NOW)
        await limits.settle(reservation, {"output_tokens": 100, "input_tokens": 7}, now=NOW)
        assert await remaining(limits, tokens, NOW) == 900
        assert await remaining(limits, call, NOW) == 9, "requests stay as reserved"

    async def test_settle_charges_what_was_used_beyond(self, limits: Limits) -> None:
        tokens = Charge(policy("output_tokens", 1000), "ada", 10)
        reservation = await limits.reserve([tokens], now=NOW)
        await limits.settle(reservation, {"output_tokens": 2500}, now=NOW)
        (level,) = await limits.peek([tokens], now=NOW)
        assert level.remaining == 0
        assert level.reset == pytest.approx(150.0, abs=1e-5)

    async def test_use_beyond_the_reservation_counts_from_its_settlement(self, limits: Limits) -> None:
        tokens = Charge(policy("output_tokens", 60), "ada", 1)
        reservation = await limits.reserve([tokens], now=NOW)
        await limits.settle(reservation, {"output_tokens": 31}, now=NOW + 3600)
        assert await remaining(limits, tokens, NOW + 3600) == 30

    async def test_an_unnamed_metric_stays_as_reserved(self, limits: Limits) -> None:
        cost = Charge(policy("cost", 100), "ada", 40)
        await limits.settle(await limits.reserve([cost], now=NOW), {"output_tokens": 1}, now=NOW)
        assert await remaining(limits, cost, NOW) == 60

    async def test_release_undoes_a_reservation(self, limits: Limits) -> None:
        charges = [Charge(policy(limit=3), "ada", 1), Charge(policy("cost", 70), "ada", 33)]
        charges.append(Charge(policy("concurrency", 2), "ada", 1))
        await limits.reserve(charges, now=NOW)
        before = await limits.peek(charges, now=NOW)
        await limits.release(await limits.reserve(charges, now=NOW), now=NOW)
        assert await limits.peek(charges, now=NOW) == before

    async def test_a_reservation_ends_once(self, limits: Limits) -> None:
        charges = [Charge(policy("cost", 70), "ada", 10), Charge(policy("concurrency", 9), "ada", 1)]
        kept = await limits.reserve(charges, now=NOW)
        ended = await limits.reserve(charges, now=NOW)
        await limits.settle(ended, {}, now=NOW)
        before = await limits.peek(charges, now=NOW)
        await limits.release(ended, now=NOW)
        await limits.settle(ended, {"cost": 99}, now=NOW)
        assert await limits.peek(charges, now=NOW) == before
        await limits.release(kept, now=NOW)
        assert await remaining(limits, charges[1], NOW) == 9

    async def test_a_late_release_takes_nothing_off_others(self, limits: Limits) -> None:
        all_of_it = Charge(policy("output_tokens", 60), "ada", 60)
        early = await limits.reserve([all_of_it], now=NOW)
        await limits.reserve([all_of_it], now=NOW + 60)
        await limits.release(early, now=NOW + 60)
        assert await remaining(limits, all_of_it, NOW + 60) == 0

    async def test_a_budget_is_granted_per_day_and_all_at_once(self, limits: Limits) -> None:
        calls = Charge(budget("requests", 3), "ada", 1, 1)
        for _ in range(3):
            await limits.settle(await limits.reserve([calls], now=NOW), {}, now=NOW)
        with pytest.raises(BudgetSpent) as refused:
            await limits.reserve([calls], now=NOW)
        assert refused.value.retry_after == pytest.approx(MIDNIGHT - NOW)
        assert calls.policy.name in refused.value.message
        (level,) = refused.value.levels
        assert (level.remaining, level.limit) == (0, 3)
        assert level.reset == pytest.approx(MIDNIGHT - NOW)
        await limits.reserve([calls], now=MIDNIGHT)

    async def test_a_budget_counts_what_was_used(self, limits: Limits) -> None:
        tokens = Charge(budget("tokens", 1000), "ada", 400, 100)
        first, second = [await limits.reserve([tokens], now=NOW) for _ in range(2)]
        assert await remaining(limits, tokens, NOW) == 200
        await limits.settle(first, {"tokens": 150}, now=NOW)
        await limits.release(second, now=NOW)
        await limits.release(second, now=NOW)
        assert await remaining(limits, tokens, NOW) == 850

    async def test_the_end_of_a_budget_goes_to_one_at_a_time(self, limits: Limits) -> None:
        tokens = Charge(budget("tokens", 500), "ada", 400, 100)
        first, last = [await limits.reserve([tokens], now=NOW) for _ in range(2)]
        with pytest.raises(TooManyRequests) as refused:
            await limits.reserve([tokens], now=NOW)
        assert not isinstance(refused.value, BudgetSpent), "what runs may give back enough"
        assert refused.value.retry_after is not None
        assert refused.value.retry_after < 60
        await limits.settle(first, {"tokens": 100}, now=NOW)
        with pytest.raises(TooManyRequests):
            await limits.reserve([tokens], now=NOW)
        await limits.settle(last, {"tokens": 450}, now=NOW)
        with pytest.raises(BudgetSpent):
            await limits.reserve([tokens], now=NOW)

    async def test_what_is_settled_tomorrow_counts_tomorrow(self, limits: Limits) -> None:
        tokens = Charge(budget("tokens", 1000), "ada", 400)
        reservation = await limits.reserve([tokens], now=MIDNIGHT - 1)
        assert await remaining(limits, tokens, MIDNIGHT) == 600, "what runs is held"
        await limits.settle(reservation, {"tokens": 300}, now=MIDNIGHT + 1)
        assert await remaining(limits, tokens, MIDNIGHT + 1) == 700

    async def test_all_or_nothing_of_budgets_too(self, limits: Limits) -> None:
        charges = [
            Charge(budget("tokens", 1000), "ada", 2000, 10),
            Charge(policy(limit=5), "ada", 1),
            Charge(policy("concurrency", 5), "ada", 1),
            Charge(budget("cost", 100), "ada", 101, 101),
        ]
        before = await limits.peek(charges, now=NOW)
        with pytest.raises(BudgetSpent):
            await limits.reserve(charges, now=NOW)
        assert await limits.peek(charges, now=NOW) == before
        await limits.reserve(charges[:3], now=NOW)

    async def test_refusals_tell_the_levels(self, limits: Limits) -> None:
        charges = [Charge(policy(limit=10), "ada", 4), Charge(policy("tokens", 100), "ada", 100)]
        await limits.reserve(charges, now=NOW)
        with pytest.raises(TooManyRequests) as refused:
            await limits.reserve(charges, now=NOW)
        assert [(one.metric, one.remaining) for one in refused.value.levels] == [("requests", 6), ("tokens", 0)]

    @pytest.mark.parametrize("seed", range(5))
    async def test_two_hundred_at_once_overdraw_by_one_answer_at_most(self, limits: Limits, seed: int) -> None:
        """Calls that say in the end how long their answer was; many of them try again when they are refused."""
        rng = random.Random(seed)  # noqa: S311 - a fixed sequence
        rule = budget("tokens", 20_000)
        used = longest = passed = 0

        async def caller() -> None:
            nonlocal used, longest, passed
            size, most = rng.randint(1, 200), rng.choice([100, 1000, 50_000])
            answer = rng.randint(0, min(most, 2000))
            for _ in range(100):
                try:
                    reservation = await limits.reserve([Charge(rule, "ada", size + most, size)], now=NOW)
                except BudgetSpent:
                    return
                except TooManyRequests:
                    await asyncio.sleep(0)
                    continue
                for _ in range(rng.randint(0, 5)):
                    await asyncio.sleep(0)
                used, passed, longest = used + size + answer, passed + 1, max(longest, answer)
                await limits.settle(reservation, {"tokens": size + answer}, now=NOW)
                return

        await asyncio.gather(*[caller() for _ in range(200)])
        assert passed > 5
        assert used <= rule.limit + longest
        assert await remaining(limits, Charge(rule, "ada", 0), NOW) == max(0, rule.limit - used)

    async def test_negative_amounts_are_refused(self, limits: Limits) -> None:
        good, bad = Charge(policy(limit=3), "ada", 1), Charge(policy(limit=3), "ada", -1)
        with pytest.raises(InvalidRequest) as refused:
            await limits.reserve([good, bad], now=NOW)
        assert refused.value.field == "charges[1].amount"
        reservation = await limits.reserve([good], now=NOW)
        with pytest.raises(InvalidRequest) as refused:
            await limits.settle(reservation, {"cost": -5}, now=NOW)
        assert refused.value.field == "actual.cost"

    async def test_nothing_to_charge(self, limits: Limits) -> None:
        reservation = await limits.reserve([], now=NOW)
        await limits.settle(reservation, {"cost": 5}, now=NOW)
        await limits.release(Reservation(), now=NOW)
        assert await limits.peek([], now=NOW) == []

    async def test_a_crowd_never_overshoots(self, limits: Limits) -> None:
        charges = [Charge(policy(limit=50), "ada", 1), Charge(policy("concurrency", 20), "ada", 1)]
        running = most = passed = 0

        async def caller() -> None:
            nonlocal running, most, passed
            for _ in range(5):
                try:
                    reservation = await limits.reserve(charges, now=NOW)
                except TooManyRequests:
                    continue
                running, passed = running + 1, passed + 1
                most = max(most, running)
                await asyncio.sleep(0)
                running -= 1
                await limits.settle(reservation, {}, now=NOW)

        await asyncio.gather(*[caller() for _ in range(200)])
        assert (most, passed) == (20, 50)

    @pytest.mark.parametrize("seed", range(10))
    async def test_no_window_holds_more_than_limit_and_burst(self, limits: Limits, seed: int) -> None:
        """Whatever is reserved, settled and released in between, in any order."""
        rng = random.Random(seed)  # noqa: S311 - a fixed sequence
        rule = policy("output_tokens", 100, 10.0, burst=rng.choice([None, 10, 50]))
        most = rule.burst or rule.limit
        used: list[tuple[float, int]] = []
        open_: list[tuple[Reservation, int, int]] = []
        now = NOW
        for _ in range(300):
            step = rng.random()
            if step < 0.3:
                now += rng.random() * 3
            elif step < 0.7 or not open_:
                amount = rng.randint(1, most)
                try:
                    reservation = await limits.reserve([Charge(rule, "ada", amount)], now=now)
                except TooManyRequests:
                    continue
                open_.append((reservation, amount, len(used)))
                used.append((now, amount))
            else:
                reservation, amount, place = open_.pop(rng.randrange(len(open_)))
                actual = rng.randint(0, amount)
                used[place] = (used[place][0], actual)
                if actual:
                    await limits.settle(reservation, {"output_tokens": actual}, now=now)
                else:
                    await limits.release(reservation, now=now)
        for index, (start, _) in enumerate(used):
            inside = sum(amount for at, amount in used[index:] if at <= start + rule.window)
            assert inside <= rule.limit + most
