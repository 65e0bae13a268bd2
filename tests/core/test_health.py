"""A leg that fails gets a rest; after it, one call at a time finds out whether it is well."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.health import Cooldown, Health

NOW = 1_900_000_000.0
RULES = Cooldown(failures=3, rate=0.5, calls=10, window=30.0, seconds=5.0, longest=60.0)


def trip(health: Health, now: float) -> None:
    for _ in range(RULES.failures):
        health.failed(now, now)


def test_some_failures_in_a_row_begin_a_rest() -> None:
    health = Health(RULES)
    assert [health.failed(NOW, NOW) for _ in range(3)] == [False, False, True]
    assert (health.state(NOW), health.until, health.admits(NOW)) == ("cooling", NOW + 5, False)
    assert (health.state(NOW + 5), health.admits(NOW + 5)) == ("probing", True)


def test_a_success_between_failures_breaks_the_row() -> None:
    health = Health(RULES)
    for _ in range(3):
        assert not health.failed(NOW, NOW)
        assert not health.failed(NOW, NOW)
        assert not health.succeeded(NOW, NOW), "nothing has ended: there was no trouble yet"
    assert health.failed(NOW, NOW), "10 calls in one window, 7 of them failed: that is the rate, not the row"


def test_a_share_of_failures_begins_a_rest_only_where_there_are_enough_calls_in_one_window() -> None:
    health = Health(RULES)
    for n in range(9):
        now = NOW + 31 * n
        assert not health.failed(now, now)
        health.succeeded(now, now)
    health = Health(RULES)
    for _ in range(4):
        assert not health.failed(NOW, NOW)
        assert not health.succeeded(NOW, NOW)
    health.succeeded(NOW, NOW)
    assert health.failed(NOW, NOW + 29), "5 of 10"


def test_a_service_that_asks_for_rest_gets_it_at_once_and_no_longer_than_an_hour() -> None:
    health = Health(RULES)
    assert health.failed(NOW, NOW, wait=17.5)
    assert health.until == NOW + 17.5
    assert not health.failed(NOW - 1, NOW + 1, wait=40.0), "a call that began before only says how long"
    assert health.until == NOW + 41
    assert not health.failed(NOW - 1, NOW + 1, wait=2.0)
    assert health.until == NOW + 41, "it asked for more already"
    health = Health(RULES)
    health.failed(NOW, NOW, wait=1e9)
    assert health.until == NOW + 3600


def test_what_is_certain_to_fail_again_needs_no_second_try() -> None:
    health = Health(RULES)
    assert health.failed(NOW, NOW, certain=True)


def test_each_rest_that_follows_soon_is_twice_as_long_up_to_the_longest() -> None:
    health, now, spans = Health(RULES), NOW, []
    trip(health, now)
    for _ in range(7):
        assert health.until is not None
        spans.append(health.until - now)
        now = health.until
        assert health.admits(now)
        health.begin_probe(now)
        assert health.failed(now, now), "the probe failed"
    assert spans == [5, 10, 20, 40, 60, 60, 60]


def test_after_a_good_while_the_rests_are_short_again() -> None:
    health = Health(RULES)
    trip(health, NOW)
    assert health.succeeded(NOW + 5, NOW + 6), "the trouble is over"
    assert (health.until, health.state(NOW + 6)) == (None, "healthy")
    trip(health, NOW + 7)
    assert health.until == NOW + 7 + 10, "it came back at once"
    health.succeeded(NOW + 17, NOW + 17)
    trip(health, NOW + 17 + 61)
    assert health.until == NOW + 17 + 61 + 5


def test_calls_that_began_before_the_rest_say_nothing_about_it() -> None:
    health = Health(RULES)
    trip(health, NOW)
    assert not health.succeeded(NOW - 1, NOW + 2)
    assert health.state(NOW + 2) == "cooling"
    assert not health.failed(NOW - 1, NOW + 6)
    assert health.until == NOW + 5
    assert health.succeeded(NOW + 1, NOW + 2), "one that was made all the same, for want of another leg, does"


def test_a_call_made_for_want_of_another_leg_does_not_prolong_the_rest() -> None:
    health = Health(RULES)
    trip(health, NOW)
    assert not health.failed(NOW + 1, NOW + 2)
    assert health.until == NOW + 5


def test_one_probe_at_a_time_and_another_one_where_it_never_ends() -> None:
    health = Health(RULES)
    trip(health, NOW)
    assert health.admits(NOW + 5)
    health.begin_probe(NOW + 5)
    assert not health.admits(NOW + 5)
    assert not health.admits(NOW + 34.9)
    assert health.admits(NOW + 35)


def test_a_call_of_a_healthy_leg_is_no_probe() -> None:
    health = Health(RULES)
    health.begin_probe(NOW)
    assert health.admits(NOW)


@given(
    st.lists(
        st.tuples(st.sampled_from(["ok", "bad", "asks", "certain"]), st.floats(0, 20), st.floats(0, 40)), max_size=60
    )
)
def test_whatever_happens_a_rest_ends_and_one_good_call_after_it_heals(events: list[tuple[str, float, float]]) -> None:
    health, now = Health(RULES), NOW
    for what, passed, before in events:
        now += passed
        started = now - before
        if what == "ok":
            health.succeeded(started, now)
        else:
            health.failed(started, now, wait=passed if what == "asks" else None, certain=what == "certain")
        assert health.until is None or health.until <= now + 60, "it rests longer than it ever should"
        assert health.admits(now) == (health.state(now) != "cooling")
    if health.until is not None:
        later = max(now, health.until)
        assert health.admits(later)
        health.begin_probe(later)
        assert not health.admits(later)
        assert health.succeeded(later, later + 1)
    assert health.admits(now + 1000)


@pytest.mark.parametrize("probes", [1, 5])
def test_probes_that_fail_let_exactly_one_call_through_each(probes: int) -> None:
    health, now = Health(RULES), NOW
    passed: list[float] = []
    trip(health, now)
    for tick in range(20_000):
        now = NOW + tick / 10
        if len(passed) == probes:
            break
        if health.admits(now):
            health.begin_probe(now)
            passed.append(now)
            assert not health.admits(now)
            health.failed(now, now + 1)
    assert len(passed) == probes
    assert all(second - first >= 10 for first, second in pairwise(passed)), "each rest was longer"
