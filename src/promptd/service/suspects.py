"""Prompts that lost their worker too often run with nothing beside them: a crash then names the culprit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final, Protocol

from promptd.core.errors import StoreUnavailable
from promptd.core.ports import Claimed, Queue
from promptd.service.clock import Clock
from promptd.service.lanes import Lane

_log = logging.getLogger(__name__)
_ALONE_SECONDS: Final = 60.0


class Host(Protocol):
    """Who runs them."""

    draining: bool

    async def launch(self, lane: Lane, claimed: Claimed) -> None:
        """Run what was claimed, in slots that are taken for it."""

    async def quiet(self) -> object:
        """Wait until nothing runs."""


async def run_suspects(host: Host, queue: Queue, lanes: Iterable[Lane], clock: Clock) -> None:
    """Each of them in turn. One that takes long gets company after a while: it has not crashed, and the others have
    waited enough."""
    try:
        for lane in lanes:
            while not host.draining:
                found = await queue.claim(lane.name, 1, now=clock(), alone=True)
                await host.launch(lane, found)
                if not found.prompts:
                    break
                await asyncio.wait_for(host.quiet(), _ALONE_SECONDS)
    except TimeoutError:
        _log.warning("a suspect runs on beside the others", extra={"action": "suspect_slow"})
    except StoreUnavailable as error:
        _log.warning("suspects wait for the next start: %s", error.detail, extra={"action": "store_failed"})
