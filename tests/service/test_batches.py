"""Batches on the real walk: every line has one outcome, whatever happens; they stop when told and when their time is up."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from promptd.core.batches import Batch, BatchStatus
from promptd.core.content import Turn
from promptd.core.errors import Conflict, Forbidden, InvalidRequest, NotFound, Overloaded, PromptdError, RateLimited
from promptd.core.filters import Filter, Query
from promptd.core.model import Caller, Outcome, Prompt, Request, Usage
from promptd.core.policy import Policy
from promptd.core.ports import Records
from promptd.dialects.asked import Asked
from promptd.service.batches import Batches, BatchRules, Decoded, Kind
from promptd.service.filed import Filed
from tests.service.conftest import Build
from tests.service.house import ADMIN, ANN, BOB, PATIENCE, Censor, Clock, House, fail, hold

pytestmark = pytest.mark.slow

URL = "/v1/things"
RULES = BatchRules(queued=5, safe_seconds=0.02, pause_seconds=0.02)


class Body(Struct):
    model: str
    text: str | list[str]


def decode(body: bytes) -> Decoded:
    try:
        given = msgspec.json.decode(body, type=Body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error), field="text", expected="a string") from None
    texts = given.text if isinstance(given.text, list) else [given.text]
    return Decoded(tuple(Asked(request=Request(messages=(Turn("user", text),))) for text in texts), encode)


def encode(prompts: Sequence[Prompt]) -> bytes:
    return msgspec.json.encode({"texts": [prompt.answer.text for prompt in prompts if prompt.answer is not None]})


def refuse(error: PromptdError) -> tuple[int, bytes]:
    return 400 if isinstance(error, InvalidRequest) else error.http_status, msgspec.json.encode({"error": error.code})


class Told:
    """The house's records, and word of everything that is written."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.get, self.find, self.delete = records.get, records.find, records.delete
        self.written = asyncio.Event()

    async def put(self, *records: Struct) -> None:
        await self._records.put(*records)
        self.written.set()


