"""Accounts keep their counters: whatever happens to these meanwhile, they say what counters that are looked up each time say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from promptd.core.errors import Overloaded, TooManyRequests
from promptd.core.limits import Reservation
from promptd.core.policy import Account, Bill, Level, Policy
from promptd.limits.counters import Counters
from promptd.testing.limits import NOW, budget, policy

CALLS = Policy(name="calls", metric="requests", limit=4, window=4.0)
TOKENS = Policy(name="tokens", metric="tokens", limit=40, window=8.0, burst=20)
RELOADED = Policy(name="tokens", metric="tokens", limit=20, window=2.0)
SEATS = Policy(name="seats", metric="concurrency", limit=2)
DAILY = Policy(name="daily", metric="tokens", limit=200, period="day")
SETS = (
    ((CALLS, "ann"), (TOKENS, "ann"), (SEATS, "ann")),
    ((CALLS, "ann"), (RELOADED, "ann")),
    ((SEATS, "bob"), (CALLS, "bob")),
    ((TOKENS, ""), (DAILY, "ann")),
    ((SEATS, "ann"), (DAILY, "ann")),
    ((CALLS, "eve"),),
    ((CALLS, "dan"),),
)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(0, len(SETS) - 1), st.integers(0, 30)),
        st.tuples(st.just("settle"), st.integers(0, 9), st.integers(0, 40)),
        st.tuples(st.just("release"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 40), st.just(0)),
        st.tuples(st.just("store"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


class Counting:
    """One way of asking: with accounts that stay, or with a new one each time."""

    def __init__(self, most: int, stays: bool) -> None:
        self.counters = Counters(most)
        self.accounts = [Account(counted) for counted in SETS] if stays else []
        self.open: list[Reservation] = []

    def bill(self, which: int, amount: int) -> Bill:
        account = self.accounts[which] if self.accounts else Account(SETS[which])
        amounts = [1 if one.metric in ("requests", "concurrency") else amount for one, _ in account.counted]
        return Bill(account, amounts, amounts)

    def do(self, verb: str, first: int, second: int, now: float) -> object:
        try:
            if verb == "reserve":
                reservation = self.counters.reserve(self.bill(first, second), now)
                assert reservation is not None
                self.open.append(reservation)
            elif verb == "settle" and self.open:
                self.counters.settle(self.open.pop(first % len(self.open)), {"tokens": second}, now)
            elif verb == "release" and self.open:
                self.counters.release(self.open.pop(first % len(self.open)), now)
            elif verb == "store":
                return self.counters.stands(self.counters.changes(), now)
        except (TooManyRequests, Overloaded) as refused:
            return str(refused), refused.retry_after
        return None

    def levels(self, now: float) -> list[list[Level]]:
        return [self.counters.levels(self.bill(which, 0), now) for which in range(len(SETS))]


@pytest.mark.parametrize("most", [3, 4, 100])
@given(script=steps)
def test_accounts_that_stay_count_as_new_ones_do(most: int, script: list[tuple[str, int, int]]) -> None:
    staying, fresh, now = Counting(most, stays=True), Counting(most, stays=False), NOW
    for verb, first, second in script:
        if verb == "wait":
            now += first / 8
            continue
        assert staying.do(verb, first, second, now) == fresh.do(verb, first, second, now)
        assert staying.levels(now) == fresh.levels(now)
        assert len(staying.counters) == len(fresh.counters) <= most


def bill(counted: Policy, subject: str = "ann", amount: int = 1) -> Bill:
    return Bill(Account([(counted, subject)]), [amount], [amount])


def test_a_forgotten_subject_counts_again_through_the_account_that_knew_it() -> None:
    counters, rule = Counters(1), policy(limit=1, window=10.0)
    ann, bob = bill(rule), bill(rule, "bob")
    assert counters.reserve(ann, NOW) is not None
    assert counters.reserve(bob, NOW + 10) is not None  # takes her place
    assert counters.reserve(ann, NOW + 20) is not None
    with pytest.raises(TooManyRequests):
        counters.reserve(ann, NOW + 20)
    assert len(counters) == 1


def test_accounts_of_one_subject_share_its_counter() -> None:
    counters, rule = Counters(10), policy(limit=2)
    accounts = [bill(rule), bill(rule), bill(replace(rule))]
    for one in accounts[:2]:
        counters.reserve(one, NOW)
    for one in accounts:
        with pytest.raises(TooManyRequests):
            counters.reserve(one, NOW)


def test_the_end_of_a_call_whose_subject_has_no_place_any_more_is_no_fault() -> None:
    counters, tokens, seats = Counters(2), policy("tokens", 10), policy("concurrency", 3)
    account = Account([(tokens, "ann"), (seats, "ann")])
    reservation = counters.reserve(Bill(account, [1, 1], [0, 0]), NOW)
    assert reservation is not None
    assert counters.reserve(bill(tokens, "bob", 10), NOW + 60) is not None  # her tokens are all back
    counters.settle(reservation, {"tokens": 9}, NOW + 60)
    assert [one.remaining for one in counters.levels(Bill(account), NOW + 60)] == [10, 3], "her seat is free"


def test_a_budget_that_must_be_recounted_first_is_not_charged() -> None:
    counters, daily, calls = Counters(10), budget("tokens", 100), policy(limit=5)
    counters.recounts = True
    both = Bill(Account([(calls, "ann"), (daily, "ann")]), [1, 60], [0, 0])
    assert counters.reserve(both, NOW) is None
    assert [one.remaining for one in counters.levels(both, NOW)] == [5, 100]
    counters.begin(daily, "ann", 50, NOW)
    with pytest.raises(TooManyRequests):
        counters.reserve(Bill(both.account, [1, 60], [0, 60]), NOW)
    assert counters.reserve(Bill(both.account, [1, 50], [0, 50]), NOW) is not None
    assert [one.remaining for one in counters.levels(both, NOW)] == [4, 0]


def test_a_newcomer_finds_a_place_however_many_come_again_and_again() -> None:
    counters, slow = Counters(100), Policy(name="slow", metric="requests", limit=60, window=3600.0)
    regular = [Bill(Account([(slow, f"regular {number}")]), [1], [1]) for number in range(40)]
    for number in range(60):
        now = NOW + 60.0 * number
        for bill in regular:  # they never are idle
            counters.reserve(bill, now)
        counters.changes()
        for other in range(5):
            counters.reserve(Bill(Account([(slow, f"visitor {number}.{other}")]), [1], [1]), now + 10.0)
    assert len(counters) == 100


def test_a_request_is_one_to_a_budget_too_whatever_is_said_of_it() -> None:
    counters, daily = Counters(10), Policy(name="daily", metric="requests", limit=10, period="day")
    one = Bill(Account([(daily, "ann")]), [1], [1])
    reservation = counters.reserve(one, NOW)
    assert reservation is not None
    counters.settle(reservation, {"requests": 0}, NOW)
    assert [level.remaining for level in counters.levels(one, NOW)] == [9]


def test_what_was_not_used_is_given_back_though_others_took_the_place_of_a_companion_and_limits_were_reloaded() -> None:
    counters = Counters(2)
    reservation = counters.reserve(bill_of_two(), NOW)
    assert reservation is not None
    reloaded = replace(TOKENS, limit=80, burst=40)
    now = NOW + 2.0  # the call is forgiven, the tokens are not
    assert counters.reserve(Bill(Account([(reloaded, "ann")]), [1], [1]), now) is not None
    assert counters.reserve(bill(replace(CALLS, window=400.0), "eve"), now) is not None
    counters.settle(reservation, {"tokens": 0}, now)
    (level,) = counters.levels(bill(reloaded), now)
    assert level.remaining >= 35


def bill_of_two() -> Bill:
    return Bill(Account([(CALLS, "ann"), (TOKENS, "ann")]), [1, 20], [1, 20])
