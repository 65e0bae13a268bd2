"""The way into the queue: whatever happens to a caller half way, no row is without its run, no charge without its prompt."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace

from promptd.core.content import Turn
from promptd.core.errors import (
    Forbidden,
    IdempotencyMismatch,
    InvalidRequest,
    ModelForbidden,
    ShuttingDown,
    StoreUnavailable,
    TooManyRequests,
    UnknownModel,
)
from promptd.core.filters import Query
from promptd.core.lifecycle import Status
from promptd.core.model import Caller, Mode, Prompt, Request, Submission, Usage
from promptd.core.policy import Charge, Policy
from promptd.core.routing import Route
from promptd.limits.memory import MemoryLimits
from promptd.service.charges import ChargeRules, Charges
from promptd.service.holds import Holds
from promptd.service.intake import IntakeRules
from tests.service.conftest import Build
from tests.service.house import ANN, PATIENCE, House, hold

SEATS = Policy(name="seats", metric="concurrency", limit=4)
REQUESTS = Policy(name="requests", metric="requests", limit=100, window=3600)
_MOST_STEPS = 12  # of the loop, until the longest way in is behind the caller


async def seats(house: House) -> int:
    (level,) = await house.limits.peek([Charge(SEATS, "ann", 1)], now=house.clock())
    return level.remaining


@pytest.mark.parametrize("policies", [(), (SEATS, REQUESTS)])
@pytest.mark.parametrize("fields", [{}, {"thread": "t"}, {"id": "mine"}, {"idempotency_key": "k"}])
async def test_a_caller_that_leaves_half_way_leaves_nothing_half_done(
    build: Build, policies: tuple[Policy, ...], fields: dict[str, Any]
) -> None:
    house = await build(policies=policies)
    for steps in range(_MOST_STEPS):
        own: dict[str, Any] = {name: f"{value}{steps}" for name, value in fields.items()}
        submitting = asyncio.create_task(house.submit("hello", **own))
        for _ in range(steps):
            await asyncio.sleep(0)
        submitting.cancel()
        await asyncio.wait([submitting])
        await house.settled()
        assert house.worker.load() == {"main": (4, 0)}
        assert (await seats(house), house.worker.waiting) == (4, 0)
    stored = (await house.records.find(Prompt, Query(limit=100))).items
    assert all(prompt.status is Status.COMPLETED for prompt in stored)
    assert len(stored) == len(house.engine.calls) > 0


async def test_a_way_that_is_known_is_looked_for_again_where_something_changed(house: House) -> None:
    async def lane(caller: Caller = ANN) -> str:
        request = Request(messages=(Turn("user", "hello"),))
        submission = Submission(caller=caller, model="main", request=request, mode=Mode.ATTACHED)
        admitted = await house.intake.admit(submission)
        await house.intake.settle(admitted.prompt)
        return admitted.prompt.lane

    assert [await lane(), await lane()] == ["main", "main"]
    with pytest.raises(Forbidden):  # the same key, which may do less now
        await lane(replace(ANN, permissions=frozenset()))
    with pytest.raises(ModelForbidden):
        await lane(replace(ANN, models=("other",)))
    assert await lane() == "main"
    (connection,) = house.connections
    leg = Route(model="main", connection="side", upstream="up")
    house.connections.configure({"side": replace(connection, name="side")}, {"main": leg}, "main")
    assert await lane() == "side"
    house.connections.configure({}, {}, None)
    with pytest.raises(UnknownModel):
        await lane()


ORDINARY = Submission(
    caller=ANN,
    model="main",
    mode=Mode.ATTACHED,
    request=Request(messages=(Turn("system", "short"), Turn("user", "hello"))),
)


async def test_an_ordinary_prompt_is_what_all_others_become(house: House) -> None:
    ordinary = await house.intake.admit(ORDINARY)
    other = await house.intake.admit(replace(ORDINARY, fallbacks=("nowhere",)))
    assert (ordinary.ordinary, other.ordinary) == (True, False)
    assert ordinary.prompt.id != other.prompt.id
    assert replace(ordinary.prompt, id="") == replace(other.prompt, id="")
    assert (ordinary.legs, ordinary.keep, ordinary.plan) == (other.legs, other.keep, other.plan)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "mine"),
        ("thread", "t"),
        ("parent", "p"),
        ("deadline", 2_000_000_000.0),
        ("not_before", 1_900_000_001.0),
        ("max_attempts", 3),
        ("priority", 7),
    ],
)
async def test_what_is_asked_beside_stands_in_the_prompt(house: House, field: str, value: Any) -> None:
    await house.intake.admit(ORDINARY)  # so that the way is known
    admitted = await house.intake.admit(replace(ORDINARY, **{field: value}))
    assert getattr(admitted.prompt, field) == value
    assert not admitted.ordinary


async def test_what_says_nothing_is_refused_behind_one_that_says_something(house: House) -> None:
    await house.intake.admit(ORDINARY)
    silent = Request(messages=(Turn("user", ""), Turn("user", "")))
    with pytest.raises(InvalidRequest) as told:
        await house.intake.admit(replace(ORDINARY, request=silent))
    assert told.value.field == "messages"
    late = Request(messages=(Turn("user", ""), Turn("user", "hello")))
    assert (await house.intake.admit(replace(ORDINARY, request=late))).prompt.request is late


async def test_a_known_way_follows_the_rules(house: House) -> None:
    before = await house.intake.admit(ORDINARY)
    house.intake.configure(IntakeRules(max_attempts=2, keep_attached=True))
    after = await house.intake.admit(ORDINARY)
    assert (before.prompt.max_attempts, before.keep) == (5, False)
    assert (after.prompt.max_attempts, after.keep) == (2, True)
    never, always = replace(ANN, keep=False), replace(ANN, keep=True)
    for caller, wish, keep in [
        (never, True, False),
        (never, None, False),
        (always, None, True),
        (always, False, False),
    ]:
        assert (await house.intake.admit(replace(ORDINARY, caller=caller, keep=wish))).keep is keep


class Elsewhere:
    """Limits that are counted on another machine: somebody has to wait for them."""

    at_once = None

    def __init__(self, limits: MemoryLimits) -> None:
        self.reserve, self.settle, self.release, self.peek = limits.reserve, limits.settle, limits.release, limits.peek


async def test_limits_of_another_machine_are_waited_for(build: Build) -> None:
    house = await build(policies=(SEATS,))
    charges = Charges(ChargeRules(policies=(SEATS,)), {})
    holds = Holds(limits=Elsewhere(house.limits), charges=charges, router=house.router, clock=house.clock)
    prompt = (await house.intake.admit(ORDINARY)).prompt
    await holds.remember(prompt)
    assert await seats(house) == 2  # its own, and the one that is remembered
    waits = holds.settle_at_once(prompt, Usage(1, 1), 0, house.clock())
    assert waits is not None
    assert await seats(house) == 2
    await waits
    assert await seats(house) == 3
    assert holds.settle_at_once(prompt, Usage(1, 1), 0, house.clock()) is None


async def test_one_of_two_callers_with_the_same_key_may_leave(house: House) -> None:
    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate, "once"),)
    both = [asyncio.create_task(house.submit("hello", idempotency_key="k", fingerprint=b"f")) for _ in range(2)]
    await asyncio.sleep(0)
    both[0].cancel()
    kept = await both[1]
    gate.set()
    assert (await house.finished(kept)).status is Status.COMPLETED
    assert len(house.engine.calls) == 1
    await house.settled()
    assert house.worker.load() == {"main": (4, 0)}


async def test_what_can_not_be_stored_costs_no_slot_and_no_charge(build: Build) -> None:
    house = await build(policies=(SEATS, REQUESTS))
    db = house.database.writer._db
    db.execute("pragma query_only = on")
    for leaves in (False, True):
        submitting = asyncio.create_task(house.submit("hello"))
        if leaves:
            await asyncio.sleep(0)
            submitting.cancel()
        with suppress(asyncio.CancelledError), pytest.raises(StoreUnavailable):
            await submitting
        await house.settled()
        assert (house.worker.load(), await seats(house)) == ({"main": (4, 0)}, 4)
    db.execute("pragma query_only = off")
    assert (await house.run("hello")).status is Status.COMPLETED
    (level,) = await house.limits.peek([Charge(REQUESTS, "ann", 1)], now=house.clock())
    assert level.remaining == 99


async def test_refusals_behind_the_charge_give_it_back(build: Build) -> None:
    house = await build(policies=(SEATS,))
    first = await house.run("hello", idempotency_key="k", fingerprint=b"f")
    await house.settled()
    with pytest.raises(IdempotencyMismatch):
        await house.submit("other", idempotency_key="k", fingerprint=b"g")
    with pytest.raises(InvalidRequest):
        await house.submit("other", idempotency_key="")
    assert await house.submit("hello", idempotency_key="k", fingerprint=b"f") == first
    await house.settled()
    assert (house.worker.load(), await seats(house)) == ({"main": (4, 0)}, 4)


async def test_a_charge_that_is_refused_stores_nothing(build: Build) -> None:
    house = await build(policies=(SEATS,))
    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate),)
    held = [await house.submit("hello") for _ in range(4)]
    with pytest.raises(TooManyRequests):
        await house.submit("hello")
    gate.set()
    for prompt in held:
        await house.finished(prompt)
    await house.settled()
    assert (await house.records.find(Prompt, Query(count=True))).count == 4
    assert (house.worker.load(), await seats(house)) == ({"main": (4, 0)}, 4)


async def test_a_drain_waits_for_what_is_being_stored(house: House) -> None:
    submitting = asyncio.create_task(house.submit("hello"))
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        await house.worker.drain(0)
    prompt = await submitting
    assert (await house.get(prompt)).status in (Status.SCHEDULED, Status.COMPLETED), "nobody runs it any more"
    with pytest.raises(ShuttingDown):
        await house.submit("hello")
