"""Chores beside the walk: beats, retention, limits to disk. One task each; a failure is logged and tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from promptd.core.errors import PromptdError
from promptd.core.ports import Queue, Retention
from promptd.service.clock import Clock
from promptd.service.forgetting import Forgetting
from promptd.service.revocation import Revocation

_log = logging.getLogger(__name__)


class Upkeep:
    """Starts and stops the chores. Stopping twice, or before starting, is fine."""

    def __init__(
        self,
        *,
        queue: Queue,
        clock: Clock,
        beat_seconds: float,
        lease_seconds: float,
        retention: Sequence[Retention] = (),
        prune_seconds: float = 3600.0,
        flush: Callable[[float], Awaitable[None]] | None = None,
        forgetting: Forgetting | None = None,
        revocation: Revocation | None = None,
    ) -> None:
        self._queue, self._clock = queue, clock
        self._lease = lease_seconds
        self._retention = tuple(retention)
        self._chores: dict[str, tuple[float, Callable[[], Awaitable[object]]]] = {
            "beat": (beat_seconds, self._beat),
            "prune": (prune_seconds, self._prune),  # without retention too: expired idempotency keys go
        }
        if flush is not None:
            self._chores["flush limits"] = (1.0, lambda: flush(clock()))
        if revocation is not None:
            self._chores["end revoked calls"] = (1.0, lambda: revocation.look(clock()))
        if forgetting is not None:
            self._chores["forget texts"] = (prune_seconds, lambda: forgetting.run(clock()))
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        for name in self._chores:
            self._begin(name)

    async def stop(self) -> None:
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def configure(self, retention: Sequence[Retention], prune_seconds: float) -> None:
        """Other rules from now on; the time to the next round of deleting begins anew."""
        self._retention = tuple(retention)
        self._chores["prune"] = (prune_seconds, self._prune)
        if (forget := self._chores.get("forget texts")) is not None:
            self._chores["forget texts"] = (prune_seconds, forget[1])
        for name in ("prune", "forget texts"):
            if (task := self._tasks.get(name)) is not None:
                task.cancel()
                self._begin(name)

    def _begin(self, name: str) -> None:
        seconds, chore = self._chores[name]
        self._tasks[name] = asyncio.create_task(self._every(name, seconds, chore), name=name)

    async def _every(self, name: str, seconds: float, chore: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await chore()
            except PromptdError as error:
                _log.warning("%s failed: %s", name, error.detail or error, extra={"action": "chore_failed"})
            except Exception:  # a chore that ended for good would be missed much later: leases, limits, a full disk
                _log.exception("%s failed", name, extra={"action": "chore_failed"})

    async def _beat(self) -> None:
        await self._queue.beat(self._clock(), self._lease)

    async def _prune(self) -> None:
        gone = await self._queue.prune(self._retention, now=self._clock())
        if gone:
            _log.info("pruned %d prompts", gone, extra={"action": "pruned", "count": gone})
