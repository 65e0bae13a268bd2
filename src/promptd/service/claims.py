"""One claim for a lane: by priority, and one prompt in ten by turn alone."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from promptd.core.errors import StoreUnavailable
from promptd.core.ports import Claimed, Queue
from promptd.service.lanes import Lane

_log = logging.getLogger(__name__)
_FAIR_EVERY: Final = 10  # one claim in ten looks at turns only, not at priority


async def take(queue: Queue, lane: Lane, wanted: int, now: float) -> Claimed:
    """Claim up to `wanted` prompts, both ways in one batch of the store. Raises `StoreUnavailable`."""
    fair = (lane.claimed + wanted) // _FAIR_EVERY - lane.claimed // _FAIR_EVERY
    claims = [queue.claim(lane.name, wanted - fair, now=now)]
    if fair:
        claims.append(queue.claim(lane.name, fair, now=now, fair_only=True))
    results = await asyncio.gather(*claims, return_exceptions=True)
    found = [result for result in results if isinstance(result, Claimed)]
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, StoreUnavailable):
            _log.error("claim of %s failed", lane.name, exc_info=result, extra={"action": "claim_failed"})
    if not found:  # where only one of them failed, what the other one took must run
        raise StoreUnavailable
    return Claimed(
        tuple(prompt for part in found for prompt in part.prompts),
        tuple(prompt for part in found for prompt in part.expired),
        found[-1].next_due,
    )
