"""Who sees which report, who may score, and the chore that removes old texts."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.content import Turn
from promptd.core.errors import Conflict, Forbidden, NotFound
from promptd.core.lifecycle import Status
from promptd.core.model import Caller, Chunk, Key, Request, Thread, Usage
from promptd.core.policy import Charge, Policy
from promptd.core.usage import Dimension, UsageQuery
from promptd.service.forgetting import Forgetting
from promptd.service.usage import UsageReports
from promptd.testing.store.ledger import make_ended
from tests.service.conftest import Build
from tests.service.house import ADMIN, ANN, BOB, Clock, House, say

BY_USER = UsageQuery(by=(Dimension.USER,))


async def no_flush() -> None:
    """Nothing is on its way."""


@pytest.fixture
def reports(house: House) -> UsageReports:
    return UsageReports(
        ledger=house.database.ledger,
        records=house.records,
        flush=no_flush,
        clock=house.clock,
    )


async def test_callers_see_what_they_used_and_admins_everything(house: House, reports: UsageReports) -> None:
    await house.run("one")
    await house.run("two")
    await house.run("three", BOB)

    async def users(caller: Caller, query: UsageQuery = BY_USER) -> dict[str | int, int]:
        report = await reports.report(caller, query)
        return {line.group[0]: line.sums.requests for line in report.lines}

    assert await users(ADMIN) == {"ann": 2, "bob": 1}
    assert await users(ANN) == {"ann": 2}
    assert await users(Caller("ann", "another key", permissions=ANN.permissions)) == {"ann": 2}
    assert await users(ANN, UsageQuery(by=(Dimension.USER,), only={Dimension.USER: "ann"})) == {"ann": 2}
    with pytest.raises(Forbidden):
        await reports.report(ANN, UsageQuery(only={Dimension.USER: "bob"}))
    with pytest.raises(Forbidden):
        await reports.report(Caller("ann"), UsageQuery())


async def test_a_report_has_what_prompts_really_used(house: House, reports: UsageReports) -> None:
    prompts = [await house.run(text) for text in ("one", "two")]
    attempts = [attempt for prompt in prompts for attempt in await house.attempts(prompt)]
    (line,) = (await reports.report(ADMIN, UsageQuery(by=(Dimension.MODEL, Dimension.KEY, Dimension.TEAM)))).lines
    assert line.group == ("main", "key-ann", "team")
    assert line.sums.input_tokens == sum(attempt.usage.input_tokens for attempt in attempts) == 6
    assert line.sums.cost == sum(attempt.cost or 0 for attempt in attempts) == sum(one.cost or 0 for one in prompts) > 0


@pytest.mark.parametrize(
    "told",
    [Usage(10**15, 10**15), Usage(5, 10**30), Usage(-1, 5), Usage(float("nan"), 5)],  # type: ignore[arg-type]
)
async def test_impossible_counts_charge_nobody_and_are_told_once(
    build: Build, told: Usage, caplog: pytest.LogCaptureFixture
) -> None:
    budget = Policy(name="tokens", metric="tokens", limit=10**6, period="day")
    house = await build(policies=(budget,))
    for text in ("one", "two"):
        house.engine.plans[text] = (say("x" * 400, end=Chunk("done", finish_reason="stop", usage=told)),)
        prompt = await house.run(text)
        (attempt,) = await house.attempts(prompt)
        assert attempt.estimated
        assert attempt.usage == Usage(4, 100)
        assert attempt.cost == prompt.cost == 4 * 1 + 100 * 2
        assert prompt.answer is not None
        assert prompt.answer.usage == attempt.usage
    (level,) = await house.limits.peek([Charge(budget, "ann", 0)], now=house.clock())
    assert level.remaining == 10**6 - 2 * 104
    assert [record.__dict__["lane"] for record in caplog.records if "not possible" in record.message] == ["main"]
    believed = await house.run("three")
    assert not (await house.attempts(believed))[0].estimated


async def test_the_author_and_members_score_and_nobody_else(house: House, reports: UsageReports) -> None:
    members = Thread(id="t", user="ann", members=("ann", "bob"), created=house.clock(), updated=house.clock())
    await house.records.put(members)
    prompt = await house.run("hello", thread="t")

    async def score(caller: Caller, value: float, **more: str) -> Any:
        return await reports.score(caller, prompt.id, value=value, **{"name": "score", "comment": ""} | more)

    await score(ANN, 0.5, comment="hm")
    await score(BOB, 1.0)
    scored = await score(ANN, 0.75)
    assert [(one.user, one.value, one.comment) for one in scored.scores] == [("bob", 1.0, ""), ("ann", 0.75, "")]
    assert (await house.get(prompt)).scores == scored.scores
    with pytest.raises(Forbidden):
        await score(ADMIN, 1.0)
    with pytest.raises(NotFound):
        await score(Caller("eve", permissions=ANN.permissions), 1.0)
    with pytest.raises(Forbidden):
        await score(Caller("ann"), 1.0)


async def test_an_answer_whose_row_follows_can_be_scored_at_once(house: House) -> None:
    ended = make_ended("just now")
    arrived = []

    async def flush() -> None:
        await house.database.ledger.record([ended])
        arrived.append(True)

    reports = UsageReports(
        ledger=house.database.ledger,
        records=house.records,
        flush=flush,
        unwritten={"just now": ended.prompt},
        clock=house.clock,
    )
    scored = await reports.score(ANN, "just now", value=1.0, name="score", comment="")
    assert (scored.scores[0].value, arrived) == (1.0, [True])
    with pytest.raises(NotFound):  # of one that is stored nowhere
        await reports.score(ANN, "nothing", value=1.0, name="score", comment="")


async def test_only_an_answer_can_be_scored(house: House, reports: UsageReports) -> None:
    await house.queue.add(make_ended("failed", status=Status.ABANDONED, answer=None).prompt, now=house.clock())
    with pytest.raises(Conflict):
        await reports.score(ANN, "failed", value=1.0, name="score", comment="")


async def test_texts_go_after_the_age_of_the_house_or_of_their_key(house: House, clock: Clock) -> None:
    for number, age in enumerate((None, 10.0, 1e6)):
        await house.records.put(
            Key(id=f"k{number}", digest=bytes(32), user="ann", name="x", created=0.0, retention=age)
        )
    asked = Request((Turn("user", "a secret"),))
    await house.database.ledger.record(
        [
            make_ended(f"{key}", key=key, request=asked, finished=clock() - 100)
            for key in ("k0", "k1", "k2", "a session")
        ]
    )

    async def held() -> list[str]:
        found = [await house.get(name) for name in ("k0", "k1", "k2", "a session")]
        return [prompt.id for prompt in found if prompt.request.messages]

    forgetting = Forgetting(ledger=house.database.ledger, records=house.records)
    assert await forgetting.run(clock()) == 1
    assert await held() == ["k0", "k2", "a session"]
    forgetting.age = 1000
    assert await forgetting.run(clock()) == 0
    forgetting.age = 99
    assert await forgetting.run(clock()) == 2
    assert await held() == ["k2"]
