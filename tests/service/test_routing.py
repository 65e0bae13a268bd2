"""Models with several ways, on the whole walk: what happens when one of them fails, is full, or is one side of a split."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from promptd.app import House, build
from promptd.core.content import Turn
from promptd.core.errors import InvalidInput, LaneFull, NetworkError, PromptExecutionError, RateLimited
from promptd.core.filters import Filter, Query
from promptd.core.identity import USER_PERMISSIONS
from promptd.core.lifecycle import Status
from promptd.core.model import Attempt, Caller, Mode, Outcome, Prompt, Request, Submission
from promptd.core.routing import Leg, Route
from promptd.settings import Settings
from promptd.testing.upstream import Upstream
from tests.service import house as puppets

ANN = Caller("ann", "key-ann", "team", USER_PERMISSIONS)
PATIENCE = 10.0


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@asynccontextmanager
async def living(
    home: Path, upstream: Upstream, models: Mapping[str, Any], **connections: Mapping[str, Any]
) -> AsyncIterator[House]:
    """A house with the connections `one` and `two` to the upstream, and `connections` with keys of their own."""
    common = {"engine": "openai", "base_url": upstream.base_url}
    settings = Settings.model_validate(
        {
            "home": home,
            "connections": {name: {**common, **connections.get(name, {})} for name in ("one", "two", *connections)},
            "models": models,
        }
    )
    async with build(settings) as house:
        yield house


def first_then(upstream: str, **more: Any) -> dict[str, Any]:
    """A model that fails in its own way on the first connection, and answers on the second."""
    legs = [{"connection": "one", "upstream": upstream}, {"connection": "two", "upstream": "echo", "tier": 1}]
    return {"m": {"connections": legs, **more}}


def ask(model: str = "m", text: str = "hello there", user: str = "ann", affinity: str = "") -> Submission:
    return Submission(
        caller=Caller(user, f"key-{user}", "", USER_PERMISSIONS),
        model=model,
        mode=Mode.ATTACHED,
        affinity=affinity,
        request=Request(messages=(Turn("user", text),)),
    )


async def run(house: House, submission: Submission) -> tuple[Prompt, str]:
    async with asyncio.timeout(PATIENCE), house.walk.attached.open(submission) as visit:
        text = "".join([chunk.text async for chunk in visit.chunks()])
    return visit.prompt, text.strip()


async def ledger(house: House, prompt: Prompt) -> list[tuple[str, str, Outcome]]:
    await house.walk.attached.flush()
    row = await house.database.records.get(Prompt, prompt.id)
    assert row is not None
    page = await house.database.records.find(Attempt, Query(filters=(Filter("prompt", "eq", row.no),)))
    found = sorted(page.items, key=lambda attempt: attempt.run)
    return [(attempt.connection, attempt.model, attempt.outcome) for attempt in found]


def idle(house: House) -> bool:
    return all(busy == 0 for _, busy in house.walk.worker.load().values())


@pytest.mark.parametrize("fault", ["500", "401", "429", "503"])
async def test_a_caller_gets_the_answer_of_the_next_connection(tmp_path: Path, upstream: Upstream, fault: str) -> None:
    async with living(tmp_path, upstream, first_then(fault)) as house:
        prompt, text = await run(house, ask())
        assert text == "hello there"
        assert await ledger(house, prompt) == [
            ("one", fault, Outcome.ERRORED),
            ("two", "echo", Outcome.COMPLETED),
        ]
        assert idle(house)


async def test_a_server_that_is_not_there_is_tried_once_more_and_then_left_alone(
    tmp_path: Path, upstream: Upstream
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = {"base_url": f"http://127.0.0.1:{closed.getsockname()[1]}/v1", "cooldown": {"failures": 2}}
        async with living(tmp_path, upstream, first_then("any"), one=nobody) as house:
            prompt, text = await run(house, ask())
            assert text == "hello there"
            assert [connection for connection, _, _ in await ledger(house, prompt)] == ["one", "one", "two"]
            prompt, _ = await run(house, ask())
            assert [connection for connection, _, _ in await ledger(house, prompt)] == ["two"], "it rests"


async def test_a_silent_server_is_given_up_before_its_first_byte(tmp_path: Path, upstream: Upstream) -> None:
    impatient = {"first_byte_timeout": 0.1, "cooldown": {"failures": 1}}
    async with living(tmp_path, upstream, first_then("slow-first-byte"), one=impatient) as house:
        prompt, text = await run(house, ask())
        assert text == "hello there"
        assert [connection for connection, _, _ in await ledger(house, prompt)] == ["one", "one", "two"]


async def test_what_was_begun_is_not_begun_anew_elsewhere(tmp_path: Path, upstream: Upstream) -> None:
    async with living(tmp_path, upstream, first_then("reset")) as house:
        with pytest.raises(PromptExecutionError):
            await run(house, ask())
        assert [call.body["model"] for call in upstream.calls] == ["reset"]


async def test_a_fault_of_the_request_is_not_asked_about_again(tmp_path: Path, upstream: Upstream) -> None:
    async with living(tmp_path, upstream, first_then("400")) as house:
        with pytest.raises(InvalidInput):
            await run(house, ask())
        assert len(upstream.calls) == 1


async def test_a_connection_that_asks_for_rest_is_not_called_while_it_has_it(
    tmp_path: Path, upstream: Upstream
) -> None:
    async with living(tmp_path, upstream, first_then("429")) as house:
        for _ in range(3):
            await run(house, ask())
        first = [call.body["model"] for call in upstream.calls].count("429")
        assert first == 1
        (item,) = house.walk.router.health("one")
        assert (item.upstream, item.state) == ("429", "cooling")


async def test_a_fallback_to_another_model_says_what_was_asked_there(tmp_path: Path, upstream: Upstream) -> None:
    models = {
        "big": {"connection": "one", "upstream": "500", "fallbacks": ["small"]},
        "small": {"connection": "one", "upstream": "echo"},
    }
    async with living(tmp_path, upstream, models) as house:
        prompt, text = await run(house, ask("big"))
        assert (prompt.model, text) == ("big", "hello there")
        assert [model for _, model, _ in await ledger(house, prompt)] == ["500", "echo"]


async def test_names_of_a_pattern_are_asked_by_what_the_star_stands_for(tmp_path: Path, upstream: Upstream) -> None:
    models = {"v/*": {"connection": "one", "upstream": "*"}, "other": {"alias": "v/echo"}}
    async with living(tmp_path, upstream, models) as house:
        prompt, text = await run(house, ask("v/echo"))
        assert (prompt.model, text) == ("v/echo", "hello there")
        queued = await house.walk.intake.submit(
            Submission(caller=ANN, model="v/echo", request=Request(messages=(Turn("user", "later"),)))
        )
        done = await house.walk.streams.finished(queued.prompt.id)
        assert done.answer is not None
        assert (done.model, done.answer.text.strip()) == ("v/echo", "later")
        prompt, text = await run(house, ask("other"))
        assert (text, await ledger(house, prompt)) == ("hello there", [("one", "echo", Outcome.COMPLETED)])


async def test_a_reload_keeps_the_rest_of_a_connection_that_stays_as_it_is(tmp_path: Path, upstream: Upstream) -> None:
    def settings(slots: int, waiting: int) -> Settings:
        one = {"engine": "openai", "base_url": upstream.base_url, "slots": slots}
        two = {"engine": "openai", "base_url": upstream.base_url, "max_waiting": waiting}
        return Settings.model_validate(
            {"home": tmp_path, "connections": {"one": one, "two": two}, "models": first_then("429")}
        )

    wanted = settings(4, 1000)
    async with build(wanted, read=lambda: wanted) as house:
        await run(house, ask())
        wanted = settings(4, 5)
        await house.reload()
        assert [item.state for item in house.walk.router.health("one")] == ["cooling"]
        lane = house.walk.worker.lane("two")
        assert lane is not None
        assert lane.most_waiting == 5
        wanted = settings(5, 5)
        await house.reload()
        assert house.walk.router.health("one") == ()


# ---------------------------------------------------------------- full lines


async def test_a_line_that_is_full_sends_callers_away_at_once(tmp_path: Path, upstream: Upstream) -> None:
    models = {"stall": {"connection": "one"}, "echo": {"connection": "one"}}
    async with living(tmp_path, upstream, models, one={"slots": 1, "max_waiting": 1}) as house:
        async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:
            visit = await stack.enter_async_context(house.walk.attached.open(ask("stall")))
            await anext(visit.chunks())
            waiting = asyncio.create_task(run(house, ask("echo")))
            while (lane := house.walk.worker.lane("one")) is None or not lane.attached:
                await asyncio.sleep(0)
            with pytest.raises(LaneFull) as refused:
                await run(house, ask("echo"))
            assert (refused.value.http_status, refused.value.retry_after) == (429, 1)
        assert (await waiting)[1] == "hello there"
        assert idle(house)


async def test_nobody_waits_longer_than_the_connection_says(tmp_path: Path, upstream: Upstream) -> None:
    models = {"stall": {"connection": "one"}, "echo": {"connection": "one"}}
    async with living(tmp_path, upstream, models, one={"slots": 1, "max_wait_seconds": 0.05}) as house:
        async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:
            visit = await stack.enter_async_context(house.walk.attached.open(ask("stall")))
            await anext(visit.chunks())
            with pytest.raises(LaneFull):
                await run(house, ask("echo"))
        assert idle(house)


async def test_where_one_line_is_full_the_next_connection_answers(tmp_path: Path, upstream: Upstream) -> None:
    models = first_then("echo") | {"stall": {"connection": "one"}}
    async with living(tmp_path, upstream, models, one={"slots": 1, "max_waiting": 0}) as house:
        async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:
            visit = await stack.enter_async_context(house.walk.attached.open(ask("stall")))
            await anext(visit.chunks())
            prompt, _ = await run(house, ask())
            assert prompt.lane == "two"
        prompt, _ = await run(house, ask())
        assert prompt.lane == "one"


# ---------------------------------------------------------------- splits


async def test_the_side_of_a_split_is_recorded_and_stays_the_same(tmp_path: Path, upstream: Upstream) -> None:
    models = {
        "chat": {"split": [{"model": "a", "weight": 1}, {"model": "b", "weight": 1, "arm": "new"}]},
        "a": {"connection": "one", "upstream": "echo"},
        "b": {"connection": "one", "upstream": "echo-b"},
    }
    seen: dict[str, str] = {}
    async with living(tmp_path, upstream, models) as house:
        for number in range(12):
            user = f"user-{number}"
            (leg,) = house.walk.router.arm(house.walk.connections.resolve("chat"), user)[0].legs
            if leg.upstream != "echo":
                continue
            for _ in range(2):
                prompt, _ = await run(house, ask("chat", user=user))
                assert seen.setdefault(user, prompt.arm) == prompt.arm == "a"
            assert (prompt.model, await ledger(house, prompt)) == ("chat", [("one", "echo", Outcome.COMPLETED)])
            queued = await house.walk.intake.submit(
                Submission(caller=ask(user=user).caller, model="chat", request=Request(messages=(Turn("user", "x"),)))
            )
            done = await house.walk.streams.finished(queued.prompt.id)
            assert (done.arm, done.status) == ("a", Status.COMPLETED)
    assert 0 < len(seen) < 12


# ---------------------------------------------------------------- stored prompts


async def two_lanes(build: Any) -> puppets.House:
    """A house whose model `m` is served by lane `main`, and by `other` where that fails."""
    house: puppets.House = await build(lanes=("main", "other"))
    legs = tuple(
        Leg(model="m", connection=name, upstream=f"up-{name}", tier=tier) for tier, name in enumerate(("main", "other"))
    )
    route = Route(model="m", connection="main", upstream="up-main", legs=legs)
    house.connections.configure({one.name: one for one in house.connections}, {"m": route}, "m")
    return house


async def test_a_failed_prompt_waits_for_its_next_attempt_in_another_lane(build: Any) -> None:
    house = await two_lanes(build)
    house.engine.plans["hello"] = (puppets.fail(NetworkError()), puppets.say("there"))
    prompt = await house.submit("hello")
    assert prompt.lane == "main"
    errored = await house.errored(prompt)
    assert errored.lane == "other"
    assert errored.due is not None
    house.move(errored.due - house.clock())
    done = await house.finished(prompt)
    assert (done.status, done.lane, done.answer and done.answer.text) == (Status.COMPLETED, "other", "there")
    assert [call.model for call in house.engine.calls] == ["up-main", "up-other"]
    attempts = await house.attempts(done)
    assert [(attempt.connection, attempt.outcome) for attempt in attempts] == [
        ("main", Outcome.ERRORED),
        ("other", Outcome.COMPLETED),
    ]


async def test_another_lane_need_not_wait_as_long_as_the_first_one_asked(build: Any) -> None:
    house = await two_lanes(build)
    house.engine.plans["hello"] = (puppets.fail(RateLimited(retry_after=3000)), puppets.say("there"))
    prompt = await house.submit("hello")
    errored = await house.errored(prompt)
    assert errored.due is not None
    assert (errored.lane, errored.due - house.clock() <= 2) == ("other", True)
    house.move(2)
    assert (await house.finished(prompt)).status is Status.COMPLETED
    fresh = await house.run("again")
    assert (fresh.lane, fresh.status) == ("other", Status.COMPLETED), "new ones do not go where it rests"


async def test_a_prompt_that_runs_out_of_time_says_nothing_against_its_connection(build: Any) -> None:
    house = await two_lanes(build)
    house.engine.plans["hello"] = (puppets.hold(asyncio.Event()),)
    for _ in range(5):
        prompt = await house.submit("hello", deadline=house.clock() + 1)
        await house.engine.called()
        house.move(2)
        assert (await house.finished(prompt)).lane == "main"
    assert house.router.health("main") == ()


async def test_a_fault_of_the_prompt_is_not_carried_to_another_lane(build: Any) -> None:
    house = await two_lanes(build)
    house.engine.plans["hello"] = (puppets.fail(InvalidInput()),)
    done = await house.run("hello")
    assert (done.status, done.lane, len(house.engine.calls)) == (Status.ABANDONED, "main", 1)


async def test_many_prompts_leave_a_lane_that_fails_and_all_are_answered(build: Any) -> None:
    house = await two_lanes(build)
    texts = [f"text {number}" for number in range(20)]
    for text in texts:
        house.engine.plans[text] = (puppets.fail(NetworkError()), puppets.say("there"))
    prompts = [await house.submit(text) for text in texts]
    await house.settled()
    for _ in range(4):
        house.move(20)
        await house.settled()
    ends = [await house.finished(prompt) for prompt in prompts]
    assert Counter(end.status for end in ends) == {Status.COMPLETED: 20}
    assert len(house.engine.calls) == 40
