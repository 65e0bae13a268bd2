"""Attached prompts that are final, on their way to the store: many in one transaction, soon after their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from promptd.core.errors import Overloaded
from promptd.core.model import Attempt, Prompt
from promptd.core.ports import Ended, Ledger
from promptd.service.settling import Settling

_LAG = 0.05  # seconds that rows are gathered for one commit
_AT_ONCE = 64  # rows that are inserted in one go: many enough to be cheap, few enough not to hold the loop for long
_MOST_UNWRITTEN = 5000  # rows; so many behind, the store is too slow for what comes in
_PATIENCE = 3.0  # seconds that a newcomer waits for room: a disk may halt for a moment


class WriteBehind:
    """`unwritten` holds prompts that run or whose row is not on disk yet; look-ups see them first."""

    def __init__(self, *, ledger: Ledger, settling: Settling, unwritten: dict[str, Prompt]) -> None:
        self._ledger, self._settling, self._unwritten = ledger, settling, unwritten
        self._waiting: list[Ended] = []
        self._timer: asyncio.TimerHandle | None = None  # until the next commit
        self._writer: asyncio.Task[None] | None = None  # at work on a commit
        self._handed_over: list[asyncio.Task[None]] = []  # for the next commit
        self._taken = self._stored = 0  # rows that went to the store, and those that are on disk, ever
        self._flushes: list[tuple[int, asyncio.Future[None]]] = []  # who waits until so many are stored
        self._room = asyncio.Event()  # set when rows go to the store
        self.full = False  #: the store is too far behind to let more in

    async def room(self) -> None:
        """Wait until more may come in. Raises `Overloaded` where the store does not catch up."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while self.full:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            raise Overloaded("the store is behind", retry_after=1) from None

    def begin(self, prompt: Prompt) -> None:
        self._unwritten[prompt.id] = prompt

    def add(self, prompt: Prompt, attempts: tuple[Attempt, ...]) -> None:
        """The prompt is final; its row follows."""
        waiting = self._waiting
        self._unwritten[prompt.id] = prompt
        waiting.append(Ended(prompt, attempts))
        if self._writer is None:
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(_LAG, self._start)
            if len(waiting) >= _AT_ONCE:
                self._hand_over(patient=True)
        elif len(waiting) >= _MOST_UNWRITTEN:
            self.full = True

    async def flush(self) -> None:
        """Wait until everything added before is written, or the server leaves with the store down."""
        added = self._taken + len(self._waiting)
        if self._stored >= added:
            return
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._flushes.append((added, stored))
        self._start()
        await stored

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writer is None and self._stored < self._taken + len(self._waiting):
            self._writer = asyncio.create_task(self._write(), name="write ledger")

    def _hand_over(self, *, patient: bool) -> None:
        """All rows that wait, some at a time; unless they are `patient`, they are committed with all that went before."""
        rows, self._waiting = self._waiting, []
        self._taken += len(rows)
        last = max(len(rows) - 1, 0) // _AT_ONCE * _AT_ONCE
        for start in range(0, last + 1, _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            self._handed_over.append(
                asyncio.create_task(self._store(some, patient or start != last), name="store rows")
            )

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        next_time = loop.time() + _LAG  # a commit costs the same for few rows and for many
        try:
            self._hand_over(patient=False)
            tasks, self._handed_over = self._handed_over, []
            taken, self.full = self._taken, False
            self._room.set()
            await asyncio.gather(*tasks)
            self._stored = taken
            self._tell()
        finally:
            self._writer = None
            if self._flushes:
                self._start()
            elif self._waiting:
                self._timer = loop.call_at(next_time, self._start)

    async def _store(self, rows: Sequence[Ended], patient: bool) -> None:
        await self._settling.persist(lambda: self._ledger.record(rows, patient=patient))
        unwritten = self._unwritten
        for ended in rows:
            prompt = ended.prompt
            if unwritten.get(prompt.id) is prompt:
                del unwritten[prompt.id]

    def _tell(self) -> None:
        for flush in [flush for flush in self._flushes if flush[0] <= self._stored]:
            self._flushes.remove(flush)
            if not flush[1].done():
                flush[1].set_result(None)