class Listening(logging.Handler):
    """Waits for a line of the log."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words, self.heard = words, asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self._words in record.getMessage():
            self.heard.set()


class Desk:
    """A house, and the batches in it."""

    def __init__(self, house: House, folder: Path, rules: BatchRules = RULES) -> None:
        self.house = house
        self.filed = Filed(uploads=house.uploads, contents=house.contents, records=house.records, clock=house.clock)
        self.records = Told(house.records)
        self.callers: dict[str, Caller | None] = {ANN.key: ANN, BOB.key: BOB}
        self.batches = Batches(
            records=self.records,
            contents=house.contents,
            filed=self.filed,
            intake=house.intake,
            prompts=house.prompts,
            streams=house.streams,
            renew=self._renew,
            connections=house.connections,
            clock=house.clock,
            ids=house.tickets._ids,
            folder=folder,
            rules=rules,
        )
        self.batches.serve({URL: Kind(decode, refuse)})

    async def _renew(self, caller: Caller) -> Caller | None:
        return self.callers[caller.key]

    async def upload(self, content: bytes, caller: Caller = ANN, purpose: str = "batch") -> str:
        async def once() -> AsyncIterator[bytes]:
            yield content

        upload = await self.house.uploads.save(caller.user, "in.jsonl", None, once(), 2**30)
        await self.filed.label(upload, purpose, None)
        return upload.id

    async def create(self, content: bytes, caller: Caller = ANN, window: str = "24h", **more: Any) -> Batch:
        return await self.batches.create(
            caller,
            input_file=await self.upload(content, caller),
            endpoint=URL,
            window=window,
            metadata=more.pop("metadata", {}),
            **more,
        )

    async def ended(self, batch: Batch, caller: Caller = ANN) -> Batch:
        written = self.records.written
        async with asyncio.timeout(PATIENCE):
            while True:
                written.clear()
                found = await self.batches.get(caller, batch.id)
                if found.status.final:
                    return found
                await written.wait()

    async def until(self, batch: Batch, condition: Callable[[Batch], bool]) -> Batch:
        async with asyncio.timeout(PATIENCE):
            while not condition(found := await self.batches.get(ANN, batch.id)):
                await asyncio.sleep(0)  # what is counted is written later, or never
            return found

    async def read(self, identifier: str) -> list[dict[str, Any]]:
        if not identifier:
            return []
        _, file = await self.filed.open(identifier)
        with file:
            return [msgspec.json.decode(line) for line in file.read().splitlines()]

    async def children(self, batch: Batch) -> list[Prompt]:
        found: list[Prompt] = []
        after: str | None = None
        while True:
            query = Query(filters=(Filter("parent", "eq", batch.id),), limit=1000, after=after)
            page = await self.house.records.find(Prompt, query)
            found += page.items
            after = page.after
            if after is None:
                return found


def lines(*texts: Any, **more: Any) -> bytes:
    """One request per text; its custom id is the text."""
    return b"".join(
        msgspec.json.encode(
            {"custom_id": str(text), "method": "POST", "url": URL, "body": {"model": "main", "text": text}} | more
        )
        + b"\n"
        for text in texts
    )


@pytest.fixture
async def open_desk(build: Build, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    desks: list[Desk] = []

    @asynccontextmanager
    async def make(**settings: Any) -> AsyncIterator[Desk]:
        rules = settings.pop("rules", RULES)
        desk = Desk(await build(**settings), tmp_path / "batches", rules)
        await desk.batches.start()
        desks.append(desk)
        try:
            yield desk
        finally:
            await desk.batches.close()
            await desk.house.stop()

    yield make
    for desk in desks:
        assert list((tmp_path / "batches").iterdir()) == [] or desk is not desks[-1]


OpenDesk = Callable[..., Any]


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


# ---------------------------------------------------------------- survive


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_or_done_twice_when_it_is_interrupted(open_desk: OpenDesk, seed: int) -> None:
    dice = random.Random(seed)
    texts = [f"text {n}" for n in range(30)] + [["twin 1", "twin 2"]]
    content = lines(*texts) + lines("odd", body={"model": "main", "text": 5})
    identifier = ""
    for _ in range(200):
        async with open_desk() as desk:
            if not identifier:
                identifier = (await desk.create(content)).id
            for _ in range(dice.randrange(400)):
                await asyncio.sleep(0)
            batch = await desk.batches.get(ANN, identifier)
            if batch.status.final:
                break
    async with open_desk() as desk:
        ended = await desk.ended(batch)
        assert ended.status is BatchStatus.COMPLETED
        assert (ended.total, ended.completed, ended.failed) == (32, 31, 1)
        answers = await desk.read(ended.output_file)
        assert Counter(answer["custom_id"] for answer in answers) == Counter(map(str, texts))
        assert [line["custom_id"] for line in await desk.read(ended.error_file)] == ["odd"]
        children = await desk.children(batch)
        assert len(children) == 32
        for child in children:
            outcomes = Counter(attempt.outcome for attempt in await desk.house.attempts(child))
            assert outcomes[Outcome.COMPLETED] == 1
        assert ended.usage == Usage(input_tokens=96, output_tokens=64)
        mine, _ = await desk.filed.find("ann", purpose="batch_output", after=None, limit=10)
        assert {upload.id for upload in mine} == {ended.output_file, ended.error_file}


async def test_a_cancel_survives_a_restart(open_desk: OpenDesk) -> None:
    gate = asyncio.Event()
    async with open_desk() as desk:
        desk.house.engine.plans |= {str(n): (hold(gate),) for n in range(10)}
        batch = await desk.create(lines(*map(str, range(10))))
        await desk.house.engine.called()
        await desk.batches.cancel(ANN, batch.id)
        # nobody is left to hear of it
    async with open_desk() as desk:
        ended = await desk.ended(batch)
        assert ended.status is BatchStatus.CANCELLED
        assert ended.completed + ended.failed == 10  # some may have been quicker than their cancel


async def test_a_disk_that_fails_is_waited_for(
    open_desk: OpenDesk, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    log, logger = Listening("waits for the store"), logging.getLogger("promptd.service.batch_run")
    logger.addHandler(log)
    request.addfinalizer(lambda: logger.removeHandler(log))
    async with open_desk() as desk:
        gate = asyncio.Event()
        desk.house.engine.plans["0"] = (hold(gate, "zero"),)
        batch = await desk.create(lines(*map(str, range(20))))
        await desk.house.engine.called()
        obstacle = tmp_path / "batches" / f"{batch.id}.error"
        obstacle.mkdir()  # nothing can be written there
        desk.house.engine.plans["19"] = (fail(ValueError("no")),)
        gate.set()
        async with asyncio.timeout(PATIENCE):
            await log.heard.wait()
        assert not (await desk.batches.get(ANN, batch.id)).status.final
        obstacle.rmdir()
        ended = await desk.ended(batch)
        assert (ended.completed, ended.failed) == (19, 1)
        assert len(await desk.read(ended.output_file)) == 19
        assert [line["custom_id"] for line in await desk.read(ended.error_file)] == ["19"]
        for child in await desk.children(batch):
            outcomes = [attempt.outcome for attempt in await desk.house.attempts(child)]
            assert outcomes.count(Outcome.COMPLETED) == (0 if child.error else 1)


async def test_an_input_that_is_gone_after_a_restart(open_desk: OpenDesk) -> None:
    gate = asyncio.Event()
    async with open_desk() as desk:
        desk.house.engine.plans |= {str(n): (hold(gate),) for n in range(10)}
        batch = await desk.create(lines(*map(str, range(10))))
        await desk.house.engine.called()
        assert desk.batches.uses(batch.input_file)
        await desk.house.uploads.delete(ANN, batch.input_file)
    async with open_desk() as desk:
        ended = await desk.ended(batch)
        assert ended.status is BatchStatus.FAILED
        assert [error.code for error in ended.errors] == ["input_file_not_found"]
        assert not desk.batches.uses(batch.input_file)


# ---------------------------------------------------------------- who may


async def test_batches_are_their_makers(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        mine = [await desk.create(lines("a")) for _ in range(3)]
        theirs = await desk.create(lines("b"), BOB)
        for batch in mine:
            await desk.ended(batch)
        for caller in (BOB, ADMIN):
            with pytest.raises(NotFound):
                await desk.batches.get(caller, mine[0].id)
            with pytest.raises(NotFound):
                await desk.batches.cancel(caller, mine[0].id)
        ids = sorted([batch.id for batch in mine], reverse=True)
        page, more = await desk.batches.find(ANN, limit=2)
        assert ([batch.id for batch in page], more) == (ids[:2], True)
        page, more = await desk.batches.find(ANN, limit=2, after=ids[1])
        assert ([batch.id for batch in page], more) == (ids[2:], False)
        await desk.ended(theirs, BOB)


async def test_what_a_new_batch_must_keep(open_desk: OpenDesk) -> None:
    async with open_desk(rules=replace(RULES, unfinished=1)) as desk:
        good = await desk.upload(lines("a"))
        for field, change in [
            ("input_file_id", {"input_file": "file-none"}),
            ("input_file_id", {"input_file": await desk.upload(lines("a"), BOB)}),
            ("input_file_id", {"input_file": await desk.upload(lines("a"), purpose="user_data")}),
            ("endpoint", {"endpoint": "/v1/others"}),
            ("completion_window", {"window": "soon"}),
            ("metadata", {"metadata": {str(n): "" for n in range(17)}}),
        ]:
            given = {"input_file": good, "endpoint": URL, "window": "24h", "metadata": {}} | change
            with pytest.raises(InvalidRequest) as refusal:
                await desk.batches.create(ANN, **given)
            assert refusal.value.field == field
        with pytest.raises(Forbidden):
            await desk.batches.create(Caller("ann"), input_file=good, endpoint=URL, window="24h", metadata={})
        gate = asyncio.Event()
        desk.house.engine.plans["a"] = (hold(gate),)
        first = await desk.create(lines("a"))
        with pytest.raises(Overloaded):
            await desk.create(lines("a"))
        gate.set()
        await desk.ended(first)


async def test_files_end(open_desk: OpenDesk, clock: Clock) -> None:
    async with open_desk() as desk:
        ended = await desk.ended(await desk.create(lines("a"), keep_seconds=3600))
        stays = ended.input_file
        clock.now += 3600
        with pytest.raises(NotFound):
            await desk.filed.get(ended.output_file)
        found, _ = await desk.filed.find("ann", purpose=None, after=None, limit=10)
        assert [upload.id for upload in found] == [stays]
        assert await desk.filed.sweep() == 1
        with pytest.raises(NotFound):
            await desk.house.uploads.get(ended.output_file)
        assert await desk.filed.sweep() == 0


async def test_files_by_age(open_desk: OpenDesk, clock: Clock) -> None:
    async with open_desk() as desk:
        made = []
        for n in range(7):
            clock.now += n % 2  # some of the same moment
            made.append(await desk.upload(b"x", purpose="batch" if n % 3 else "user_data"))
        await desk.upload(b"x", BOB)
        newest, _ = await desk.filed.find("ann", purpose=None, after=None, limit=100)
        order = [upload.id for upload in newest]
        assert set(order) == set(made)
        assert [upload.created for upload in newest] == sorted((u.created for u in newest), reverse=True)
        paged: list[str] = []
        more = True
        while more:
            page, more = await desk.filed.find("ann", purpose=None, after=paged[-1] if paged else None, limit=3)
            paged += [upload.id for upload in page]
        assert paged == order
        oldest, _ = await desk.filed.find("ann", purpose=None, after=order[2], limit=100, descending=False)
        assert [upload.id for upload in oldest] == order[:2][::-1]
        some, _ = await desk.filed.find("ann", purpose="user_data", after=None, limit=100)
        assert {upload.id for upload in some} == {made[0], made[3], made[6]}
        with pytest.raises(InvalidRequest):
            await desk.filed.find("bob", purpose=None, after=order[0], limit=1)
