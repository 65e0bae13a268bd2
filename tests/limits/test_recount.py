"""Budgets after a restart: exactly what the rows say, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from promptd.core.errors import BudgetSpent
from promptd.core.filters import Query
from promptd.core.lifecycle import Status
from promptd.core.model import Arrival, Attempt, Mode, Outcome, Prompt, Request, Usage
from promptd.core.policy import Charge, Metric, Policy
from promptd.core.ports import Ended
from promptd.limits.kept import kept_in
from promptd.limits.memory import MemoryLimits
from promptd.limits.persistent import PersistentLimits
from promptd.limits.recount import recount_from
from promptd.stores.sqlite import Database
from promptd.testing.limits import NOW, remaining

DAY = 86_400.0


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(tmp_path / "promptd.db")
    yield opened
    await opened.close()


def ended(
    number: int,
    *,
    key: str = "k1",
    model: str = "gpt-4o",
    at: float = NOW,
    cost: int | None = 7,
    tenant: str | None = None,
) -> Ended:
    prompt = Prompt(
        id=f"prm_{number}",
        model=model,
        lane="main",
        user="ann",
        key=key,
        team="red",
        request=Request(),
        created=at,
        started=at,
        finished=at,
        updated=at,
        runs=1,
        mode=Mode.ATTACHED,
        status=Status.COMPLETED,
        counted=() if tenant is None else (("x-tenant", tenant),),
    )
    attempt = Attempt(
        prompt=0,
        run=1,
        engine="e",
        connection="main",
        model=model,
        started=at,
        finished=at,
        outcome=Outcome.COMPLETED,
        usage=Usage(100, 10),
        cost=cost,
    )
    return Ended(prompt, (attempt,))


async def started(database: Database, now: float = NOW, **shared: tuple[str, ...]) -> PersistentLimits:
    recount = recount_from(database.ledger, lambda key: shared.get(key, (key,)))
    limits = PersistentLimits(MemoryLimits(), *kept_in(database.records), recount)
    await limits.start(now)
    return limits


def budget(metric: Metric = "tokens", scope: str = "key", **fields: object) -> Policy:
    return Policy(name="b", metric=metric, limit=1000, scope=scope, period="day", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("policy", "subject", "left"),
    [
        (budget(), "k1", 1000 - 3 * 110),
        (budget(), "k2", 1000 - 110),
        (budget(), "k3", 1000),
        (budget("input_tokens", "user"), "ann", 600),
        (budget("output_tokens", "team"), "red", 960),
        (budget("requests", "all"), "", 996),
        (budget("cost", "user"), "ann", 1000 - 3 * 7),
        (budget(scope="model"), "gpt-4o", 1000 - 3 * 110),
        (budget(scope="user", models=("gpt-*",)), "ann", 1000 - 3 * 110),
    ],
)
async def test_rows_of_the_period_count(database: Database, policy: Policy, subject: str, left: int) -> None:
    await database.ledger.record(
        [
            ended(1),
            ended(2),
            ended(3, cost=None),
            ended(4, key="k2", model="claude"),
            ended(5, at=NOW - DAY),
        ]
    )
    limits = await started(database)
    charge = Charge(policy, subject, 0)
    await limits.release(await limits.reserve([charge], now=NOW), now=NOW)
    assert await remaining(limits, charge, NOW) == left


async def test_a_kill_between_two_flushes_loses_nothing(database: Database) -> None:
    """The counters of the dead process were stored before its last rows were."""
    before = await started(database)
    charge = Charge(budget("requests"), "k1", 1, 1)
    for number in range(999):
        await before.settle(await before.reserve([charge], now=NOW), {}, now=NOW)
        if number == 500:
            await before.flush(NOW)
    await database.ledger.record([ended(number) for number in range(999)])
    after = await started(database)
    await after.settle(await after.reserve([charge], now=NOW), {}, now=NOW)
    with pytest.raises(BudgetSpent):
        await after.reserve([charge], now=NOW)


async def test_keys_that_share_a_limit_are_counted_together(database: Database) -> None:
    await database.ledger.record([ended(1), ended(2, key="child")])
    limits = await started(database, k1=("k1", "child"))
    own = Policy(name="key daily", metric="requests", limit=10, scope="key", period="day", only="k1")
    await limits.reserve([Charge(own, "k1", 1)], now=NOW)
    assert await remaining(limits, Charge(own, "k1", 1), NOW) == 7


@pytest.mark.parametrize(
    ("policy", "subject", "left"),
    [
        (budget(scope="header:x-tenant"), "acme", 1000 - 2 * 110),
        (budget("cost", "header:x-tenant"), "acme", 1000 - 7),
        (budget("requests", "header:x-tenant"), "", 999),
        (budget(scope="header:x-tenant", models=("claude",)), "acme", 890),
        (budget(scope="header:x-other"), "acme", 1000),
    ],
)
async def test_rows_know_what_headers_were_counted_for(
    database: Database, policy: Policy, subject: str, left: int
) -> None:
    await database.ledger.record(
        [
            ended(1, tenant="acme"),
            ended(2, tenant="acme", model="claude", cost=None),
            ended(3, tenant=""),
            ended(4, tenant="other"),
            ended(5, tenant="acme", at=NOW - DAY),
            ended(6),
        ]
    )
    charge = Charge(policy, subject, 0)
    limits = await started(database)
    await limits.release(await limits.reserve([charge], now=NOW), now=NOW)
    assert await remaining(limits, charge, NOW) == left


async def test_a_kill_before_the_first_flush_loses_nothing_of_a_header(database: Database) -> None:
    charge = Charge(budget("requests", "header:x-tenant"), "acme", 1, 1)
    await database.ledger.record([ended(number, tenant="acme") for number in range(1000)])
    with pytest.raises(BudgetSpent):
        await (await started(database)).reserve([charge], now=NOW)


async def test_what_rows_do_not_know_is_stored(database: Database) -> None:
    by_header = Charge(budget(scope="header:x-tenant"), "acme", 300)
    before = await started(database)
    await before.settle(await before.reserve([by_header], now=NOW), {"tokens": 250}, now=NOW)
    await before.reserve([by_header], now=NOW)
    await before.flush(NOW)
    assert await remaining(await started(database), by_header, NOW) == 750, "what ran ended with the process"
    assert await remaining(await started(database, NOW + DAY), by_header, NOW + DAY) == 1000


async def test_rates_survive_beside_budgets(database: Database) -> None:
    rate = Charge(Policy(name="r", metric="requests", limit=10, window=600.0), "ann", 4)
    before = await started(database)
    await before.reserve([rate], now=NOW)
    await before.flush(NOW)
    assert await remaining(await started(database, NOW + 60), rate, NOW + 60) == 7


async def test_idle_counters_leave_the_store(database: Database) -> None:
    """One for each value of a header, say: whoever makes up values must not fill the store."""
    policy = Policy(name="r", metric="requests", limit=10, window=60.0, scope="header:x-tenant")
    limits = PersistentLimits(MemoryLimits(4), *kept_in(database.records))
    await limits.start(NOW)
    for number in range(8):  # the first four make room for the others
        await limits.reserve([Charge(policy, f"t{number}", 1)], now=NOW + number * 60)
        await limits.flush(NOW + number * 60)
    assert {one.subject for one in await counters(database)} == {"t4", "t5", "t6", "t7"}
    await started(database, NOW + 8 * 60)
    assert not await counters(database)


async def counters(database: Database) -> Sequence[Arrival]:
    return (await database.records.find(Arrival, Query())).items
