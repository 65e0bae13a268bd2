"""A batch whose process is killed again and again: every line has one outcome in the end, and ran once to completion."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from promptd.core.batches import BatchStatus
from promptd.core.model import Outcome, Usage
from tests.e2e.batch_process import LINES, desk_in, texts
from tests.service.house import ANN

pytestmark = pytest.mark.e2e
REPOSITORY = Path(__file__).parents[2]
PATIENCE = 30.0


async def run_for(folder: Path, seconds: float | None) -> bool:
    """Carry out the batch, and kill the process `seconds` after it has begun; whether it had come to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.e2e.batch_process", str(folder)),
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        assert await process.stdout.readline() == b"begun\n"
    try:
        async with asyncio.timeout(PATIENCE if seconds is None else seconds):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    return await process.stdout.read() == b"done\n"


@pytest.mark.timeout(120)
async def test_kill_after_kill(tmp_path: Path) -> None:
    dice = random.Random(7)
    kills = 0
    while not await run_for(tmp_path, dice.uniform(0.0, 0.35) if kills < 8 else None):
        kills += 1
    assert kills >= 3
    desk = desk_in(tmp_path)
    try:
        (batch,), _ = await desk.batches.find(ANN, limit=10)
        assert batch.status is BatchStatus.COMPLETED
        assert (batch.total, batch.completed, batch.failed) == (LINES + 1, LINES, 1)
        answers = await desk.read(batch.output_file)
        assert Counter(answer["custom_id"] for answer in answers) == Counter(texts())
        assert all(answer["response"]["body"] == {"texts": [f"re: {answer['custom_id']}"]} for answer in answers)
        assert [line["custom_id"] for line in await desk.read(batch.error_file)] == ["odd"]
        children = await desk.children(batch)
        assert len(children) == LINES
        for child in children:
            outcomes = Counter(attempt.outcome for attempt in await desk.house.attempts(child))
            assert outcomes[Outcome.COMPLETED] == 1, child.id
        assert batch.usage == Usage(input_tokens=3 * LINES, output_tokens=2 * LINES)
        made, _ = await desk.filed.find("ann", purpose="batch_output", after=None, limit=10)
        assert {upload.id for upload in made} == {batch.output_file, batch.error_file}
        assert list((tmp_path / "batches").iterdir()) == []
    finally:
        await desk.house.stop()
