"""What is refused before anything is stored, and what is asked twice."""

from __future__ import annotations

import asyncio

import pytest

from promptd.core.content import Turn
from promptd.core.errors import (
    ContentRefused,
    Forbidden,
    InvalidRequest,
    Overloaded,
    Unavailable,
    UnknownModel,
)
from promptd.core.filters import Query
from promptd.core.model import Caller, Capability, Prompt, Request
from promptd.core.parameters import Parameters
from tests.service.conftest import Build
from tests.service.house import BOB, Censor, House, hold


async def test_the_same_id_is_the_same_prompt(house: House) -> None:
    first = await house.run("hello", id="mine")
    again = await house.submit("other text", id="mine")
    assert again == first
    assert len(house.engine.calls) == 1
    assert house.worker.load() == {"main": (4, 0)}


async def test_an_idempotency_key_joins_the_first_call(house: House) -> None:
    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate, "once"),)
    first = await house.submit("hello", idempotency_key="k", fingerprint=b"f")
    second = await house.submit("hello", idempotency_key="k", fingerprint=b"f")
    assert first.id == second.id
    gate.set()
    await house.finished(first)
    assert len(house.engine.calls) == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"request": Request()}, "messages"),
        ({"request": Request(messages=(Turn("user", ""),))}, "messages"),
        ({"capability": Capability.EMBEDDING}, "texts"),
        ({"capability": Capability.COMPLETION}, "capability"),
        ({"id": ""}, "id"),
        ({"id": "x" * 129}, "id"),
        ({"thread": ""}, "thread_id"),
        ({"deadline": 1.0}, "deadline"),
        ({"deadline": 2e9, "not_before": 2e9}, "deadline"),
        ({"deadline": 2e9, "not_before": 2e9 + 1}, "deadline"),
        (
            {"request": Request(messages=(Turn("user", "x"),), parameters=Parameters(template=""))},
            "parameters.template",
        ),
        (
            {"request": Request(messages=(Turn("user", "x"),), parameters=Parameters(template="{ prompt }"))},
            "parameters.template",
        ),
        ({"max_attempts": 0}, "max_attempts"),
        ({"priority": 101}, "priority"),
        ({"idempotency_key": ""}, "Idempotency-Key"),
        (
            {"request": Request(messages=(Turn("user", "x"),), parameters=Parameters(json_schema={"type": "nothing"}))},
            "parameters.json_schema",
        ),
        ({"model": "unknown"}, "model"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_stored(
    house: House, fields: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await house.submit(**fields)  # type: ignore[arg-type]
    assert refused.value.field == field
    assert (await house.records.find(Prompt, Query(count=True))).count == 0
    assert house.worker.load() == {"main": (4, 0)}


async def test_refusals(build: Build) -> None:
    house = await build(guard=Censor("bad"), max_waiting=1)
    with pytest.raises(Forbidden):
        await house.submit(caller=Caller("nobody"))
    with pytest.raises(UnknownModel, match="did you mean main"):
        await house.submit(model="maim")
    with pytest.raises(ContentRefused) as refused:
        await house.submit("a bad text")
    assert refused.value.reason == "a bad word"
    await house.submit("hello", thread="t")
    with pytest.raises(Forbidden):
        await house.submit("hello", BOB, thread="t")
    await house.submit("later", not_before=house.clock() + 1)
    with pytest.raises(Overloaded):
        await house.submit("one too many")


async def test_a_guard_that_fails_lets_nothing_through(build: Build) -> None:
    guard = Censor("bad")
    house = await build(guard=guard)
    guard.broken = True
    with pytest.raises(Unavailable):
        await house.submit("hello")
    assert house.engine.calls == []
