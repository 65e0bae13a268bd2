"""Batches that are interrupted: by a restart, by a disk, by a file that is gone."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from pathlib import Path

import pytest

from promptd.core.batches import BatchStatus
from promptd.core.model import Outcome, Usage
from tests.service.batches.conftest import OpenDesk, lines
from tests.service.house import ANN, PATIENCE, fail, hold

pytestmark = pytest.mark.slow


class Listening(logging.Handler):
    """Waits for a line of the log."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words, self.heard = words, asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self._words in record.getMessage():
            self.heard.set()


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
