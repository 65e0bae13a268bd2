"""A process that carries out one batch in a folder: `python -m tests.e2e.batch_process <folder>`. It is there to be killed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

from promptd.core.engine import Call, NoConfig
from promptd.core.model import Chunk
from promptd.service.batches import BatchRules
from tests.service.batches.conftest import Desk, lines
from tests.service.house import ANN, END, Clock, House

LINES = 300
RULES = BatchRules(queued=20, safe_seconds=0.05, pause_seconds=0.05)


async def slow(call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
    await asyncio.sleep(0.01)  # a model takes its time, and so is killed at work
    yield Chunk("progress", text=f"re: {call.messages[-1].content}")
    yield END


def texts() -> list[str]:
    return [f"text {n}" for n in range(LINES)]


def content() -> bytes:
    return lines(*texts()) + lines("odd", body={"model": "main", "text": 5})


def desk_in(folder: Path) -> Desk:
    house = House(folder / "promptd.db", clock=Clock(), slots=8)
    house.engine.plans |= dict.fromkeys(texts(), (slow,))
    return Desk(house, folder / "batches", RULES)


async def main(folder: Path) -> None:
    desk = desk_in(folder)
    await desk.house.start()
    await desk.batches.start()
    known, _ = await desk.batches.find(ANN, limit=1)
    batch = known[0] if known else await desk.create(content())
    print("begun", flush=True)
    await desk.ended(batch, patience=None)
    await desk.batches.close()
    await desk.house.stop()
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
