"""Attached prompts that are final, on their way to the store: many in one transaction, soon after their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from promptd.core.errors import Overloaded
from promptd.core.model import Attempt, Prompt
from promptd.core.ports import Ended, Ledger
from promptd.service.settling import Settling

_LAG = 0.05  # seconds that rows are gathered
_MOST_UNWRITTEN = 5000  # rows; so many behind, the store is too slow for what comes in
_PATIENCE = 3.0  # seconds that a newcomer waits for room: a disk may halt for a moment
_SIDE_BY_SIDE = 20  # batches that go together
_AT_ONCE = 96  # rows that are inserted in one go, so that none holds the loop for long


class WriteBehind:
    """`unwritten` holds prompts that run or whose row is not on disk yet; look-ups see them first."""

    def __init__(self, *, ledger: Ledger, settling: Settling, unwritten: dict[str, Prompt]) -> None:
        self._ledger, self._settling, self._unwritten = ledger, settling, unwritten
        self._waiting: list[Ended] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writer: asyncio.Task[None] | None = None
        self._added = self._stored = 0  # rows, ever
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
        self._unwritten[prompt.id] = prompt
        self._waiting.append(Ended(prompt, attempts))
        if len(self._waiting) >= _MOST_UNWRITTEN:
            self.full = True
        self._added += 1
        if self._timer is None and self._writer is None:
            self._timer = asyncio.get_running_loop().call_later(_LAG, self._start)

    async def flush(self) -> None:
        """Wait until everything added before is written, or the server leaves with the store down."""
        if self._stored >= self._added:
            return
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._flushes.append((self._added, stored))
        self._start()
        await stored

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writer is None and self._waiting:
            self._writer = asyncio.create_task(self._write(), name="write ledger")

    async def _write(self) -> None:
        try:
            while self._waiting:
                # a commit costs the same for one batch and for many, and at full speed it is what everybody waits for
                most = _AT_ONCE * _SIDE_BY_SIDE
                rows, self._waiting = self._waiting[:most], self._waiting[most:]
                self.full = len(self._waiting) >= _MOST_UNWRITTEN
                self._room.set()
                batches = [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
                await asyncio.gather(*map(self._store, batches))
        finally:
            self._writer = None
            if self._waiting:
                self._start()

    async def _store(self, batch: Sequence[Ended]) -> None:
        await self._settling.persist(lambda: self._ledger.record(batch))
        unwritten = self._unwritten
        for ended in batch:
            prompt = ended.prompt
            if unwritten.get(prompt.id) is prompt:
                del unwritten[prompt.id]
        self._stored += len(batch)
        self._tell()

    def _tell(self) -> None:
        for flush in [flush for flush in self._flushes if flush[0] <= self._stored]:
            self._flushes.remove(flush)
            if not flush[1].done():
                flush[1].set_result(None)
