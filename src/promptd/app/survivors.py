"""What the last run left: prompts that ran, and prompts that wait."""

from __future__ import annotations

import logging
from typing import Final

from msgspec.structs import replace

from promptd.core.filters import Filter, Query
from promptd.core.lifecycle import WAITING
from promptd.core.model import Prompt
from promptd.core.ports import Queue, Records
from promptd.service.intake import Intake

_log = logging.getLogger("promptd")
_WAITING: Final = Query(filters=(Filter("status", "in", tuple(sorted(WAITING))),), limit=1000)


async def take_over(queue: Queue, records: Records, now: float) -> int:
    """Rescue what was left running; how many prompts wait in the store."""
    rescued = await queue.rescue(now=now, everything=True)
    if rescued:
        _log.info(
            "rescued %d prompts of the last run", len(rescued), extra={"action": "rescued", "count": len(rescued)}
        )
    waiting = await records.find(Prompt, replace(_WAITING, limit=1, count=True))
    return waiting.count or 0


async def remember_waiting(records: Records, intake: Intake) -> None:
    """Count those that wait against concurrency: their admission was in another process."""
    query = _WAITING
    while True:
        page = await records.find(Prompt, query)
        for prompt in page.items:
            await intake.remember(prompt)
        if page.after is None:
            return
        query = replace(query, after=page.after)
