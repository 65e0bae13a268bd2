"""Batches on the real walk: every line has one outcome; they stop when told and when their time is up."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from promptd.core.batches import BatchStatus
from promptd.core.errors import Conflict, RateLimited
from promptd.core.model import Usage
from promptd.core.policy import Policy
from tests.service.batches.conftest import RULES, OpenDesk, lines
from tests.service.house import ANN, PATIENCE, Censor, Clock, fail, hold

pytestmark = pytest.mark.slow


async def test_every_line_is_answered_once(open_desk: OpenDesk) -> None:
    texts = [f"text {n}" for n in range(40)]
    async with open_desk() as desk:
        batch = await desk.create(lines(*texts), metadata={"for": "test"})
        assert batch.status is BatchStatus.VALIDATING
        ended = await desk.ended(batch)
        assert ended.status is BatchStatus.COMPLETED
        assert (ended.total, ended.completed, ended.failed) == (40, 40, 0)
        assert ended.usage == Usage(input_tokens=120, output_tokens=80)
        assert ended.metadata == {"for": "test"}
        assert ended.model == "main"
        assert set(ended.times) == {"in_progress", "finalizing", "completed"}
        assert ended.error_file == ""
        answers = await desk.read(ended.output_file)
        assert {answer["custom_id"]: answer["response"]["body"] for answer in answers} == {
            text: {"texts": [f"re: {text}"]} for text in texts
        }
        for answer in answers:
            assert answer["error"] is None
            assert answer["response"]["status_code"] == 200
            child = await desk.house.get(answer["id"])
            assert answer["response"]["request_id"] == child.id
            assert (child.parent, child.priority, child.user) == (batch.id, -50, "ann")
            assert child.deadline == batch.expires
        assert len(answers) == len(await desk.children(batch)) == 40
        upload = await desk.filed.get(ended.output_file)
        assert (upload.purpose, upload.user, upload.expires) == ("batch_output", "ann", None)


async def test_a_line_may_be_several_prompts(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        ended = await desk.ended(await desk.create(lines(["one", "two"], "three")))
        answers = await desk.read(ended.output_file)
        assert sorted(answer["response"]["body"]["texts"] for answer in answers) == [
            ["re: one", "re: two"],
            ["re: three"],
        ]
        assert ended.usage.output_tokens == 6


async def test_only_some_lines_are_in_the_queue(open_desk: OpenDesk) -> None:
    gate = asyncio.Event()
    async with open_desk(slots=2) as desk:
        for n in range(20):
            desk.house.engine.plans[f"{n}"] = (hold(gate, "done"),)
        batch = await desk.create(lines(*map(str, range(20))))
        for _ in range(2):
            await desk.house.engine.called()
        async with asyncio.timeout(PATIENCE):
            while len(await desk.children(batch)) < 5:
                await asyncio.sleep(0)
        for _ in range(200):  # nothing more comes, however often the loop turns
            await asyncio.sleep(0)
        assert len(await desk.children(batch)) == 5
        gate.set()
        assert (await desk.ended(batch)).completed == 20


async def test_others_go_first(open_desk: OpenDesk) -> None:
    gate = asyncio.Event()
    async with open_desk(slots=1) as desk:
        desk.house.engine.plans["first"] = (hold(gate),)
        batch = await desk.create(lines("first", "second", "third"))
        assert await desk.house.engine.called() == "first"
        await desk.until(batch, lambda found: found.status is BatchStatus.IN_PROGRESS)
        urgent = await desk.house.submit("urgent")
        gate.set()
        assert await desk.house.engine.called() == "urgent"
        await desk.house.finished(urgent)
        await desk.ended(batch)


async def test_bad_requests_go_to_the_error_file(open_desk: OpenDesk) -> None:
    async with open_desk(guard=Censor("forbidden")) as desk:
        desk.house.engine.plans["late"] = (fail(RateLimited("slow down")),)
        desk.house.engine.plans["broken"] = (fail(ValueError("no")),)
        wrong = lines("odd", body={"model": "main", "text": 5})
        batch = await desk.create(lines("good", "forbidden", "broken") + wrong)
        ended = await desk.ended(batch)
        assert ended.status is BatchStatus.COMPLETED
        assert (ended.total, ended.completed, ended.failed) == (4, 1, 3)
        failed = {line["custom_id"]: line for line in await desk.read(ended.error_file)}
        assert {name: line["response"]["status_code"] for name, line in failed.items()} == {
            "forbidden": 422,
            "broken": 500,
            "odd": 400,
        }
        assert failed["odd"]["response"]["body"] == {"error": "invalid_request"}
        assert all(line["error"] is None for line in failed.values())
        assert [line["custom_id"] for line in await desk.read(ended.output_file)] == ["good"]


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (b"", "empty_file", None),
        (b"\n \r\n", "empty_file", None),
        (lines("a") + b"{nonsense\n", "invalid_json_line", 2),
        (lines("a") + b"[]", "invalid_request", 2),
        (lines("a", "b", "a"), "duplicate_custom_id", 3),
        (lines("a", url="/v1/others"), "mismatched_url", 1),
        (lines("a", method="GET"), "invalid_method", 1),
        (lines(""), "invalid_custom_id", 1),
        (b"\n\n" + lines("a", body={"model": "unknown", "text": "x"}), "model_not_found", 3),
        (lines("a", body={"text": "x"}), "missing_required_parameter", 1),
        (lines("a", body=[1]), "invalid_body", 1),
        (lines("a", body={"model": "main", "text": "x" * 2000}), "request_too_large", 1),
    ],
)
async def test_a_file_that_can_not_be_used(open_desk: OpenDesk, content: bytes, code: str, line: int | None) -> None:
    async with open_desk(rules=replace(RULES, max_line_bytes=1000)) as desk:
        ended = await desk.ended(await desk.create(content))
        assert ended.status is BatchStatus.FAILED
        assert [(error.code, error.line) for error in ended.errors] == [(code, line)]
        assert "failed" in ended.times
        assert desk.house.engine.calls == []
        assert await desk.children(ended) == []


async def test_every_bad_line_is_told_up_to_a_bound(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        ended = await desk.ended(await desk.create(lines(*range(300), method="PUT")))
        assert [error.line for error in ended.errors] == list(range(1, 101))


async def test_a_file_has_a_bound_of_lines(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        ended = await desk.ended(await desk.create(lines(*range(50_001))))
        assert [error.code for error in ended.errors] == ["too_many_requests"]


async def test_cancelled_in_the_middle(open_desk: OpenDesk) -> None:
    gate = asyncio.Event()
    async with open_desk() as desk:
        desk.house.engine.plans["2"] = (hold(gate),)
        batch = await desk.create(lines(*map(str, range(12))), keep_seconds=3600)
        desk.house.engine.plans |= {str(n): (hold(gate),) for n in range(6, 12)}
        await desk.until(batch, lambda found: found.completed == 5)
        stopping = await desk.batches.cancel(ANN, batch.id)
        assert stopping.status is BatchStatus.CANCELLING
        ended = await desk.ended(batch)
        assert ended.status is BatchStatus.CANCELLED
        assert set(ended.times) == {"in_progress", "cancelling", "finalizing", "cancelled"}
        assert (ended.completed, ended.failed) == (5, 7)
        assert sorted(line["custom_id"] for line in await desk.read(ended.output_file)) == ["0", "1", "3", "4", "5"]
        for line in await desk.read(ended.error_file):
            assert line["response"] is None
            assert line["error"]["code"] == "batch_cancelled"
        assert all(child.status.final for child in await desk.children(batch))
        assert (await desk.filed.get(ended.error_file)).expires == desk.house.clock() + 3600
        with pytest.raises(Conflict):
            await desk.batches.cancel(ANN, batch.id)


@pytest.mark.parametrize("looks", [0.02, 1000.0], ids=["batch first", "prompts first"])
async def test_what_is_not_done_in_time_never_will_be(open_desk: OpenDesk, clock: Clock, looks: float) -> None:
    gate = asyncio.Event()
    async with open_desk(rules=replace(RULES, safe_seconds=looks)) as desk:
        desk.house.engine.plans |= {str(n): (hold(gate),) for n in range(3, 30)}
        batch = await desk.create(lines(*map(str, range(30))), window="1h")
        await desk.until(batch, lambda found: found.completed == 3)
        clock.now += 3600
        ended = await desk.ended(batch)
        assert ended.status is BatchStatus.EXPIRED
        assert "expired" in ended.times
        assert (ended.completed, ended.failed) == (3, 27)
        lost = await desk.read(ended.error_file)
        assert {line["error"]["code"] for line in lost} == {"batch_expired"}
        assert sorted(int(line["custom_id"]) for line in lost) == list(range(3, 30))


async def test_a_limit_makes_it_wait_and_not_fail(open_desk: OpenDesk) -> None:
    policy = Policy(name="two", metric="requests", limit=2, window=3600.0)
    async with open_desk(policies=(policy,)) as desk:
        batch = await desk.create(lines(*map(str, range(5))))
        await desk.until(batch, lambda found: found.completed == 2)
        await desk.batches.cancel(ANN, batch.id)
        ended = await desk.ended(batch)
        assert (ended.completed, ended.failed) == (2, 3)
        assert {line["error"]["code"] for line in await desk.read(ended.error_file)} == {"batch_cancelled"}


async def test_a_key_that_ends_ends_its_batch(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        desk.callers[ANN.key] = None
        ended = await desk.ended(await desk.create(lines("a", "b")))
        assert [line["response"]["status_code"] for line in await desk.read(ended.error_file)] == [401, 401]
        assert desk.house.engine.calls == []


async def test_a_child_that_somebody_cancels_is_a_failed_line(open_desk: OpenDesk) -> None:
    gate = asyncio.Event()
    async with open_desk() as desk:
        desk.house.engine.plans["a"] = (hold(gate),)
        batch = await desk.create(lines("a"))
        await desk.house.engine.called()
        (child,) = await desk.children(batch)
        await desk.house.prompts.cancel(ANN, child.id)
        ended = await desk.ended(batch)
        assert ended.status is BatchStatus.COMPLETED
        assert [line["response"]["status_code"] for line in await desk.read(ended.error_file)] == [409]
