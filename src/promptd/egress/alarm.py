"""One timer for every connection that waits: a timer for each would hold 0.7 KB of each silent stream."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

_NEVER: Final = float("inf")
#: seconds from one look to the next, because each is at all that wait; a wait may last so much longer
_PAUSE: Final = 0.02


class Waiting(Protocol):
    """What waits, or may wait again."""

    def due(self) -> float | None:
        """When it has waited long enough, in the loop's time; None while it waits for nothing."""

    def give_up(self) -> None:
        """It has waited long enough."""


class Alarm:
    """Looks at all that wait when the first of them may be due. `set` it for whoever may be due before."""

    __slots__ = ("_all", "_loop", "_timer", "rings")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._all: dict[Waiting, None] = {}  # a set of thousands takes three times as much
        self.rings = _NEVER  #: when it does, in the loop's time

    def add(self, waiting: Waiting) -> None:
        self._all[waiting] = None

    def remove(self, waiting: Waiting) -> None:
        self._all.pop(waiting, None)
        if not self._all:
            self._stop()

    def set(self, due: float) -> None:
        self._stop()
        self.rings = due
        self._timer = self._loop.call_at(due, self._look)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self.rings = None, _NEVER

    def _look(self) -> None:
        self._timer, self.rings = None, _NEVER
        now, soonest = self._loop.time(), _NEVER
        for waiting in list(self._all):
            due = waiting.due()
            if due is None:
                continue
            if due <= now:
                waiting.give_up()
            elif due < soonest:
                soonest = due
        soonest = max(soonest, now + _PAUSE)
        if soonest < self.rings:
            self.set(soonest)
