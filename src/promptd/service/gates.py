"""The gate of a lane whose model takes memory of this machine: nobody runs while the model has none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from promptd.service.connections import Connection
from promptd.service.runs import Run


class Gate:
    """Shut at first. `changed` hears of everything that the decision about the memory depends on."""

    __slots__ = ("_open", "changed", "ended", "slots", "stand_in")

    def __init__(self, changed: Callable[[], None]) -> None:
        self.changed = changed
        self.slots = 1  #: those of the loaded model, for who looks at the lane from outside
        self.ended = 0  #: slots that were given back, ever
        self.stand_in: Connection | None = None  #: what prompts get instead, where the model can't ever be loaded
        self._open = asyncio.Event()

    @property
    def shut(self) -> bool:
        return not self._open.is_set()

    def open(self, stand_in: Connection | None = None) -> None:
        self.stand_in = stand_in
        self._open.set()

    def close(self) -> None:
        self.stand_in = None
        self._open.clear()

    def meet(self, run: Run) -> None:
        """The run is about to begin."""
        if self.stand_in is not None:
            run.connection = self.stand_in

    async def let_in(self, run: Run) -> None:
        """Wait until the gate is open, or the run is stopped: then its attempt ends before it calls anybody."""
        run.begun = True  # a stop interrupts the waiting
        try:
            while self.shut and run.stopped is None:
                self.changed()
                await self._open.wait()
        except asyncio.CancelledError:
            if run.stopped is None:
                raise
        self.meet(run)
