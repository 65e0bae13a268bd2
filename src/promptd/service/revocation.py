"""Callers whose key or session ends: their attached calls end too, and who waits for a stored prompt hears no more of it.

The stored prompt itself has a receipt, and runs on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from promptd.core.errors import PromptdError
from promptd.core.model import Caller, Prompt
from promptd.service.callers import Callers
from promptd.service.remains import stopped_for
from promptd.service.runs import Run, Stop
from promptd.service.worker import Worker

_TRUST_SECONDS: Final = 60.0  # a key may end by its date, and nobody tells
_AT_ONCE: Final = 32  # callers that are looked up before others have their turn: each holds the loop


class Stay:
    """One who was let in and is still here. `interrupted` is for the task that waits for it, `stop` for others."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self._task = asyncio.current_task()
        self._over: Stop | None = None

    def stop(self, why: Stop) -> None:
        if self._over is None and self._task is not None:
            self._over = why
            self._task.cancel()

    def end(self) -> None:
        """It has left: its task does something else now, which `stop` must not cancel."""
        self._task = None

    def interrupted(self) -> PromptdError | None:
        """What to tell a caller whose task was cancelled by its key's end, else None. To be asked once."""
        task, self._task = self._task, None
        if self._over is None or task is None:
            return None
        task.uncancel()
        return stopped_for(self._over)


class Revocation:
    """Call `look` about once a second. `unwritten` holds the attached prompts at work."""

    def __init__(self, *, callers: Callers, worker: Worker, unwritten: Mapping[str, Prompt]) -> None:
        self._callers, self._worker, self._unwritten = callers, worker, unwritten
        self._stays: set[Stay] = set()
        #: by user and key: how many changes there were when it was last looked up, and when that was
        self._trusted: dict[tuple[str, str], tuple[int, float]] = {}

    @contextmanager
    def staying(self, caller: Caller) -> Iterator[Stay]:
        """Work of use to this caller alone. Raises `Unauthenticated` in it when the caller's key or session ends."""
        stay = Stay(caller)
        self._stays.add(stay)
        try:
            yield stay
        except asyncio.CancelledError:
            if (told := stay.interrupted()) is not None:
                raise told from None
            raise
        finally:
            stay.end()
            self._stays.discard(stay)

    async def look(self, now: float) -> None:
        """End the calls of those whose power has gone. Who is seen here for the first time is looked up, too: it may have
        stood in a line for long. Raises `StoreUnavailable`."""
        changes, here = self._callers.changes, self._here()
        count = changes.count
        self._trusted = {who: known for who, known in self._trusted.items() if who in here}
        looked = 0
        for (user, key), calls in here.items():
            seen, since = self._trusted.get((user, key), (-1, now))
            if not changes.since(seen, user) and now - since < _TRUST_SECONDS:
                continue
            looked += 1
            if looked % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if await self._callers.has_ended(user, key):
                for call in calls:
                    call.stop("revocation")
            else:
                self._trusted[user, key] = count, now

    def _here(self) -> dict[tuple[str, str], list[Run | Stay]]:
        """Calls by user and key."""
        found: dict[tuple[str, str], list[Run | Stay]] = {}
        for identifier, prompt in self._unwritten.items():
            run = self._worker.running(identifier) or self._worker.paused.get(identifier)
            if run is not None:
                found.setdefault((prompt.user, prompt.key), []).append(run)
        for stay in self._stays:
            found.setdefault((stay.caller.user, stay.caller.key), []).append(stay)
        return found
