"""Rules that callers set on endpoints: kept, changed, charged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from promptd.core.errors import Blocked, Forbidden, InvalidRequest, TooManyRequests
from promptd.core.rules import Access, RateLimit
from promptd.limits.memory import MemoryLimits
from promptd.service.rules import Rules
from promptd.stores.sqlite import Database
from tests.service.house import ADMIN, ANN, BOB, Clock

TWO = RateLimit(requests=2, window=100.0, entity="user")


class Lab:
    """Rules on a real database."""

    def __init__(self, path: Path) -> None:
        self.clock, self.limits = Clock(), MemoryLimits()
        self.database = Database(path)
        self.rules = self.again()

    def again(self) -> Rules:
        return Rules(records=self.database.records, limits=self.limits, clock=self.clock)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = Lab(tmp_path / "promptd.db")
    yield made
    await made.database.close()


def access(user: str = "ann", endpoint: str = "/a", address: str = "10.0.0.1") -> Access:
    return Access(endpoint, "GET", address, user)


async def test_without_rules_everything_passes(lab: Lab) -> None:
    await lab.rules.load()
    assert not lab.rules.any
    await lab.rules.admit(access())
    assert len(lab.limits) == 0


async def test_a_refused_access_is_told_when_to_come_back(lab: Lab) -> None:
    await lab.rules.save(ADMIN, "r", endpoint="/a", limit=TWO, blocked=())
    for _ in range(2):
        await lab.rules.admit(access())
    with pytest.raises(TooManyRequests) as refused:
        await lab.rules.admit(access())
    assert refused.value.retry_after == pytest.approx(50.0)
    lab.clock.now += 50.0
    await lab.rules.admit(access())
    with pytest.raises(TooManyRequests):
        await lab.rules.admit(access())
    await lab.rules.admit(access("bob"))
    await lab.rules.admit(access(endpoint="/b"))


async def test_rules_are_loaded_by_the_next_process(lab: Lab) -> None:
    await lab.rules.save(ADMIN, "r", endpoint="/a", limit=None, blocked=("10.0.0.0/8",))
    other = lab.again()
    await other.load()
    assert other.any
    with pytest.raises(Blocked):
        await other.admit(access())


async def test_saving_again_keeps_the_age_and_counts_the_versions(lab: Lab) -> None:
    first = await lab.rules.save(ADMIN, "r", endpoint="/a", limit=TWO, blocked=())
    lab.clock.now += 5
    second = await lab.rules.save(ADMIN, "r", endpoint="/b", limit=None, blocked=("10.0.0.1",))
    assert (second.created, second.updated, second.version) == (first.created, first.updated + 5, first.version + 1)
    await lab.rules.admit(access())
    with pytest.raises(Blocked):
        await lab.rules.admit(access(endpoint="/b"))


async def test_who_may_set_rules(lab: Lab) -> None:
    with pytest.raises(Forbidden):
        await lab.rules.save(ANN, "r", endpoint="", limit=TWO, blocked=())
    assert not lab.rules.any


@pytest.mark.parametrize(
    ("identifier", "endpoint", "limit", "blocked", "field"),
    [
        ("", "", TWO, (), "id"),
        ("x" * 129, "", TWO, (), "id"),
        ("r", "x" * 1001, TWO, (), "endpoint"),
        ("r", "", RateLimit(requests=0, window=1.0, entity="user"), (), "rateLimit"),
        ("r", "", RateLimit(requests=1, window=0.0, entity="user"), (), "rateLimit"),
        ("r", "", RateLimit(requests=1, window=float("inf"), entity="user"), (), "rateLimit"),
        ("r", "", None, ("10.0.0.1", "nowhere"), "blockedIPs[1]"),
        ("r", "", None, ("10.0.0.1",) * 10_001, "blockedIPs"),
    ],
)
async def test_a_rule_that_cannot_hold_is_refused(
    lab: Lab, identifier: str, endpoint: str, limit: RateLimit | None, blocked: tuple[str, ...], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await lab.rules.save(ADMIN, identifier, endpoint=endpoint, limit=limit, blocked=blocked)
    assert refused.value.field == field
    assert not lab.rules.any


async def test_rules_themselves_stay_open(lab: Lab) -> None:
    await lab.rules.save(ADMIN, "r", endpoint="", limit=None, blocked=("0.0.0.0/0",))
    await lab.rules.admit(access(endpoint="/policy-svc/instance/r"))
    with pytest.raises(Blocked):
        await lab.rules.admit(access(endpoint="/policy"))


async def test_what_is_told_counts_for_oneself_and_from_admins(lab: Lab) -> None:
    await lab.rules.save(ADMIN, "r", endpoint="/a", limit=TWO, blocked=())
    for _ in range(3):
        await lab.rules.allows(BOB, access("ann"))
    await lab.rules.admit(access("ann"))
    assert await lab.rules.allows(ANN, access("ann"))
    with pytest.raises(TooManyRequests):
        await lab.rules.admit(access("ann"))
    assert await lab.rules.allows(ADMIN, access("bob"))
    assert await lab.rules.allows(ADMIN, access("bob"))
    with pytest.raises(TooManyRequests):
        await lab.rules.admit(access("bob"))


async def test_any_rule_that_denies_denies(lab: Lab) -> None:
    await lab.rules.save(ADMIN, "wide", endpoint="", limit=RateLimit(requests=9, window=9.0, entity="user"), blocked=())
    await lab.rules.save(ADMIN, "list", endpoint="/a", limit=None, blocked=("10.0.0.1",))
    assert not await lab.rules.allows(ADMIN, access())
    assert await lab.rules.allows(ADMIN, access(address="10.0.0.2"))
