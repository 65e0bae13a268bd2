"""Rate limits of a file: whom they count, what a request costs, and the words of a refusal (contracts/arch.md §4.6)."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.content import Turn
from promptd.core.model import Request, Usage
from promptd.dialects.arch.config import RateLimit
from promptd.faces.arch.limits import LimitExceeded, RateLimits
from promptd.limits.memory import MemoryLimits

pytestmark = pytest.mark.slow

NAMES = frozenset({"gpt-4o", "openai/gpt-4o", "fast"})


def limits(*given: RateLimit) -> RateLimits:
    return RateLimits(MemoryLimits(), given)


def limit(**members: Any) -> RateLimit:
    return RateLimit(**({"model": "gpt-4o", "key": "user", "value": None, "tokens": 100, "seconds": 60.0} | members))


def words(tokens: int) -> Request:
    """A request of so many tokens by our count."""
    return Request(messages=(Turn("user", "x" * 4 * (tokens - 4)),))


async def take(checked: RateLimits, tokens: int = 60, names: frozenset[str] = NAMES, **headers: str) -> Any:
    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return await checked.reserve(names, "gpt-4o", words(tokens), given)


@pytest.mark.arch("4.6.exceeded", "9.2")
async def test_the_words_of_a_refusal() -> None:
    checked = limits(limit(value="ada"))
    assert await take(checked, user="ada")
    with pytest.raises(LimitExceeded) as refused:
        await take(checked, user="ada")
    said = 'exceeded limit provider=gpt-4o, selector=Header { key: "user", value: "ada" }, tokens_used=60'
    assert refused.value.message == said
    assert refused.value.retry_after is not None
    assert 0 < refused.value.retry_after <= 60


@pytest.mark.arch("4.6.selector")
async def test_a_limit_counts_where_its_header_is() -> None:
    checked = limits(limit())
    for _ in range(3):
        assert await take(checked) is None
        assert await take(checked, x_arch_ratelimit_selector="user") is None
    # naming another selector buys no exemption
    assert await take(checked, user="ada", x_arch_ratelimit_selector="other", other="1")
    with pytest.raises(LimitExceeded):
        await take(checked, user="ada", x_arch_ratelimit_selector="other", other="1")


@pytest.mark.arch("4.6.selector")
async def test_a_limit_without_selector_counts_always() -> None:
    checked = limits(limit(key=None))
    assert await take(checked)
    with pytest.raises(LimitExceeded):
        await take(checked, user="ada")


@pytest.mark.arch("4.6.value")
@pytest.mark.parametrize("value", [None, "", "*"])
async def test_each_value_has_its_own_bucket(value: str | None) -> None:
    checked = limits(limit(value=value))
    assert await take(checked, user="ada")
    assert await take(checked, user="bob")
    with pytest.raises(LimitExceeded, match='value: "bob"'):
        await take(checked, user="bob")


async def test_another_value_is_not_counted() -> None:
    checked = limits(limit(value="ada"))
    assert await take(checked, user="ada")
    assert await take(checked, user="adam") is None


@pytest.mark.arch("4.6.match")
@pytest.mark.parametrize("model", ["gpt-4o", "openai/gpt-4o", "fast"])
async def test_the_model_matches_with_and_without_prefix_and_by_alias(model: str) -> None:
    checked = limits(limit(model=model))
    assert await take(checked, user="ada")
    assert await take(checked, names=frozenset({"mini", "openai/mini"}), user="ada") is None


@pytest.mark.arch("4.6.cost")
async def test_a_request_costs_at_least_one() -> None:
    checked = limits(limit(tokens=1, key=None))
    assert await checked.reserve(NAMES, "gpt-4o", Request(), {})
    with pytest.raises(LimitExceeded, match=r"tokens_used=1$"):
        await checked.reserve(NAMES, "gpt-4o", Request(), {})


async def test_what_is_larger_than_the_bucket_never_fits() -> None:
    with pytest.raises(LimitExceeded, match="tokens_used=101"):
        await take(limits(limit()), 101, user="ada")


@pytest.mark.arch("9.9")
async def test_output_counts_once_it_is_known() -> None:
    checked = limits(limit())
    taken = await take(checked, 10, user="ada")
    await checked.settle(taken, Usage(10, 85))
    with pytest.raises(LimitExceeded):
        await take(checked, 10, user="ada")
    other = limits(limit())
    await other.settle(await take(other, 90, user="ada"), Usage(4, 1))
    assert await take(other, 90, user="ada")


async def test_one_of_several_limits_is_named_and_none_is_charged() -> None:
    checked = limits(limit(key="user"), limit(key="team", tokens=30))
    with pytest.raises(LimitExceeded, match='key: "team"'):
        await take(checked, 40, user="ada", team="x")
    assert await take(checked, 100, user="ada")
