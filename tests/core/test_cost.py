"""What an attempt costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.model import Usage
from promptd.core.routing import FREE, Price, Tier, ceiling, cost

MILLION = 1_000_000  # pico per token, of one unit per million tokens
SONNET = Price(
    3 * MILLION,
    15 * MILLION,
    cached=300_000,
    cache_write=3_750_000,
    tiers=(Tier(200_000, Price(6 * MILLION, 22_500_000, 600_000, 7_500_000)),),
)


@pytest.mark.parametrize(
    ("usage", "price", "nano"),
    [
        (Usage(1000, 100), Price(3 * MILLION, 15 * MILLION), 4_500_000),
        (Usage(1000, 100), FREE, 0),
        (Usage(1000, 100), None, None),
        (Usage(), SONNET, 0),
        (Usage(1000, 0, cached_tokens=400, cache_write_tokens=100), SONNET, 500 * 3000 + 400 * 300 + 100 * 3750),
        (Usage(200_000, 1), SONNET, 200_000 * 3000 + 15_000),
        (Usage(200_001, 1), SONNET, 200_001 * 6000 + 22_500),
        (Usage(0, 100, reasoning_tokens=40), Price(0, 2000, reasoning=5000), 60 * 2 + 40 * 5),
        (Usage(10, 0, cached_tokens=10), Price(1000, cached=0), 0),
        (Usage(1, 0), Price(499), 0),
        (Usage(1, 0), Price(500), 1),
        (Usage(3, 0), Price(500), 2),
    ],
)
def test_cost(usage: Usage, price: Price | None, nano: int | None) -> None:
    assert cost(usage, price) == nano


@given(st.tuples(*[st.integers(0, 2**40)] * 5))
def test_counts_that_contradict_each_other_never_cost_less_than_nothing(counts: tuple[int, ...]) -> None:
    nano = cost(Usage(*counts), Price(1000, 1000, 0, 0, 0))
    assert nano is not None
    assert 0 <= nano <= counts[0] + counts[1] + 1


@given(st.integers(0, 400_000), st.integers(0, 1000), st.integers(0, 400_000), st.integers(0, 400_000))
def test_the_ceiling_is_never_exceeded(size: int, answer: int, cached: int, written: int) -> None:
    usage = Usage(size, answer, min(cached, size), min(written, size))
    nano, most = cost(usage, SONNET), cost(Usage(size, answer), ceiling([SONNET, FREE]))
    assert nano is not None
    assert most is not None
    assert nano <= most


def test_nobody_knows_the_ceiling_of_what_nobody_knows() -> None:
    assert ceiling([FREE, None]) is None
    assert ceiling([]) == FREE
